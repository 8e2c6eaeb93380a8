"""Images of a capture, and what training learns of each of their pixels: hand, background, object, or nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset

from nerfstudio_hands.datamanagers.image_labels import training_labels
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.datamanagers.projected_hands import ProjectedHands, Projection
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size, read_image, read_mask, read_object_mask
from nerfstudio_hands.fitting.silhouettes.segmentation import cut_out_hands
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.transforms.pixel_distances import distance_to, distance_to_boundary

FULL_SIZE_DILATION = 6.0
"""Pixels by which the projected hand is dilated in images 1280 pixels wide: the misfit of a good registration, twice.
"""

FULL_SIZE_BOUNDARY = 2.0
"""Pixels on both sides of a mask's boundary, in images 1280 pixels wide, that take no part in training."""

JOINTS_MISFIT = 0.008
"""How far a hand that was fitted to joints alone may be off its image, metres: so far from its projection GrabCut looks
for the boundary."""

BLACKEST = 16
"""An image without any value from here on is black: a camera that dropped a frame."""


class TrainingImages(InputDataset):
    """Images at the size of their cameras, and labels of them for crops. An item is the image alone: training takes its
    labels from the crops, and the viewer, which shows the images, none.

    A capture that comes without any mask gets masks of our own.
    """

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        self.hands = ProjectedHands(self.metadata["hands"], self.cameras)
        self.masks: list[ImageMasks] = self.metadata["masks"]

    @cached_property
    def has_masks(self) -> bool:
        """Whether the capture, or its fit, brings a mask of any image."""
        return any(masks.given is not None or masks.segmented is not None for masks in self.masks)

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        """The image [H, W, 3], reduced by area averaging to the size of its camera; black where it cannot be read."""
        width, height = self.hands.size(image_idx)
        try:
            image = read_image(self.image_filenames[image_idx])
        except HandsError:
            return np.zeros((height, width, 3), dtype=np.uint8)
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    def labels(self, index: int, image: UInt8[np.ndarray, "H W 3"]) -> PixelLabels:
        """Labels of an image, which is given because it has been read already; may be called from several threads."""
        unknown = np.full(image.shape[:2], PixelLabel.IGNORE, dtype=np.uint8)
        if image.max() < BLACKEST:
            return PixelLabels.without_region(unknown, MaskSource.NO_IMAGE)
        hands, held = self.hands.project(index), self._held(index)
        if held is not None:
            hands = hands.behind(held)
        if self.has_masks:
            found = self._labels_of_given_mask(index, hands)
        elif hands.seen.any():
            found = self._labels_of_own_mask(index, hands, image)
        else:
            found = PixelLabels.without_region(unknown, MaskSource.NO_HAND)
        return found if held is None else self._with_object(index, found, held)

    def _labels_of_given_mask(self, index: int, hands: Projection) -> PixelLabels:
        sides, dilation = hands.sides, self._dilation(index)
        verdict, own = self.masks[index].verdict, self.masks[index].segmented
        coverage = np.zeros_like(sides, dtype=np.float32)
        if self.masks[index].given is not None:
            coverage = self._coverage(index, self.masks[index].given, inverted=self.masks[index].inverted)  # pyright: ignore[reportArgumentType]
            if own is None and not coverage.any():
                # Neither the capture nor the fit finds a hand where it should be.
                unknown = np.full_like(sides, PixelLabel.IGNORE, dtype=np.uint8)
                return PixelLabels.without_region(unknown, MaskSource.NO_HAND)
        evaluated = coverage if verdict != "useless" else np.zeros_like(coverage)
        own = None if own is None else reduced(own, *self.hands.size(index)) > 0.5
        mask = evaluated > 0.5 if verdict == "good" or own is None else own
        options = {"dilation": dilation, "modeled_sides": self.hands.modeled, "erosion": dilation}
        if not mask.any():
            label = training_labels(None, sides, **options)
            return self._judged(index, label, evaluated, hands, MaskSource.CAPTURE)
        label = training_labels(mask, sides, margin=dilation, **options)
        doubtful = self._leave_out_boundary(index, label, mask, hands, own)
        self._leave_out_arm(label, hands, dilation)
        return replace(self._judged(index, label, evaluated, hands, MaskSource.CAPTURE), doubtful=doubtful)

    def _labels_of_own_mask(self, index: int, hands: Projection, image: UInt8[np.ndarray, "H W 3"]) -> PixelLabels:
        sides, dilation, modeled = hands.sides, self._dilation(index), self.hands.modeled
        reach = max(2 * dilation, JOINTS_MISFIT * hands.pixels)
        mask = cut_out_hands(image, sides, hands.forearm, band=reach)
        source = MaskSource.PROJECTION if mask is None else MaskSource.GRABCUT
        doubtful = None
        if mask is None:
            mask = hands.seen
            label = training_labels(None, sides, dilation=dilation, modeled_sides=modeled, erosion=dilation)
            label[distance_to(mask) > reach] = PixelLabel.BACKGROUND
        else:
            label = training_labels(
                mask, sides, dilation=reach, modeled_sides=modeled, margin=dilation, erosion=dilation
            )
            doubtful = self._leave_out_boundary(index, label, mask, hands)
        self._leave_out_arm(label, hands, dilation)
        return replace(self._judged(index, label, mask.astype(np.float32), hands, source), doubtful=doubtful)

    def _judged(
        self,
        index: int,
        label: UInt8[np.ndarray, "H W"],
        coverage: Float[np.ndarray, "H W"],
        hands: Projection,
        source: MaskSource,
    ) -> PixelLabels:
        """Labels with what figures are taken over, from how much of each pixel the mask covers: here nothing."""
        return PixelLabels.without_region(label, source, coverage > 0.5)

    def _with_object(self, index: int, found: PixelLabels, held: Bool[np.ndarray, "H W"]) -> PixelLabels:
        """The labels with the object, whose boundary belongs to nothing, over them.

        The mask has it too: as with a forearm, what the mask shows beyond the region does not count in an evaluation.
        """
        boundary = distance_to_boundary(held) < self._boundary(index)
        found.label[held] = PixelLabel.OBJECT
        found.label[boundary] = PixelLabel.IGNORE
        near = held | boundary
        return replace(
            found,
            mask=found.mask | held,
            region=found.region & ~near,
            ignored=found.ignored | near,
            inner=found.inner & ~held,
        )

    def _held(self, index: int) -> Bool[np.ndarray, "H W"] | None:
        """Where the object is seen; None without a mask of it."""
        path = self.masks[index].held_object
        if path is None:
            return None
        mask = read_object_mask(path, image_size(self.image_filenames[index]))
        return reduced(mask, *self.hands.size(index)) > 0.5

    @staticmethod
    def _leave_out_arm(label: UInt8[np.ndarray, "H W"], hands: Projection, dilation: float) -> None:
        """A mask may end at the wrist; the arm in the image does not."""
        if not hands.forearm.any():
            return
        behind_wrist = distance_to(hands.forearm) <= distance_to(hands.seen) + dilation
        label[behind_wrist & (label == PixelLabel.BACKGROUND)] = PixelLabel.IGNORE

    def _leave_out_boundary(
        self,
        index: int,
        label: UInt8[np.ndarray, "H W"],
        mask: Bool[np.ndarray, "H W"],
        hands: Projection,
        other: Bool[np.ndarray, "H W"] | None = None,
    ) -> Bool[np.ndarray, "H W"]:
        """Takes out of the labels where a mask is contradicted, by the hands or another mask, which is returned, and
        its boundary."""
        # What the projected hand covers wholly is never called empty: masks have holes and miss bright edges.
        doubtful = hands.whole & ~mask
        if other is not None:
            # Two masks of the same image: where they disagree, one has swallowed background, or lost a finger.
            doubtful |= mask != other
        # On the boundary of a mask a pixel shows hand and background, and the boundary is a pixel or two off.
        label[doubtful | (distance_to_boundary(mask) < self._boundary(index))] = PixelLabel.IGNORE
        return doubtful

    def _boundary(self, index: int) -> float:
        return max(1.0, FULL_SIZE_BOUNDARY * self.hands.size(index)[0] / 1280)

    def _dilation(self, index: int) -> float:
        return max(2.0, FULL_SIZE_DILATION * self.hands.size(index)[0] / 1280)

    def _coverage(self, index: int, path: Path, *, inverted: bool = False) -> Float[np.ndarray, "H W"]:
        """Fraction of each pixel that a mask covers."""
        mask = read_mask(path, image_size(self.image_filenames[index]), inverted=inverted)
        return reduced(mask, *self.hands.size(index))


def reduced(mask: Bool[np.ndarray, "h w"], width: int, height: int) -> Float[np.ndarray, "H W"]:
    """Fraction of each pixel of a smaller image that a mask covers."""
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
