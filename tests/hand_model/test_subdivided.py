"""Fine hands pose like the coarse ones they come from, and lie on the smooth shape between their vertices."""

import dataclasses

import pytest
import torch

from nerfstudio_hands.geometry.mesh import face_normals
from nerfstudio_hands.geometry.self_intersection import intersecting_faces
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model import HandModel, HandSurface, default_hand, mirror_hand, pose_hand
from nerfstudio_hands.hand_model.model import shaped_template
from nerfstudio_hands.hand_model.subdivided import SubdivisionTransfer, levels_for, subdivide_hand, subdivide_surface


def _hand_with_pose_dirs() -> HandModel:
    hand = default_hand("right").to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    return dataclasses.replace(
        hand, pose_dirs=1e-4 * torch.randn(hand.num_vertices, 3, 135, generator=generator, dtype=torch.float64)
    )


def _random_pose(hand: HandModel) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    sizes = ((2, 3), (2, 15, 3), (2, 3), (2, hand.num_shape))
    return tuple(0.4 * torch.randn(*size, generator=generator, dtype=torch.float64) for size in sizes)


@pytest.mark.parametrize("hand", [default_hand("left").to(dtype=torch.float64), _hand_with_pose_dirs()])
def test_joints_tips_and_skin_are_those_of_the_model_in_every_pose_and_shape(hand):
    fine = subdivide_hand(hand, 1)
    pose = _random_pose(hand)
    coarse_posed, fine_posed = pose_hand(hand, *pose), pose_hand(fine, *pose)
    torch.testing.assert_close(fine_posed.bone_transforms, coarse_posed.bone_transforms, rtol=0, atol=1e-12)
    torch.testing.assert_close(fine_posed.keypoints, coarse_posed.keypoints, rtol=0, atol=1e-5)
    moved = (fine_posed.vertices[:, : hand.num_vertices] - coarse_posed.vertices).norm(dim=-1)
    assert moved.mean() < 1e-4
    # The new vertices, too, must move with the skin: each stays near the middle of the edge it was born on.
    middles = coarse_posed.vertices[:, edges(hand.faces)[0]].mean(2)
    assert (fine_posed.vertices[:, hand.num_vertices :] - middles).norm(dim=-1).max() < 0.004


def test_keypoints_at_rest_are_those_of_the_model_in_every_shape_and_displacement():
    hand = default_hand("right").to(dtype=torch.float64)
    fine = subdivide_hand(hand, 2)
    generator = torch.Generator().manual_seed(3)
    shape = torch.randn(4, hand.num_shape, generator=generator, dtype=torch.float64)
    displacement = 1e-3 * torch.randn(hand.num_vertices, 3, generator=generator, dtype=torch.float64)
    carry = SubdivisionTransfer(HandSurface([hand]), 2)
    coarse_rest = shaped_template(hand, shape, displacement)
    fine_rest = shaped_template(fine, shape, carry(displacement))
    for name in ("joint_regressor", "keypoint_regressor"):
        expected, found = getattr(hand, name) @ coarse_rest, getattr(fine, name) @ fine_rest
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("levels", [1, 2])
def test_creases_do_not_fold(side, levels):
    hand = default_hand(side)
    fine = subdivide_hand(hand, levels)
    parent = face_normals(hand.template, hand.faces).repeat(4**levels, 1)
    assert (face_normals(fine.template, fine.faces) * parent).sum(-1).min() > 0
    assert len(intersecting_faces(fine.template, fine.faces)) == 0


def test_weights_are_convex():
    hand = default_hand("right").to(dtype=torch.float64)
    fine = subdivide_hand(hand, 2)
    assert fine.weights.min() >= 0
    torch.testing.assert_close(fine.weights.sum(1), torch.ones(fine.num_vertices, dtype=torch.float64))


