"""The sRGB curve against points of the standard, and back."""

import torch

from nerfstudio_hands.transforms.color import linear_to_srgb, srgb_to_linear


def test_known_values():
    linear = torch.tensor([0.0, 0.001, 0.18, 0.5, 1.0, -0.1])
    # Lindbloom's calculator: codes of 0.18 and 0.5 are 118 and 188 of 255.
    expected = torch.tensor([0.0, 0.01292, 0.4613561, 0.7353570, 1.0, 0.0])
    assert torch.allclose(linear_to_srgb(linear), expected, atol=1e-6)


def test_round_trip_and_finite_gradients():
    linear = torch.linspace(1e-4, 1, 1001, dtype=torch.float64).requires_grad_()
    encoded = linear_to_srgb(linear)
    assert torch.allclose(srgb_to_linear(encoded), linear, atol=1e-7)
    encoded.sum().backward()
    assert linear.grad.isfinite().all() and (linear.grad > 0).all()
