"""One and two hands as a surface, against the hands posed one by one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand, pose_hand

LEFT, RIGHT = default_hand("left"), default_hand("right")


def random_poses(*batch: int, hands: int = 2) -> HandPose:
    return HandPose(
        global_orient=torch.randn(*batch, hands, 3),
        local_rotations=0.3 * torch.randn(*batch, hands, 15, 3),
        translation=torch.randn(*batch, hands, 3),
        valid=torch.ones(*batch, hands, dtype=torch.bool),
    )


def test_two_hands_are_the_hands_one_after_the_other() -> None:
    surface = HandSurface([LEFT, RIGHT])
    pose, shape = random_poses(3, 2), torch.randn(10)
    displacement = 0.001 * torch.randn(surface.num_vertices, 3)
    posed = surface.pose(pose, shape, displacement)
    assert posed.vertices.shape == (3, 2, surface.num_vertices, 3)
    for k, hand in enumerate((LEFT, RIGHT)):
        part = surface.vertex_slices[k]
        alone = pose_hand(
            hand,
            pose.global_orient[1, :, k],
            pose.local_rotations[1, :, k],
            pose.translation[1, :, k],
            shape,
            displacement[part],
        )
        torch.testing.assert_close(posed.vertices[1, :, part], alone.vertices)
        torch.testing.assert_close(posed.keypoints[1, :, k], alone.keypoints)
        torch.testing.assert_close(posed.bone_transforms[1, :, k], alone.bone_transforms)
        assert (surface.vertex_side[part] == k).all()


@pytest.mark.parametrize("hands", [[LEFT], [RIGHT], [LEFT, RIGHT]])
def test_closing_faces_close_every_hand(hands) -> None:
    surface = HandSurface(hands)
    faces = torch.cat([surface.faces, surface.closing_faces])
    directed = Counter(map(tuple, torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()))
    # Closed and consistently wound: every directed edge occurs once, and its opposite once.
    assert set(directed.values()) == {1}
    assert all((end, start) in directed for start, end in directed)
    corners = surface.canonical[faces]
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 2e-4 * len(hands)


def test_atlases_lie_side_by_side() -> None:
    surface = HandSurface([LEFT, RIGHT])
    left, right = (surface.uv[surface.face_side == side] for side in (0, 1))
    assert left[..., 0].max() <= 0.5 <= right[..., 0].min()
    torch.testing.assert_close(left[..., 0] * 2, LEFT.uv[..., 0])
    torch.testing.assert_close(right[..., 0] * 2 - 1, RIGHT.uv[..., 0])
    assert surface.face_side.tolist() == surface.vertex_side[surface.faces[:, 0]].tolist()


@pytest.mark.parametrize("hand", [LEFT, RIGHT])
def test_the_stub_behind_the_wrist_is_no_hand(hand) -> None:
    surface = HandSurface([hand])
    # In the template x runs along the arm, see `model`: right fingers point to -x, left ones to +x.
    out = hand.template[:, 0] * (-1.0 if hand.side == "right" else 1.0)
    wrist = out[hand.weights.argmax(dim=1) > 0].min()
    assert surface.vertex_is_hand[out > wrist + 0.01].all()
    assert not surface.vertex_is_hand[out < out.min() + 0.01].any()
    corners = [surface.vertex_is_hand[face].tolist() for face in surface.faces]
    assert any(any(face) and not all(face) for face in corners)
    assert surface.face_is_hand.tolist() == [all(face) for face in corners]


def test_canonical_hands_are_centred_apart_and_congruent_to_their_templates() -> None:
    surface = HandSurface([LEFT, RIGHT])
    left, right = surface.split_vertices(surface.canonical)
    assert right[:, 2].min() - left[:, 2].max() > 0.02
    torch.testing.assert_close(surface.canonical.amin(0) + surface.canonical.amax(0), torch.zeros(3), atol=1e-6, rtol=0)
    for placed, hand in ((left, LEFT), (right, RIGHT)):
        shift = placed - hand.template
        torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-6, rtol=0)


def test_an_invalid_hand_is_parked_far_away_whatever_its_numbers_are() -> None:
    surface = HandSurface([LEFT, RIGHT])
    pose = random_poses(2)
    reference = surface.pose(pose, torch.zeros(10))
    pose.valid[1, 0] = False
    for values in (pose.global_orient, pose.local_rotations, pose.translation):
        values[1, 0] = torch.nan
        values.requires_grad_()
    posed = surface.pose(pose, torch.zeros(10))
    left, right = surface.vertex_slices
    assert torch.isfinite(posed.vertices).all()
    assert torch.linalg.vector_norm(posed.vertices[1, left], dim=-1).min() > 500
    near = torch.linalg.vector_norm(posed.vertices, dim=-1) < 500
    assert torch.equal(surface.vertex_valid(pose.valid), near)
    torch.testing.assert_close(posed.vertices[1, right], reference.vertices[1, right])
    torch.testing.assert_close(posed.vertices[0], reference.vertices[0])
    posed.vertices.square().mean().backward()
    assert torch.isfinite(pose.global_orient.grad).all()
    assert (pose.translation.grad[1, 0] == 0).all() and (pose.translation.grad[0] != 0).all()


def test_hands_in_the_wrong_order_and_missing_poses_are_refused() -> None:
    with pytest.raises(ValueError, match="left and the right hand in this order"):
        HandSurface([RIGHT, LEFT])
    with pytest.raises(ValueError, match="needs 2 poses"):
        HandSurface([LEFT, RIGHT]).pose(random_poses(hands=1), torch.zeros(10))
