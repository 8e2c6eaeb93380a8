"""DexYCB's layout: what is written is read; its splits, gSDF's selection, clips; and what is not as it should be."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.made_up_grasps import MadeUpGrasps, placed

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.crops import turned_labels
from nerfstudio_hands.hand_images.formats import dexycb, dexycb_takes
from nerfstudio_hands.hand_images.formats.dexycb import DexYCB
from nerfstudio_hands.hand_images.hand_image import HandLabels, mirrored
from nerfstudio_hands.hand_images.held_meshes import HeldSurface
from nerfstudio_hands.hand_images.sources import open_hand_images, recognized_format
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.dexycb_files import (
    INTRINSICS,
    _take_folder,
    _Written,
    takes_of,
    takes_of_objects,
    write_dexycb,
)
from nerfstudio_hands.synthesis.other_cameras import camera_toward

TRAIN, TEST = MadeUpGrasps(5, 3, left=True), MadeUpGrasps(2, 2, seed=1)

FIRST = Path("20200709-subject-01/20200101_000000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dexycb(
        tmp_path_factory.mktemp("made") / "dexycb",
        [("train", TRAIN, takes_of(TRAIN)), ("test", TEST, takes_of(TEST))],
    )


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "dexycb"))


def relabelled(folder: Path, **values) -> Path:
    """Labels of the first take with other values, which are functions of the old ones."""
    for path in (folder / FIRST).rglob("labels_*.npz"):
        with np.load(path) as arrays:
            content = dict(arrays)
        np.savez(path, **{name: values[name](value) if name in values else value for name, value in content.items()})
    return folder


def described(folder: Path, **values) -> Path:
    path = folder / FIRST / "meta.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))
    return folder


def expected(source: MadeUpGrasps, index: int) -> HandLabels:
    """Labels in the camera of the take: that which looks at the hand of its first picture."""
    view = camera_toward(source.labels(source.clip(index, 3)[0]), INTRINSICS, (96, 96))
    return turned_labels(source.labels(index), view)


def refused(folder: Path, split: str = "train", **options) -> str:
    with pytest.raises(HandsError) as caught:
        DexYCB(folder, split, mano=folder / "mano", **options)
    message = str(caught.value)
    assert message.count("\n") == 0
    return message


def test_labels_are_those_that_were_written(folder: Path):
    """Of both sides; the third take is a left hand's."""
    assert recognized_format(folder) == "dexycb"
    source = DexYCB(folder, "train", mano=folder / "mano", left_hands=True)
    assert len(source) == len(TRAIN) and {source.labels(k).side for k in range(len(source))} == {"left", "right"}
    for index in range(len(TRAIN)):
        found, wanted = source.labels(index), expected(TRAIN, index)
        assert found.side == wanted.side and np.array_equal(found.intrinsics, INTRINSICS)
        for name in ("joints", "vertices", "rotations", "shape"):
            assert np.abs(getattr(found, name) - getattr(wanted, name)).max() < 2e-6, name
        assert np.abs(placed(source, found) - placed(TRAIN, wanted)).max() < 2e-6


def test_gsdf_takes_right_hands_in_every_fifth_frame(own: Path):
    source = open_hand_images(own, "train")
    assert source.file_names()[:4] == [f"{FIRST}/836212060125/{frame}" for frame in ("000000", "000005", "000010")] + [
        "20200709-subject-01/20200101_000002/836212060125/000000"
    ]
    assert len(source) == 9
    for name in ("color_{}.jpg", "labels_{}.npz"):
        camera = own / FIRST / "836212060125"
        shutil.copy(camera / name.format("000005"), camera / name.format("000007"))
    described(own)
    every = DexYCB(own, "train", mano=own / "mano", all_frames=True)
    assert every.file_names()[:4] == [f"{FIRST}/836212060125/00{frame}" for frame in ("0000", "0005", "0007", "0010")]
    assert every.clip(2, 2) == [1, 2]


def test_gsdf_tests_on_hands_that_touch(own: Path):
    assert len(open_hand_images(own, "test")) == 4
    path = next((own / "models").glob("*/textured_simple.obj"))
    for path in (own / "models").glob("*/textured_simple.obj"):
        # A thing of a tenth of the size is not touched any more.
        lines = [
            " ".join(["v", *(str(0.1 * float(number)) for number in line.split()[1:4])])
            if line.startswith("v ")
            else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines))
    dexycb._tree.cache_clear()
    other = own.rename(own.with_name("other"))
    assert "expected pictures with hands for 'test', found none" in refused(other, "test")
    assert len(DexYCB(other, "test", all_frames=True)) == 4
    dexycb._tree.cache_clear()


