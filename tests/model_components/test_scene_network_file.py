"""The network of hand and object that comes along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.model_components.scene_network_file import SHIPPED, load_scene_predictor
from nerfstudio_hands.synthesis.grasp_images import SyntheticGrasps, SyntheticGraspsOptions


def test_the_network_that_comes_along_sees_hands_where_they_are():
    source = SyntheticGrasps(SyntheticGraspsOptions(count=4, people=2, split="test"))
    predictor = load_scene_predictor(SHIPPED)
    predictor.voxel = 0.008
    off = []
    for index in range(2):
        picture = source.read(index)
        labels = picture.labels
        assert labels.box is not None and labels.joints is not None
        found = predictor.predict([picture.rgb], labels.intrinsics, labels.side, [labels.box])
        mesh = found.meshes.hand
        assert mesh is not None
        hand = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
        # As large as a hand, and round the joints.
        assert hand.is_watertight and 1.5e-4 < hand.volume < 8e-4
        nearest = torch.cdist(torch.from_numpy(found.joints).float(), mesh.vertices.float()).amin(1)
        assert nearest.max() < 0.03
        about_wrist = found.joints - found.joints[0] - (labels.joints - labels.joints[0])
        off.append(np.linalg.norm(about_wrist, axis=1).mean())
    assert np.mean(off) < 0.06


def test_files_of_other_networks_are_refused(tmp_path: Path):
    with pytest.raises(HandsError, match="expected the format 'nerfstudio-hands hand-object network 1'"):
        load_scene_predictor(SHIPPED.with_name("hand_monocular.npz"))
