"""One gain and bias a channel between a prediction and a picture whose camera's exposure cannot be known."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CLIPPED = 0.99
"""From here on a truth pixel may have been brighter than the camera could record (253 of 255)."""
TUKEY_CUTOFF = 4.685
"""Residual in standard deviations from which Tukey's weight is zero, for 95 % efficiency (Holland and Welsch 1977)."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def calibrate_colors(
    pred: Float[Tensor, "H W 3"],
    truth: Float[Tensor, "H W 3"],
    mask: Bool[Tensor, "H W"],
    accumulation: Float[Tensor, "H W"] | None = None,
) -> Float[Tensor, "H W 3"]:
    """Applies the colour gain and bias per channel that bring a prediction closest to the truth, robustly.

    Cameras differ in exposure and an unseen camera's gain cannot be known, so it is taken from the evaluation picture
    itself. Plain least squares answers misplaced edges and saturation with a gain near zero and hence a flat colour.
    Here the fit starts from the ratio of spreads of the unsaturated pixels, weighs residuals by Tukey's function, does
    not hold it against a prediction that it exceeds a saturated truth pixel, and keeps the gain within a factor of two
    of the ratio of spreads.

    Args:
        pred: Prediction; values above 1 are allowed.
        truth: Truth.
        mask: Pixels that the fit uses: in the hand region, and covered by the model.
        accumulation: Opacity of the prediction over black; the bias is scaled by it, so that black stays black where
            the model shows nothing. None where the prediction is opaque everywhere.

    Returns:
        The calibrated prediction, clamped to [0, 1]; the prediction itself, clamped, where the mask is empty.
    """
    if not mask.any():
        return pred.clamp(0, 1)
    opacity = 1.0 if accumulation is None else accumulation
    channels = []
    for channel in range(3):
        gain, bias = _robust_line(pred[..., channel][mask].double(), truth[..., channel][mask].double())
        channels.append(gain * pred[..., channel] + bias * opacity)
    return torch.stack(channels, dim=-1).clamp(0, 1)


def _robust_line(x: Float[Tensor, " N"], y: Float[Tensor, " N"], iterations: int = 30) -> tuple[float, float]:
    """Gain and bias of y = gain x + bias by iteratively reweighted least squares, see `calibrate_colors`."""
    saturated = y >= CLIPPED
    open_x, open_y = (x[~saturated], y[~saturated]) if (~saturated).sum() >= 10 else (x, y)
    spread_x, spread_y = _spread(open_x), _spread(open_y)
    if spread_x < 1e-4 or spread_y < 1e-4:
        # A flat prediction (or truth) holds no information on the gain: the bias alone moves it to the truth's level.
        return 1.0, float((open_y - open_x).median())
    expected = float(spread_y / spread_x)
    gain, bias = expected, float(open_y.median() - expected * open_x.median())
    for _ in range(iterations):
        residual = y - gain * x - bias
        scale = MAD_TO_SIGMA * (open_y - gain * open_x - bias).abs().median().clamp_min(1e-3)
        weight = (1 - (residual / (TUKEY_CUTOFF * scale)).square()).clamp_min(0).square()
        # A saturated pixel only says that the truth is at least this bright.
        weight = weight * ~(saturated & (residual < 0))
        if weight.sum() < 1:
            break
        mean_x, mean_y = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
        variance = (weight * (x - mean_x).square()).sum().clamp_min(1e-12)
        slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / variance)
        new_gain = min(max(slope, expected / 2), expected * 2)
        new_bias = float(mean_y - new_gain * mean_x)
        settled = abs(new_gain - gain) + abs(new_bias - bias) < 1e-6
        gain, bias = new_gain, new_bias
        if settled:
            break
    return gain, bias


def _spread(values: Float[Tensor, " N"]) -> Tensor:
    """Robust standard deviation: from the median absolute deviation."""
    return MAD_TO_SIGMA * (values - values.median()).abs().median()
