"""Figures of forecasts, as papers on human motion give them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

HORIZONS = (80, 160, 320, 400, 560, 1000)
"""Milliseconds at which errors are given."""

PCK_METERS = torch.arange(1, 300) / 1000
"""Thresholds of the share of correct joints: 1 to 299 mm (MotionMixerConv)."""


def joint_errors(
    predicted: Float[Tensor, "*B J 3"], truth: Float[Tensor, "*B J 3"], *, relative: bool = False
) -> Float[Tensor, "*B J"]:
    """Distances of joints in metres; `relative` to the first joint, the wrist, of each."""
    if relative:
        predicted, truth = (joints - joints[..., :1, :] for joints in (predicted, truth))
    return (predicted - truth).norm(dim=-1)


def at_horizon(joints: Float[Tensor, "B N J 3"], milliseconds: float, fps: float) -> Float[Tensor, "B J 3"]:
    """Joints *at* a time after the last given frame, not averaged up to it; between two frames they go straight.

    Raises:
        ValueError: There are too few frames.
    """
    place = milliseconds / 1000 * fps - 1
    before = int(place + 1e-6)
    share = max(place - before, 0.0)
    if place < 0 or before + (share > 1e-6) >= joints.shape[1]:
        raise ValueError(f"{milliseconds} ms lie outside of {joints.shape[1]} frames at {fps} a second.")
    after = min(before + 1, joints.shape[1] - 1)
    return torch.lerp(joints[:, before], joints[:, after], share)


def mpjpe_at_horizons(
    predicted: Float[Tensor, "B N J 3"],
    truth: Float[Tensor, "B N J 3"],
    fps: float,
    *,
    horizons: Sequence[float] = HORIZONS,
    relative: bool = False,
) -> dict[float, float]:
    """Mean per-joint position error in millimetres at each horizon."""
    found = {}
    for horizon in horizons:
        pair = (at_horizon(joints, horizon, fps) for joints in (predicted, truth))
        found[horizon] = 1000 * float(joint_errors(*pair, relative=relative).mean())
    return found


def pck_auc(errors: Float[Tensor, "*B"]) -> float:
    """Area below the share of joints whose error in metres is at most a threshold, over thresholds of `PCK_METERS`."""
    ordered = errors.flatten().sort().values
    thresholds = PCK_METERS.to(ordered)
    shares = torch.searchsorted(ordered, thresholds, right=True) / len(ordered)
    return float(torch.trapezoid(shares, thresholds) / thresholds[-1])


def best_of(predicted: Float[Tensor, "K B N J 3"], truth: Float[Tensor, "B N J 3"]) -> Float[Tensor, "B N J 3"]:
    """Of K forecasts of each window the one that is nearest to the truth on average."""
    errors = joint_errors(predicted, truth).mean(dim=(-1, -2))
    return predicted[errors.argmin(dim=0), torch.arange(predicted.shape[1])]


def speed_spectrum(
    joints: Float[Tensor, "B N J 3"], fps: float, bands: Sequence[tuple[float, float]]
) -> tuple[Float[Tensor, " N"], list[float]]:
    """How fast joints move, and how their speed changes.

    Args:
        joints: Metres.
        fps: Frames a second.
        bands: Hertz, from and to.

    Returns:
        The mean speed of each frame but the first (metres a second), and the power of the fluctuation of speed in each
        band, (metres a second) squared.
    """
    speeds = joints.diff(dim=1).norm(dim=-1) * fps
    count = speeds.shape[1]
    window = torch.hann_window(count)[:, None]
    spectrum = torch.fft.rfft((speeds - speeds.mean(dim=1, keepdim=True)) * window, dim=1).abs() ** 2
    power = 2 * spectrum.mean(dim=(0, 2)) / (count * (window**2).sum())
    hertz = torch.fft.rfftfreq(count, 1 / fps)
    return speeds.mean(dim=(0, 2)), [float(power[(hertz >= low) & (hertz < high)].sum()) for low, high in bands]
