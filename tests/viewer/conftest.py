"""A run of the shipped capture that needs no fit, because the truth lies beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.dataparsers.layouts import read_capture
from nerfstudio_hands.dataparsers.splits import choose_cameras
from nerfstudio_hands.fitting.cache import cache_path
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import SIDES, HandPose


@pytest.fixture(scope="session")
def true_fit_cache(demo_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the fit of the shipped capture is the pose that it was rendered from."""
    folder = tmp_path_factory.mktemp("true-fit")
    capture = read_capture(demo_capture, layout="auto")
    cameras, _ = choose_cameras(capture, cameras=None, exclude=(), held_out=None)
    truth = np.load(demo_capture.parent / "truth" / "truth.npz")
    sides = tuple(truth["sides"].tolist())
    pose = [torch.from_numpy(truth[name]) for name in ("global_orient", "local_rotations", "translation")]
    fit = HandFit(
        sides=sides,
        frames=capture.frames,
        shape=torch.from_numpy(truth["shape"]),
        displacement=torch.zeros(truth["vertices"].shape[1], 3),
        pose=HandPose(*pose, valid=torch.ones(len(capture.frames), len(sides), dtype=torch.bool)),
        camera_rotation={name: np.zeros(3) for name in cameras},
        keypoints_3d=np.full((len(capture.frames), 2, 21, 3), np.nan),
        report={"mask_verdicts": [[*key, "good"] for key in capture.masks]},
    )
    options = {"hand": "default", "sides": list(SIDES), "refine_masks": True, "refine_cameras": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERFSTUDIO_HANDS_CACHE", str(folder))
        fit.save(cache_path(capture, cameras, **options))
    return folder