def test_missing_pose_directions_are_as_good_as_zeros():
    fine = subdivide_hand(default_hand("right"), 1)
    assert fine.pose_dirs.numel() == 0
    full = dataclasses.replace(fine, pose_dirs=torch.zeros(fine.num_vertices, 3, 135))
    pose = [value.float() for value in _random_pose(fine)]
    assert torch.equal(pose_hand(fine, *pose).vertices, pose_hand(full, *pose).vertices)
    assert torch.equal(mirror_hand(fine).template, mirror_hand(full).template)


def test_texture_atlas_keeps_its_area_and_its_seams():
    hand = default_hand("right").to(dtype=torch.float64)
    fine = subdivide_hand(hand, 2)
    assert _area(fine.uv).sum().item() == pytest.approx(_area(hand.uv).sum().item(), rel=1e-9)
    # Each child has a sixteenth of its parent, whose index is its own modulo the number of old faces.
    torch.testing.assert_close(_area(fine.uv), _area(hand.uv).repeat(16) / 16)
    seams = _seam_edges(hand)
    assert seams > 0
    assert _seam_edges(fine) == 4 * seams
    # Corners of old vertices keep their coordinates: the first child of a face has its first corner, and so on.
    count, once = len(hand.faces), subdivide_hand(hand, 1)
    for corner in range(3):
        assert torch.equal(once.faces[corner * count : (corner + 1) * count, 0], hand.faces[:, corner])
        assert torch.equal(once.uv[corner * count : (corner + 1) * count, 0], hand.uv[:, corner])


def _area(uv: torch.Tensor) -> torch.Tensor:
    a, b = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    return a[0] * b[1] - a[1] * b[0]


def _seam_edges(hand: HandModel) -> int:
    """Edges whose two faces give one of its ends different texture coordinates."""
    seen: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
    seams = 0
    for face, uv in zip(hand.faces.tolist(), hand.uv.tolist(), strict=True):
        for corner in range(3):
            ends = sorted([(face[corner], uv[corner]), (face[corner - 2], uv[corner - 2])])
            key, value = (ends[0][0], ends[1][0]), [*ends[0][1], *ends[1][1]]
            if key in seen:
                seams += max(abs(p - q) for p, q in zip(seen[key], value, strict=True)) > 1e-9
            seen[key] = value
    return seams


def test_left_and_right_are_subdivided_alike():
    right = default_hand("right")
    mirrored = mirror_hand(subdivide_hand(right, 2))
    torch.testing.assert_close(subdivide_hand(mirror_hand(right), 2).template, mirrored.template, rtol=0, atol=1e-7)


@pytest.mark.parametrize("target", [1, 2_000, 3_000, 3_500, 12_000, 13_500, 50_000, 52_000])
def test_levels_give_the_number_of_vertices_nearest_in_ratio(target):
    hand = default_hand("right")
    counts = torch.tensor([subdivide_hand(hand, levels).num_vertices for levels in range(4)])
    assert levels_for(hand, target) == (counts / target).log().abs().argmin()


def test_displacement_is_carried_as_the_template_is():
    surface = HandSurface([default_hand("left").to(dtype=torch.float64), default_hand("right").to(dtype=torch.float64)])
    displacement = 1e-3 * torch.randn(
        surface.num_vertices, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    fine = subdivide_surface(surface, 1)
    carry = SubdivisionTransfer(surface, 1)
    carried = carry(displacement)
    assert carried.shape == (fine.num_vertices, 3)
    own = torch.cat(
        [part[: hand.num_vertices] for hand, part in zip(surface.hands, fine.split_vertices(carried), strict=True)]
    )
    torch.testing.assert_close(carry.undo(own), displacement, rtol=0, atol=1e-12)
    for hand, part, fine_part, fine_hand in zip(
        surface.hands,
        surface.split_vertices(displacement),
        fine.split_vertices(carried),
        fine.hands,
        strict=True,
    ):
        displaced = dataclasses.replace(hand, template=hand.template + part)
        torch.testing.assert_close(
            fine_hand.template + fine_part, subdivide_hand(displaced, 1).template, rtol=0, atol=1e-12
        )
