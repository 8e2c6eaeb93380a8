from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.make_scan import make_scan
from PIL import Image

from nerfstudio_hands.captures.capture import require_side, select_cameras
from nerfstudio_hands.captures.formats.capture_room import is_capture_room, read_capture_room
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image, read_mask


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_reads_what_was_written(tmp_path: Path) -> None:
    scan = tmp_path / "7"
    truth = make_scan(scan)
    before = _digest(scan)
    capture = read_capture_room(scan)
    assert capture.frames == ["7"]
    assert capture.camera_names == ["00", "01", "02"]
    assert capture.problems == []
    assert capture.camera("01").size == (64, 48)
    np.testing.assert_allclose(capture.detections[0], truth.pixels.reshape(3, 2, 21, 2), atol=1e-9)
    np.testing.assert_allclose(capture.stored_keypoints[0], truth.joints, atol=1e-9)
    for index, camera in enumerate(capture.cameras):
        np.testing.assert_array_equal(camera.intrinsics, truth.intrinsics[index])
        np.testing.assert_array_equal(camera.world_to_camera, truth.world_to_camera[index])
    assert _digest(scan) == before


def test_reads_from_a_read_only_folder(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    entries = [tmp_path / "1", *(tmp_path / "1").rglob("*")]
    for entry in entries:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        assert len(read_capture_room(tmp_path / "1").images) == 3
    finally:
        for entry in entries:
            entry.chmod(0o755)


def test_images_are_read_on_demand(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    capture = read_capture_room(tmp_path / "1")
    image = read_image(capture.images["1", "02"])
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    mask = read_mask(capture.masks["1", "02"], (64, 48))
    assert mask.sum() == 400 and mask[10:30, 20:40].all()


@pytest.mark.parametrize("mode", ["zeros and ones", "1-bit", "RGB", "RGBA"])
def test_masks_of_any_mode_mean_the_same(tmp_path: Path, mode: str) -> None:
    expected = np.zeros((6, 8), dtype=bool)
    expected[2:4, 1:5] = True
    picture = {
        "zeros and ones": Image.fromarray(expected.astype(np.uint8)),
        "1-bit": Image.fromarray(expected),
        "RGB": Image.fromarray(np.repeat(expected[..., None], 3, -1).astype(np.uint8) * 255),
        "RGBA": Image.fromarray(np.repeat(expected[..., None], 4, -1).astype(np.uint8) * 255),
    }[mode]
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (8, 6)), expected)


