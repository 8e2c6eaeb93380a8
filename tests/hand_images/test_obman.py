"""ObMan's layout: what is written is read, in its axes and its K, and what is not as it should be is named."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up_grasps import MadeUpGrasps, placed
from scipy.spatial import KDTree

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.crops import turned_labels
from nerfstudio_hands.hand_images.formats.obman import INTRINSICS, ObMan
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, mirrored
from nerfstudio_hands.hand_images.object_files import without_strays
from nerfstudio_hands.hand_images.sources import open_hand_images, recognized_format
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.obman_files import write_held, write_obman
from nerfstudio_hands.synthesis.other_cameras import camera_toward

TRAIN, TEST = MadeUpGrasps(4, left=True, shaped=False), MadeUpGrasps(2, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_obman(
        tmp_path_factory.mktemp("made") / "obman", [("train", TRAIN, range(4)), ("test", TEST, range(2))]
    )


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "obman"))


def meta(folder: Path, number: int = 0, part: str = "train") -> Path:
    return folder / part / "meta" / f"{number:08d}.pkl"


def changed(folder: Path, number: int | None = None, **values) -> Path:
    """Annotations of training, all or one, with other values; functions get the old one."""
    for path in [meta(folder, number)] if number is not None else sorted((folder / "train" / "meta").iterdir()):
        annotation = pickle.loads(path.read_bytes())
        for name, value in values.items():
            annotation[name] = value(annotation[name]) if callable(value) else value
        path.write_bytes(pickle.dumps(annotation, protocol=2))
    return folder


def expected(source: MadeUpGrasps, index: int) -> HandLabels:
    """Labels of a right hand in the camera of ObMan."""
    picture = source.read(index)
    if picture.labels.side == "left":
        picture = mirrored(picture)
    return turned_labels(picture.labels, camera_toward(picture.labels, INTRINSICS, (96, 96)))


def apart(some: np.ndarray, others: np.ndarray) -> float:
    """Millimeters between points and the nearest of the others, at most, both ways."""
    return 1e3 * max(KDTree(others).query(some)[0].max(), KDTree(some).query(others)[0].max())


def refused(folder: Path, split: str = "train", **options) -> str:
    with pytest.raises(HandsError) as caught:
        ObMan(folder, split, mano=folder / "mano", **options)
    message = str(caught.value)
    assert message.count("\n") == 0
    return message


def test_labels_are_those_that_were_written(folder: Path):
    assert recognized_format(folder) == "obman"
    for part, truth in (("train", TRAIN), ("test", TEST)):
        source = open_hand_images(folder, part)
        assert len(source) == len(truth)
        for index in range(len(truth)):
            found, wanted = source.labels(index), expected(truth, index)
            assert found.side == "right" and np.array_equal(found.intrinsics, INTRINSICS)
            for name in ("joints", "vertices"):
                assert np.abs(getattr(found, name) - getattr(wanted, name)).max() < 1e-6, name
            assert np.abs(found.pixels - wanted.pixels).max() < 1e-3
            assert np.allclose(found.rotations[1:], wanted.rotations[1:], atol=1e-5)
            assert apart(placed(source, found), placed(truth, wanted)) < 2e-3


def test_the_wrist_is_turned_as_its_vertices_are(folder: Path):
    """To the bit of hands of mean shape, nearly of others."""
    for part, truth, most in (("train", TRAIN, 1e-4), ("test", TEST, 0.1)):
        source = open_hand_images(folder, part)
        off = [source.labels(k).rotations[0] - expected(truth, k).rotations[0] for k in range(len(truth))]
        assert np.abs(off).max() < most


def test_the_transform_to_the_camera_is_rigid_and_the_same_thing_has_one_name(own: Path):
    source = open_hand_images(own, "train")
    name = source.labels(0).held.name
    turn = np.diag([1.0, -1, -1, 1])
    sheared = np.eye(4)
    sheared[0, 1] = sheared[1, 2] = 0.02
    changed(own, 1, **{key: pickle.loads(meta(own).read_bytes())[key] for key in ("class_id", "sample_id")})
    changed(own, 1, affine_transform=lambda old: turn @ pickle.loads(meta(own).read_bytes())["affine_transform"])
    assert source.labels(1).held.name == name and "-0.0" not in name
    whole = pickle.loads(meta(own).read_bytes())["affine_transform"] @ sheared
    changed(own, 0, affine_transform=whole)
    held = source.labels(0).held
    assert held.name != name
    assert np.allclose(held.to_camera[:3, :3] @ held.to_camera[:3, :3].T, np.eye(3), atol=1e-12)
    path = next((own / "ShapeNetCore.v2").glob(f"{name.partition('@')[0]}/models/*.obj"))
    lines = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    wanted = np.array(lines, float) @ (turn @ whole)[:3, :3].T + (turn @ whole)[:3, 3]
    assert apart(placed(source, source.labels(0)), wanted) < 2e-3 < apart(placed(source, source.labels(1)), wanted)


def test_a_scale_beside_the_transform_is_applied(own: Path):
    def unscaled(transform: np.ndarray) -> np.ndarray:
        whole = transform.copy()
        whole[:3, :3] /= np.cbrt(np.linalg.det(whole[:3, :3]))
        return whole

    source = open_hand_images(own, "train")
    before = placed(source, source.labels(0))
    changed(own, 0, affine_transform=unscaled)
    assert apart(placed(source, source.labels(0)), before) < 2e-3


def test_images_and_masks_lie_on_the_hand(folder: Path):
    source = open_hand_images(folder, "test")
    picture: HandImage = source.read(1)
    assert picture.rgb.shape == (256, 256, 3)
    column, row = picture.labels.pixels.mean(0).astype(int)
    assert picture.mask[row, column] and (picture.rgb[row, column] > 200).all()
    assert 0.02 < picture.mask.mean() < 0.6


def test_faces_are_those_of_the_users_mano(folder: Path):
    assert np.array_equal(open_hand_images(folder, "train").hand_faces(), default_hand("right").faces.numpy())
    alone = ObMan(folder, "train")
    assert alone.labels(0).rotations is None and alone.labels(0).vertices is not None
    with pytest.raises(HandsError, match="expected MANO's file for the faces of its hands, found none; put MANO_RIGHT"):
        alone.hand_faces()


def test_a_source_travels_and_a_clip_is_its_image(folder: Path):
    source = open_hand_images(folder, "train")
    assert source.clip(2, 3) == [2, 2, 2]
    assert len(pickle.dumps(source)) < 1000
    assert np.array_equal(pickle.loads(pickle.dumps(source)).labels(1).joints, source.labels(1).joints)


def test_a_split_may_be_listed(folder: Path, tmp_path: Path):
    listed = tmp_path / "train_2.json"
    listed.write_text(json.dumps(["00000003", "00000001"]))
    source = ObMan(folder, "train", ids=listed)
    assert source._ids.tolist() == [3, 1]
    listed.write_text(json.dumps(["00000003", "00000017"]))
    assert re.search(
        r"expected ids of samples in .*, found 1 that are not there, 00000017 the first", refused(folder, ids=listed)
    )
    listed.write_text(json.dumps({"a": [1]}))
    assert "expected a JSON list of sample ids" in refused(folder, ids=listed)


def test_prepared_meshes_of_samples_are_taken(own: Path):
    """As gSDF wants them: .obj in the camera's frame, without ShapeNet."""
    source = open_hand_images(own, "train")
    labels = source.labels(0)
    mesh, to_camera = source.held_mesh(labels.held.name), labels.held.to_camera
    path = own / "train" / "mesh_obj" / "00000000.obj"
    path.parent.mkdir()
    before = placed(source, labels)
    write_held(
        path,
        type(mesh)(
            mesh.vertices @ to_camera[:3, :3].T.astype(np.float32) + to_camera[:3, 3].astype(np.float32), mesh.faces
        ),
    )
    shutil.rmtree(own / "ShapeNetCore.v2")
    found = source.labels(0)
    assert found.held.name == "mesh_obj/00000000" and np.array_equal(found.held.to_camera, to_camera)
    assert apart(placed(source, found), before) < 2e-3


