"""The rig, bent by a glTF skinning written here from the specification, must move as the hand model does."""

import io

import numpy as np
import pygltflib
import pytest
import torch
import trimesh
from helpers.gltf_reading import Gltf
from PIL import Image
from scipy.spatial.transform import Rotation

from nerfstudio_hands.export.avatar import rigs
from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes, strongest_influences
from nerfstudio_hands.files.glb import GlbBuilder
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand, pose_hand
from nerfstudio_hands.hand_model.joints import MANO_JOINT_NAMES
from nerfstudio_hands.hand_model.subdivided import subdivide_hand
from nerfstudio_hands.motion.pose_track import PoseTrack

TEXTURE = np.full((16, 16, 3), 128, dtype=np.uint8)
SHAPE = torch.linspace(-1, 1, 10)


@pytest.fixture(scope="module")
def displacement(surface) -> torch.Tensor:
    return 0.001 * torch.randn(surface.num_vertices, 3, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def content(surface, displacement) -> bytes:
    return rigged_glb_bytes(rigs(surface, [True, True], SHAPE, displacement), TEXTURE)


def test_turned_joints_bend_the_hand_as_the_model_does(surface, displacement, content):
    rng = np.random.default_rng(1)
    offsets = surface.split_vertices(displacement)
    turns = {f"{side}_{name}": 0.6 * rng.standard_normal(3) for side in surface.sides for name in MANO_JOINT_NAMES}
    changes = {name: {"rotation": Rotation.from_rotvec(turn).as_quat()} for name, turn in turns.items()}
    found = Gltf(content).skinned(changes)
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
    found = Gltf(content).skinned({})
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


NORMAL_MAP = np.full((32, 32, 3), (128, 128, 255), dtype=np.uint8)


def test_lit_material_with_a_normal_map_in_pygltflib_and_trimesh(surface, tmp_path):
    texture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    content = rigged_glb_bytes(rigs(surface, [True, True], SHAPE), texture, lit=True, normal_map=NORMAL_MAP)
    document = pygltflib.GLTF2.load_from_bytes(content)
    assert not document.extensionsUsed and not document.materials[0].extensions
    assert 0.4 < document.materials[0].pbrMetallicRoughness.roughnessFactor < 0.7
    assert all(mesh.primitives[0].attributes.TANGENT is not None for mesh in document.meshes)
    image = document.images[document.textures[document.materials[0].normalTexture.index].source]
    view = document.bufferViews[image.bufferView]
    picture = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), NORMAL_MAP)
    scene = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    assert len(scene.geometry) == 2
    for geometry in scene.geometry.values():
        np.testing.assert_array_equal(np.asarray(geometry.visual.material.normalTexture.convert("RGB")), NORMAL_MAP)
        np.testing.assert_array_equal(np.asarray(geometry.visual.material.baseColorTexture.convert("RGB")), texture)


