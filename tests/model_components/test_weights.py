"""How much of a ray's color samples are."""

from __future__ import annotations

import math

import pytest
import torch

from nerfstudio_hands.model_components.weights import (
    density_weights,
    neus_weights,
    visible_samples,
    volsdf_density,
    zero_crossings,
)


def test_density_is_half_its_most_at_the_surface_and_lets_through_what_it_should():
    beta = torch.tensor(0.001)
    distance = torch.tensor([-1.0, 0.0, 1.0, -0.001, 0.001])
    expected = torch.tensor([1000.0, 500.0, 0.0, 1000 - 500 / math.e, 500 / math.e])
    torch.testing.assert_close(volsdf_density(distance, beta), expected)
    # A slab of constant density: the light that is left falls exponentially.
    weights = density_weights(torch.full((1, 50), 300.0), torch.full((1, 50), 1e-4))
    assert float(weights.sum()) == pytest.approx(1 - math.exp(-1.5), rel=1e-4)


@torch.no_grad()
def test_opacity_does_not_depend_on_the_spacing_of_samples():
    inverse_s = torch.tensor(1e-4)
    distance = torch.linspace(0.003, -0.003, 200)[None]
    for stride in (1, 20, 66):
        weights = neus_weights(distance[:, ::stride], torch.ones_like(distance[:, ::stride]).bool(), inverse_s)
        before = distance[:, ::stride] > 0.0
        assert weights.sum() == pytest.approx(1, abs=0.01)
        # What comes before the surface is the logistic distribution's upper half, to within a section.
        assert weights[before].sum() <= 0.5 + 1e-3
    # A ray that starts inside ends there; nothing hides what it meets on its way out.
    leaving = neus_weights(distance.flip(1), torch.ones_like(distance).bool(), inverse_s)
    assert leaving[0, 0] == pytest.approx(1) and leaving[0, 1:].abs().max() < 1e-6
    forearm = neus_weights(distance, torch.zeros_like(distance).bool(), inverse_s)
    assert forearm.abs().max() == 0


def test_where_a_section_crosses_the_surface():
    depth = torch.tensor([[1.0, 1.1, 1.3, 1.4, 1.4, 1.6]])
    distance = torch.tensor([[0.1, 0.06, -0.02, -0.1, -0.1, 0.1]], dtype=torch.float64, requires_grad=True)
    found = zero_crossings(depth.double(), distance)
    # Before it the nearer end, behind it too; where the ray leaves, and in a section of no length, the beginning.
    assert found.tolist()[0] == pytest.approx([1.0, 1.1, 1.25, 1.3, 1.4, 1.4])
    found[0, 2].backward()
    # Raising both ends alike pushes the crossing on by as much over the cosine of the angle, here 0.4.
    assert float(distance.grad[0, 1:3].sum()) == pytest.approx(1 / 0.4)


def test_samples_that_weigh_nothing_are_left_out_unless_they_are_drawn():
    weight = torch.tensor([[0.5, 0.0, 2e-3], [5e-4, 0.3, 0.0]])
    assert visible_samples(weight).tolist() == [0, 2, 4]
    drawn = visible_samples(weight, num_random=200)
    assert drawn.tolist() == [0, 1, 2, 3, 4, 5]
