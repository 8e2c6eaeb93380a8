"""Rotations of any batch shape: thin names over roma. A rotation vector is the axis times the angle in radians."""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor

OPPOSITE = 1e-6
"""One plus the cosine below which two directions count as opposite: which way to turn is then arbitrary."""


def rotation_matrix(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Rodrigues' formula, smooth at zero.

    Ours and not `roma.rotvec_to_rotmat`, whose backward pass takes 1.6 to 1.8 times as long on a few hands' joints.

    Args:
        rotvec: Rotation vectors.
    """
    squared = (rotvec**2).sum(-1, keepdim=True).clamp_min(1e-16)
    angle = squared.sqrt()[..., None]
    cross = skew(rotvec)
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return identity + cross * (angle.sin() / angle) + cross @ cross * ((1 - angle.cos()) / angle**2)


def rotation_from_columns(turn: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation from two columns (Zhou et al., "On the continuity of rotation representations", CVPR 2019); 0 is I."""
    first = torch.nn.functional.normalize(turn[..., :3] + turn.new_tensor([1.0, 0.0, 0.0]), dim=-1)
    second = turn[..., 3:] + turn.new_tensor([0.0, 1.0, 0.0])
    second = torch.nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def rotation_vector(rotation: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3"]:
    """Rotation vectors, of length at most pi, of rotation matrices.

    Those in single precision are worked out in double precision from the nearest rotation, because a product in single
    precision is none to more than six digits.
    """
    if rotation.dtype == torch.float64:
        return roma.rotmat_to_rotvec(rotation)
    nearest = roma.special_procrustes(rotation.double(), method="svd")
    return roma.rotmat_to_rotvec(nearest).to(rotation.dtype)


def unit_quaternion(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4"]:
    """Unit quaternions (x, y, z, w)."""
    return roma.rotvec_to_unitquat(rotvec)


def matrix_quaternion(rotation: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 4"]:
    """Unit quaternions (x, y, z, w) of rotation matrices."""
    return roma.rotmat_to_unitquat(rotation)


def quaternion_matrix(quaternion: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation matrices of unit quaternions (x, y, z, w)."""
    return roma.unitquat_to_rotmat(quaternion)


def composed(*rotvecs: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """The rotation vector of a product of rotations; the last one acts first."""
    return roma.rotvec_composition(rotvecs, normalize=True)


def angle_between(first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B"]:
    """Angle in radians of the rotation from one to the other, both rotation vectors: their geodesic distance."""
    return roma.rotvec_geodesic_distance(first, second)


def slerp(
    first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"], fraction: Float[Tensor, "*B"]
) -> Float[Tensor, "*B 3"]:
    """Spherical linear interpolation (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985).

    The way is the shorter one, at constant angular velocity.

    Args:
        first: Rotation vectors at fraction 0.
        second: Rotation vectors at fraction 1.
        fraction: Place between the two, in [0, 1].

    Returns:
        Rotation vectors of length at most pi.
    """
    start, end = roma.rotvec_to_unitquat(first.double()), roma.rotvec_to_unitquat(second.double())
    whole = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(start), end))
    part = roma.rotvec_to_unitquat(fraction.double()[..., None] * whole)
    return roma.unitquat_to_rotvec(roma.quat_product(start, part)).to(first.dtype)


def rotation_between(source: Float[Tensor, "*B 3"], target: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """The rotation by the least angle that turns one direction into another.

    Opposite directions are turned into each other by a product of two mirrors, about an arbitrary axis.
    """
    source, target = (torch.nn.functional.normalize(vectors, dim=-1) for vectors in (source, target))
    # Halfway between them lies the normal of the second mirror; the first turns `source` round.
    half = source + target
    opposite = (half * half).sum(dim=-1, keepdim=True) < OPPOSITE
    half = torch.nn.functional.normalize(torch.where(opposite, _across(source), half), dim=-1)
    eye = torch.eye(3, dtype=source.dtype, device=source.device)
    first, second = (eye - 2 * normal[..., :, None] * normal[..., None, :] for normal in (source, half))
    return second @ first


def rigid_registration(
    source: Float[Tensor, "*B N 3"], target: Float[Tensor, "*B N 3"], weights: Float[Tensor, "*B N"] | None = None
) -> tuple[Float[Tensor, "*B 3 3"], Float[Tensor, "*B 3"]]:
    """Rotation and translation that lay points on others best, in the sense of least squares; never a mirror.

    Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976. Ours and not
    `roma.rigid_points_registration`, which takes twice as long for a few hands and knows no points without any weight;
    here these stay where they are.

    Args:
        source: Points.
        target: Where they should lie.
        weights: Of the points, not negative; all alike by default.
    """
    weights = torch.ones_like(source[..., 0]) if weights is None else weights
    source_mean, target_mean = (weighted_mean(points, weights)[..., None, :] for points in (source, target))
    u, _, v = torch.linalg.svd((weights[..., None] * (target - target_mean)).mT @ (source - source_mean))
    rotation = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ v)[..., None, None]], dim=-1) @ v
    return rotation, (target_mean - source_mean @ rotation.mT)[..., 0, :]


def weighted_mean(points: Float[Tensor, "*B N 3"], weights: Float[Tensor, "*B N"]) -> Float[Tensor, "*B 3"]:
    """Mean of points, zero where none has any weight."""
    total = weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
    return (points * weights[..., None]).sum(-2) / total


def skew(vectors: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Matrices whose product with a vector is the cross product of these with it."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def right_jacobian(rotvec: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """J with `R(v + d) = R(v) exp(J d)` to first order (Chirikjian, Stochastic Models 2, eq. 10.86)."""
    squared = (rotvec**2).sum(-1)[..., None, None]
    angle = squared.clamp_min(1e-12).sqrt()
    cross = skew(rotvec)
    small = squared < 1e-4
    first = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / angle**2)
    second = torch.where(small, 1 / 6 - squared / 120, (angle - angle.sin()) / angle**3)
    return torch.eye(3, dtype=rotvec.dtype, device=rotvec.device) - first * cross + second * (cross @ cross)


def _across(direction: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """Some direction at right angles."""
    axis = torch.nn.functional.one_hot(direction.abs().argmin(dim=-1), 3).to(direction)
    return torch.linalg.cross(direction, axis)
