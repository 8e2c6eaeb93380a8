"""Overlap of solids whose intersection is known."""

import math

import pytest
import trimesh
from helpers.shapes import ball, hand_mesh, mesh_of

from nerfstudio_hands.evaluation.penetration import penetration
from nerfstudio_hands.hand_model import default_hand


@pytest.mark.parametrize("distance", [0.05, 0.065, 0.09])
def test_two_spheres_overlap_in_a_lens(distance):
    a, b = 0.04, 0.03
    found = penetration(ball(a), ball(b, (0.6 * distance, 0.0, 0.8 * distance)))
    depth = max(a + b - distance, 0)
    # Weisstein, "Sphere-sphere intersection", MathWorld.
    lens = math.pi * depth**2 * (distance**2 + 2 * distance * (a + b) - 3 * (a - b) ** 2) / (12 * distance)
    assert found.depth == pytest.approx(depth * 1e3, abs=0.1)
    assert found.volume == pytest.approx(lens * 1e6, rel=0.02, abs=1e-9)


def test_the_volume_of_an_open_hand_in_a_box_agrees_with_trimesh():
    hand = default_hand("right")
    low, high = hand.template.amin(0).numpy(), hand.template.amax(0).numpy()
    box = trimesh.creation.box(bounds=[low - 0.01, [low[0] + 0.05, *(high[1:] + 0.01)]])
    closed = trimesh.Trimesh(hand.template, hand.faces, process=False)
    # Cut off the fingertips: trimesh caps the cut, the wrist is beyond it.
    tips = closed.slice_plane([low[0] + 0.05, 0, 0], [-1, 0, 0], cap=True)
    assert penetration(hand_mesh(), mesh_of(box)).volume == pytest.approx(tips.volume * 1e6, rel=0.01)


def test_what_is_apart_shares_nothing():
    far = ball(0.05, (1.0, 0.0, 0.0))
    assert penetration(ball(0.05), far) == penetration(far, ball(0.05))
    assert penetration(ball(0.05), far).volume == penetration(ball(0.05), far).depth == 0.0
