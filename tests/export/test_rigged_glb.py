"""The rig, bent by a glTF skinning written here from the specification, must move as the hand model does."""

import json
import struct

import numpy as np
import pygltflib
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.export.avatar import rigs
from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes, strongest_influences
from nerfstudio_hands.hand_model import pose_hand
from nerfstudio_hands.hand_model.joints import MANO_JOINT_NAMES

TEXTURE = np.full((16, 16, 3), 128, dtype=np.uint8)
SHAPE = torch.linspace(-1, 1, 10)


@pytest.fixture(scope="module")
def displacement(surface) -> torch.Tensor:
    return 0.001 * torch.randn(surface.num_vertices, 3, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def content(surface, displacement) -> bytes:
    return rigged_glb_bytes(rigs(surface, [True, True], SHAPE, displacement), TEXTURE)


def read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    kind = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
    start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    values = np.frombuffer(binary, kind, accessor["count"] * width, start).reshape(-1, width)
    return values.reshape(-1, 4, 4).transpose(0, 2, 1) if width == 16 else values


def skinned(content: bytes, turns: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Vertices and triangles of each skinned mesh after joints, by node name, were turned (axis-angle)."""
    length = struct.unpack_from("<I", content, 12)[0]
    document, binary = json.loads(content[20 : 20 + length]), content[28 + length :]
    nodes = document["nodes"]
    world = {}

    def place(node: int, above: np.ndarray) -> None:
        local = np.eye(4)
        local[:3, 3] = nodes[node].get("translation", [0, 0, 0])
        quaternion = Rotation.from_rotvec(turns.get(nodes[node]["name"], np.zeros(3))).as_quat()
        local[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
        world[node] = above @ local
        for child in nodes[node].get("children", []):
            place(child, world[node])

    for root in document["scenes"][0]["nodes"]:
        place(root, np.eye(4))
    result = {}
    for node in (node for node in nodes if "skin" in node):
        skin = document["skins"][node["skin"]]
        primitive = document["meshes"][node["mesh"]]["primitives"][0]
        inverse_bind = read_accessor(document, binary, skin["inverseBindMatrices"])
        matrices = np.stack([world[j] for j in skin["joints"]]) @ inverse_bind
        read = {name: read_accessor(document, binary, index) for name, index in primitive["attributes"].items()}
        blended = (read["WEIGHTS_0"][..., None, None] * matrices[read["JOINTS_0"]]).sum(axis=1)
        homogeneous = np.column_stack([read["POSITION"], np.ones(len(read["POSITION"]))])
        vertices = np.einsum("vij,vj->vi", blended, homogeneous)[:, :3]
        result[node["name"]] = vertices, read_accessor(document, binary, primitive["indices"]).reshape(-1, 3)
    return result


def test_turned_joints_bend_the_hand_as_the_model_does(surface, displacement, content):
    rng = np.random.default_rng(1)
    offsets = surface.split_vertices(displacement)
    turns = {f"{side}_{name}": 0.6 * rng.standard_normal(3) for side in surface.sides for name in MANO_JOINT_NAMES}
    found = skinned(content, turns)
    for number, hand in enumerate(surface.hands):
        local = np.stack([turns[f"{hand.side}_{name}"] for name in MANO_JOINT_NAMES])
        rotations = torch.tensor(local, dtype=torch.float32)[None]
        place = (surface.split_vertices(surface.canonical)[number] - hand.template).mean(dim=0)
        posed = pose_hand(hand, rotations[:, 0], rotations[:, 1:], place[None], SHAPE, offsets[number])
        vertices, faces = found[f"{hand.side}_hand"]
        expected = posed.vertices[0][hand.faces].numpy()
        # No vertex of the default hand has more than the four influences that the file holds, so this is exact.
        assert np.abs(vertices[faces] - expected).max() < 1e-6


def test_rest_pose_is_the_shaped_hand(surface, displacement, content):
    found = skinned(content, {})
    for number, hand in enumerate(surface.hands):
        zero = torch.zeros(1, 15, 3)
        rest = pose_hand(
            hand, zero[:, 0], zero, zero[:, 0], SHAPE, surface.split_vertices(displacement)[number]
        ).vertices[0]
        vertices, faces = found[f"{hand.side}_hand"]
        moved = vertices[faces] - rest[hand.faces].numpy()
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape), atol=1e-6)
    boxes = [vertices for vertices, _ in found.values()]
    assert boxes[0][:, 2].max() < boxes[1][:, 2].min()


def test_structure_in_pygltflib(content):
    document = pygltflib.GLTF2.load_from_bytes(content)
    assert len(document.skins) == 2 and all(len(skin.joints) == 16 for skin in document.skins)
    names = {document.nodes[joint].name for skin in document.skins for joint in skin.joints}
    assert names == {f"{side}_{name}" for side in ("left", "right") for name in MANO_JOINT_NAMES}
    assert len(document.images) == 1


def test_rig_passes_the_validator(content, validate, tmp_path):
    report = validate(content, tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_one_valid_hand_gives_one_rig(surface):
    assert [rig.name for rig in rigs(surface, [False, True], SHAPE)] == ["right"]


def test_influences_are_the_largest_and_sum_to_one():
    weights = np.array([[0.1, 0.3, 0.05, 0.25, 0.2, 0.1], [0, 0, 1.0, 0, 0, 0]])
    joints, kept = strongest_influences(weights)
    assert joints[0, :3].tolist() == [1, 3, 4] and joints[1].tolist() == [2, 0, 0, 0]
    np.testing.assert_allclose(kept.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(kept[0], np.array([0.3, 0.25, 0.2, 0.1]) / 0.85, atol=1e-6)