def test_shapenet_may_lie_elsewhere_and_its_absence_is_named(own: Path, tmp_path: Path):
    name = open_hand_images(own, "train").labels(0).held.name
    elsewhere = (own / "ShapeNetCore.v2").rename(tmp_path / "things")
    assert len(ObMan(own, "train", shapenet=elsewhere).held_mesh(name).faces) == 1280
    with pytest.raises(HandsError, match="expected ShapeNetCore.v2, .* found no such folder; get it from .*--shapenet"):
        ObMan(own, "train").held_mesh(name)
    next(elsewhere.glob(f"{name.partition('@')[0]}/models/*")).unlink()
    with pytest.raises(HandsError, match="model_normalized.obj: expected the mesh of a held thing, found no such file"):
        ObMan(own, "train", shapenet=elsewhere).held_mesh(name)


def test_meshes_may_be_pickled(own: Path):
    source = open_hand_images(own, "train")
    name = source.labels(0).held.name
    path = next((own / "ShapeNetCore.v2").glob(f"{name.partition('@')[0]}/models/*.obj"))
    mesh, before = TRAIN.held_mesh(TRAIN.labels(0).held.name), source.held_mesh(name)
    content = {"vertices": mesh.vertices - np.float32([0.01, 0, 0]), "faces": mesh.faces}
    path.with_suffix(".pkl").write_bytes(pickle.dumps(content))
    # It is of another size than ShapeNet's, so that only its form is the same.
    found = source.held_mesh(name)
    assert len(found.faces) == len(before.faces)
    path.with_suffix(".pkl").write_bytes(pickle.dumps({"vertices": mesh.vertices}))
    with pytest.raises(HandsError, match="expected vertices and faces"):
        source.held_mesh(name)


