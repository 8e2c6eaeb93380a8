"""Figures of held-out images, and images that show what they are taken of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.utils import colormaps
from torch import Tensor

from nerfstudio_hands.datamanagers.batch import ImageBatch
from nerfstudio_hands.evaluation.color_calibration import calibrate_colors
from nerfstudio_hands.evaluation.image_metrics import (
    COVERED,
    UNREGISTERED,
    Judged,
    hand_metrics,
    inner_metrics,
    predict,
    psnr,
    reduced,
    reduced_image,
    registered_metrics,
)
from nerfstudio_hands.labels import PixelLabel


def image_figures(
    outputs: dict[str, Tensor], batch: ImageBatch, *, shows_object: bool
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Figures of a held-out image and images to look at: `img` is truth, prediction with calibrated color, prediction
    as it is. Where nothing but a mask of our own tells the hand, each figure's name begins with `own_mask_`; where
    training saw smaller images, figures at its size begin with `reduced_`. Where the model shows what hands hold too,
    there are figures of that as well, and the image `parts`.

    Args:
        outputs: what the model shows.
        batch: the held-out image.
        shows_object: whether the model shows what hands hold too.
    """
    radiance, accumulation = outputs["radiance"], outputs["accumulation"]
    judged, inner = _judged(batch, radiance.device)
    prediction = predict(radiance, accumulation[..., 0], judged)
    figures = hand_metrics(prediction, judged) | inner_metrics(prediction, inner)
    scale = batch["training_scale"]
    if scale < 1:
        small = reduced(judged, scale)
        size = small.truth.shape[:2]
        lesser = predict(reduced_image(radiance, size), reduced_image(accumulation, size)[..., 0], small)  # pyright: ignore[reportArgumentType]
        figures |= {f"reduced_{key}": value for key, value in hand_metrics(lesser, small).items()}
    figures = {_key(key, batch): value for key, value in figures.items()}
    height, width = judged.truth.shape[:2]
    figures |= {"image_width": float(width), "image_height": float(height)}
    error = (prediction.calibrated * judged.counted[..., None] - judged.target).abs().mean(dim=-1, keepdim=True)
    truth = _with_object(judged, batch) if shows_object else judged.target
    images = {
        "img": torch.cat([truth, prediction.calibrated, prediction.rgb], dim=1),
        "truth": judged.truth,
        "prediction": prediction.rgb,
        "calibrated": prediction.calibrated,
        "region": judged.region[..., None].float(),
        "counted": judged.counted[..., None].float(),
        "drawn": prediction.drawn[..., None].float(),
        "error": colormaps.apply_colormap((error * 4).clamp(0, 1)),
        "accumulation": colormaps.apply_colormap(accumulation),
        "depth": colormaps.apply_depth_colormap(outputs["depth"], accumulation=accumulation),
        "normals": outputs["normals"] * accumulation,
    }
    if shows_object:
        figures |= object_figures(outputs, batch)
        images["parts"] = outputs["parts"]
    return figures, images


def registered_figures(
    outputs: dict[str, Tensor] | None, batch: ImageBatch, unturned: tuple[dict[str, float], dict[str, Tensor]]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Figures of a held-out image after its camera has been turned onto it, and the images that they are taken of.

    Args:
        outputs: what the model shows in the turned camera; None where it is not turned.
        batch: the held-out image.
        unturned: its `image_figures`.
    """
    figures, images = unturned
    if outputs is None:
        same = {_key(key, batch): _key(of, batch) for key, of in UNREGISTERED.items()}
        found = {key: figures[of] for key, of in same.items() if of in figures}
        return found, {"registered": images["calibrated"], "registered_drawn": images["drawn"]}
    radiance, accumulation = outputs["radiance"], outputs["accumulation"]
    judged, _ = _judged(batch, radiance.device)
    prediction = predict(radiance, accumulation[..., 0], judged)
    found = {_key(key, batch): value for key, value in registered_metrics(prediction, judged).items()}
    return found, {"registered": prediction.calibrated, "registered_drawn": prediction.drawn[..., None].float()}


def object_figures(outputs: dict[str, Tensor], batch: ImageBatch) -> dict[str, float]:
    """`object_psnr_calibrated` of the pixels of a held object, and `object_iou`; arguments as for `image_figures`."""
    accumulation, found = outputs["accumulation"][..., 0], outputs["object_accumulation"][..., 0]
    label, truth = batch["hand_label"][..., 0].to(found.device), batch["image"].to(found.device)
    held = label == PixelLabel.OBJECT
    known = held | (label == PixelLabel.HAND) | (label == PixelLabel.BACKGROUND)
    covered, either = held & (found > COVERED), held | (found > COVERED)
    calibrated = calibrate_colors(outputs["radiance"], truth, covered, accumulation)
    iou = float((covered & known).sum() / (either & known).sum().clamp(min=1))
    return {"object_psnr_calibrated": psnr(calibrated, truth, held), "object_iou": iou}


def _key(name: str, batch: ImageBatch) -> str:
    return f"own_mask_{name.replace('mask_', '')}" if batch["mask_is_own"] else name


def _judged(batch: ImageBatch, device: torch.device) -> tuple[Judged, Judged]:
    """The held-out image with the pixels that a prediction is judged by, and with those inside the fit."""
    mask, region, ignored, inner = (
        batch[f"hand_{name}"][..., 0].bool().to(device) for name in ("mask", "region", "ignored", "inner")  # pyright: ignore[reportGeneralTypeIssues]
    )
    truth = batch["image"].to(device)
    return Judged(truth, region, ~ignored), Judged(truth, inner, inner | ~mask)


def _with_object(judged: Judged, batch: ImageBatch) -> Float[Tensor, "H W 3"]:
    """Hand and object over black."""
    held = (batch["hand_label"] == PixelLabel.OBJECT)[..., 0].to(judged.region.device)
    return judged.truth * (judged.region | held)[..., None]
