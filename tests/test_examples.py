"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.layouts import LAYOUTS, read_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, fit_or_load
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand


@pytest.fixture
def example(repository: Path, monkeypatch: pytest.MonkeyPatch):
    """Loads an example by its name; what it registers is gone afterwards."""
    monkeypatch.setattr("nerfstudio_hands.captures.layouts.LAYOUTS", dict(LAYOUTS))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", repository / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def lines(repository: Path, name: str) -> int:
    return len((repository / "examples" / f"{name}.py").read_text().splitlines())


def test_a_method_of_one_s_own_learns_the_hand(
    example, repository, demo_capture, true_fit_cache, fit_cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(true_fit_cache))
    custom = example("04_custom_method")
    config = custom.hand_vertices.config.pipeline.datamanager
    config.train_num_rays_per_batch, config.dataparser.eval_resolution = 512, 96
    custom.main(demo_capture, steps=40, output_dir=tmp_path)
    figures = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("hand_psnr_cal"))
    # The mean colour of the hand's pixels would give 22 dB.
    assert float(figures["hand_psnr_calibrated"]) > 25
    assert lines(repository, "04_custom_method") < 80


def test_a_layout_of_one_s_own_is_recognised_and_fitted(example, repository, tmp_path: Path):
    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (2,))
    pose.local_rotations[1, :, 3:6, 2] = 0.4
    keypoints = surface.pose(pose, torch.zeros(10)).keypoints[:, 0]
    rig = {"cameras": {}, "frames": []}
    for name, angle in (("left", -0.3), ("right", 0.4)):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[2, 3] = Rotation.from_euler("y", angle).as_matrix(), 0.6
        rig["cameras"][name] = {"K": [[200, 0, 79.5], [0, 200, 59.5], [0, 0, 1]], "size": [160, 120]}
        rig["cameras"][name]["world_to_camera"] = matrix.tolist()
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((120, 160, 3), np.uint8))
    for frame in range(2):
        pictures = {"left": "left.png", "right": "right.png" if frame == 0 else "gone.png"}
        rig["frames"].append({"joints": {"right": keypoints[frame].tolist()}, "pictures": pictures})
    (tmp_path / "rig.json").write_text(json.dumps(rig))
    example("05_custom_format")
    capture = read_capture(tmp_path)
    assert capture.cameras[0].intrinsics[0, 2] == 80 and capture.cameras[0].size == (160, 120)
    assert len(capture.images) == 3 and "gone.png" in capture.problems[0]
    fit = fit_or_load(capture, FitOptions())
    assert fit.sides == ("right",) and fit.pose.valid.all()
    turned = (fit.pose.local_rotations[:, 0] - pose.local_rotations[:, 0]).norm(dim=-1)
    assert turned.max() < 0.1
    assert lines(repository, "05_custom_format") < 120

    (tmp_path / "rig.json").write_text('{"cameras": {"left": {}}, "frames": []}')
    with pytest.raises(HandsError, match="rig.json: expected cameras and frames"):
        read_capture(tmp_path)
