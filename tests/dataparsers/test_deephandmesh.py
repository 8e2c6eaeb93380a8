"""Reading a made-up tree in DeepHandMesh's layout, whole and broken; truth is projected by the published formula."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.held_out_fits import end_early
from helpers.make_deephandmesh import (
    COLOUR,
    FRAMES,
    SHOWN,
    SIZE,
    SUBJECT,
    DeepHandMeshTruth,
    keypoint_file,
    make_deephandmesh,
    picture,
)
from helpers.pinhole import project
from PIL import Image

from nerfstudio_hands.captures.capture import require_side
from nerfstudio_hands.captures.formats.deephandmesh import is_deephandmesh, read_deephandmesh
from nerfstudio_hands.captures.formats.interhand import is_interhand
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.dataparsers.registrations import hands_data
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.hand_model import SIDES

RIGHT, LEFT, BOTH = FRAMES
NAMES = [f"{sequence}/{frame}" for sequence, frames in FRAMES.items() for frame in frames]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeepHandMeshTruth]:
    """A tree that nobody may touch, and its truth."""
    root = tmp_path_factory.mktemp("whole") / "DeepHandMesh"
    return root, make_deephandmesh(root)


@pytest.fixture
def truth(made) -> DeepHandMeshTruth:
    return made[1]


@pytest.fixture
def root(made, tmp_path: Path) -> Path:
    """A copy of the tree."""
    return shutil.copytree(made[0], tmp_path / "DeepHandMesh")


def krt(root: Path) -> Path:
    return root / "annotations" / "KRT_512"


def test_frames_cameras_and_joints_are_those_of_the_files(root: Path, truth: DeepHandMeshTruth) -> None:
    capture = read_capture(root)
    assert capture.frames == NAMES and capture.sequences == [RIGHT] * 3 + [LEFT, BOTH]
    assert capture.camera_names == list(COLOUR) and capture.problems == []
    assert len(capture.images) == 15 and capture.images[f"{RIGHT}/12", "400002"] == picture(root, RIGHT, "400002", 12)
    assert capture.detections is None and capture.mano_annotations is None and capture.masks == {}
    for stored, name in zip(capture.stored_keypoints, NAMES, strict=True):
        sequence, frame = name.split("/")
        for side, joints, known in zip(SIDES, stored, truth.joints[int(frame)], strict=True):
            if side in SHOWN[sequence]:
                np.testing.assert_allclose(joints, known / 1000, atol=1e-7)
            else:
                assert np.isnan(joints).all()
    require_side(capture, "left")


@pytest.mark.parametrize("scale", [1, 2])
def test_joints_project_where_the_published_formula_and_the_images_have_them(tmp_path: Path, scale: int) -> None:
    truth = make_deephandmesh(tmp_path, scale=scale)
    capture = read_deephandmesh(tmp_path)
    for name in COLOUR:
        assert capture.camera(name).size == (SIZE[0] * scale, SIZE[1] * scale)
        for t, (sequence, frame) in enumerate((s, f) for s, frames in FRAMES.items() for f in frames):
            image = read_image(capture.images[NAMES[t], name]).astype(int)
            for h in (SIDES.index(side) for side in SHOWN[sequence]):
                projected = project(capture, name, capture.stored_keypoints[t, h])
                # Their pixel (0, 0) is the centre of the upper left pixel, ours its corner.
                expected = (truth.pixels(name, truth.joints[frame][h]) + 0.5) * scale
                np.testing.assert_allclose(projected, expected, atol=1e-3)
                x, y = projected.astype(int).T
                assert (image[y, x].sum(axis=-1) > 300).mean() > 0.9


@pytest.mark.parametrize("frame", [12, 1048], ids=["first", "later"])
def test_a_image_of_another_size_than_its_cameras_others_is_left_out_and_named(tmp_path: Path, frame: int) -> None:
    make_deephandmesh(tmp_path)
    whole, odd = read_deephandmesh(tmp_path), picture(tmp_path, "0003_RT_fist", "400013", frame)
    Image.open(odd).resize((2 * SIZE[0], 2 * SIZE[1])).save(odd)
    capture = read_deephandmesh(tmp_path)
    assert capture.camera("400013").size == SIZE
    assert whole.images.pop((f"0003_RT_fist/{frame}", "400013")) == odd and capture.images == whole.images
    assert capture.problems == [
        *whole.problems,
        "Pictures of another size than the pictures of their camera, left out: 1 "
        f"({odd} of {2 * SIZE[0]}x{2 * SIZE[1]} instead of {SIZE[0]}x{SIZE[1]}).",
    ]


def test_the_outline_of_the_projected_hand_is_that_of_the_image(root: Path, truth: DeepHandMeshTruth) -> None:
    capture = read_deephandmesh(root)
    for name in COLOUR:
        shown = read_image(capture.images[f"{RIGHT}/12", name]).max(axis=-1) > 110
        projected = project(capture, name, truth.vertices[12][1] / 1000)
        rows, columns = shown.nonzero()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose([*projected.min(axis=0), *projected.max(axis=0)], box, atol=1.5)


@pytest.mark.parametrize("relative", [False, True])
def test_a_path_chooses_subject_and_sequence(root: Path, relative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other published subjects have pictures only.
    shutil.copytree(root / "images" / SUBJECT, root / "images" / "subject_1")
    monkeypatch.chdir(root.parent)
    base = Path("DeepHandMesh") if relative else root
    assert read_capture(base).frames == NAMES
    assert read_capture(base / "images" / SUBJECT).frames == NAMES
    capture = read_capture(base / "images" / SUBJECT / BOTH)
    assert capture.frames == [f"{BOTH}/1084"] and capture.root == base / "images" / SUBJECT / BOTH
    with pytest.raises(HandsError, match="keypoints of subject_1, whose pictures are there, found those of subject_4"):
        read_capture(base / "images" / "subject_1")
    for other in (".", "annotations", "images", f"images/{SUBJECT}/{BOTH}/cam400002", f"images/{SUBJECT}/none"):
        assert not is_deephandmesh(base / other) or other == "."
    assert not is_interhand(base)
    with pytest.raises(HandsError, match="deephandmesh: images/subject_N/ and annotations/KRT_512"):
        read_capture(base / "images")


def test_the_data_set_is_not_touched(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    read_deephandmesh(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_joints_that_a_file_lacks_are_absent(root: Path) -> None:
    lines = keypoint_file(root, 12).read_text().splitlines()
    lines[5] = "5 inf 1.0 2.0 0 0"
    # The first of theirs is the tip of the thumb, the sixth the last joint of the index finger before its tip.
    keypoint_file(root, 12).write_text("\n".join(lines[1:21]) + "\n\n")
    joints = read_deephandmesh(root).stored_keypoints[0]
    np.testing.assert_array_equal(np.isnan(joints[1]).all(-1), np.isin(np.arange(21), [4, 7]))


def test_what_is_odd_is_survived_and_counted(root: Path) -> None:
    picture(root, RIGHT, "400002", 12).unlink()
    picture(root, RIGHT, "400013", 12).write_bytes(b"\xff\xd8 cut")
    Image.new("RGB", SIZE, (4, 5, 6)).save(picture(root, RIGHT, "400026", 30))
    shutil.copytree(root / "images" / SUBJECT / BOTH / "cam400002", root / "images" / SUBJECT / BOTH / "cam400099")
    shutil.rmtree(root / "images" / SUBJECT / LEFT / "cam400026")
    text = krt(root).read_text()
    lines = text.splitlines()
    lines[4] = "0.01 0 0 0 0"
    krt(root).write_text("\n".join([*lines, "", text.replace("400002", "400777").rstrip()]))
    content = keypoint_file(root, 1048).read_text()
    keypoint_file(root, 1048).write_text(content[: len(content) // 2 - 20])
    keypoint_file(root, 1066).write_text("".join(content.splitlines(keepends=True)[:21]))
    keypoint_file(root, 1084).unlink()
    capture = read_deephandmesh(root)
    assert capture.frames == NAMES[:2] and len(capture.images) == 3 and capture.camera_names == list(COLOUR)
    (broken,) = [sentence for sentence in capture.problems if "Keypoint files" in sentence]
    assert f"left out with their frames: 1 ({keypoint_file(root, 1048)}: 'line " in broken
    assert [sentence for sentence in capture.problems if sentence != broken] == [
        "Cameras without calibration, left out: 400099.",
        "Calibrated colour cameras without pictures: 400777.",
        "Lens distortion is given but not used for cameras: 400002.",
        "Frames without joints of a hand that their sequence shows, left out: 1.",
        "Pictures that are missing, while other cameras have the same frame: 1.",
        "Black pictures, left out: 1.",
        "Pictures that cannot be read, left out: 1.",
        "Pictures of frames without keypoints, left out: 1 frames (1084).",
    ]


def test_transposed_images_are_read_with_x_and_y_exchanged(tmp_path: Path) -> None:
    truth = make_deephandmesh(tmp_path, transpose=("400013",))
    capture = read_deephandmesh(tmp_path)
    assert capture.camera("400013").size == SIZE[::-1]
    assert len(capture.problems) == 1 and "400013" in capture.problems[0] and "exchanged" in capture.problems[0]
    projected = project(capture, "400013", capture.stored_keypoints[0, 1])
    np.testing.assert_allclose(projected, truth.pixels("400013", truth.joints[12][1])[:, ::-1] + 0.5, atol=1e-3)


# Each case breaks the tree; the sentence must hold these words.


def edit_krt(root: Path, line: int, text: str) -> None:
    lines = krt(root).read_text().splitlines()
    lines[line - 1] = text
    krt(root).write_text("\n".join(lines))


def each(root: Path, pattern: str, change: Callable[[Path], object]) -> None:
    for path in list(root.glob(pattern)):
        change(path)


def second_subject(root: Path) -> None:
    for folder in (root / "images", root / "annotations" / "keypoints"):
        shutil.copytree(folder / SUBJECT, folder / "subject_3")


def only_grey(root: Path) -> None:
    each(root, f"images/{SUBJECT}/*/cam40*", shutil.rmtree)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


PICTURES = f"images/{SUBJECT}/*/cam40*/*.jpg"
KEYPOINTS = f"annotations/keypoints/{SUBJECT}/*.pts"
BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no calibration": (lambda r: krt(r).unlink(), ("KRT_512: expected the cameras", "no such file", "download")),
    "a folder instead": (lambda r: (krt(r).unlink(), krt(r).mkdir()), ("KRT_512: expected", "a folder")),
    "calibration cut short": (lambda r: cut_off(krt(r)), ("KRT_512: expected nine lines", "'400026' from 19 on")),
    "a word among numbers": (lambda r: edit_krt(r, 3, "0 x 254"), ("could not convert", "'400002' from 1 on")),
    "a line too many": (lambda r: edit_krt(r, 5, "0 0 0 0 0\n0"), ("KRT_512: expected nine lines", "from 1 on")),
    "a number that is none": (lambda r: edit_krt(r, 2, "nan 0 166"), ("finite numbers for camera 400002",)),
    "negative focal length": (lambda r: edit_krt(r, 2, "-900 0 166"), ("positive focal", "K of camera 400002")),
    "no rotation": (lambda r: edit_krt(r, 6, "2 0 0 5"), ("expected a rotation", "camera 400002", "orthonormal")),
    "empty calibration": (lambda r: krt(r).write_text(""), ("Cameras without calibration", "400002, 400013, 400026")),
    "no keypoints": (lambda r: each(r, KEYPOINTS, Path.unlink), ("expected files keypoints<frame>.pts", "download")),
    "no keypoints of anybody": (
        lambda r: shutil.rmtree(r / "annotations" / "keypoints"),
        ("keypoints of subject_4", "found those of nobody", "only subject 4's"),
    ),
    "two subjects": (second_subject, ("one subject", "subject_3, subject_4", "point --data at", "images/subject_3")),
    "all keypoints broken": (
        lambda r: each(r, KEYPOINTS, lambda p: p.write_text("0 1 2\n")),
        ("Keypoint files that cannot be read", ": 5 (", "line 1 is no joint"),
    ),
    "joint 99": (
        lambda r: each(r, KEYPOINTS, lambda p: p.write_text("99 1 2 3 4 5\n")),
        ("line 1 is no joint 0 to 41",),
    ),
    "keypoints of other frames": (
        lambda r: each(r, KEYPOINTS, lambda p: p.rename(p.with_name(f"keypoints9{p.stem[9:]}.pts"))),
        ("with keypoints (5 frames (90012, 90030, 91048, ...))", "5 frames (12, 30, 1048, ...)", "same subject"),
    ),
    "no pictures": (lambda r: each(r, PICTURES, Path.unlink), (f"images/{SUBJECT}: expected pictures", "found none")),
    "only grey cameras": (only_grey, ("Calibrated colour cameras without pictures: 400002",)),
    "all black": (
        lambda r: each(r, PICTURES, lambda p: Image.new("RGB", SIZE).save(p)),
        ("found none: Black pictures, left out: 15",),
    ),
    "cropped pictures": (
        lambda r: each(r, PICTURES, lambda p: Image.new("RGB", (256, 256), (90, 90, 90)).save(p)),
        ("334x512 pixels or a multiple of it, found 256x256",),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tree_gives_one_sentence(root: Path, case: str) -> None:
    damage, words = BROKEN[case]
    damage(root)
    with pytest.raises(HandsError) as error:
        read_capture(root)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert "expected " in sentence and ", found " in sentence and "\n" not in sentence and sentence.endswith(".")


def test_a_folder_that_is_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="expected the folders images/ .* found DeepHandMesh: unpack"):
        read_capture(tmp_path, layout="deephandmesh")


def test_the_fit_and_nerfstudios_cameras_lay_the_hands_on_the_images(
    root: Path, truth: DeepHandMeshTruth, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_early(monkeypatch)
    parser = type(hands_data.config)(data=root, eval_cameras=("400026",), eval_frame_fraction=0.0).setup()
    train, test = (parser.get_dataparser_outputs(split) for split in ("train", "test"))
    avatar = train.metadata["hands"]
    assert avatar.frame_names == NAMES and len(train.image_filenames) == 10 and len(test.image_filenames) == 5
    assert {path.parent.name for path in test.image_filenames} == {"cam400026"}
    assert {masks.given for masks in train.metadata["masks"]} == {None}
    assert avatar.pose.valid.tolist() == [[side in SHOWN[name.split("/")[0]] for side in SIDES] for name in NAMES]
    for outputs in (train, test):
        for row, path in enumerate(outputs.image_filenames):
            frame, camera = outputs.cameras.metadata["frame_index"][row].item(), outputs.cameras[row]
            sequence, number = NAMES[frame].split("/")
            rotation, center = camera.camera_to_worlds[:, :3], camera.camera_to_worlds[:, 3]
            x, y, z = ((avatar.all_vertices([frame])[0] - center) @ rotation).T
            found = torch.stack([camera.fx * x / -z + camera.cx, camera.fy * -y / -z + camera.cy], dim=-1)
            expected = truth.pixels(path.parent.name[3:], truth.vertices[int(number)]) + 0.5
            for h in (SIDES.index(side) for side in SHOWN[sequence]):
                misses = np.linalg.norm(found.reshape(2, -1, 2)[h].numpy() - expected[h], axis=-1)
                # A pixel is 1.2 mm; a hand of the wrong side or in another order of joints misses by tens of them.
                assert np.median(misses) < 1.5 and misses.max() < 6.0
