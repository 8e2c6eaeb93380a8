"""What a rendered image is compared with, where a whole image is rendered in a step."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.losses import patch_loss, supervised_mask

WINDOW_SIZE = 64
"""Side in pixels of the square that LPIPS looks at in a step."""


def coverage_loss(
    accumulation: Float[Tensor, "H W 1"],
    label: Int[Tensor, "H W 1"],
    labels: tuple[int, ...] = (PixelLabel.HAND,),
    *,
    on_boundary: Bool[Tensor, "H W 1"] | None = None,
    in_mask: Bool[Tensor, "H W 1"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared difference between coverage and mask, over pixels of which it is known.

    Args:
        accumulation: fraction of each pixel that what is modeled covers.
        label: what each pixel shows.
        labels: of what is modeled.
        on_boundary: where the mask itself says what labels leave open; nowhere by default.
        in_mask: the mask, for these.
    """
    target = supervised_mask(label, labels)
    known = target | (label == PixelLabel.BACKGROUND)
    if on_boundary is not None and in_mask is not None:
        target, known = target | (on_boundary & in_mask), known | on_boundary
    return (accumulation - target.to(accumulation.dtype))[known.nonzero(as_tuple=True)].square().mean()


def on_boundary_of(batch: RayBatch, device: torch.device) -> dict[str, Bool[Tensor, "H W 1"]]:
    """What masks say of the pixels along their boundaries, as `coverage_loss` takes it."""
    return {key: batch[key].to(device) for key in ("on_boundary", "in_mask")}


def part_loss(of_object: Float[Tensor, "H W 1"], label: Int[Tensor, "H W 1"]) -> Float[Tensor, ""]:
    """Mean squared difference between the object's part of coverage and its mask, over pixels of which it is known:
    hand before the object, or the other way round.

    Args:
        of_object: fraction of each pixel that shows the object.
        label: what each pixel shows.
    """
    known = (label != PixelLabel.IGNORE).nonzero(as_tuple=True)
    return (of_object - (label == PixelLabel.OBJECT).to(of_object.dtype))[known].square().mean()


def random_window(pixels: Bool[Tensor, "H W"], size: int) -> tuple[slice, slice]:
    """A square of this side round one of the pixels, moved into the image, which must be as large."""
    found = pixels.nonzero()
    middle = found[torch.randint(len(found), ())].tolist() if len(found) else [0, 0]
    starts = (min(max(at - size // 2, 0), limit - size) for at, limit in zip(middle, pixels.shape, strict=True))
    top, left = starts
    return slice(top, top + size), slice(left, left + size)


def perceptual_window_loss(
    network: nn.Module,
    predicted: Float[Tensor, "H W 3"],
    truth: Float[Tensor, "H W 3"],
    label: Int[Tensor, "H W 1"],
    labels: tuple[int, ...],
) -> Float[Tensor, ""]:
    """LPIPS in a random square of an image that shows the hand, see `patch_loss`; zero in a smaller image."""
    if min(label.shape[:2]) < WINDOW_SIZE:
        return predicted.new_zeros(())
    window = random_window((label == PixelLabel.HAND)[..., 0], WINDOW_SIZE)
    shown, wanted, kind = (part[window].flatten(0, 1) for part in (predicted, truth, label[..., 0]))
    return patch_loss(network, shown, wanted, kind, labels, WINDOW_SIZE)
