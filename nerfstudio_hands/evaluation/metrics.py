"""Image metrics, over the whole frame and inside the hand region.

All pictures are float tensors [H, W, 3] with linear range [0, 1]; all figures are Python floats, as `ns-eval` writes
them. A figure that has no pixels to be taken over (no hand in view, say) is NaN.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from nerfstudio_hands.evaluation.perceptual import MissingWeights, load_lpips, say_once

SATURATED = 0.99
"""From here on a truth pixel may have been brighter than the camera could record (253 of 255)."""
COVERED = 0.5
"""From this accumulation on the model counts as having put something at a pixel."""
SMALLEST_CROP = 64
"""Side of the smallest picture that all layers of AlexNet's trunk and the 11-pixel window of SSIM take."""
METRIC_NET = "alex"
"""LPIPS is reported with the AlexNet trunk, which its authors recommend for evaluation; VGG is for losses."""
TUKEY_CUTOFF = 4.685
"""Residual in standard deviations from which Tukey's weight is zero, for 95 % efficiency (Holland and Welsch 1977)."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def psnr(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"] | None = None) -> float:
    """Peak signal-to-noise ratio, 20 log10(1 / RMSE) in dB, over all pixels or those of a mask.

    Equal pictures give 100 dB instead of infinity, so that averages stay finite. An empty mask gives NaN.
    """
    error = pred - truth if mask is None else (pred - truth)[mask]
    return float(-20 * torch.log10(error.square().mean().sqrt().clamp_min(1e-5)))


def ssim(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"]) -> float:
    """Structural similarity for range 1, Gaussian window of 11 pixels (Wang et al. 2004), averaged over the picture."""
    value = structural_similarity_index_measure(_planes(pred), _planes(truth), data_range=1.0)
    return float(value)


def lpips(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"], net: str = METRIC_NET) -> float:
    """Learned perceptual distance (Zhang et al. 2018, version 0.1) of two pictures in [0, 1].

    The network takes [-1, 1]; the pictures are mapped to that here.

    Raises:
        MissingWeights: The trunk has not been fetched; the sentence says how to get it.
    """
    network = _lpips_network(net, pred.device)
    with torch.no_grad():
        return float(network(_planes(pred) * 2 - 1, _planes(truth) * 2 - 1))


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


def crop_to_mask(image: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"]) -> Float[Tensor, "h w 3"]:
    """Cuts out the bounding box of a mask, black outside the mask.

    A box smaller than `SMALLEST_CROP` is grown to it, with black beyond the frame. The mask must not be empty.
    """
    rows, columns = torch.nonzero(mask.any(dim=1)).flatten(), torch.nonzero(mask.any(dim=0)).flatten()
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    crop = (image * mask[..., None])[top:bottom, left:right]
    grow_down, grow_right = max(0, SMALLEST_CROP - crop.shape[0]), max(0, SMALLEST_CROP - crop.shape[1])
    return torch.nn.functional.pad(crop, (0, 0, 0, grow_right, 0, grow_down))


def hand_metrics(
    pred_rgb: Float[Tensor, "H W 3"],
    pred_accumulation: Float[Tensor, "H W *one"],
    truth_rgb: Float[Tensor, "H W 3"],
    mask: Bool[Tensor, "H W"],
    region: Bool[Tensor, "H W"],
) -> dict[str, float]:
    """All figures of one held-out picture.

    Full frame (`psnr`, `ssim`, `lpips`): the background is black in truth and prediction. What the mask shows beyond
    the hand region (forearm, other hand) is black in both; anything the model puts where the mask is empty counts
    against it. Hand (`hand_*`): PSNR over all pixels of the region, covered or not; SSIM and LPIPS on its crop with
    the rest black. Calibrated: after `calibrate_colors` on the covered pixels of the region; `_unsaturated` leaves out
    the truth pixels with a channel at `SATURATED` or above. `mask_iou`: predicted against true hand, forearm and other
    hand left out. `hand_coverage`: the share of the region where the model shows something.

    Args:
        pred_rgb: Prediction composited over black. Values above 1 are clamped after calibration.
        pred_accumulation: Its opacity, [H, W] or [H, W, 1].
        truth_rgb: The picture as photographed.
        mask: The capture's mask.
        region: The hand region (`hand_region.hand_region`), a subset of the mask.

    Returns:
        Figures by key. The keys with `lpips` are absent when the trunk of LPIPS has not been fetched.
    """
    accumulation = pred_accumulation.reshape(mask.shape)
    mask, region = mask.to(pred_rgb.device), region.to(pred_rgb.device)
    truth_rgb = truth_rgb.to(pred_rgb.device)
    covered = accumulation > COVERED
    counted = region | ~mask

    pred = pred_rgb.clamp(0, 1)
    frame_pred, frame_truth = pred * counted[..., None], truth_rgb * region[..., None]
    calibrated = calibrate_colors(pred_rgb, truth_rgb, region & covered, accumulation)
    unsaturated = region & (truth_rgb < SATURATED).all(dim=-1)
    figures = {
        "psnr": psnr(frame_pred, frame_truth),
        "ssim": ssim(frame_pred, frame_truth),
        "hand_psnr": psnr(pred, truth_rgb, region),
        "hand_psnr_calibrated": psnr(calibrated, truth_rgb, region),
        "hand_psnr_calibrated_unsaturated": psnr(calibrated, truth_rgb, unsaturated),
        "mask_iou": _ratio(covered & region, (covered | region) & counted),
        "hand_coverage": _ratio(covered & region, region),
    }
    has_hand = bool(region.any())
    pred_crop, calibrated_crop, truth_crop = (
        crop_to_mask(image, region) if has_hand else None for image in (pred, calibrated, truth_rgb)
    )
    figures["hand_ssim"] = ssim(pred_crop, truth_crop) if has_hand else float("nan")
    try:
        figures["lpips"] = lpips(frame_pred, frame_truth)
        figures["hand_lpips"] = lpips(pred_crop, truth_crop) if has_hand else float("nan")
        figures["hand_lpips_calibrated"] = lpips(calibrated_crop, truth_crop) if has_hand else float("nan")
    except MissingWeights as error:
        say_once(f"LPIPS is left out of the evaluation: {error}")
    return figures


@lru_cache(maxsize=4)
def _lpips_network(net: str, device: torch.device) -> torch.nn.Module:
    return load_lpips(net).to(device)


def _planes(image: Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 H W"]:
    return image.permute(2, 0, 1)[None]


def _ratio(part: Bool[Tensor, "H W"], whole: Bool[Tensor, "H W"]) -> float:
    return float(part.sum() / whole.sum())


def _robust_line(x: Float[Tensor, " N"], y: Float[Tensor, " N"], iterations: int = 30) -> tuple[float, float]:
    """Gain and bias of y = gain x + bias by iteratively reweighted least squares, see `calibrate_colors`."""
    saturated = y >= SATURATED
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
