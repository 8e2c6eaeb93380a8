"""What real captures have: landmarks off the joints and cameras off their places, as read back from the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.grainy import grainy
from PIL import Image
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.synthesis.capture_room import synthesize_capture_room
from nerfstudio_hands.synthesis.interhand import synthesize_interhand
from nerfstudio_hands.synthesis.options import (
    CalibrationOptions,
    CaptureRoomOptions,
    ImageOptions,
    InterHandOptions,
    LandmarkOptions,
    MaskOptions,
)

SEQUENCE = "ROM03_RT_No_Occlusion"
INTERHAND = InterHandOptions(
    num_cameras=3, frames=1, supersampling=1, subdivisions=2,
    landmarks=LandmarkOptions(bias=4.5, outliers=0.2), calibration=CalibrationOptions(1.0, 2),
)  # fmt: skip
ROOM = CaptureRoomOptions(
    num_cameras=4, resolution=48, supersampling=1, subdivisions=1,
    landmarks=LandmarkOptions(bias=4.5, outliers=0.2), calibration=CalibrationOptions(1.0, 2),
    masks=MaskOptions("sleeve", holes=2),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_rays() -> Iterator[None]:
    """Light has no part in what is tested."""
    with grainy():
        yield


@pytest.fixture(scope="module")
def interhand(tmp_path_factory) -> Path:
    return synthesize_interhand(tmp_path_factory.mktemp("interhand") / "capture", INTERHAND)


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return synthesize_capture_room(tmp_path_factory.mktemp("room") / "capture", ROOM)


def _check_cameras(written: list[np.ndarray], true: list[np.ndarray]) -> None:
    """Two cameras are turned by half a degree to one, about where they stand; the others are right."""
    turns = [a[:3, :3] @ b[:3, :3].T for a, b in zip(written, true, strict=True)]
    degrees = np.degrees([np.linalg.norm(Rotation.from_matrix(turn).as_rotvec()) for turn in turns])
    wrong = degrees > 1e-3
    assert wrong.sum() == 2 and (degrees[wrong] > 0.499).all() and (degrees[wrong] < 1.001).all()
    places = [[-matrix[:3, :3].T @ matrix[:3, 3] for matrix in matrices] for matrices in (written, true)]
    np.testing.assert_allclose(*places, atol=1e-5)


def test_wrong_cameras_are_turned_as_the_truth_tells(interhand, room):
    truth = json.loads((interhand / "truth" / "cameras.json").read_text())
    cameras = read_interhand(interhand).cameras
    _check_cameras(
        [camera.world_to_camera for camera in cameras],
        [np.array(truth[camera.name]["world_to_camera"]) for camera in cameras],
    )
    for camera in cameras:
        np.testing.assert_allclose(camera.intrinsics, truth[camera.name]["intrinsics"], rtol=1e-5)
    arrays = np.load(room / "truth" / "truth.npz")
    cameras = read_capture_room(room).cameras
    assert [camera.name for camera in cameras] == arrays["cameras"].tolist()
    _check_cameras([camera.world_to_camera for camera in cameras], list(arrays["world_to_camera"]))


def test_annotated_joints_are_the_landmarks_of_the_truth_and_not_its_joints(interhand):
    capture, side = read_interhand(interhand), SIDES.index("right")
    truth = np.load(interhand / "truth" / f"{SEQUENCE}.npz")
    found = capture.stored_keypoints[:, side]
    is_outlier, known = truth["landmark_is_outlier"][:, side], np.isfinite(found).all(-1)
    off = {name: 1e3 * np.linalg.norm(found - truth[name][:, side], axis=-1) for name in ("landmarks", "keypoints")}
    usual = known & ~is_outlier
    assert 0 < off["landmarks"][usual].mean() < 3 and 3 < off["keypoints"][usual].mean() < 6
    assert 0 < (is_outlier & known).sum() and off["landmarks"][is_outlier & known].min() > 15


def test_detections_are_seen_by_the_true_cameras_at_the_landmarks(room):
    capture, truth = read_capture_room(room), np.load(room / "truth" / "truth.npz")
    errors = {"landmarks": [], "keypoints": []}
    for number in range(len(capture.cameras)):
        found = capture.detections[0, number, SIDES.index("right")]
        matrix = truth["intrinsics"][number] @ truth["world_to_camera"][number][:3]
        usual = ~truth["landmark_is_outlier"][0, 0, number]
        for name, distances in errors.items():
            points = np.concatenate([truth[name][0, 0], np.ones((21, 1))], axis=1) @ matrix.T
            distances.append(np.linalg.norm(found - points[:, :2] / points[:, 2:], axis=1)[usual])
    medians = {name: np.median(np.concatenate(distances)) for name, distances in errors.items()}
    assert medians["landmarks"] < 0.9 * medians["keypoints"]
    assert truth["landmark_is_outlier"].shape == (1, 1, 4, 21) and 4 < truth["landmark_is_outlier"].sum() < 40


def test_masks_show_the_sleeve_and_have_holes_and_the_truth_has_whole_ones(room):
    sizes = np.zeros(4)
    for camera in read_capture_room(room).cameras:
        found, hand, skin = (
            np.asarray(Image.open(room / folder / f"{camera.name}.png")) > 0
            for folder in ("1/mask", "truth/mask_hand/1", "truth/mask_skin/1")
        )
        assert (skin | ~hand).all()
        sizes += [part.sum() for part in (hand, skin, found & ~skin, skin & ~found)]
    # These cameras see hardly any sleeve.
    assert 0.5 * sizes[1] < sizes[0] < sizes[1] and sizes[2] > 0 and 0.005 * sizes[1] < sizes[3] < 0.5 * sizes[1]


def test_a_capture_without_masks_is_read(tmp_path):
    options = CaptureRoomOptions(
        num_cameras=2, resolution=32, supersampling=1, subdivisions=1, masks=MaskOptions("none"),
        pictures=ImageOptions(exposure=8.0),
    )  # fmt: skip
    root = synthesize_capture_room(tmp_path / "capture", options)
    capture = read_capture_room(root)
    assert capture.masks == {} and len(capture.images) == 2
    for image in capture.images.values():
        skin = np.asarray(Image.open(root / "truth" / "mask_skin" / "1" / image.name)) > 0
        assert (np.asarray(Image.open(image))[skin] == 255).any(-1).mean() > 0.6
    assert json.loads((root / "truth" / "options.json").read_text())["pictures"]["exposure"] == 8.0


def test_more_wrong_cameras_than_there_are(tmp_path):
    for synthesize, options in ((synthesize_interhand, INTERHAND), (synthesize_capture_room, ROOM)):
        with pytest.raises(HandsError, match="--calibration.cameras: expected at most the 3 cameras"):
            wrong = replace(options, num_cameras=3, calibration=CalibrationOptions(1.0, 4))
            synthesize(tmp_path / "new", wrong)
    assert not list(tmp_path.iterdir())