def test_absent_files_are_survived_and_reported(tmp_path: Path) -> None:
    scan = tmp_path / "1"
    truth = make_scan(scan, num_cameras=5)
    for folder, suffix in (("img", "png"), ("mask", "png"), ("pose", "json")):
        (scan / folder / f"03.{suffix}").unlink()
    (scan / "img" / "00.png").unlink()
    (scan / "mask" / "01.png").unlink()
    (scan / "pose" / "02.json").write_text(
        json.dumps({"Left": [], "Right": json.loads((scan / "pose/02.json").read_text())["Right"]})
    )
    (scan / "pose" / "04.json").unlink()
    (scan / "img" / "09.png").write_bytes((scan / "img" / "01.png").read_bytes())
    capture = read_capture_room(scan)
    assert capture.camera_names == ["00", "01", "02", "03", "04"]
    assert capture.cameras_with_images == ["01", "02", "04"]
    assert sorted(capture.masks) == [("1", "00"), ("1", "02"), ("1", "04")]
    # The size of camera 00 comes from its mask, that of camera 03 from the others.
    assert capture.camera("00").size == capture.camera("03").size == (64, 48)
    present = np.isfinite(capture.detections[0]).all((-1, -2))
    np.testing.assert_array_equal(present, [[1, 1], [1, 1], [0, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(capture.detections[0, 2, 1], truth.pixels[2, 1], atol=1e-9)
    report = "\n".join(capture.problems)
    for expected in (
        "without any file: 03.",
        "without image: 00.",
        "without mask: 01.",
        "without detections: 04.",
        "09.png",
    ):
        assert expected in report
    assert len(capture.problems) == 5


def test_a_broken_optional_xyz_is_only_reported(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    np.savetxt(tmp_path / "1" / "keypoints_3d_1.xyz", np.zeros((41, 3)))
    capture = read_capture_room(tmp_path / "1")
    assert capture.stored_keypoints is None
    assert "(41, 3)" in capture.problems[0] and "keypoints_3d_1.xyz" in capture.problems[0]


def test_scans_below_a_root_are_frames_in_numeric_order(tmp_path: Path) -> None:
    truths = {name: make_scan(tmp_path / name, seed=int(name)) for name in ("10", "2")}
    (tmp_path / "2" / "keypoints_3d_2.xyz").unlink()
    (tmp_path / "notes").mkdir()
    capture = read_capture_room(tmp_path)
    assert capture.frames == ["2", "10"]
    assert len(capture.cameras) == 3 and len(capture.images) == 6
    for t, name in enumerate(capture.frames):
        np.testing.assert_allclose(capture.detections[t], truths[name].pixels, atol=1e-9)
    assert np.isnan(capture.stored_keypoints[0]).all()
    np.testing.assert_allclose(capture.stored_keypoints[1], truths["10"].joints, atol=1e-9)


def test_select_cameras_keeps_detections_with_their_camera(tmp_path: Path) -> None:
    truth = make_scan(tmp_path / "1", num_cameras=4)
    capture = select_cameras(read_capture_room(tmp_path / "1"), ["03", "01"])
    assert capture.camera_names == ["03", "01"]
    np.testing.assert_allclose(capture.detections[0, 0], truth.pixels[3], atol=1e-9)
    assert set(capture.images) == {("1", "03"), ("1", "01")}


# Each case breaks a valid scan in one way and gives what the sentence must name: the file and what was found.


def _edit_calibration(scan: Path, **changes: np.ndarray | None) -> None:
    path = scan / "camera" / "param.npz"
    with np.load(path) as archive:
        arrays = dict(archive) | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def _changed(scan: Path, key: str, index: tuple | slice, value: float) -> None:
    with np.load(scan / "camera" / "param.npz") as archive:
        matrix = archive[key].copy()
    matrix[index] = value
    _edit_calibration(scan, **{key: matrix, f"world_mat_{key[-1]}": None})


def _mirror(scan: Path) -> None:
    with np.load(scan / "camera" / "param.npz") as archive:
        matrix = archive["ext_1"].copy()
    matrix[0] *= -1
    _edit_calibration(scan, ext_1=matrix, world_mat_1=None)


def _scale(scan: Path) -> None:
    with np.load(scan / "camera" / "param.npz") as archive:
        matrix = archive["ext_1"].copy()
    matrix[:3] *= 1000
    _edit_calibration(scan, ext_1=matrix, world_mat_1=None)


def _truncate(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _write_pose(scan: Path, content: object) -> None:
    (scan / "pose" / "01.json").write_text(json.dumps(content))


def _only(scan: Path, *names: str) -> None:
    for entry in scan.iterdir():
        if entry.name not in names:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no such folder": (shutil.rmtree, "", "no such folder"),
    "layout not recognised": (lambda s: _only(s, "img", "pose"), "", "img, pose"),
    "empty folder": (lambda s: _only(s), "", "an empty folder"),
    "no calibration": (lambda s: (s / "camera/param.npz").unlink(), "camera/param.npz", "no such file"),
    "calibration truncated": (lambda s: _truncate(s / "camera/param.npz"), "camera/param.npz", "zip"),
    "calibration is text": (lambda s: (s / "camera/param.npz").write_text("K"), "camera/param.npz", "'"),
    "calibration with pickles": (
        lambda s: _edit_calibration(s, int_0=np.array([{"K": 1}], dtype=object)),
        "camera/param.npz",
        "allow_pickle",
    ),
    "calibration under other names": (
        lambda s: np.savez(s / "camera/param.npz", K=np.eye(3)),
        "camera/param.npz",
        "found K",
    ),
    "K is 2x2": (lambda s: _edit_calibration(s, int_1=np.eye(2)), "camera/param.npz", "int_1 to be a 4x4 or 3x3 or"),
    "extrinsics are 3x3": (lambda s: _edit_calibration(s, ext_2=np.eye(3)), "camera/param.npz", "shape (3, 3)"),
    "extrinsics absent": (lambda s: _edit_calibration(s, ext_2=None), "camera/param.npz", "expected ext_2"),
    "NaN in K": (lambda s: _changed(s, "int_1", (0, 0), np.nan), "camera/param.npz", "int_1"),
    "infinity in extrinsics": (lambda s: _changed(s, "ext_1", (0, 3), np.inf), "camera/param.npz", "ext_1"),
    "negative focal length": (lambda s: _changed(s, "int_1", (1, 1), -88.0), "camera/param.npz", "90 and -88"),
    "skewed pixels": (lambda s: _changed(s, "int_1", (0, 1), 5.0), "camera/param.npz", "5.0"),
    "not orthonormal": (lambda s: _changed(s, "ext_1", (0, 0), 0.7), "camera/param.npz", "orthonormal"),
    "scaled to millimetres": (_scale, "camera/param.npz", "ext_1"),
    "mirrored": (_mirror, "camera/param.npz", "determinant -1"),
    "last row": (lambda s: _changed(s, "ext_1", (3, 0), 1.0), "camera/param.npz", "last row of ext_1"),
    "world_mat is another product": (
        lambda s: _edit_calibration(s, world_mat_2=np.eye(4)),
        "camera/param.npz",
        "world_mat_2 = int_2 @ ext_2",
    ),
    "scale differs": (lambda s: _edit_calibration(s, scale_mat_2=np.eye(4)), "camera/param.npz", "scale_mat_i"),
    "no pictures": (lambda s: _empty(s / "img"), "img", "found none"),
    "pictures named otherwise": (
        lambda s: [p.rename(p.with_name(f"view{p.name}")) for p in sorted((s / "img").iterdir())],
        "img",
        "found none",
    ),
    "truncated image": (lambda s: _truncate(s / "img/01.png"), "img/01.png", "complete picture"),
    "image truncated in its header": (lambda s: _truncate(s / "img/01.png", 0.001), "img/01.png", "complete picture"),
    "truncated mask": (lambda s: _truncate(s / "mask/01.png"), "mask/01.png", "complete picture"),
    "empty image": (lambda s: (s / "img/01.png").write_bytes(b""), "img/01.png", "complete picture"),
    "detections of wrong length": (
        lambda s: _write_pose(s, {"Left": [0.0] * 62, "Right": []}),
        "pose/01.json",
        "found 62 values",
    ),
    "detections in pixels": (
        lambda s: _write_pose(s, {"Left": [], "Right": [640.0] * 63}),
        "pose/01.json",
        "up to 640",
    ),
    "detections nested": (
        lambda s: _write_pose(s, {"Left": [[0.0] * 3] * 63, "Right": []}),
        "pose/01.json",
        "63 numbers",
    ),
    "detections of text": (
        lambda s: _write_pose(s, {"Left": ["a"] * 63, "Right": []}),
        "pose/01.json",
        "'could not convert",
    ),
    "detections a list": (lambda s: _write_pose(s, [0.0] * 63), "pose/01.json", "found list"),
    "detections of other keys": (lambda s: _write_pose(s, {"hand": []}), "pose/01.json", "found hand"),
    "detections cut off": (lambda s: _truncate(s / "pose/01.json"), "pose/01.json", "JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_input_gives_one_sentence(tmp_path: Path, case: str) -> None:
    scan = tmp_path / "1"
    make_scan(scan)
    damage, file, found = BROKEN[case]
    damage(scan)
    before = _digest(tmp_path)
    with pytest.raises(HandsError) as error:
        read_capture_room(scan)
    sentence = str(error.value)
    assert sentence.startswith(f"{scan / file if file else scan}: expected "), sentence
    assert found in sentence, sentence
    # One sentence on one line: file, expected, found, and a remedy after the last colon.
    assert "\n" not in sentence and sentence.endswith("."), sentence
    assert ", found " in sentence and len(sentence.rsplit(": ", 1)[1]) > 15, sentence
    assert _digest(tmp_path) == before


def test_scans_with_different_calibrations_are_refused(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    make_scan(tmp_path / "2")
    _changed(tmp_path / "2", "ext_1", (0, 3), 0.01)
    with pytest.raises(
        HandsError, match=r"2/camera/param.npz: expected camera 01 calibrated as in .*1/camera/param.npz"
    ):
        read_capture_room(tmp_path)


def _two_sizes(root: Path, odd: dict[str, str]) -> list[str]:
    """Makes scans 1 and 2, some files of which (path: mode) become 32x24; returns what `problems` says of them."""
    make_scan(root / "1")
    make_scan(root / "2")
    for name, mode in odd.items():
        Image.new(mode, (32, 24)).save(root / name)
    return [f"{root / name} of 32x24 instead of 64x48" for name in odd]


@pytest.mark.parametrize("scan", ["1", "2"])
def test_a_image_of_another_size_than_its_camera_s_others_is_left_out_and_named(tmp_path: Path, scan: str) -> None:
    # Two pictures are no majority: the principal point says which of them was calibrated.
    (said,) = _two_sizes(tmp_path, {f"{scan}/img/00.png": "RGB"})
    capture = read_capture_room(tmp_path)
    assert capture.camera("00").size == (64, 48)
    assert len(capture.images) == 5 and (scan, "00") not in capture.images
    assert len(capture.masks) == 6 and np.isfinite(capture.detections).all()
    assert (
        capture.problems[0] == f"Pictures of another size than the pictures of their camera, left out: 1 ({said})."
        and capture.problems[1] == f"{tmp_path / scan}: cameras without image: 00."
    )


def test_most_images_of_a_camera_outvote_its_principal_point(tmp_path: Path) -> None:
    _two_sizes(tmp_path, {"1/img/00.png": "RGB"})
    make_scan(tmp_path / "3")
    for scan in "23":
        for kind, mode in (("img", "RGB"), ("mask", "L")):
            Image.new(mode, (320, 240)).save(tmp_path / scan / kind / "00.png")
    capture = read_capture_room(tmp_path)
    assert capture.camera("00").size == (320, 240) and capture.camera("01").size == (64, 48)
    assert ("1", "00") not in capture.images and ("1", "00") not in capture.masks


def test_a_mask_of_another_size_than_its_image_is_left_out_and_named(tmp_path: Path) -> None:
    said = _two_sizes(tmp_path, {f"2/mask/{camera:02d}.png": "L" for camera in range(2)})
    capture = read_capture_room(tmp_path)
    assert len(capture.images) == 6 and set(capture.masks) == {("1", "00"), ("1", "01"), ("1", "02"), ("2", "02")}
    assert capture.problems[0] == (
        f"Masks of another size than the pictures of their camera, left out: 2 ({', '.join(said)})."
    )


def test_a_mask_of_another_size_in_a_scan_alone_leaves_the_image(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    Image.new("L", (320, 240)).save(tmp_path / "1" / "mask" / "01.png")
    capture = read_capture_room(tmp_path / "1")
    assert capture.camera("01").size == (64, 48) and ("1", "01") in capture.images
    assert ("1", "01") not in capture.masks and "01.png of 320x240 instead of 64x48" in capture.problems[0]


def test_of_many_files_of_another_size_the_first_are_named(tmp_path: Path) -> None:
    names = {f"{scan}/mask/{camera:02d}.png": "L" for scan in "12" for camera in range(3)}
    said = _two_sizes(tmp_path, names)
    assert read_capture_room(tmp_path).problems[0].endswith(f"left out: 6 ({', '.join(said[:3])}, ..).")


def test_reading_a_image_names_the_fault(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(HandsError, match=r"deep.png: expected 8 bits a channel, found mode 'I;16'"):
        read_image(tmp_path / "deep.png")
    with pytest.raises(HandsError, match=r"absent.png: expected a complete picture, found no such file"):
        read_image(tmp_path / "absent.png")
    Image.new("L", (4, 4)).save(tmp_path / "mask.png")
    with pytest.raises(HandsError, match=r"mask.png: expected 8x4 pixels .* found 4x4"):
        read_mask(tmp_path / "mask.png", (8, 4))


def test_filtering_to_nothing_and_unknown_names(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    (tmp_path / "1" / "img" / "02.png").unlink()
    capture = read_capture_room(tmp_path / "1")
    with pytest.raises(
        HandsError, match=r"expected at least one camera with pictures after filtering, found none among '02'"
    ):
        select_cameras(capture, ["02"])
    with pytest.raises(HandsError, match=r"expected camera names among 00, 01, 02, found '17'"):
        select_cameras(capture, ["00", "17"])


def test_a_hand_that_was_never_detected(tmp_path: Path) -> None:
    scan = tmp_path / "1"
    make_scan(scan)
    for index, name in enumerate(("00", "01", "02")):
        content = json.loads((scan / "pose" / f"{name}.json").read_text())
        (scan / "pose" / f"{name}.json").write_text(
            json.dumps(content | {"Right": content["Right"] if index == 0 else []})
        )
    capture = read_capture_room(scan)
    require_side(capture, "left")
    with pytest.raises(
        HandsError, match=r"expected detections of the right hand in at least two cameras .* found one camera only"
    ):
        require_side(capture, "right")


def test_recognises_its_layout_only(tmp_path: Path) -> None:
    make_scan(tmp_path / "root" / "1")
    (tmp_path / "other" / "images").mkdir(parents=True)
    assert is_capture_room(tmp_path / "root") and is_capture_room(tmp_path / "root" / "1")
    assert not is_capture_room(tmp_path / "other") and not is_capture_room(tmp_path / "absent")
