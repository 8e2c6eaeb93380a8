"""Whole crops of hands, one a batch: for models that render pictures, not single rays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Type

import numpy as np
import torch

from nerfstudio_hands.datamanagers.crop_cache import IN_MASK, LABEL, CropCache
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSampler, HandPixelSamplerConfig, pixel_values


@dataclass
class PictureSamplerConfig(HandPixelSamplerConfig):
    """Draws a picture's whole crop at a time."""

    _target: Type = field(default_factory=lambda: PictureSampler)
    """target class to instantiate"""


class PictureSampler(HandPixelSampler):
    """Draws every picture that shows the hand once, in random order, then again in another order."""

    config: PictureSamplerConfig

    def start_with(self, crops: CropCache) -> None:
        super().start_with(crops)
        self._order: List[int] = []

    def sample(self, image_batch: CropCache) -> Dict:
        """Draws a crop.

        Args:
            image_batch: the crops to draw from.

        Returns:
            `indices` [h*w, 3] (row, y, x), row by row, `grid` (h, w), `image` [h, w, 3], `hand_label` [h, w, 1] and
            `in_mask` [h, w, 1], which knows what a label leaves open along the outline.

        Raises:
            HandsError: no picture shows a hand.
        """
        if self._crops is not image_batch:
            self.start_with(image_batch)
        if not len(self._order):
            self._order = self.generator.permutation(self._seen).tolist()
        number = self._order.pop()
        crop = image_batch.crop(number)
        height, width = crop.pixels.shape[:2]
        indices, _ = pixel_values(crop, int(image_batch.index["row"][number]), np.arange(height * width))
        return {
            "image": torch.from_numpy(crop.pixels[..., :3].astype(np.float32) / 255),
            "hand_label": torch.from_numpy(crop.pixels[..., 3:] & LABEL),
            "in_mask": torch.from_numpy(crop.pixels[..., 3:] & IN_MASK) > 0,
            "indices": torch.from_numpy(indices),
            "grid": (height, width),
        }
