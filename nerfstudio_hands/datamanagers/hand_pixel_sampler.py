"""Rays where the hand is: pixels of the hand and of the background next to it, never of the rest of the room."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Tuple, Type

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.datamanagers.crop_cache import IN_MASK, LABEL, Crop, CropCache
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import Fraction, Interval, bounded


@dataclass
class HandPixelSamplerConfig(PixelSamplerConfig):
    """Draws pixels of the hand and of the background next to it."""

    _target: Type = field(default_factory=lambda: HandPixelSampler)
    """target class to instantiate"""
    frames_per_batch: bounded(int, 1, 4096) = 4
    """Frames that a batch mixes; each costs a posed surface."""
    images_per_batch: bounded(int, 1, 65536) = 16
    """Images at most that a batch takes pixels from."""
    background_fraction: Fraction = 0.15
    """Fraction of the rays that go to background next to the hand."""
    boundary_fraction: Fraction = 0.0
    """Fraction of the rays that go to the pixels between hand and background, where the mask alone says which they
    are."""
    draws_objects: bool = False
    """Draw pixels of what the hand holds like those of the hand, for a method that learns both."""
    draws_patches: bool = False
    """Draw patches after the single rays; on by itself where the model has a perceptual loss."""
    num_patches: bounded(int, 1, 4096) = 1
    """Square patches a batch."""
    patch_size: bounded(int, 2, 1024) = 32
    """Side of a patch in pixels."""
    patches_from: Interval = 0
    """Step from which patches are drawn."""


class HandPixelSampler(PixelSampler):
    """Draws pixels out of crops: each pixel of a hand equally often in the long run, whatever frame it is in.

    A batch takes a few frames, with chances in proportion to the hand pixels in them, and of these a few images,
    likewise; every image so chosen gives as many pixels as the others. Where all images fit into a batch, all take
    part, each in proportion to its hand pixels.
    """

    config: HandPixelSamplerConfig

    def __init__(self, config: HandPixelSamplerConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.generator = np.random.default_rng()
        """What chance comes from; set by the data manager, another in each process."""
        self.step = 0
        self._crops: CropCache | None = None

    def sample(self, image_batch: CropCache) -> RayBatch:
        """Draws single pixels, then patches.

        Args:
            image_batch: the crops to draw from.

        Raises:
            HandsError: no image shows a hand.
        """
        if self._crops is not image_batch:
            self.start_with(image_batch)
        config, crops = self.config, image_batch
        (chosen, weights), self._next = self._next, self._choose()
        crops.prefetch(self._next[0])  # pyright: ignore[reportArgumentType]
        background_weights = weights * self._num_background[chosen] / self._num_hand[chosen]
        num_background, num_boundary = (
            int(self.num_rays_per_batch * fraction) if background_weights.any() else 0
            for fraction in (config.background_fraction, config.boundary_fraction)
        )
        num_patches = config.num_patches if config.draws_patches and self.step >= config.patches_from else 0
        rays = self._share_out(self.num_rays_per_batch - num_background - num_boundary, weights)
        backgrounds = self._share_out(num_background, background_weights)
        boundaries = self._share_out(num_boundary, background_weights)
        patches = self._share_out(num_patches, weights)
        singles, squares, on_boundary = [], [], []
        for number, *counts, patch_count in zip(chosen, rays, backgrounds, boundaries, patches, strict=True):
            crop, image = crops.crop(int(number)), int(crops.index["image"][number])
            pixels = [crop.hand_and_object if config.draws_objects else crop.hand, crop.background]
            if counts[2]:  # Otherwise nobody need look for it.
                pixels.append(crop.boundary_with_object if config.draws_objects else crop.boundary)
            picks = [
                among[self.generator.integers(len(among), size=count)] if count and len(among) else among[:0]
                for among, count in zip(pixels, counts, strict=False)
            ]
            on_boundary.append(np.arange(sum(map(len, picks))) >= len(picks[0]) + len(picks[1]))
            singles.append(pixel_values(crop, image, np.concatenate(picks)))
            squares.extend(pixel_values(crop, image, self._patch(crop)) for _ in range(patch_count))
        indices, values = (np.concatenate(parts) for parts in zip(*singles, *squares, strict=True))
        on_boundary.append(np.zeros(len(indices) - sum(map(len, on_boundary)), dtype=bool))
        return {
            "image": torch.from_numpy(values[:, :3].astype(np.float32) / 255),
            "hand_label": torch.from_numpy(values[:, 3:] & LABEL),
            "in_mask": torch.from_numpy(values[:, 3:] & IN_MASK) > 0,
            "on_boundary": torch.from_numpy(np.concatenate(on_boundary))[:, None],
            "indices": torch.from_numpy(indices),
            "grid": (len(indices),),
            "num_patch_rays": num_patches * config.patch_size**2,
            "patch_size": config.patch_size,
        }

    def start_with(self, crops: CropCache) -> None:
        """Gets ready to draw from crops, and has the first of them fetched.

        Raises:
            HandsError: no image shows a hand.
        """
        self._crops = crops
        self._num_hand, self._num_background = (
            crops.index[key].astype(np.float64) for key in ("num_hand", "num_background")
        )
        self._seen = np.flatnonzero(self._num_hand)
        if not len(self._seen):
            raise HandsError(
                "training pictures: expected pixels of the hand, found none; "
                "run `ns-hands check` on the capture to see the fit and the masks."
            )
        # Crops of a frame side by side, so that a frame is a slice.
        self._seen = self._seen[np.argsort(crops.index["frame"][self._seen], kind="stable")]
        _, starts = np.unique(crops.index["frame"][self._seen], return_index=True)
        self._frames = np.split(self._seen, starts[1:])
        self._frame_weight = np.add.reduceat(self._num_hand[self._seen], starts)
        self._next = self._choose()
        crops.prefetch(self._next[0])  # pyright: ignore[reportArgumentType]

    def _choose(self) -> Tuple[Int[np.ndarray, "S"], Float[np.ndarray, "S"]]:
        """The crops of the next batch, and the share of its rays that each gets (to a common factor)."""
        config, total = self.config, self._frame_weight.sum()
        if len(self._frames) <= config.frames_per_batch:
            frames, shares = np.arange(len(self._frames)), self._frame_weight / total
        else:
            frames = self._systematic(self._frame_weight, config.frames_per_batch)
            shares = np.full(len(frames), 1 / len(frames))
        if len(self._frames) <= config.frames_per_batch and len(self._seen) <= config.images_per_batch:
            return self._seen, self._num_hand[self._seen]
        chosen: List[np.ndarray] = []
        weights: List[np.ndarray] = []
        count = max(config.images_per_batch // len(frames), 1)
        for frame, share in zip(frames, shares, strict=True):
            crops = self._frames[frame]
            if len(crops) <= count:
                weight = self._num_hand[crops] / self._frame_weight[frame]
            else:
                crops = crops[self._systematic(self._num_hand[crops], count)]
                weight = np.full(count, 1 / count)
            chosen.append(crops)
            weights.append(share * weight)
        return np.concatenate(chosen), np.concatenate(weights)

    def _systematic(self, weights: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "count"]:
        """Systematic sampling: indices, each `count` times its share of the weights on average, and as evenly spread
        over them as can be."""
        ends = np.cumsum(weights)
        ticks = (np.arange(count) + self.generator.random()) / count * ends[-1]
        return np.minimum(np.searchsorted(ends, ticks, side="right"), len(weights) - 1)

    def _share_out(self, count: int, weights: Float[np.ndarray, "S"]) -> List[int]:
        return self.generator.multinomial(count, weights / weights.sum()).tolist() if count else [0] * len(weights)

    def _patch(self, crop: Crop) -> Int[np.ndarray, "P"]:
        """A patch centred on a hand pixel and moved into the crop, row by row."""
        size, (height, width) = self.config.patch_size, crop.pixels.shape[:2]
        y, x = divmod(int(crop.hand[self.generator.integers(len(crop.hand))]), width)
        top, left = (max(min(at - size // 2, limit - size), 0) for at, limit in ((y, height), (x, width)))
        return ((top + np.arange(size))[:, None] * width + left + np.arange(size)).ravel()


def pixel_values(crop: Crop, image: int, pixels: Int[np.ndarray, "R"]) -> Tuple[np.ndarray, np.ndarray]:
    """Index of the image, y and x in it, and red, green, blue, flags of flat indices into a crop."""
    y, x = np.divmod(pixels, crop.pixels.shape[1])
    indices = np.stack([np.full_like(y, image), y + crop.top, x + crop.left], axis=1).astype(np.int64)
    return indices, crop.pixels.reshape(-1, 4)[pixels]
