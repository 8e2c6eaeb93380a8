"""Rotations against scipy's, also where a mirror would fit better."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.transforms.nearest_rotation import nearest_rotation


@pytest.mark.parametrize("mirrored", [False, True])
def test_agrees_with_scipy_and_never_mirrors(mirrored: bool) -> None:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(6, 9, 3))
    target = np.stack([Rotation.random(random_state=k).apply(points) for k, points in enumerate(source)])
    target += 0.05 * generator.normal(size=target.shape)
    if mirrored:
        target[..., 0] *= -1
    weights = generator.uniform(0.5, 2, (6, 9, 1))
    covariance = torch.from_numpy(np.swapaxes(weights * target, 1, 2) @ source)
    found = nearest_rotation(covariance)
    expected = [
        Rotation.align_vectors(t, s, weights=w[:, 0])[0].as_matrix()
        for t, s, w in zip(target, source, weights, strict=True)
    ]
    torch.testing.assert_close(found, torch.from_numpy(np.stack(expected)), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(6, dtype=torch.float64))
