"""Rotations between rotations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SMALL_ANGLE = 1e-6
"""Radians below which sin(x)/x is 1 in double precision."""


def slerp(
    first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"], fraction: Float[Tensor, "*B"]
) -> Float[Tensor, "*B 3"]:
    """Spherical linear interpolation (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985).

    The way is the shorter one, at constant angular velocity.

    Args:
        first: Rotations at fraction 0, axis-angle in radians.
        second: Rotations at fraction 1.
        fraction: Place between the two, in [0, 1].

    Returns:
        Axis-angle in radians, of length at most pi.
    """
    start, end = _to_quaternion(first.double()), _to_quaternion(second.double())
    cosine = (start * end).sum(dim=-1, keepdim=True)
    # A quaternion and its negative are the same rotation; the nearer one of the two is the shorter way.
    end, cosine = torch.where(cosine < 0, -end, end), cosine.abs().clamp(max=1.0)
    angle = torch.arccos(cosine)
    place = fraction.double()[..., None]
    close = angle < SMALL_ANGLE
    sine = torch.where(close, torch.ones_like(angle), angle.sin())
    weights = [torch.where(close, share, (share * angle).sin() / sine) for share in (1 - place, place)]
    return _to_axis_angle(weights[0] * start + weights[1] * end).to(first.dtype)


def _to_quaternion(axis_angle: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4"]:
    """Unit quaternions, real part first."""
    half = axis_angle.norm(dim=-1, keepdim=True) / 2
    # torch's sinc(x) is sin(pi x) / (pi x).
    return torch.cat([half.cos(), axis_angle / 2 * torch.sinc(half / torch.pi)], dim=-1)


def _to_axis_angle(quaternion: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3"]:
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = quaternion[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    scale = torch.where(sine < SMALL_ANGLE, 2 * torch.ones_like(sine), angle / sine.clamp(min=SMALL_ANGLE))
    return quaternion[..., 1:] * scale
