"""What rendered pixels are compared with, and how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.labels import PixelLabel

SATURATION = 0.98
"""Pixel values from here on say only that the true color is at least as bright."""


@dataclass
class PixelTargets:
    """What R pixels of a batch should show.

    Attributes:
        color: their colors [R, 3].
        label: what each shows, see `labels.PixelLabel` [R].
        supervised: those that show what is modeled [R].
        known: these and background [R].
        opaque: whether each should be opaque; on the boundary as the mask has it [R].
        opacity_known: pixels of which that is known: `known`, and the boundary between hand and background [R].
    """

    color: Float[Tensor, "R 3"]
    label: Int[Tensor, "R"]
    supervised: Bool[Tensor, "R"]
    known: Bool[Tensor, "R"]
    opaque: Bool[Tensor, "R"]
    opacity_known: Bool[Tensor, "R"]

    @classmethod
    def of(cls, batch: RayBatch, labels: tuple[int, ...], device: torch.device | str) -> PixelTargets:
        """Targets of a batch, for a model that shows pixels of these labels."""
        label = batch["hand_label"].view(-1).to(device)
        supervised = supervised_mask(label, labels)
        known = supervised | (label == PixelLabel.BACKGROUND)
        boundary, in_mask = (batch[key].view(-1).to(device) for key in ("on_boundary", "in_mask"))
        return cls(
            batch["image"].to(device), label, supervised, known, supervised | (boundary & in_mask), known | boundary
        )

    def color_loss(self, predicted: Float[Tensor, "R 3"], delta: float) -> Float[Tensor, ""]:
        """Of the supervised pixels, see :func:`color_loss`."""
        return color_loss(predicted[self._supervised_rows], self.color[self._supervised_rows], delta)

    def opacity_loss(self, accumulation: Float[Tensor, "R 1"]) -> Float[Tensor, ""]:
        """Of all pixels of which it is known, see :func:`opacity_loss`."""
        rows = self.opacity_known.nonzero()[:, 0]
        return opacity_loss(accumulation.view(-1)[rows], self.opaque[rows])

    @cached_property
    def _supervised_rows(self) -> Int[Tensor, "N"]:
        # A mask as an index makes a GPU be waited for at every use, and once more in the backward pass.
        return self.supervised.nonzero()[:, 0]


def supervised_mask(label: Int[Tensor, "*R"], labels: tuple[int, ...]) -> Bool[Tensor, "*R"]:
    """Which pixels show what is modeled, by the labels of that."""
    found = label == labels[0]
    for other in labels[1:]:
        found = found | (label == other)
    return found


def color_loss(predicted: Float[Tensor, "N 3"], truth: Float[Tensor, "N 3"], delta: float) -> Float[Tensor, ""]:
    """Huber loss; where the truth is saturated only a darker prediction is wrong."""
    if not len(predicted):
        return predicted.sum()
    difference = predicted - truth
    difference = torch.where(truth >= SATURATION, difference.clamp(max=0), difference)
    return F.huber_loss(difference, torch.zeros_like(difference), delta=delta)


def opacity_loss(found: Float[Tensor, "N"], wanted: Bool[Tensor, "N"]) -> Float[Tensor, ""]:
    """Binary cross-entropy between opacity and mask."""
    return F.binary_cross_entropy(found.clamp(1e-4, 1 - 1e-4), wanted.to(found.dtype))


def patch_loss(
    network: nn.Module,
    predicted: Float[Tensor, "R 3"],
    truth: Float[Tensor, "R 3"],
    label: Int[Tensor, "R"],
    labels: tuple[int, ...],
    patch_size: int,
) -> Float[Tensor, ""]:
    """LPIPS between square patches over black; pixels that take no part are black in both.

    Args:
        network: LPIPS, see `evaluation.perceptual`.
        predicted: colors of the patches' pixels, one patch after the other.
        truth: the same of the images.
        label: what each pixel shows.
        labels: of what is modeled.
        patch_size: side of a patch in pixels.
    """
    shown = supervised_mask(label, labels)[:, None]
    known = shown | (label == PixelLabel.BACKGROUND)[:, None]
    patches = [
        (values * keep).view(-1, patch_size, patch_size, 3).permute(0, 3, 1, 2).clamp(0, 1) * 2 - 1
        for values, keep in ((predicted, known), (truth, shown))
    ]
    return network(*patches).mean()


def eikonal_loss(gradient: Float[Tensor, "N 3"]) -> Float[Tensor, ""]:
    """Mean squared difference between the length of a distance's gradient and one; zero without any."""
    return (gradient.norm(dim=-1) - 1).square().sum() / max(len(gradient), 1)


def penetration_loss(distance: Float[Tensor, "N"]) -> Float[Tensor, ""]:
    """Mean squared depth of points inside of what they have these signed distances from."""
    return distance.clamp(max=0).square().mean()


def attraction_loss(distance: Float[Tensor, "N"]) -> Float[Tensor, ""]:
    """Mean distance of points that are outside but nearer than one; others count as touching or as apart for good."""
    return torch.where((distance > 0) & (distance < 1), distance, 0.0).mean()
