"""Image metrics, over the whole frame and inside the hand region.

All pictures are float tensors [H, W, 3] with linear range [0, 1]; all figures are Python floats, as `ns-eval` writes
them. A figure that has no pixels to be taken over (no hand in view, say) is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from nerfstudio_hands.evaluation.color_calibration import CLIPPED, calibrate_colors
from nerfstudio_hands.evaluation.perceptual import MissingWeights, load_lpips, warn_once

COVERED = 0.5
"""From this accumulation on the model counts as having put something at a pixel."""
CROP_MARGIN = 8
"""Pixels round the hand that its crop holds, so that a hand that is drawn too thick is seen in it."""
MIN_CROP = 64
"""Side of the smallest picture that all layers of AlexNet's trunk and the 11-pixel window of SSIM take."""
UNREGISTERED = {
    "hand_psnr_registered": "hand_psnr_calibrated",
    "hand_lpips_registered": "hand_lpips_calibrated",
    "mask_iou_registered": "mask_iou",
}
"""Figures after a turn of the camera, and their like without it."""
METRIC_NET = "alex"
"""LPIPS is reported with the AlexNet trunk, which its authors recommend for evaluation; VGG is for losses."""


def psnr(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"] | None = None) -> float:
    """Peak signal-to-noise ratio, 20 log10(1 / RMSE) in dB, over all pixels or those of a mask.

    Equal pictures give 100 dB instead of infinity, so that averages stay finite. An empty mask gives NaN.
    """
    error = pred - truth if mask is None else (pred - truth)[mask]
    return float(-20 * torch.log10(error.square().mean().sqrt().clamp_min(1e-5)))


def ssim(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"]) -> float:
    """Structural similarity for range 1, Gaussian window of 11 pixels (Wang et al. 2004), averaged over the picture."""
    value = structural_similarity_index_measure(_planes(pred), _planes(truth), data_range=1.0)
    return float(cast(Tensor, value))


def lpips(pred: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"], net: str = METRIC_NET) -> float:
    """Learned perceptual distance (Zhang et al. 2018, version 0.1) of two pictures in [0, 1].

    The network takes [-1, 1]; the pictures are mapped to that here.

    Raises:
        MissingWeights: The trunk has not been fetched; the sentence says how to get it.
    """
    network = _lpips_network(net, pred.device)
    with torch.no_grad():
        return float(network(_planes(pred) * 2 - 1, _planes(truth) * 2 - 1))


def crop_to_mask(image: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"]) -> Float[Tensor, "h w 3"]:
    """Cuts out the bounding box of a mask with `CROP_MARGIN` pixels round it.

    A box smaller than `MIN_CROP` is grown to it, with black beyond the frame. The mask must not be empty.
    """
    rows, columns = torch.nonzero(mask.any(dim=1)).flatten(), torch.nonzero(mask.any(dim=0)).flatten()
    top, left = max(int(rows[0]) - CROP_MARGIN, 0), max(int(columns[0]) - CROP_MARGIN, 0)
    crop = image[top : int(rows[-1]) + 1 + CROP_MARGIN, left : int(columns[-1]) + 1 + CROP_MARGIN]
    grow_down, grow_right = max(0, MIN_CROP - crop.shape[0]), max(0, MIN_CROP - crop.shape[1])
    return torch.nn.functional.pad(crop, (0, 0, 0, grow_right, 0, grow_down))


@dataclass(frozen=True)
class Judged:
    """A held-out picture with what its pixels say about a prediction (`hand_region.evaluation_region`).

    Attributes:
        truth: The picture as photographed, with values of 8 bits.
        region: Pixels that show the modelled hand.
        counted: Pixels that say something: the region, and background.
    """

    truth: Float[Tensor, "H W 3"]
    region: Bool[Tensor, "H W"]
    counted: Bool[Tensor, "H W"]

    @property
    def target(self) -> Float[Tensor, "H W 3"]:
        """What a perfect prediction shows: the hand over black."""
        return self.truth * self.region[..., None]


@dataclass(frozen=True)
class Prediction:
    """What a model shows of a held-out picture, as figures are taken of it and as it is written: in 8 bits.

    Attributes:
        rgb: The prediction over black.
        calibrated: The same after `calibrate_colors` on the pixels of the region that it covers.
        drawn: Where its opacity is above `COVERED`.
    """

    rgb: Float[Tensor, "H W 3"]
    calibrated: Float[Tensor, "H W 3"]
    drawn: Bool[Tensor, "H W"]


def predict(radiance: Float[Tensor, "H W 3"], accumulation: Float[Tensor, "H W"], judged: Judged) -> Prediction:
    """The prediction as it is judged.

    Args:
        radiance: What the model shows over black; values above 1 are clamped after calibration.
        accumulation: Its opacity.
        judged: The picture that it predicts.
    """
    drawn = accumulation > COVERED
    calibrated = calibrate_colors(radiance, judged.truth, judged.region & drawn, accumulation)
    return Prediction(eight_bits(radiance), eight_bits(calibrated), drawn)


def eight_bits(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The values that a written picture has."""
    return (image.clamp(0, 1) * 255).round() / 255


def reduced_image(image: Float[Tensor, "H W C"], size: tuple[int, int]) -> Float[Tensor, "h w C"]:
    """The image at a smaller size (height, width), by area."""
    return torch.nn.functional.interpolate(_planes(image), size=size, mode="area")[0].permute(1, 2, 0)


def reduced(judged: Judged, scale: float) -> Judged:
    """The picture at a fraction of its size; a pixel counts where all of those that it came from do alike."""
    height, width = (round(side * scale) for side in judged.region.shape)
    size = (height, width)
    region, counted = (
        reduced_image(pixels[..., None].float(), size)[..., 0] for pixels in (judged.region, judged.counted)
    )
    whole, nothing = region > 0.999, region < 0.001
    return Judged(eight_bits(reduced_image(judged.truth, size)), whole, (counted > 0.999) & (whole | nothing))


def hand_metrics(prediction: Prediction, judged: Judged) -> dict[str, float]:
    """All figures of one held-out picture.

    Everything is compared with the hand over black: what is drawn where the picture shows background is wrong, and what
    is not drawn where it shows the hand. Pixels that say nothing (forearm, other hand, rim of the mask) are black in
    both.

    Full frame (`psnr`, `ssim`, `lpips`): over all pixels. Hand (`hand_*`): PSNR over all pixels that show the hand in
    truth or prediction; SSIM and LPIPS on the crop round the true hand with the rest black. Calibrated: after
    `calibrate_colors`; `_unsaturated` leaves out the pixels of the hand with a channel at `CLIPPED` or above.
    `mask_iou`: what is drawn against the hand. `hand_coverage`: the share of the hand where the model shows something.

    Returns:
        Figures by key; those of the hand are NaN where the region is empty. The keys with `lpips` are absent when the
        trunk of LPIPS has not been fetched.
    """
    return _metrics(prediction, judged, _shown(prediction, judged))


def calibrated_psnr(prediction: Prediction, judged: Judged) -> float:
    """`hand_psnr_calibrated` alone."""
    return psnr(prediction.calibrated * judged.counted[..., None], judged.target, _shown(prediction, judged))


def registered_metrics(prediction: Prediction, judged: Judged) -> dict[str, float]:
    """Figures of a prediction whose camera has been turned onto the picture; each has one of `UNREGISTERED` beside it.

    Args:
        prediction: By the turned camera.
        judged: The picture, and what its pixels say, as without the turn.
    """
    shown, region = _shown(prediction, judged), judged.region
    figures = {
        "hand_psnr_registered": calibrated_psnr(prediction, judged),
        "mask_iou_registered": _ratio(prediction.drawn & region, shown),
    }
    try:
        figures["hand_lpips_registered"] = _hand_lpips(prediction.calibrated, judged, shown)
    except MissingWeights:
        pass  # `hand_metrics`, which every picture goes through, has said so.
    return figures


def inner_metrics(prediction: Prediction, inner: Judged) -> dict[str, float]:
    """The same figures over the part of the hand that the fit projects to, as `inner_*`.

    They speak of colours inside the outline: what the fit misses of the hand is left out, and the hand is judged over
    that part alone, so that a hand that is too thin does not lose.

    Args:
        prediction: The prediction.
        inner: The picture with `hand_region.inner_region` as its region.
    """
    return {f"inner_{key}": value for key, value in _metrics(prediction, inner, inner.region).items()}


def _shown(prediction: Prediction, judged: Judged) -> Bool[Tensor, "H W"]:
    """Pixels that show the hand in the picture or in the prediction; none where the picture has no hand."""
    return (judged.region | (prediction.drawn & judged.counted)) & judged.region.any()


def _metrics(prediction: Prediction, judged: Judged, shown: Bool[Tensor, "H W"]) -> dict[str, float]:
    """The figures, those of the hand over the pixels in `shown`."""
    target, region = judged.target, judged.region
    drawn = prediction.drawn & judged.counted
    pred, calibrated = (image * judged.counted[..., None] for image in (prediction.rgb, prediction.calibrated))
    has_hand = bool(region.any())
    shown = shown & has_hand
    figures = {
        "psnr": psnr(pred, target),
        "ssim": ssim(pred, target),
        "hand_psnr": psnr(pred, target, shown),
        "hand_psnr_calibrated": psnr(calibrated, target, shown),
        "hand_psnr_calibrated_unsaturated": psnr(calibrated, target, shown & (target < CLIPPED).all(dim=-1)),
        "mask_iou": _ratio(drawn & region, drawn | region) if has_hand else float("nan"),
        "hand_coverage": _ratio(drawn & region, region),
        "hand_ssim": float("nan"),
    }
    if has_hand:
        figures["hand_ssim"] = ssim(*_crops(pred, judged, shown))
    try:
        figures["lpips"] = lpips(pred, target)
        figures["hand_lpips"] = _hand_lpips(pred, judged, shown)
        figures["hand_lpips_calibrated"] = _hand_lpips(calibrated, judged, shown)
    except MissingWeights as error:
        warn_once(f"LPIPS is left out of the evaluation: {error}")
    return figures


def _hand_lpips(image: Float[Tensor, "H W 3"], judged: Judged, shown: Bool[Tensor, "H W"]) -> float:
    return lpips(*_crops(image, judged, shown)) if judged.region.any() else float("nan")


def _crops(
    image: Float[Tensor, "H W 3"], judged: Judged, shown: Bool[Tensor, "H W"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]]:
    """Image and truth round the hand, where either shows it."""
    first, second = (crop_to_mask(pixels * shown[..., None], judged.region) for pixels in (image, judged.target))
    return first, second


@lru_cache(maxsize=4)
def _lpips_network(net: str, device: torch.device) -> torch.nn.Module:
    return load_lpips(net).to(device)


def _planes(image: Float[Tensor, "H W C"]) -> Float[Tensor, "1 C H W"]:
    return image.permute(2, 0, 1)[None]


def _ratio(part: Bool[Tensor, "H W"], whole: Bool[Tensor, "H W"]) -> float:
    return float(part.sum() / whole.sum())
