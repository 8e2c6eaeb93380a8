"""Masks and poses of a held object beside the pictures, whole and broken."""

from pathlib import Path

import numpy as np
import pytest
from helpers.make_scan import make_scan
from PIL import Image

from nerfstudio_hands.captures.capture import object_pixels, select_cameras
from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.captures.object_files import read_object_poses
from nerfstudio_hands.errors import HandsError

POSE = np.array([[0.0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two frames of three cameras; the object is seen by all but the last camera."""
    for frame in ("1", "2"):
        make_scan(tmp_path / frame)
        (tmp_path / frame / "obj_mask").mkdir()
        for camera in range(3):
            mask = np.zeros((48, 64), dtype=np.uint8)
            mask[12:20, 41:50] = 255 if camera < 2 else 0
            Image.fromarray(mask).save(tmp_path / frame / "obj_mask" / f"{camera:02d}.png")
    return tmp_path


def _overwrite(path: Path, value: int) -> None:
    mask = np.asarray(Image.open(path)).copy()
    mask[:] = value
    Image.fromarray(mask).save(path)


def test_masks_and_poses_are_read(scans):
    capture = read_capture_room(scans)
    assert len(capture.object_masks) == 6 and capture.object_poses is None and capture.problems == []
    seen = object_pixels(capture, ("2", "01"))
    assert seen.sum() == 72 and seen[12:20, 41:50].all()
    assert not object_pixels(capture, ("2", "02")).any()
    assert set(select_cameras(capture, ["01"]).object_masks) == {("1", "01"), ("2", "01")}
    np.savez(scans / "1" / "object_pose.npz", object_to_world=np.eye(4))
    np.savez(scans / "2" / "object_pose.npz", object_to_world=POSE)
    np.testing.assert_array_equal(read_capture_room(scans).object_poses, [np.eye(4), POSE])


def test_poses_are_found_by_the_names_of_their_frames(tmp_path):
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = [1.0, 2.0, 3.0]
    np.savez(tmp_path / "object_pose.npz", object_to_world=poses, frames=["a", "b", "c"])
    assert read_object_poses(tmp_path / "object_pose.npz", ["c", "a"])[:, 0, 3].tolist() == [3.0, 1.0]


def test_a_capture_without_an_object_has_none(tmp_path):
    make_scan(tmp_path / "1")
    capture = read_capture_room(tmp_path)
    assert capture.object_masks == {} and capture.object_poses is None
    assert object_pixels(capture, ("1", "00")) is None


def test_masks_without_an_object_are_refused(scans):
    for camera in range(3):
        _overwrite(scans / "2" / "obj_mask" / f"{camera:02d}.png", 0)
    with pytest.raises(HandsError, match="expected the object in at least one mask of frame 2, found 3 empty ones"):
        read_capture_room(scans)


def test_unknown_labels_are_refused(scans):
    mask = scans / "1" / "obj_mask" / "00.png"
    _overwrite(mask, 2)
    with pytest.raises(HandsError, match=r"00.png: expected 255 .* found the values 2: write one mask"):
        read_capture_room(scans)


def test_masks_of_some_frames_only_are_refused(scans):
    for path in (scans / "2" / "obj_mask").iterdir():
        path.unlink()
    with pytest.raises(HandsError, match=r"in every frame or in none, found none in 1 of 2 \(2\)"):
        read_capture_room(scans)


def test_a_mask_of_another_size_is_left_out_and_named(scans):
    path = scans / "1" / "obj_mask" / "00.png"
    Image.fromarray(np.full((10, 10), 255, dtype=np.uint8)).save(path)
    capture = read_capture_room(scans)
    assert len(capture.object_masks) == 5 and object_pixels(capture, ("1", "00")) is None
    assert f"left out: 1 ({path} of 10x10 instead of 64x48)" in capture.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"object_to_world": np.diag([2.0, 2, 2, 1])}, "expected a rotation .* export the object-to-world"),
        ({"object_to_world": np.eye(3)}, r"expected a finite 4x4 matrix .* found shape \(1, 3, 3\)"),
        ({"object_to_world": np.full((4, 4), np.nan)}, "found NaN or infinity"),
        ({"pose": np.eye(4)}, "expected an archive with object_to_world"),
        ({"object_to_world": np.eye(4)[None], "frames": np.array(["7"])}, "found none of 1: add them"),
    ],
)
def test_broken_poses_are_refused(scans, content, message):
    for frame in ("1", "2"):
        np.savez(scans / frame / "object_pose.npz", **content)
    with pytest.raises(HandsError, match=message):
        read_capture_room(scans)


def test_poses_of_some_frames_only_are_refused(scans):
    np.savez(scans / "1" / "object_pose.npz", object_to_world=np.eye(4))
    with pytest.raises(HandsError, match="2/object_pose.npz: expected an archive .*no such file"):
        read_capture_room(scans)