def test_a_fine_hand_bends_as_the_model_does(validate, tmp_path):
    hand = subdivide_hand(default_hand("right"), 2)
    content = rigged_glb_bytes(rigs(HandSurface([hand]), [True], SHAPE), TEXTURE, lit=True, normal_map=NORMAL_MAP)
    turns = 0.6 * np.random.default_rng(1).standard_normal((16, 3))
    changes = {
        f"right_{name}": {"rotation": Rotation.from_rotvec(turn).as_quat()}
        for name, turn in zip(MANO_JOINT_NAMES, turns, strict=True)
    }
    vertices, faces = Gltf(content).skinned(changes)["right_hand"]
    rotations = torch.tensor(turns, dtype=torch.float32)[None]
    place = (HandSurface([hand]).canonical - hand.template).mean(dim=0)
    posed = pose_hand(hand, rotations[:, 0], rotations[:, 1:], place[None], SHAPE).vertices[0]
    # Of the fine hand's weights up to two thousandths are beyond the four that the file holds.
    away = np.abs(vertices[faces] - posed[hand.faces].numpy())
    assert away.max() < 2e-4 and away.mean() < 1e-6
    report = validate(content, tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_indices_of_many_vertices():
    count = 70_000
    glb = GlbBuilder()
    points = np.random.default_rng(0).random((count, 3))
    faces = np.arange(count // 3 * 3).reshape(-1, 3)
    primitive = glb.add_primitive(positions=points, normals=points, uv=points[:, :2], faces=faces, material=0)
    glb.add("meshes", {"primitives": [primitive]})
    np.testing.assert_array_equal(Gltf(glb.to_bytes()).attributes(0)[1], faces)


@pytest.fixture(scope="module")
def track() -> PoseTrack:
    """Six keys of both hands, the left one absent at keys 2 and 3."""
    generator = torch.Generator().manual_seed(3)
    pose = HandPose.rest(2, (6,))
    pose.local_rotations = 0.5 * torch.randn(6, 2, 15, 3, generator=generator)
    pose.global_orient = torch.randn(6, 2, 3, generator=generator)
    pose.translation = 0.2 * torch.randn(6, 2, 3, generator=generator)
    pose.valid[2:4, 0] = False
    return PoseTrack.of_frames(pose, ("left", "right"), fps=10)


@pytest.fixture(scope="module")
def moving(surface, displacement, track) -> bytes:
    return rigged_glb_bytes(rigs(surface, [True, True], SHAPE, displacement), TEXTURE, track=track)


@pytest.mark.parametrize("time", [0.0, 0.1, 0.137, 0.45, 0.5])
def test_animation_is_the_track(surface, displacement, track, moving, time):
    gltf = Gltf(moving)
    found = gltf.skinned(gltf.animated(time))
    posed = surface.pose(track.at(torch.tensor([time])), SHAPE, displacement).vertices[0]
    for part, hand in zip(surface.split_vertices(posed), surface.hands, strict=True):
        vertices, faces = found[f"{hand.side}_hand"]
        assert np.abs(vertices[faces] - part[hand.faces].numpy()).max() < 2e-5


def test_animation_stands_upright_where_the_file_has_another_world(surface, displacement, track):
    turn = Rotation.from_rotvec([0.4, -2.0, 0.3]).as_matrix()
    world = np.column_stack([turn, [0.2, -1.0, 0.5]])
    gltf = Gltf(rigged_glb_bytes(rigs(surface, [True, True], SHAPE, displacement), TEXTURE, track=track, world=world))
    found = gltf.skinned(gltf.animated(0.137))
    posed = surface.pose(track.at(torch.tensor([0.137])), SHAPE, displacement).vertices[0].numpy()
    expected = torch.from_numpy(posed @ world[:, :3].T + world[:, 3])
    for part, hand in zip(surface.split_vertices(expected), surface.hands, strict=True):
        vertices, faces = found[f"{hand.side}_hand"]
        assert np.abs(vertices[faces] - part[hand.faces].numpy()).max() < 2e-5


def rotation_keys(gltf: Gltf) -> list[np.ndarray]:
    """Quaternions of every joint's keys."""
    animation = gltf.document["animations"][0]
    channels = [channel for channel in animation["channels"] if channel["target"]["path"] == "rotation"]
    return [gltf.accessor(animation["samplers"][channel["sampler"]]["output"]) for channel in channels]


def test_neighbouring_keys_are_never_opposite_quaternions(surface):
    """A wrist that turns three times round, axis-angle cut at 180 degrees, as fits and other tools give it."""
    angles = torch.linspace(0.0, 6 * torch.pi, 40)
    pose = HandPose.rest(2, (40,))
    pose.global_orient[..., 2] = (torch.remainder(angles + torch.pi, 2 * torch.pi) - torch.pi)[:, None]
    pose.local_rotations[:, :, 4] = pose.global_orient
    track = PoseTrack.of_frames(pose, ("left", "right"), fps=10)
    gltf = Gltf(rigged_glb_bytes(rigs(surface, [True, True], SHAPE), TEXTURE, track=track))
    for keys in rotation_keys(gltf):
        assert ((keys[1:] * keys[:-1]).sum(axis=1) > 0.9).all()
        np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-6)
    turns = Rotation.from_rotvec(pose.global_orient[:, 0].double().numpy())
    assert (turns.inv() * Rotation.from_quat(rotation_keys(gltf)[0])).magnitude().max() < 1e-5


def test_no_node_is_ever_scaled_to_zero(track, moving):
    gltf = Gltf(moving)
    animation = gltf.document["animations"][0]
    scales = [c["sampler"] for c in animation["channels"] if c["target"]["path"] == "scale"]
    assert scales and all(gltf.accessor(animation["samplers"][s]["output"]).min() > 0 for s in scales)


def test_a_hand_that_the_track_lacks_is_shrunk_to_nothing(track, moving):
    gltf = Gltf(moving)
    assert np.ptp(gltf.skinned(gltf.animated(0.25))["left_hand"][0], axis=0).max() < 1e-6
    assert np.ptp(gltf.skinned(gltf.animated(0.25))["right_hand"][0], axis=0).max() > 0.1
    # Between a key that has it and one that has not it is seen, as in the track.
    assert track.at(torch.tensor([0.15, 0.25, 0.35])).valid[:, 0].tolist() == [True, False, True]
    for time in (0.15, 0.35):
        assert np.ptp(gltf.skinned(gltf.animated(time))["left_hand"][0], axis=0).max() > 0.1


def test_animation_passes_the_validator_and_is_one_of_the_document(moving, validate, tmp_path):
    assert len(pygltflib.GLTF2.load_from_bytes(moving).animations) == 1
    report = validate(moving, tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
