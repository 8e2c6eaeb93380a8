"""Where rays are looked at."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.model_components.samplers import importance_sample, merge_samples, upsample


def test_samples_go_where_the_weight_is():
    depth = torch.linspace(1, 2, 11).expand(50, 11).contiguous()
    weights = torch.zeros(50, 10)
    weights[:, 6] = 1.0
    found = importance_sample(depth, weights, 20, torch.rand(50, 20))
    assert (found.diff(dim=1) >= 0).all() and found.min() >= 1 and found.max() <= 2
    share = ((found > 1.5) & (found < 1.8)).float().mean()
    assert share == pytest.approx(0.8 + 0.2 * 0.3, abs=0.05)
    even = importance_sample(depth, torch.zeros(50, 10), 10, 0.5)
    assert torch.allclose(even, torch.linspace(1.05, 1.95, 10).expand(50, 10), atol=1e-5)


def test_samples_of_both_are_in_order():
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(3, 4, generator=generator).sort(dim=1).values
    second = torch.rand(2, 3, generator=generator).sort(dim=1).values
    found = merge_samples(
        ShellSamples(torch.tensor([0, 2, 5]), first, first), ShellSamples(torch.tensor([2, 3]), second, second), 7
    )
    assert found.ray.tolist() == [0, 2, 3, 5]
    assert found.depth.shape == (4, 7) and (found.depth.diff(dim=1) >= 0).all()
    assert torch.equal(found.depth[1], torch.cat([first[1], second[0]]).sort().values)
    assert torch.equal(found.depth[0], torch.cat([first[0], first[0, -1:].expand(3)]))
    assert torch.allclose(found.width, found.depth.diff(dim=1, append=found.depth[:, -1:]))


def test_between_samples_values_are_linear():
    found = upsample(torch.tensor([[0.0, 1.0, 3.0]]), 4)
    assert found[0].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3])
