"""Drawn hands lie where they should, and every term of pictures is smallest where they do."""

from __future__ import annotations

import math

import pytest
import torch

from nerfstudio_hands.hand_model import gestures
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.model_components.bone_capsules import bone_capsules
from nerfstudio_hands.model_components.drawn_hand import (
    UNKNOWN,
    PhotometricTerms,
    clay_colors,
    drawn_hand,
    photometric_terms,
)
from nerfstudio_hands.model_components.hand_losses import collision_loss

SIZE = 64
INTRINSICS = torch.tensor([[100.0, 0.0, 32.0], [0.0, 100.0, 32.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def hand():
    return default_hand("right")


@pytest.fixture(scope="module")
def vertices(hand) -> torch.Tensor:
    rotation = torch.tensor([[math.pi / 2, 0.0, 0.0]])
    place = torch.tensor([[0.05, 0.0, 0.4]])
    return pose_hand(hand, rotation, torch.zeros(1, 15, 3), place, torch.zeros(1)).vertices[0]


def terms(vertices: torch.Tensor, hand, photograph: torch.Tensor, mask: torch.Tensor) -> PhotometricTerms:
    drawn = drawn_hand(vertices, hand.faces, clay_colors(vertices, hand.faces), INTRINSICS, (SIZE, SIZE))
    return photometric_terms(drawn, photograph, mask)


@pytest.fixture(scope="module")
def truth(hand, vertices) -> tuple[torch.Tensor, torch.Tensor]:
    """A photograph of the hand before noise, and its mask."""
    drawn = drawn_hand(vertices, hand.faces, clay_colors(vertices, hand.faces), INTRINSICS, (SIZE, SIZE))
    noise = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    photograph = (255 * drawn.over(noise)).round().byte().permute(2, 0, 1)
    return photograph, (drawn.covered[..., 0] > 0.5).byte()


@pytest.mark.parametrize("wrong", ["moved", "larger", "smaller"])
def test_a_hand_elsewhere_or_of_another_size_is_worse_in_every_term(hand, vertices, truth, wrong):
    middle = vertices.mean(0)
    changed = {
        "moved": vertices + torch.tensor([0.02, 0.01, 0.0]),
        "larger": middle + 1.15 * (vertices - middle),
        "smaller": middle + 0.85 * (vertices - middle),
    }[wrong]
    best, worse = terms(vertices, hand, *truth), terms(changed, hand, *truth)
    for name in ("silhouette", "photometric", "ssim"):
        assert getattr(worse, name) > 1.5 * getattr(best, name) + 1e-3, name


def test_the_outline_pulls_a_moved_hand_back(hand, vertices, truth):
    shift = torch.tensor([0.01, 0.0, 0.0], requires_grad=True)
    terms(vertices + shift, hand, *truth).silhouette.backward()
    assert shift.grad[0] > 0


def test_without_a_mask_nothing_is_learnt_of_where_the_hand_is(hand, vertices, truth):
    photograph, mask = truth
    unknown = torch.full_like(mask, UNKNOWN)
    drawn = drawn_hand(vertices, hand.faces, clay_colors(vertices, hand.faces), INTRINSICS, (SIZE, SIZE))
    found = photometric_terms(drawn, photograph, unknown)
    assert found.silhouette == 0
    assert found.photometric < 0.05
    # A hand over the background alone is seen to have the wrong colors.
    assert terms(vertices + torch.tensor([0.1, 0.0, 0.0]), hand, photograph, unknown).photometric > 0.1


def test_natural_poses_hardly_collide_and_fingers_in_each_other_do(hand):
    zero = torch.zeros(1, 3)
    rest = pose_hand(hand, zero, torch.zeros(1, 15, 3), zero, torch.zeros(1))
    bones, axes = bone_capsules(rest.keypoints[0], rest.vertices[0]), joint_axes(hand)
    assert (bones.radii[[3, 7, 11, 15, 19]] > 0.004).all() and (bones.radii < 0.02).all()

    def loss(angles) -> float:
        local = angles_to_rotations(axes, torch.as_tensor(angles).float() * (math.pi / 180))[None]
        joints = pose_hand(hand, zero, local, zero, torch.zeros(1)).keypoints
        return float(collision_loss(joints, bones.radii, bones.apart))

    natural = max(loss(pose) for pose in (gestures.FLAT, gestures.SPREAD, gestures.GRASP, gestures.FIST))
    crossed = torch.zeros(15, 3)
    crossed[0, 1], crossed[3, 1] = -20.0, 20.0  # index and middle finger spread into each other
    assert loss(crossed) > 5 * natural
