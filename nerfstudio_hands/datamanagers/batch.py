"""What data managers hand to models beside rays and cameras. Both records are plain dictionaries, as nerfstudio wants
them, in which every key is always there."""

from __future__ import annotations

from typing import Tuple, TypedDict

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

LABEL_KEYS = ("hand_label", "hand_mask", "hand_region", "hand_ignored", "hand_inner")
"""Images of an `ImageBatch` that stay in the memory of the processor."""


class RayBatch(TypedDict):
    """Pixels of training images, each with the ray of the same place: R single ones, or a whole crop of h*w.

    Attributes:
        image: Colours in [0, 1].
        hand_label: A `labels.PixelLabel` each.
        in_mask: Whether the mask shows hand there, or what it holds; on a boundary the label leaves that open.
        on_boundary: Whether the pixel lies between hand and background, where the mask is asked which of them it shows;
            a single one, whether it was drawn for that.
        indices: Index of the image, y and x.
        grid: What the rays' axes are: (R,), or (h, w) of a crop, whose `indices` run row by row.
        num_patch_rays: How many of the last rays form square patches, row by row, one after the other.
        patch_size: Side of a patch in pixels.
    """

    image: Float[Tensor, "*grid 3"]
    hand_label: UInt8[Tensor, "*grid 1"]
    in_mask: Bool[Tensor, "*grid 1"]
    on_boundary: Bool[Tensor, "*grid 1"]
    indices: Int[Tensor, "R 3"]
    grid: Tuple[int, ...]
    num_patch_rays: int
    patch_size: int


class ImageBatch(TypedDict):
    """A held-out image with its labels.

    Attributes:
        image: Colours in [0, 1].
        image_idx: Its index in the data set.
        hand_label: A `labels.PixelLabel` each.
        hand_mask: The mask of the capture, all false where it is unusable, with the object's.
        hand_region: The hand, by which a prediction is judged.
        hand_ignored: Pixels that say nothing about a prediction.
        hand_inner: The part of the hand that the fit projects to.
        mask_is_own: Whether the mask was cut by ourselves, with the fit as its seed.
        training_scale: Size of the training's images over this one's, at most 1.
    """

    image: Float[Tensor, "H W 3"]
    image_idx: int
    hand_label: UInt8[Tensor, "H W 1"]
    hand_mask: Bool[Tensor, "H W 1"]
    hand_region: Bool[Tensor, "H W 1"]
    hand_ignored: Bool[Tensor, "H W 1"]
    hand_inner: Bool[Tensor, "H W 1"]
    mask_is_own: bool
    training_scale: float
