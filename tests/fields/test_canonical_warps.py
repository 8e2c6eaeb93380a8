"""Inverse skinning against forward skinning, and what happens where fingers touch."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.fields.canonical_warps import CanonicalHands, NearestSkinning, SkinningVolume
from nerfstudio_hands.fields.non_rigid import NonRigidOffset
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

SURFACE = HandSurface((default_hand("left"), default_hand("right")))
SHAPE = torch.tensor([0.8, -0.5, 0.3, 0, 0, 0, 0, 0, 0, 0])
NO_DISPLACEMENT = torch.zeros(SURFACE.num_vertices, 3)


def posed_hands(bend: float) -> HandPose:
    """Both hands turned and moved, fingers bent; the middle finger of the right hand more than the others."""
    pose = HandPose.rest(2, (1,))
    pose.global_orient[0] = torch.tensor([[0.3, -0.4, 0.2], [1.0, 0.5, -0.3]])
    pose.translation[0] = torch.tensor([[0.2, 0.1, 0.0], [-0.2, 0.0, 0.1]])
    pose.local_rotations[0, 0, :, 2] = -bend
    pose.local_rotations[0, 1, :, 2] = bend
    pose.local_rotations[0, 1, 3:6, 2] *= 1.5
    return pose


def carried(warp, pose: HandPose, height: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Face centres lifted by `height` metres in a pose, carried to canonical space.

    Returns the places, the gate, the face centres in canonical space and the canonical normals of the faces.
    """
    posed = SURFACE.pose(pose, SHAPE)
    vertices = posed.vertices[0]
    normals = vertex_normals(vertices[None], SURFACE.faces)[0]
    face = torch.arange(0, len(SURFACE.faces), 5)
    middle = torch.full((len(face), 3), 1 / 3)
    ground = vertices[SURFACE.faces[face]].mean(dim=1)
    points = ground + height * torch.nn.functional.normalize(normals[SURFACE.faces[face]].mean(dim=1), dim=-1)
    hands = warp.hands
    bones = posed.bone_transforms[0][hands.face_hand[face]]
    places, gate = warp(points, face, middle, ground, bones)
    canonical = hands.canonical
    there = vertex_normals(canonical[None], SURFACE.faces)[0][SURFACE.faces[face]].mean(dim=1)
    return places, gate, canonical[SURFACE.faces[face]].mean(dim=1), torch.nn.functional.normalize(there, dim=-1)


@pytest.fixture(scope="module")
def hands() -> CanonicalHands:
    return CanonicalHands(SURFACE, SHAPE, NO_DISPLACEMENT)


@pytest.mark.parametrize("bend", [0.0, 0.6])
def test_the_posed_surface_comes_to_lie_on_the_zero_pose(hands, bend):
    places, gate, expected, _ = carried(NearestSkinning(hands), posed_hands(bend), 0.0)
    torch.testing.assert_close(places, expected, atol=2e-6, rtol=0)
    assert gate is None
    # The weights of a cell are not those of the surface in it, where fingers are thinner than a few cells.
    places, gate, expected, _ = carried(SkinningVolume(hands, resolution=64), posed_hands(bend), 0.0)
    error = (places - expected).norm(dim=-1)
    assert error.median() < (1e-5 if bend == 0 else 1e-3) and error.quantile(0.95) < 0.004
    # Bones of a sharply bent joint disagree on where a point comes from, and less than all of the hand is there.
    assert gate.median() > 0.95 and gate.quantile(0.05) > 0.6


@pytest.mark.parametrize("kind", ["nearest", "volume"])
def test_a_point_above_the_skin_stays_above_it(hands, kind):
    warp = NearestSkinning(hands) if kind == "nearest" else SkinningVolume(hands, resolution=64)
    height = 0.003
    places, _, ground, normals = carried(warp, posed_hands(0.4), height)
    above = ((places - ground) * normals).sum(dim=-1)
    assert (above - height).abs().median() < 5e-4
    assert (above > 0).float().mean() > 0.97


def test_the_two_hands_do_not_meet_in_canonical_space(hands):
    left, right = (hands.canonical[part] for part in SURFACE.vertex_slices)
    assert left[:, 2].amax() + 0.03 < right[:, 2].amin() or right[:, 2].amax() + 0.03 < left[:, 2].amin()