def test_stray_vertices_are_left_out():
    mesh = TRAIN.held_mesh("ball-0")
    strayed = type(mesh)(
        np.concatenate([mesh.vertices, np.float32([[9, 9, 9]])]),
        np.concatenate([mesh.faces, [[0, 1, len(mesh.vertices)]]]),
    )
    assert np.array_equal(without_strays(strayed).vertices, mesh.vertices)
    assert np.array_equal(without_strays(strayed).faces, mesh.faces)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coords_3d": lambda joints: joints * 1000}, "which are millimeters"),
        ({"coords_3d": lambda joints: joints * [1, -1, -1]}, "negate y and z"),
        ({"coords_3d": lambda joints: joints + [0.9, 0, 0]}, "uncropped"),
        (
            {"coords_3d": lambda joints: joints[:20]},
            "expected ObMan's coords_3d of 21 x 3 numbers, found one of 20 x 3",
        ),
        ({"affine_transform": lambda matrix: matrix * [-1, 1, 1, 1]}, "found one that mirrors, flattens or"),
        ({"affine_transform": lambda matrix: matrix * [0, 1, 1, 1]}, "found one that mirrors, flattens or"),
        ({"affine_transform": lambda matrix: matrix * np.nan}, "found one that mirrors, flattens or"),
        ({"pca_pose": None}, "expected ObMan's pca_pose of 45 numbers, found none"),
        ({"verts_3d": lambda vertices: vertices[:-1]}, "give the MANO model that the data set was made with"),
    ],
)
def test_labels_that_mean_something_else_are_refused(own: Path, values, message: str):
    assert re.search(message, refused(changed(own, **values)))


def test_images_of_another_size_are_refused(own: Path):
    path = own / "train" / "rgb" / "00000000.jpg"
    shutil.copy(own / "train" / "rgb" / "00000001.jpg", path)
    from PIL import Image

    Image.open(path).resize((128, 128)).save(path)
    assert "expected ObMan's pictures of 256 x 256, to which its K belongs, found one of 128 x 128" in refused(own)


def test_annotations_that_could_run_code_are_not_run(own: Path, tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    meta(own).write_bytes(pickle.dumps({"coords_3d": Evil()}))
    assert "nothing was run" in refused(own)
    assert not (tmp_path / "run").exists()


def test_a_split_that_was_not_unpacked_is_named(folder: Path):
    assert "val/meta: expected annotations of ObMan" in refused(folder, "val")
