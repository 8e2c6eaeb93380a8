"""Rays where the hand is: training pixels come from the hand and its rim, never from the rest of the room."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Literal, Tuple, Type, Union

import cv2
import numpy as np
import torch
from jaxtyping import Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from torch import Tensor

from nerfstudio_hands.datamanagers.hand_dataset import HandDataset
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_region import BACKGROUND, HAND

RIM = 12
"""Pixels round the hand from which background rays are drawn: those that can meet the shell."""


@dataclass
class HandPixelSamplerConfig(PixelSamplerConfig):
    """Draws pixels of the hand and of the background next to it."""

    _target: Type = field(default_factory=lambda: HandPixelSampler)
    """target class to instantiate"""
    rim_fraction: float = 0.15
    """Share of the rays that go to background next to the hand."""
    num_patches: int = 1
    """Square patches a batch, after the single rays, where the model has a perceptual loss."""
    patch_size: int = 32
    """Side of a patch in pixels."""
    patches_from: int = 0
    """Step from which patches are drawn."""


class HandPixelSampler(PixelSampler):
    """Draws pixels by the labels of :class:`HandDataset`."""

    config: HandPixelSamplerConfig

    def __init__(self, config: HandPixelSamplerConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.rows: Int[Tensor, "K"] | None = None
        """Rows to draw from; None for all."""
        self.step = 0
        self.draws_patches = False
        """Set by a model that has a use for patches."""
        self._tables: Tuple[Tensor, Tensor] | None = None

    def sample(self, image_batch: Dict) -> Dict:
        """Draws a batch.

        Args:
            image_batch: the collated rows of a :class:`HandDataset`; every row a tensor, or a list where sizes differ.

        Returns:
            `indices` [R, 3] (row, y, x), `image` [R, 3], `hand_label` [R, 1] and `num_patch_rays`, how many of the
            last rays form patches.
        """
        if self._tables is None:
            tables = _pixel_tables(image_batch["hand_label"])
            if self.rows is not None:
                tables = tuple(table[torch.isin(table[:, 0], self.rows)] for table in tables)
            self._tables = tables
        hand, rim = self._tables
        num_patches = self.config.num_patches if self.draws_patches and self.step >= self.config.patches_from else 0
        num_rim = int(self.num_rays_per_batch * self.config.rim_fraction) if len(rim) else 0
        picks = [
            hand[torch.randint(len(hand), (self.num_rays_per_batch - num_rim,))],
            rim[torch.randint(max(len(rim), 1), (num_rim,))],
        ]
        if num_patches:
            picks.append(self._patches(hand, image_batch["hand_label"]))
        indices = torch.cat(picks)
        return {
            "image": _gather(image_batch["image"], indices),
            "hand_label": _gather(image_batch["hand_label"], indices),
            "indices": torch.cat([image_batch["image_idx"][indices[:, 0]][:, None], indices[:, 1:]], dim=1),
            "num_patch_rays": num_patches * self.config.patch_size**2,
            "patch_size": self.config.patch_size,
        }

    def _patches(self, hand: Int[Tensor, "M 3"], labels: Tensor | list[Tensor]) -> Int[Tensor, "P 3"]:
        """Pixels of patches centred on hand pixels and moved into the picture, patch by patch, row by row."""
        size = self.config.patch_size
        centres = hand[torch.randint(len(hand), (self.config.num_patches,))]
        limits = torch.tensor([labels[int(row)].shape[:2] for row in centres[:, 0]]) - size
        corners = torch.minimum((centres[:, 1:] - size // 2).clamp(min=0), limits.clamp(min=0))
        steps = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), dim=-1).view(-1, 2)
        pixels = corners[:, None] + steps
        rows = centres[:, :1, None].expand(-1, len(steps), 1)
        return torch.cat([rows, pixels], dim=-1).view(-1, 3)


@dataclass
class HandDataManagerConfig(VanillaDataManagerConfig):
    """Keeps a capture's pictures in memory and draws rays near the hand."""

    _target: Type = field(default_factory=lambda: HandDataManager)
    """target class to instantiate"""
    pixel_sampler: PixelSamplerConfig = field(default_factory=HandPixelSamplerConfig)
    """Which pixels are drawn."""


class HandDataManager(VanillaDataManager[HandDataset]):
    """nerfstudio's data manager over :class:`HandDataset`; user's faults end the program with one sentence."""

    config: HandDataManagerConfig
    train_dataset: HandDataset
    eval_dataset: HandDataset

    def __init__(
        self,
        config: HandDataManagerConfig,
        device: Union[torch.device, str] = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs,
    ):
        try:
            super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error

    def setup_train(self):
        super().setup_train()
        if self.test_mode != "val":
            # Exporters draw training rays after training; those of one frame only, or all poses would be mixed.
            frames = self.train_dataset.cameras.metadata["frame_index"][:, 0]
            self.train_pixel_sampler.rows = torch.nonzero(frames == frames.min()).flatten()

    def setup_eval(self):
        if len(self.eval_dataset):
            super().setup_eval()

    def next_train(self, step: int) -> Tuple[RayBundle, Dict]:
        self.train_pixel_sampler.step = step
        ray_bundle, batch = super().next_train(step)
        return ray_bundle, {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in batch.items()}


def _pixel_tables(labels: Tensor | list[Tensor]) -> Tuple[Int[Tensor, "M 3"], Int[Tensor, "B 3"]]:
    """Pixels (row, y, x) of the hand, and of the background within `RIM` pixels of it."""
    hand, rim = [], []
    for row, label in enumerate(labels):
        label = label[..., 0].cpu().numpy()
        is_hand = label == HAND
        near = cv2.dilate(is_hand.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1,) * 2))
        for table, chosen in ((hand, is_hand), (rim, (near > 0) & (label == BACKGROUND))):
            pixels = torch.from_numpy(np.argwhere(chosen))
            table.append(torch.cat([torch.full((len(pixels), 1), row), pixels], dim=1))
    if not sum(len(table) for table in hand):
        raise HandsError(
            "training pictures: expected pixels of the hand, found none; "
            "run `ns-hands check` on the capture to see the fit and the masks."
        )
    return torch.cat(hand), torch.cat(rim)


def _gather(images: Tensor | list[Tensor], indices: Int[Tensor, "R 3"]) -> Tensor:
    """Values of the pixels (row, y, x); `images` is a list where sizes differ."""
    if isinstance(images, Tensor):
        return images[indices[:, 0], indices[:, 1], indices[:, 2]]
    values = torch.empty(len(indices), images[0].shape[-1], dtype=images[0].dtype)
    for row in indices[:, 0].unique():
        chosen = indices[:, 0] == row
        values[chosen] = images[int(row)][indices[chosen, 1], indices[chosen, 2]]
    return values
