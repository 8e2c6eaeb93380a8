"""gSDF's annotations over the folders of ObMan and DexYCB, and its sampled distances."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up_grasps import MadeUpGrasps, placed

from nerfstudio_hands.dataparsers.registrations import GsdfDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.formats.dexycb_takes import OBJECTS, SUBJECTS
from nerfstudio_hands.hand_images.formats.gsdf_json import GsdfJson
from nerfstudio_hands.hand_images.formats.gsdf_samples import read_distance_samples
from nerfstudio_hands.hand_images.hand_image import HandLabels, HeldMesh
from nerfstudio_hands.hand_images.held_meshes import signed_distances
from nerfstudio_hands.hand_images.object_files import moved
from nerfstudio_hands.hand_images.sources import open_hand_images, recognized_format
from nerfstudio_hands.synthesis.image_files import write_image
from nerfstudio_hands.synthesis.made_up_mano import write_made_up_mano
from nerfstudio_hands.synthesis.obman_files import write_held

SCALE, OFFSET = 4.0, np.array([0.01, -0.02, -0.4])

SOURCE = MadeUpGrasps(2, 3)


def annotation(number: int, labels: HandLabels, mesh: HeldMesh) -> dict:
    centered = np.eye(4)
    centered[:3, 3] = mesh.center
    (fx, _, cx), (_, fy, cy), _ = labels.intrinsics.tolist()
    return {
        "id": 10 + number,
        "image_id": number,
        "bbox": [0, 0, 96, 96],
        "fx": fx, "fy": fy, "cx": cx, "cy": cy,
        "hand_joints_3d": labels.joints.tolist(),
        "hand_poses": labels.rotations.ravel().tolist(),
        "hand_shapes": labels.shape.tolist(),
        "obj_transform": (labels.held.to_camera @ centered).tolist(),
        "ycb_id": 3,
        "sdf_scale": SCALE,
        "sdf_offset": OFFSET.tolist(),
    }  # fmt: skip


def written(root: Path, file: str, annotations: list[dict], names: list[str]) -> Path:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    (root / file).write_text(json.dumps({"images": images, "annotations": annotations}))
    return root / file


@pytest.fixture
def dexycb(tmp_path: Path) -> Path:
    """Two takes of three frames, in another order than that of time."""
    write_made_up_mano(tmp_path, "right")
    names, annotations = [], []
    for number, index in enumerate((2, 0, 1, 3, 4, 5)):
        take, frame = divmod(index, 3)
        names.append(f"1_20200709_14{take}754_836212060125_{5 * frame}")
        labels = SOURCE.labels(index)
        annotations.append(annotation(number, labels, SOURCE.held_mesh(labels.held.name)))
        folder = tmp_path / "data" / SUBJECTS[0] / f"20200709_14{take}754" / "836212060125"
        write_image(folder / f"color_{5 * frame:06d}.jpg", SOURCE.read(index).rgb)
    model = tmp_path / "data" / "models" / OBJECTS[2] / "textured_simple.obj"
    model.parent.mkdir(parents=True)
    write_held(model, SOURCE.held_mesh(SOURCE.labels(0).held.name))
    written(tmp_path, "dexycb_test_s0.json", annotations, names)
    return tmp_path


@pytest.fixture
def obman(tmp_path: Path) -> Path:
    """Samples with prepared meshes, as gSDF makes them, and no MANO."""
    truth, annotations, names = MadeUpGrasps(5), [], []
    for number in range(5):
        labels, name = truth.labels(number), f"{number + 3:08d}"
        mesh, to_camera = truth.held_mesh(labels.held.name), labels.held.to_camera
        # Joints before the camera of ObMan, whose K is not said.
        own = annotation(number, labels, mesh)
        annotations.append(
            {key: own[key] for key in own if key not in ("fx", "fy", "cx", "cy", "ycb_id", "hand_shapes")}
        )
        names.append(name)
        folder = tmp_path / "data" / "train"
        write_image(folder / "rgb" / f"{name}.jpg", np.zeros((256, 256, 3), np.uint8))
        for kind in ("mesh_hand", "mesh_obj"):
            (folder / kind).mkdir(exist_ok=True)
        write_held(folder / "mesh_obj" / f"{name}.obj", moved(mesh, to_camera))
        write_held(folder / "mesh_hand" / f"{name}.obj", HeldMesh(labels.vertices, truth.hand_faces()))
    written(tmp_path, "obman_train.json", annotations, names)
    return tmp_path


def test_annotations_of_dexycb(dexycb: Path):
    assert recognized_format(dexycb) == "gsdf"
    source = open_hand_images(dexycb, "test")
    assert len(source) == 6
    for place, index in enumerate((2, 0, 1)):
        found, wanted = source.labels(place), SOURCE.labels(index)
        for name in ("joints", "vertices", "rotations", "shape", "intrinsics"):
            assert np.abs(getattr(found, name) - getattr(wanted, name)).max() < 1e-4, name
        assert found.held.name == OBJECTS[2]
        assert np.abs(placed(source, found) - placed(SOURCE, wanted)).max() < 1e-5
    assert source.clip(0, 3) == [1, 2, 0] and source.clip(4, 2) == [3, 4]
    assert source.read(0).rgb.shape == (96, 96, 3)
    assert len(pickle.dumps(source)) < 1500


def test_hands_that_are_not_seen_count_nowhere(dexycb: Path):
    path = dexycb / "dexycb_test_s0.json"
    content = json.loads(path.read_text())
    for own in content["annotations"][:2]:
        own["hand_joints_3d"] = np.full((21, 3), -1).tolist()
    path.write_text(json.dumps(content))
    source = open_hand_images(dexycb, "test")
    assert [source.labels(index).joints[0, 2] > 0 for index in range(len(source))] == [True] * 4
    assert np.abs(source.labels(0).joints - SOURCE.labels(1).joints).max() < 1e-4
    assert source.clip(0, 3) == [0, 0, 0] and source.clip(2, 3) == [1, 2, 3]


def test_annotations_of_obman(obman: Path):
    source, truth = GsdfJson(obman, "train"), MadeUpGrasps(5)
    assert len(source) == 4 and len(GsdfJson(obman, "val")) == 1
    found, wanted = source.labels(1), truth.labels(1)
    assert np.array_equal(found.intrinsics, [[480, 0, 128], [0, 480, 128], [0, 0, 1]])
    assert np.abs(found.vertices - wanted.vertices).max() < 1e-6
    assert found.held.name == "00000004"
    assert np.abs(placed(source, found) - placed(truth, wanted)).max() < 1e-5
    assert source.clip(1, 2) == [1, 1] and source.read(0).mask is None
    with pytest.raises(HandsError, match="expected MANO's file"):
        source.hand_faces()
    (obman / "data" / "train" / "mesh_obj" / "00000004.obj").unlink()
    with pytest.raises(HandsError, match="expected the mesh of a held thing, found no such file; make it as gSDF's"):
        source.held_mesh("00000004")


def test_lists_name_annotations(obman: Path):
    (obman / "ids.json").write_text('["00000014", "00000011", "00000012"]')
    source = GsdfJson(obman, "train", ids=obman / "ids.json")
    assert [source.labels(k).held.name for k in range(2)] == ["00000007", "00000004"]
    config = GsdfDataParserConfig(data=obman, train_ids=obman / "ids.json")
    assert [len(config.source(split)) for split in ("train", "val")] == [2, 1]
    (obman / "ids.json").write_text('["00000014", "00000020"]')
    with pytest.raises(HandsError, match="found 1 that are not there, 00000020 the first"):
        GsdfJson(obman, "train", ids=obman / "ids.json")


def test_sampled_distances_are_metric(obman: Path):
    """Written in gSDF's unit from our own distances, with some that stand for none."""
    source, truth = GsdfJson(obman, "train"), MadeUpGrasps(5)
    labels = truth.labels(0)
    mesh = moved(truth.held_mesh(labels.held.name), labels.held.to_camera)
    points = labels.joints[9] + np.random.default_rng(0).normal(0, 0.03, (40, 3)).astype(np.float32)
    to_thing, to_hand = signed_distances(mesh, points), np.linspace(-0.1, 0.1, 40)
    numbers = np.column_stack([SCALE * (points + OFFSET), SCALE * to_hand, SCALE * to_thing]).astype(np.float32)
    numbers[3, 3], numbers[4, 4], numbers[5, 3] = np.nan, 2.5, -3
    for kind, columns in (("sdf_hand", [0, 1, 2, 3, 4]), ("sdf_obj", [0, 1, 2, 4, 3])):
        part = numbers[:, columns]
        is_outside = part[:, 3] >= 0
        folder = obman / "data" / "train" / kind
        folder.mkdir()
        np.savez(
            folder / "00000003.npz",
            pos=part[is_outside, :4], pos_other=part[is_outside, 4:],
            neg=part[~is_outside, :4], neg_other=part[~is_outside, 4:],
        )  # fmt: skip
    found = source.distance_samples(0)
    assert found.points.shape == (2 * 37, 3) and found.distances.shape == (2 * 37, 2)
    assert np.abs(found.distances[:, 1] - signed_distances(mesh, found.points)).max() < 1e-5
    order = [int(np.linalg.norm(points - point, axis=1).argmin()) for point in found.points]
    assert np.abs(found.points - points[order]).max() < 1e-6
    assert np.abs(found.distances[:, 0] - to_hand[order]).max() < 1e-6
    with pytest.raises(HandsError, match="00000004.npz: expected an archive of gSDF's, found no such file"):
        source.distance_samples(1)
    broken = obman / "broken.npz"
    np.savez(broken, pos=np.zeros((2, 3)), neg=np.zeros((2, 4)), pos_other=np.zeros((2, 1)), neg_other=np.zeros((2, 1)))
    with pytest.raises(HandsError, match="expected pos and neg of N x 4 and pos_other"):
        read_distance_samples(broken, broken, 1.0, OFFSET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.pop("hand_joints_3d"), "found others .*no hand_joints_3d"),
        (lambda own: own.update(hand_poses=[0, 1]), "hand_poses of 2 numbers instead of 48"),
        (lambda own: own.update(image_id=99), "found others .KeyError"),
        (lambda own: own.update(obj_transform=np.diag([2.0, 2, 2, 1]).tolist()), "expected a rigid motion of the held"),
        (lambda own: own.update(cx=1200), "expected K of the pictures of 96 x 96"),
    ],
)
def test_annotations_of_another_form_are_refused(dexycb: Path, change, message: str):
    path = dexycb / "dexycb_test_s0.json"
    content = json.loads(path.read_text())
    for own in content["annotations"]:
        change(own)
    path.write_text(json.dumps(content))
    with pytest.raises(HandsError, match=message) as caught:
        GsdfJson(dexycb, "test")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_or_missing_is_named(dexycb: Path):
    path = dexycb / "dexycb_test_s0.json"
    path.write_text(path.read_text()[:-500])
    with pytest.raises(HandsError, match="dexycb_test_s0.json: expected gSDF's annotations, found"):
        GsdfJson(dexycb, "test")
    with pytest.raises(
        HandsError, match="expected one file of gSDF's train annotations, obman_train.json .* found none"
    ):
        GsdfJson(dexycb, "train")
