"""Meshes of networks whose distances are those of known surfaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetworkOptions
from nerfstudio_hands.estimators.hand_object.scene_network import SceneNetwork
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.model_components.scene_meshes import SceneMesh, SceneMeshes, scene_colors, scene_meshes

REACH, VOXEL = 0.28, 0.004
REST = resting_joints(default_hand("right"))
WRISTS = torch.tensor([[0.0, 0.0, 0.4], [0.03, -0.02, 0.6]])
PLACE = WRISTS[1] + torch.tensor([0.131, -0.073, 0.102])
"""Far from the wrist, on no point of any grid."""

Distance = Callable[[torch.Tensor], torch.Tensor]


def ball(points: torch.Tensor, radius: float = 0.05) -> torch.Tensor:
    return (points - PLACE).norm(dim=-1) - radius


def ring(points: torch.Tensor) -> torch.Tensor:
    offset = points - PLACE
    flat = offset[..., :2].norm(dim=-1) - 0.045
    return torch.stack([flat, offset[..., 2]], -1).norm(dim=-1) - 0.012


def plate(points: torch.Tensor) -> torch.Tensor:
    """5 mm thick, a third of what lies between the points by which boxes are found."""
    outside = (points - PLACE).abs() - torch.tensor([0.06, 0.04, 0.0025])
    return outside.clamp_min(0).norm(dim=-1) + outside.amax(-1).clamp_max(0)


def nothing(points: torch.Tensor) -> torch.Tensor:
    return torch.full(points.shape[:-1], 0.05)


def meshes_of(hand: Distance, held: Distance, voxel: float = VOXEL) -> SceneMeshes:
    network = SceneNetwork(
        DistanceNetworkOptions(image="none", hidden_dim=8, num_layers=1), REST, skeleton="truth"
    ).eval()
    joints = WRISTS[:, None] + REST - REST[0]
    scene = network(torch.zeros(2, 3, 32, 32), torch.full((2,), 2.0), joints=joints, center=joints[:, 9])
    network.distance.hand_distances = lambda seen, skeleton, points: hand(points)
    network.distance.object_distances = lambda seen, skeleton, points: held(points)
    return scene_meshes(network.distance, scene, 1, reach=REACH, voxel=voxel)


def solid(mesh: SceneMesh | None) -> trimesh.Trimesh:
    assert mesh is not None
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


def test_known_surfaces_are_closed_and_within_half_a_voxel():
    found = meshes_of(ball, ring)
    for mesh, distance, volume in (
        (found.hand, ball, 4 / 3 * torch.pi * 0.05**3),
        (found.object, ring, 2 * torch.pi**2 * 0.045 * 0.012**2),
    ):
        shape = solid(mesh)
        assert shape.is_watertight and shape.volume == pytest.approx(volume, rel=0.1)
        assert mesh is not None and distance(mesh.vertices).abs().max() < VOXEL / 2
    assert solid(found.object).euler_number == 0


def test_thin_things_are_found():
    thin = solid(meshes_of(nothing, plate).object)
    assert thin.is_watertight and thin.extents[2] == pytest.approx(0.005, abs=1e-4)
    # A voxel cuts the edges by half of its own on either side.
    assert thin.extents[:2] == pytest.approx([0.12, 0.08], abs=VOXEL)


def test_where_nothing_is_there_is_no_mesh():
    found = meshes_of(nothing, ball)
    assert found.hand is None and found.object is not None
    mesh, of_object = SceneMeshes(None, None).both()
    assert len(mesh.vertices) == len(mesh.faces) == len(of_object) == 0
    # Nearer than the box is looked for by, and negative nowhere.
    assert meshes_of(lambda points: ball(points).abs() + 1e-3, nothing) == SceneMeshes(None, None)


def test_of_two_pieces_the_larger_is_kept():
    def two(points: torch.Tensor) -> torch.Tensor:
        return torch.minimum(ball(points), ball(points + torch.tensor([0.2, 0.0, 0.1]), 0.03))

    piece = solid(meshes_of(two, nothing).hand)
    assert piece.body_count == 1 and piece.centroid == pytest.approx(PLACE.numpy(), abs=1e-3)


def test_what_goes_on_beyond_the_cube_ends_at_it():
    half = solid(meshes_of(lambda points: points[..., 2] - WRISTS[1, 2], nothing, 0.02).hand)
    assert half.is_watertight and half.volume == pytest.approx(4 * REACH**3, rel=0.02)


def test_what_is_no_surface_is_said():
    with pytest.raises(HandsError, match="expected finite distances"):
        meshes_of(lambda points: ball(points).where(points[..., 0] < PLACE[0], torch.nan), nothing)
    with pytest.raises(HandsError, match="expected a grid that fits"):
        meshes_of(ball, nothing, 5e-6)


def test_both_are_one_mesh_with_two_colors():
    found = meshes_of(ball, ring, 0.01)
    hand, held = found.hand, found.object
    assert hand is not None and held is not None
    mesh, of_object = found.both()
    assert torch.equal(mesh.vertices[of_object == 1], held.vertices)
    assert torch.equal(mesh.faces[-len(held.faces) :] - len(hand.vertices), held.faces)
    colors = scene_colors(mesh, of_object, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert not colors[of_object == 0][:, 1:].any() and not colors[of_object == 1][:, :2].any()
    # What faces the camera is lit, what looks away is not black.
    assert colors[of_object == 0][:, 0].amin() == pytest.approx(0.35) and colors.amax() > 0.99
