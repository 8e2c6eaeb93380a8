"""The network of signed distance: its starts, its derivatives, and speed where numbers are small."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.fields.signed_distance import SignedDistanceNetwork


def network(start: str, feature_dim: int = 0) -> SignedDistanceNetwork:
    torch.manual_seed(0)
    return SignedDistanceNetwork(
        feature_dim=feature_dim, out_features=4, hidden_dim=96, num_layers=3, frequencies=5, start=start
    )


def test_it_starts_as_a_sphere_whatever_else_is_known():
    places = torch.nn.functional.normalize(torch.randn(400, 3), dim=-1) * torch.linspace(0.3, 1.2, 400)[:, None]
    found, features = network("sphere", feature_dim=7)(places, torch.randn(400, 7))
    assert features.shape == (400, 4)
    assert torch.corrcoef(torch.stack([found, places.norm(dim=-1)]))[0, 1] > 0.995
    assert (found - (places.norm(dim=-1) - 0.5)).abs().mean() < 0.02


def test_it_starts_near_zero():
    found, _ = network("zero")(torch.rand(400, 3), torch.zeros(400, 0))
    assert found.abs().max() < 0.05 and found.std() > 0


@pytest.mark.parametrize("feature_dim", [0, 2])
def test_its_gradient_can_be_learned(feature_dim):
    model = network("sphere", feature_dim).double()
    places = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    known = torch.rand(6, feature_dim, dtype=torch.float64)
    (slope,) = torch.autograd.grad(model(places, known)[0].sum(), places, create_graph=True)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-6
        numeric = (model(places + step, known)[0] - model(places - step, known)[0]) / 2e-6
        assert torch.allclose(slope[:, axis], numeric, atol=1e-5)
    slope.square().sum().backward()
    gradients = [parameter.grad for name, parameter in model.named_parameters() if "bias" not in name]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)


def test_no_numbers_that_are_too_small_to_be_normal():
    model = network("sphere")
    values = model.encoding(torch.rand(2000, 3) * 4 - 2)
    for layer in model.layers[:-1]:
        values = torch.nn.functional.softplus(layer(values).clamp(min=-0.15), beta=100)
        assert values[values != 0].abs().min() > 1e-30
