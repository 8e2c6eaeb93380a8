from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from nerfstudio_hands.transforms.rotations import slerp


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.5, 3.0, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_scipys_slerp(scale: float, dtype: torch.dtype) -> None:
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(2, 50, 3)) * scale).astype(str(dtype).split(".")[1])
    fraction = random.uniform(size=50)
    ours = slerp(torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(fraction))
    assert ours.dtype == dtype
    for a, b, place, found in zip(first, second, fraction, ours.double().numpy(), strict=True):
        expected = Slerp([0.0, 1.0], Rotation.from_rotvec([a, b]))(place)
        apart = (expected.inv() * Rotation.from_rotvec(found)).magnitude()
        assert apart < (1e-6 if dtype == torch.float32 else 1e-9)


def test_ends_are_the_given_rotations_and_batches_keep_their_shape() -> None:
    first, second = torch.randn(2, 4, 5, 3, generator=torch.manual_seed(1)) * 0.5
    torch.testing.assert_close(slerp(first, second, torch.zeros(4, 5)), first)
    torch.testing.assert_close(slerp(first, second, torch.ones(4, 5)), second)


def test_goes_the_short_way_round() -> None:
    first, second = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[-3.0, 0.0, 0.0]])
    middle = slerp(first, second, torch.tensor([0.5]))
    assert abs(float(middle.norm()) - torch.pi) < 1e-6


def test_equal_rotations_stay() -> None:
    same = torch.tensor([[0.3, -0.2, 0.9], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(slerp(same, same, torch.full((2,), 0.3)), same)
