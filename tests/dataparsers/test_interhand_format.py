"""Reading InterHand2.6M, whole and broken; truth is projected by the published formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.make_interhand import (
    COLOUR,
    FRAMES,
    GREY,
    HEIGHT,
    TYPES,
    WIDTH,
    annotation_file,
    edit_joints,
    make_interhand,
    picture,
    write_annotations,
)
from helpers.pinhole import project
from PIL import Image

from nerfstudio_hands.captures.capture import require_side, select_cameras
from nerfstudio_hands.captures.formats import interhand_annotations
from nerfstudio_hands.captures.formats.interhand import is_interhand, read_interhand
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image

ROM03, ROM04 = FRAMES
# InterHand lists each finger from its tip inwards, thumb first, the wrist last; ours is wrist, then from base to tip.
OURS = [20, *(4 * finger + k for finger in range(5) for k in (3, 2, 1, 0))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "InterHand2.6M"


def test_frames_cameras_and_joints_are_those_of_the_files(root: Path) -> None:
    truth = make_interhand(root)
    capture = read_capture(root)
    assert capture.frames == [f"{name}/{frame}" for name, frames in FRAMES.items() for frame in frames]
    assert capture.sequences == [ROM03] * 4 + [ROM04] * 2
    assert capture.camera_names == list(COLOUR) and capture.problems == []
    assert len(capture.images) == 18 and capture.detections is None and capture.masks == {}
    assert capture.images[f"{ROM03}/18", "400002"] == picture(root, ROM03, "400002", 18)
    for t, frame in enumerate(TYPES):
        for side, joints in (("left", truth.joints[frame][21:]), ("right", truth.joints[frame][:21])):
            stored = capture.stored_keypoints[t, ("left", "right").index(side)]
            if TYPES[frame] in (side, "interacting"):
                np.testing.assert_allclose(stored, joints[OURS] / 1000, atol=1e-6)
            else:
                assert np.isnan(stored).all()


def test_joints_project_where_the_published_formula_puts_them(root: Path) -> None:
    truth = make_interhand(root)
    capture = read_interhand(root)
    for name in COLOUR:
        assert capture.camera(name).size == (WIDTH, HEIGHT)
        projected = project(capture, name, capture.stored_keypoints[0, 1])
        # Their pixel (0, 0) is the centre of the upper left pixel, ours its corner.
        np.testing.assert_allclose(projected, truth.pixels(name, 18)[:21][OURS] + 0.5, atol=1e-4)


def test_frames_play_at_the_rate_that_their_numbers_tell(root: Path) -> None:
    make_interhand(root)
    assert read_interhand(root).fps == 5
    assert read_interhand(root, frame_stride=2).fps == 2.5


def test_the_first_release_is_read_and_named(root: Path) -> None:
    make_interhand(root)
    expected = read_interhand(root)
    (root / "annotations" / "test").rename(root / "annotations" / "all")
    found = read_interhand(root)
    assert found.frames == expected.frames and found.images == expected.images
    np.testing.assert_array_equal(found.stored_keypoints, expected.stored_keypoints)
    assert len(found.problems) == 1 and "first release" in found.problems[0] and "annotations/all" in found.problems[0]


def test_linked_folders_and_images_are_read(root: Path, tmp_path: Path) -> None:
    make_interhand(root)
    linked = tmp_path / "linked"
    (linked / "images" / "test").mkdir(parents=True)
    (linked / "annotations").symlink_to(root / "annotations", target_is_directory=True)
    (linked / "images" / "test" / "Capture0").symlink_to(root / "images" / "test" / "Capture0")
    away = tmp_path / "away.jpg"
    picture(root, ROM03, "400002", 18).rename(away)
    picture(root, ROM03, "400002", 18).symlink_to(away)
    assert len(read_interhand(linked).images) == 18


def test_marks_of_valid_joints_may_be_lists_of_one(root: Path) -> None:
    make_interhand(root)
    edit_joints(root, 18, joint_valid=[[0 if joint == 3 else 1] for joint in range(42)])
    stored = read_interhand(root).stored_keypoints[0, 1]
    assert np.isnan(stored).all(axis=-1).sum() == 1


def test_mano_annotations_by_side(root: Path) -> None:
    make_interhand(root)
    mano = read_interhand(root).mano_annotations
    present = np.isfinite(mano.pose).all(-1)
    # Frames 18, 36, 54 (both hands), 72 right; 90 left; 108 both.
    np.testing.assert_array_equal(present, [[0, 1], [0, 1], [1, 1], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_allclose(mano.pose[1, 1], 0.36, rtol=1e-6)
    np.testing.assert_allclose(mano.trans[4, 0], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(np.isfinite(mano.shape).all(-1), present)
    annotation_file(root, "MANO_NeuralAnnot").unlink()
    assert read_interhand(root).mano_annotations is None


def test_options_choose(root: Path) -> None:
    make_interhand(root)
    assert read_interhand(root, sequences=[ROM04]).frames == [f"{ROM04}/90", f"{ROM04}/108"]
    assert read_interhand(root, cameras=["400004", GREY]).camera_names == ["400004", GREY]
    assert read_interhand(root, gray_cameras=True).camera_names == [*COLOUR, GREY]
    assert read_interhand(root, frame_range=(36, 90)).frames[0] == f"{ROM03}/36"
    assert len(read_interhand(root, frame_range=(36, 90)).frames) == 4
    # Every second frame of each sequence.
    assert read_interhand(root, frame_stride=2).frames == [f"{ROM03}/18", f"{ROM03}/54", f"{ROM04}/90"]
    both = read_interhand(root, hand_type="interacting")
    assert both.frames == [f"{ROM03}/54", f"{ROM04}/108"] and np.isfinite(both.stored_keypoints).all()


def test_an_invalid_wrist_invalidates_the_hand_and_another_joint_itself(root: Path) -> None:
    make_interhand(root)
    valid = [[1]] * 42
    edit_joints(root, 54, joint_valid=[*valid[:20], [0], *valid[21:]])
    edit_joints(root, 18, joint_valid=[[0], *valid[1:]])
    joints = read_interhand(root).stored_keypoints
    assert np.isnan(joints[2, 1]).all() and np.isfinite(joints[2, 0]).all()
    # The first of theirs is the tip of the thumb, the fifth of ours.
    np.testing.assert_array_equal(np.isnan(joints[0, 1]).all(-1), np.arange(21) == 4)


def test_what_is_odd_is_survived_and_counted(root: Path) -> None:
    make_interhand(root)
    picture(root, ROM03, "400002", 18).unlink()
    picture(root, ROM03, "400004", 36).write_bytes(b"\xff\xd8 cut")
    Image.new("RGB", (WIDTH, HEIGHT), (4, 5, 6)).save(picture(root, ROM03, "400004", 54))
    edit_joints(root, 72, entry=None)
    edit_joints(root, 90, joint_valid=[0] * 42)
    content = json.loads(annotation_file(root, "MANO_NeuralAnnot").read_text())
    content["0"]["18"] = None
    content["0"]["54"]["left"] = None
    write_annotations(root, "test", "MANO_NeuralAnnot", content)
    capture = read_interhand(root)
    assert capture.frames == [f"{ROM03}/18", f"{ROM03}/36", f"{ROM03}/54", f"{ROM04}/108"]
    assert len(capture.images) == 9
    assert capture.problems == [
        "Frames without a valid hand, left out: 1.",
        "Pictures that the annotations name but that are missing: 1.",
        "Black pictures, left out: 1.",
        "Pictures that cannot be read, left out: 1.",
        "Pictures of frames without joints, left out: 1 frames (72).",
        "Hands with joints but without MANO annotation: 2.",
    ]


def test_thirty_images_for_five_annotations(root: Path) -> None:
    make_interhand(root)
    for number in range(19, 24):
        picture(root, ROM03, "400002", number).write_bytes(picture(root, ROM03, "400002", 18).read_bytes())
    capture = read_interhand(root)
    assert len(capture.frames) == 6
    assert capture.problems == ["Pictures of frames without joints, left out: 5 frames (19, 20, 21, ...)."]


@pytest.mark.parametrize("frame", [18, 54], ids=["first", "later"])
def test_a_image_of_another_size_than_its_cameras_others_is_left_out_and_named(root: Path, frame: int) -> None:
    make_interhand(root)
    whole, odd = read_interhand(root), picture(root, ROM03, "400002", frame)
    Image.open(odd).resize((WIDTH // 2, HEIGHT // 2)).save(odd)
    capture = read_interhand(root)
    assert capture.camera("400002").size == (WIDTH, HEIGHT)
    assert whole.images.pop((f"{ROM03}/{frame}", "400002")) == odd and capture.images == whole.images
    assert capture.problems == [
        "Pictures of another size than the pictures of their camera, left out: 1 "
        f"({odd} of {WIDTH // 2}x{HEIGHT // 2} instead of {WIDTH}x{HEIGHT})."
    ]


@pytest.mark.parametrize("others", [True, False], ids=["among others", "alone"])
def test_transposed_images_are_read_with_x_and_y_exchanged(root: Path, others: bool) -> None:
    truth = make_interhand(root, transpose=("400412",))
    capture = read_interhand(root, cameras=None if others else ["400412"])
    camera = capture.camera("400412")
    assert camera.size == (HEIGHT, WIDTH)
    assert len(capture.problems) == 1 and "400412" in capture.problems[0] and "exchanged" in capture.problems[0]
    projected = project(capture, "400412", capture.stored_keypoints[2, 1])
    np.testing.assert_allclose(projected, truth.pixels("400412", 54)[:21][OURS][:, ::-1] + 0.5, atol=1e-4)
    # And there the picture is bright.
    image = read_image(capture.images[f"{ROM03}/54", "400412"])
    x, y = projected[:5].astype(int).T
    assert image[y, x].mean() > 120


def test_landscape_images_with_focal_and_princpt_in_the_order_of_portrait(root: Path) -> None:
    truth = make_interhand(root)
    for key in (truth.focal, truth.princpt):
        key["400412"] = key["400412"][::-1]
    for sequence, frames in FRAMES.items():
        for frame in frames:
            image = np.full((WIDTH, HEIGHT, 3), 30, dtype=np.uint8)
            x, y = np.round(truth.pixels("400412", frame)).astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < HEIGHT) & (y < WIDTH)
            image[y[inside], x[inside]] = 220
            Image.fromarray(image).save(picture(root, sequence, "400412", frame), quality=95)
    capture = read_interhand(root)
    assert len(capture.problems) == 1 and "focal and princpt exchanged" in capture.problems[0]
    projected = project(capture, "400412", capture.stored_keypoints[2, 0])
    np.testing.assert_allclose(projected, truth.pixels("400412", 54)[21:][OURS] + 0.5, atol=1e-4)


def test_a_camera_out_of_whose_sight_the_hands_are_stays(root: Path) -> None:
    make_interhand(root)
    _move_princpt(root, [300.0, 17.0])
    capture = read_interhand(root)
    assert capture.camera_names == list(COLOUR) and capture.problems == []


def _move_princpt(root: Path, princpt: list[float]) -> None:
    content = json.loads(annotation_file(root, "camera").read_text())
    content["0"]["princpt"]["400412"] = princpt
    write_annotations(root, "test", "camera", content)


def test_a_camera_that_fits_in_no_way_is_left_out(root: Path) -> None:
    make_interhand(root, transpose=("400412",))
    _move_princpt(root, [900.0, 900.0])
    capture = read_interhand(root)
    assert capture.camera_names == ["400002", "400004"] and len(capture.images) == 12
    assert len(capture.problems) == 1 and "400412" in capture.problems[0] and "left out" in capture.problems[0]


def test_annotations_are_read_once_and_again_when_they_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_interhand(root)
    first = read_interhand(root)
    with monkeypatch.context() as patch:
        patch.setattr(interhand_annotations, "_stream", lambda *_: pytest.fail("streamed again"))
        again = read_interhand(root, sequences=[ROM03])
    np.testing.assert_array_equal(again.stored_keypoints, first.stored_keypoints[:4])
    moved = truth.joints[18] + 7.0
    edit_joints(root, 18, world_coord=moved.tolist())
    shift = read_interhand(root).stored_keypoints[0] - first.stored_keypoints[0]
    assert np.nanmax(shift) == pytest.approx(0.007) == np.nanmin(shift)
    # A file of the same size is another file too.
    size = annotation_file(root, "joint_3d").stat().st_size
    edit_joints(root, 36, joint_valid=[[0]] * 42)
    assert annotation_file(root, "joint_3d").stat().st_size == size
    assert f"{ROM03}/36" not in read_interhand(root).frames


def test_a_broken_cache_is_made_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    make_interhand(root)
    first = read_interhand(root)
    (kept,) = (tmp_path / "cache").glob("interhand-test-0-*.npz")
    kept.write_bytes(kept.read_bytes()[:1000])
    np.testing.assert_array_equal(read_interhand(root).stored_keypoints, first.stored_keypoints)


def test_the_capture_is_not_touched(root: Path) -> None:
    make_interhand(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    read_interhand(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_capture_without_detections_can_be_filtered(root: Path) -> None:
    make_interhand(root)
    capture = select_cameras(read_interhand(root, sequences=[ROM03], frame_range=(18, 36)), ["400004"])
    assert capture.detections is None and capture.camera_names == ["400004"] and len(capture.images) == 2
    require_side(capture, "right")
    with pytest.raises(HandsError, match="expected joints of the left hand .* found none"):
        require_side(capture, "left")


def test_recognised_by_its_folders(root: Path) -> None:
    make_interhand(root)
    assert is_interhand(root) and not is_interhand(root / "images") and not is_interhand(root.parent)


# Each case breaks the tree or asks for what is not there; the sentence must hold these words.


def cut(root: Path, name: str) -> None:
    path = annotation_file(root, name)
    path.write_bytes(path.read_bytes()[:-200])


def remove_all(root: Path, pattern: str) -> None:
    for path in root.glob(pattern):
        path.unlink()


def rename_frames(root: Path) -> None:
    for path in sorted(root.glob("images/test/Capture0/*/*/image*.jpg")):
        path.rename(path.with_name(f"image{int(path.stem[5:]) + 5}.jpg"))


def blacken(root: Path) -> None:
    for path in root.glob("images/test/Capture0/*/*/image*.jpg"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)


def edit_camera(root: Path, key: str, value: object, name: str = "400004") -> None:
    path = annotation_file(root, "camera")
    content = json.loads(path.read_text())
    content["0"][key][name] = value
    path.write_text(json.dumps(content))


def nothing(root: Path) -> None:
    pass


BROKEN: dict[str, tuple[Callable[[Path], object], dict, tuple[str, ...]]] = {
    "data cut short": (lambda r: cut(r, "data"), {}, ("test_data.json: expected complete JSON", "cut short")),
    "joints cut short": (lambda r: cut(r, "joint_3d"), {}, ("test_joint_3d.json", "cut short", "download")),
    "cameras cut short": (lambda r: cut(r, "camera"), {}, ("test_camera.json", "cut short")),
    "MANO cut short": (lambda r: cut(r, "MANO_NeuralAnnot"), {}, ("MANO_NeuralAnnot.json", "cut short")),
    "a rotation that is none": (
        lambda r: edit_camera(r, "camrot", [[2.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
        {},
        ("test_camera.json: expected a rotation", "camera 400004", "orthonormal"),
    ),
    "a mirrored camera": (
        lambda r: edit_camera(r, "camrot", [[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
        {},
        ("test_camera.json: expected a rotation", "determinant -1"),
    ),
    "no focal length": (
        lambda r: edit_camera(r, "focal", [0.0, 90.0]),
        {},
        ("test_camera.json: expected positive focal lengths in K of camera 400004", "0 and 90"),
    ),
    "a focal length of null": (
        lambda r: edit_camera(r, "focal", [None, 90.0]),
        {},
        ("test_camera.json: expected finite numbers for camera 400004",),
    ),
    "no joints": (lambda r: annotation_file(r, "joint_3d").unlink(), {}, ("joint_3d.json", "no such file")),
    "joints of another shape": (
        lambda r: edit_joints(r, 18, world_coord=[[0, 0, 0]] * 21),
        {},
        ("joint_3d.json", "42 x 3 numbers under 0/18/world_coord", "size 63"),
    ),
    "data of another form": (
        lambda r: write_annotations(r, "test", "data", {"images": [{"id": 1}], "annotations": []}),
        {},
        ("test_data.json", "KeyError 'capture'"),
    ),
    "unknown split": (nothing, {"split": "val"}, ("--split", "(test)", "found val")),
    "unknown capture": (nothing, {"capture": 3}, ("--capture", "(0)", "found 3")),
    "capture without annotations": (
        lambda r: write_annotations(r, "test", "camera", {"1": {}}),
        {},
        ("test_camera.json", "expected capture 0, found only 1"),
    ),
    "unknown sequence": (nothing, {"sequences": ["ROM01"]}, ("--sequences", f"({ROM03}, {ROM04})", "found ROM01")),
    "unknown camera": (nothing, {"cameras": ["400009"]}, ("--cameras", "400002, 400004, 400412, 410001", "400009")),
    "only grey cameras": (
        lambda r: [
            p.rename(p.with_name(f"cam41{p.name[5:]}")) for p in sorted(r.glob("images/test/Capture0/*/cam400*"))
        ],
        {},
        ("cam400xxx", "410002", "--gray-cameras"),
    ),
    "no pictures": (lambda r: remove_all(r, "images/test/Capture0/*/*/*.jpg"), {}, ("Capture0", "found none")),
    "frame range without frames": (nothing, {"frame_range": (1, 17)}, ("found none", "--frame-range")),
    "frame range backwards": (nothing, {"frame_range": (90, 18)}, ("--frame-range", "90 and 18")),
    "stride of nothing": (nothing, {"frame_stride": 0}, ("--frame-stride", "found 0")),
    "unknown hand type": (nothing, {"hand_type": "both"}, ("--hand-type", "right, left, interacting", "both")),
    "annotations of another rate": (
        rename_frames,
        {},
        ("6 frames (23, 41, 59, ...)", "annotations of 6 frames (18, 36, 54, ...)", "5 or 30"),
    ),
    "no such hand": (
        nothing,
        {"hand_type": "left", "sequences": [ROM03]},
        ("hand type left, found none", "interacting, left, right"),
    ),
    "no valid hand": (
        lambda r: [edit_joints(r, f, joint_valid=[0] * 42) for f in TYPES],
        {},
        ("at least one valid hand, found none among 6",),
    ),
    "all black": (blacken, {}, ("18 black",)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_capture_gives_one_sentence(root: Path, case: str) -> None:
    make_interhand(root)
    damage, options, words = BROKEN[case]
    damage(root)
    with pytest.raises(HandsError) as error:
        read_interhand(root, **options)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert "expected " in sentence and "\n" not in sentence and sentence.endswith("."), sentence
    assert ", found " in sentence and len(sentence.rsplit(": ", 1)[1]) > 15, sentence


@pytest.mark.parametrize("given", [".", "images", "images/test", "images/test/Capture0", "annotations/test"])
@pytest.mark.parametrize("layout", ["auto", "interhand"])
def test_a_root_beside_the_real_one_is_guessed(root: Path, given: str, layout: str) -> None:
    make_interhand(root)
    start = root.parent if given == "." else root / given
    with pytest.raises(HandsError, match=f"expected .* found .*point --data at {root}.$"):
        read_capture(start, layout=layout)


def test_a_folder_that_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(HandsError, match="expected the folders images/ .* found photos: unpack"):
        read_interhand(tmp_path)
