"""Rotations against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from nerfstudio_hands.transforms.rotations import (
    angle_between,
    composed,
    right_jacobian,
    rigid_registration,
    rotation_between,
    rotation_matrix,
    rotation_vector,
    slerp,
    unit_quaternion,
)


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


def test_conversions_are_scipys() -> None:
    rotvec = np.random.default_rng(0).normal(size=(4, 25, 3))
    expected = Rotation.from_rotvec(rotvec.reshape(-1, 3))
    found = torch.from_numpy(rotvec)
    matrix = rotation_matrix(found)
    np.testing.assert_allclose(matrix.reshape(-1, 3, 3).numpy(), expected.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_vector(matrix).reshape(-1, 3).numpy(), expected.as_rotvec(), atol=1e-9)
    quaternion = unit_quaternion(found).reshape(-1, 4).numpy()
    np.testing.assert_allclose(abs((quaternion * expected.as_quat()).sum(-1)), 1, atol=1e-12)
    first, second = expected[:50], expected[50:]
    product = composed(found[:2], found[2:])
    np.testing.assert_allclose(product.reshape(-1, 3).numpy(), (first * second).as_rotvec(), atol=1e-9)
    apart = angle_between(found[:2], found[2:])
    np.testing.assert_allclose(apart.flatten().numpy(), (first.inv() * second).magnitude(), atol=1e-9)


def test_matrix_of_no_rotation_has_the_derivative_of_the_cross_product() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    derivative = torch.autograd.functional.jacobian(rotation_matrix, zero)
    vector = torch.tensor([0.3, -0.7, 0.2], dtype=torch.float64)
    step = torch.tensor([0.5, 0.1, -0.4], dtype=torch.float64)
    torch.testing.assert_close(derivative @ step @ vector, torch.linalg.cross(step, vector))


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.5])
def test_right_jacobian_is_the_derivative(scale: float) -> None:
    rotvec = scale * torch.tensor([0.6, -0.3, 0.9], dtype=torch.float64)
    found = right_jacobian(rotvec)
    for k, step in enumerate(1e-6 * torch.eye(3, dtype=torch.float64)):
        ahead, behind = rotation_matrix(rotvec + step), rotation_matrix(rotvec - step)
        change = rotation_vector(behind.mT @ ahead) / 2e-6
        torch.testing.assert_close(found[:, k], change, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_registration_agrees_with_scipy_and_never_mirrors(mirrored: bool) -> None:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(6, 9, 3))
    shift = generator.normal(size=(6, 1, 3))
    target = np.stack([Rotation.random(random_state=k).apply(points) for k, points in enumerate(source)]) + shift
    target += 0.05 * generator.normal(size=target.shape)
    if mirrored:
        target[..., 0] *= -1
    weights = generator.uniform(0.5, 2, (6, 9))
    rotation, translation = rigid_registration(*(torch.from_numpy(values) for values in (source, target, weights)))
    means = [np.average(points, axis=1, weights=np.repeat(weights[..., None], 3, -1)) for points in (source, target)]
    expected = [
        Rotation.align_vectors(t - t_mean, s - s_mean, weights=w)[0].as_matrix()
        for t, s, w, s_mean, t_mean in zip(target, source, weights, *means, strict=True)
    ]
    torch.testing.assert_close(rotation, torch.from_numpy(np.stack(expected)), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(6, dtype=torch.float64))
    carried = (rotation @ torch.from_numpy(means[0])[..., None])[..., 0] + translation
    torch.testing.assert_close(carried, torch.from_numpy(means[1]))


def test_points_without_weight_stay_where_they_are() -> None:
    rotation, translation = rigid_registration(torch.randn(2, 5, 3), torch.randn(2, 5, 3), torch.zeros(2, 5))
    assert torch.equal(rotation, torch.eye(3).expand(2, 3, 3))
    assert not translation.any()


def test_the_smallest_rotation_turns_by_the_angle_between():
    source, target = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotation = rotation_between(source, target)
    source, target = (torch.nn.functional.normalize(v, dim=-1) for v in (source, target))
    assert torch.allclose((rotation @ source[..., None])[..., 0], target, atol=1e-9)
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    assert torch.allclose(cosine, (source * target).sum(-1), atol=1e-9)
    opposite = rotation_between(source, -source)
    assert torch.allclose((opposite @ source[..., None])[..., 0], -source, atol=1e-9)
    assert torch.allclose(torch.det(opposite), torch.ones(100, dtype=torch.float64))