def test_contact_needs_mano(folder: Path):
    with pytest.raises(HandsError, match=r"expected MANO's file, as gSDF tests on .*take all frames \(--all-frames"):
        DexYCB(folder, "test")
    alone = DexYCB(folder, "train")
    assert alone.labels(0).vertices is None and alone.labels(0).rotations is None
    assert alone.labels(0).joints is not None and alone.labels(0).held is not None


def test_clips_are_of_one_take_in_the_order_of_time(folder: Path):
    source = open_hand_images(folder, "train")
    assert [source.clip(k, 2) for k in range(4)] == [[0, 1], [0, 1], [1, 2], [3, 4]]
    assert source.clip(2, 3) == [0, 1, 2] and source.clip(4, 5) == [3, 3, 3, 4, 5]


def test_left_hands_become_right_ones_in_a_mirror(folder: Path):
    source = DexYCB(folder, "train", mano=folder / "mano", left_hands=True)
    index = next(k for k in range(len(source)) if source.labels(k).side == "left")
    picture = mirrored(source.read(index))
    assert picture.labels.side == "right"
    faces = source.hand_faces()
    assert np.array_equal(faces, default_hand("right").faces.numpy())
    corners = picture.labels.vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Faces look outward: away from the middle, on the whole.
    assert np.einsum("fi,fi->", normals, corners.mean(1) - picture.labels.vertices.mean(0)) > 0
    # The thing touches the mirrored hand as it does the left one.
    gaps = []
    for labels in (picture.labels, source.labels(index)):
        inverse = np.linalg.inv(labels.held.to_camera)
        own = labels.vertices @ inverse[:3, :3].T + inverse[:3, 3]
        gaps.append(HeldSurface(source.held_mesh(labels.held.name)).distances(own))
    assert np.abs(gaps[0] - gaps[1]).max() < 1e-6 and gaps[0].min() < 5e-3


def test_images_and_masks_lie_on_the_hand(folder: Path):
    picture = open_hand_images(folder, "train").read(1)
    assert picture.rgb.shape == (480, 640, 3)
    column, row = picture.labels.pixels.mean(0).astype(int)
    assert picture.mask[row, column] and (picture.rgb[row, column] > 200).all()
    assert 0.005 < picture.mask.mean() < 0.5


def test_a_source_travels_without_its_arrays(folder: Path):
    source = open_hand_images(folder, "test")
    assert len(pickle.dumps(source)) < 1500
    assert np.array_equal(pickle.loads(pickle.dumps(source)).labels(1).joints, source.labels(1).joints)


def test_splits_are_the_published_ones():
    """Counted over the whole data set: 10 subjects of 100 sequences."""

    def count(setup: str, split: str) -> int:
        return sum(
            dexycb_takes.takes_part(setup, split, subject, number) for subject in range(10) for number in range(100)
        )

    assert [count("s0", split) for split in ("train", "val", "test")] == [800, 40, 160]
    assert [count("s1", split) for split in ("train", "val", "test")] == [700, 100, 200]
    assert [count("s2", split) for split in ("train", "val", "test")] == [1000] * 3
    assert [len(dexycb_takes.serials_of("s2", split)) for split in ("train", "val", "test")] == [6, 1, 1]
    assert [count("s3", split) for split in ("train", "val", "test")] == [750, 100, 150]
    assert not dexycb_takes.takes_part("s0", "train", 0, 4) and dexycb_takes.takes_part("s0", "test", 2, 4)
    assert dexycb_takes.takes_part("s1", "train", 9, 4) and dexycb_takes.takes_part("s3", "test", 0, 39)


def test_a_person_without_all_sequences_is_refused(own: Path):
    """One that is missing would move all later ones to other splits; its place can be held by an empty folder."""
    names = open_hand_images(own, "train").file_names()
    place = own / FIRST.parent / "20200101_000050"
    place.rmdir()
    assert "20200709-subject-01: expected the 100 sequences of this person" in refused(own)
    assert len(open_hand_images(own, "test")) == 4
    place.mkdir()
    assert open_hand_images(own, "train").file_names() == names
    for path in (own / FIRST, own / FIRST.with_name("20200101_000001")):
        shutil.rmtree(path)
        path.mkdir()
    left = [name for name in names if not name.startswith((str(FIRST), str(FIRST.with_name("20200101_000001"))))]
    assert open_hand_images(own, "train").file_names() == left


