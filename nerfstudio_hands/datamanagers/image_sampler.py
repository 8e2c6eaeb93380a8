"""Whole crops of hands, one a batch: for models that render images, not single rays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Type

import numpy as np
import torch

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.datamanagers.crop_cache import IN_MASK, LABEL, CropCache
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSampler, HandPixelSamplerConfig, pixel_values


@dataclass
class ImageSamplerConfig(HandPixelSamplerConfig):
    """Draws an image's whole crop at a time."""

    _target: Type = field(default_factory=lambda: ImageSampler)
    """target class to instantiate"""


class ImageSampler(HandPixelSampler):
    """Draws every image that shows the hand once, in random order, then again in another order."""

    config: ImageSamplerConfig

    def start_with(self, crops: CropCache) -> None:
        super().start_with(crops)
        self._order: List[int] = []

    def sample(self, image_batch: CropCache) -> RayBatch:
        """Draws a crop.

        Args:
            image_batch: the crops to draw from.

        Raises:
            HandsError: no image shows a hand.
        """
        if self._crops is not image_batch:
            self.start_with(image_batch)
        if not len(self._order):
            self._order = self.generator.permutation(self._seen).tolist()
        number = self._order.pop()
        crop = image_batch.crop(number)
        height, width = crop.pixels.shape[:2]
        indices, _ = pixel_values(crop, int(image_batch.index["image"][number]), np.arange(height * width))
        on_boundary = np.zeros(height * width, dtype=bool)
        on_boundary[crop.boundary_with_object if self.config.draws_objects else crop.boundary] = True
        return {
            "image": torch.from_numpy(crop.pixels[..., :3].astype(np.float32) / 255),
            "hand_label": torch.from_numpy(crop.pixels[..., 3:] & LABEL),
            "in_mask": torch.from_numpy(crop.pixels[..., 3:] & IN_MASK) > 0,
            "on_boundary": torch.from_numpy(on_boundary.reshape(height, width, 1)),
            "indices": torch.from_numpy(indices),
            "grid": (height, width),
            "num_patch_rays": 0,
            "patch_size": self.config.patch_size,
        }
