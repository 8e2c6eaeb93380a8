"""Subdivided hands inside a model: the offsets of the hand model under them, and the light cast at its vertices."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers.made_up_avatar import made_up_avatar

from nerfstudio_hands.geometry.light.transfer import light_transfer
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands


@pytest.fixture(scope="module")
def displacement() -> torch.Tensor:
    """Half a millimetre of noise on both hand models."""
    count = 2 * default_hand("right").num_vertices
    return 5e-4 * torch.randn(count, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hands(displacement) -> PosedFineHands:
    surface = HandSurface((default_hand("left"), default_hand("right")))
    pose = HandPose.rest(2, (2,))
    pose.local_rotations[1, :, 3:6, 2] = 0.5
    pose.translation[:, 1, 0] = 0.3
    avatar = made_up_avatar(surface, pose, frame_names=["a", "b"], camera_names=["00"])
    return PosedFineHands(replace(avatar, displacement=displacement), 1, refine=False)


def test_the_model_keeps_its_fitted_displacement_and_takes_what_was_learned(hands, displacement):
    torch.testing.assert_close(hands.model_offset, displacement, rtol=0, atol=1e-8)
    learned = torch.arange(hands.surface.num_vertices * 3).view(-1, 3) * 1e-9
    hands.set_offset(learned)
    fine = hands.surface.split_vertices(learned)
    coarse = hands.model_surface.split_vertices(hands.model_offset - displacement)
    hands.set_offset(None)
    for fine_part, part in zip(fine, coarse, strict=True):
        torch.testing.assert_close(part, fine_part[: len(part)], rtol=0, atol=1e-8)


def test_light_is_nearly_that_cast_at_every_vertex(hands):
    hands = copy.deepcopy(hands)
    hands.displacement.zero_()
    posed = hands.at_pose(hands.pose_of(torch.tensor([0, 1])))
    everywhere = light_transfer(posed.surfaces, posed.normals, num_levels=hands.light_levels, blocked=True)
    assert posed.light.shape == everywhere.shape
    assert (posed.light - everywhere).square().mean() < 0.1 * everywhere.square().mean()
    # The fingers that bend in the second pose shade the palm, so that a mix-up of the poses would show.
    assert (posed.light - everywhere.flip(0)).square().mean() > 2 * (posed.light - everywhere).square().mean()