def test_takes_are_written_where_setup_s0_counts_them_to_their_split():
    for part, count in (("train", 800), ("val", 40), ("test", 160)):
        folders = [_take_folder(Path(), part, number) for number in range(count)]
        assert len(set(folders)) == count
        for folder in folders:
            subject, take = dexycb_takes.SUBJECTS.index(folder.parts[0]), int(folder.name.rpartition("_")[2])
            assert dexycb_takes.takes_part("s0", part, subject, take)


def test_hands_that_are_not_there_are_left_out(own: Path):
    relabelled(own, joint_3d=lambda joints: np.full_like(joints, -1))
    assert open_hand_images(own, "train").file_names()[0].startswith("20200709-subject-01/20200101_000002")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pose_y": lambda pose: 2 * pose}, "expected a rigid motion of the held thing, found one that scales"),
        ({"pose_y": lambda pose: pose * np.array([[-1], [1], [1]])}, "its determinant -1"),
        ({"pose_y": lambda pose: pose * np.nan}, "expected a rigid motion"),
        ({"pose_y": lambda pose: pose[:0]}, "expected the pose of thing 1, found 0 poses"),
        ({"joint_3d": lambda joints: 1000 * joints}, "expected poses of mano-right|which are millimeters"),
        ({"joint_3d": lambda joints: joints[:, :20]}, "expected DexYCB's joint_3d, found others"),
        ({"seg": lambda seg: seg[::2, ::2]}, "expected DexYCB's seg, found others"),
    ],
)
def test_labels_that_mean_something_else_are_refused(own: Path, values, message: str):
    assert re.search(message, refused(relabelled(own, **values)))


@pytest.mark.parametrize(
    "values",
    [{"ycb_ids": [22]}, {"ycb_grasp_ind": 1}, {"mano_sides": []}, {"num_frames": "many"}, {"mano_calib": None}],
)
def test_descriptions_of_another_form_are_refused(own: Path, values):
    assert "meta.yml: expected num_frames, mano_sides, mano_calib" in refused(described(own, **values))


def test_yaml_that_could_run_code_is_not_run(own: Path, tmp_path: Path):
    (own / FIRST / "meta.yml").write_text(f"!!python/object/apply:os.mkdir ['{tmp_path}/run']")
    assert "meta.yml: expected DexYCB's YAML, found" in refused(own)
    assert not (tmp_path / "run").exists()


def test_k_of_another_image_is_refused(own: Path):
    path = own / "calibration" / "intrinsics" / "836212060125_640x480.yml"
    path.write_text("color: {fx: 615, fy: 615, ppx: 1900, ppy: 240}")
    assert "uncropped" in refused(own)
    path.write_text("depth: {}")
    described(own, num_frames=12)
    assert "expected fx, fy, ppx and ppy of the color camera" in refused(own)


def test_what_is_missing_is_named(own: Path):
    (own / FIRST / "836212060125" / "labels_000005.npz").unlink()
    assert "labels_000005.npz: expected DexYCB's labels of a picture, found no such file" in refused(own)
    assert "expected sequences of this split, found none" in refused(own, "val", setup="s1")
    assert "setup: expected one of s0, s1, s2, s3, found 's4'" in refused(own, setup="s4")
    source = open_hand_images(own, "test")
    shutil.rmtree(own / "models")
    with pytest.raises(HandsError, match="textured_simple.obj: expected the mesh of a held thing, found no such file"):
        source.held_mesh(source.labels(0).held.name)


def test_takes_do_with_few_things_and_more_than_ycb_has_are_refused(tmp_path: Path):
    source = MadeUpGrasps(40, 2)
    assert list(takes_of_objects(source, 2, 2)) == [[0, 1], [2, 3]]
    assert list(takes_of_objects(source, 5, 2)) == [[0, 1], [2, 3]]
    written = _Written(tmp_path)
    assert [written.held_object(f"ball-{number}", source) for number in range(21)] == list(range(1, 22))
    assert written.held_object("ball-0", source) == 1
    with pytest.raises(HandsError, match="expected at most 21 different things"):
        written.held_object("ball-21", source)