def test_far_from_the_hand_the_volume_says_so(hands):
    volume = SkinningVolume(hands, resolution=48)
    posed = SURFACE.pose(HandPose.rest(2, (1,)), SHAPE)
    point = torch.tensor([[0.0, 1.0, 0.0]])
    face = torch.tensor([0])
    bones = posed.bone_transforms[0][hands.face_hand[face]]
    _, gate = volume(point, face, torch.tensor([[1.0, 0, 0]]), point, bones)
    assert gate.item() < 0.02


def test_weights_are_learned_and_likelihoods_stay_likelihoods(hands):
    """The volume starts from wrong weights and learns right ones from where points should go."""
    volume = SkinningVolume(hands, resolution=32)
    with torch.no_grad():
        volume.learned.copy_(0.5 * torch.randn(volume.learned.shape, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam(volume.parameters(), lr=0.05)
    errors = []
    for _ in range(40):
        places, _, expected, _ = carried(volume, posed_hands(0.5), 0.0)
        error = (places - expected).norm(dim=-1).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error))
    assert errors[-1] < 0.5 * errors[0]
    assert torch.allclose(volume.likelihoods().sum(dim=1), torch.ones(1), atol=1e-5)


def test_between_touching_fingers_the_place_jumps_only_at_the_middle():
    """Inverse skinning at the nearest surface is continuous up to the surface that is as near: there it jumps from one
    finger to the other, and nowhere else; within the shell on each side places stay on their own finger."""
    surface = HandSurface((default_hand("right"),))
    hands = CanonicalHands(surface, SHAPE, torch.zeros(surface.num_vertices, 3))
    warp = NearestSkinning(hands)
    pose = HandPose.rest(1, (1,))
    # Index and middle finger are spread towards each other until they nearly touch.
    best = None
    for angle in torch.linspace(0, 0.4, 41):
        pose.local_rotations[0, 0, 0, 1] = angle
        gap = finger_gap(surface, pose)
        pose.local_rotations[0, 0, 0, 1] = -angle
        other = finger_gap(surface, pose)
        for value, turn in ((gap, angle), (other, -angle)):
            if value[0] > 3e-4 and (best is None or value[0] < best[0]):
                best = (*value, float(turn))
    distance, start, end, turn = best
    assert distance < 0.003, "the fingers never came near each other"
    pose.local_rotations[0, 0, 0, 1] = turn
    posed = surface.pose(pose, SHAPE)
    line = torch.lerp(start, end, torch.linspace(0.02, 0.98, 97)[:, None])
    near = Surfaces(surface.faces, posed.vertices).closest(line)
    bones = posed.bone_transforms[0][torch.zeros(len(line), dtype=torch.long)]
    places, _ = warp(line, near.face, near.barycentric, near.point, bones)
    steps = places.diff(dim=0).norm(dim=-1)
    jump = int(steps.argmax())
    spacing = distance * 0.96 / 96
    assert steps[jump] > 0.005, "two fingers are apart in the zero pose"
    assert abs(jump - 48) <= 6, "the jump lies half way"
    others = torch.cat([steps[:jump], steps[jump + 1 :]])
    assert others.max() < 8 * spacing


def finger_gap(surface: HandSurface, pose: HandPose) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Shortest distance between the last bones of index and middle finger, and its two ends."""
    vertices = surface.pose(pose, SHAPE).vertices[0]
    weights = surface.hands[0].weights
    index, middle = (vertices[weights[:, bones].sum(dim=1) > 0.9] for bones in ((2, 3), (5, 6)))
    distance = torch.cdist(index, middle)
    a, b = divmod(int(distance.argmin()), distance.shape[1])
    return float(distance[a, b]), index[a], middle[b]


def test_the_non_rigid_offset_starts_at_nothing_and_is_bounded():
    offset = NonRigidOffset(-torch.ones(3), torch.ones(3), pose_dim=4, reach=0.003)
    places, code = torch.rand(50, 3), 100 * torch.randn(50, 4)
    assert offset(places, code).abs().max() == 0
    offset.progress.fill_(1.0)
    moved = offset(places, code)
    assert 0 < moved.abs().max() <= 0.003
    assert not torch.allclose(moved, offset(places, torch.zeros(50, 4)))
