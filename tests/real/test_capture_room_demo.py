"""The reader on the real scan: figures here were measured independently and stand in the project's notes on formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.files.image_reading import read_image, read_mask


def test_reads_the_real_scan(fmhr_demo: Path) -> None:
    capture = read_capture_room(fmhr_demo)
    assert len(capture.cameras) == 16
    assert capture.camera_names[9] == "09" and "09" not in capture.cameras_with_images
    assert len(capture.images) == len(capture.masks) == 14
    assert all(camera.size == (1280, 1024) for camera in capture.cameras)
    assert capture.problems == [f"{fmhr_demo}: calibrated cameras without any file: 09, 14."]
    seen = np.isfinite(capture.detections[0]).all((-1, -2))
    assert seen.sum(0).tolist() == [11, 12]
    assert read_image(capture.images["1", "03"]).shape == (1024, 1280, 3)
    coverage = {name: read_mask(path, (1280, 1024)).mean() for (_, name), path in capture.masks.items()}
    assert sorted(coverage, key=coverage.get)[:3] == ["02", "13", "01"]


def test_the_stored_keypoints_of_the_real_scan_are_metric_and_stale(fmhr_demo: Path) -> None:
    capture = read_capture_room(fmhr_demo)
    joints = capture.stored_keypoints[0]
    # Wrist to middle knuckle of an adult: the scale of the normalised cube was applied.
    assert (0.06 < np.linalg.norm(joints[:, 9] - joints[:, 0], axis=-1)).all()
    assert (np.linalg.norm(joints[:, 9] - joints[:, 0], axis=-1) < 0.11).all()
    errors = []
    for camera, detections in zip(capture.cameras, capture.detections[0], strict=True):
        in_camera = joints @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
        pixels = in_camera @ camera.intrinsics.T
        errors.append(np.linalg.norm(pixels[..., :2] / pixels[..., 2:] - detections, axis=-1))
    assert 150 < np.nanmedian(errors) < 230
