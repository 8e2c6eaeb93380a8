"""Batches of crops of hands that hold something, with points round both and their distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.datamanagers.crop_batches import CropBatch, CropBatches, RightHandCrop
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HandObjectImages
from nerfstudio_hands.hand_images.query_points import QueryPointDraw
from nerfstudio_hands.transforms.rigid import apply_rigid


class SceneBatch(CropBatch):
    """The same of hands that hold something, with Q points round them; clips of T pictures follow each other."""

    points: Float[Tensor, "B Q 3"]
    """Places of the points, axes of the views, meters."""
    distances: Float[Tensor, "B Q 2"]
    """From hand and object, meters, positive outside; NaN where there is none."""
    of_object: Bool[Tensor, "B Q"]
    """Whether a point was drawn round the object."""
    center: Float[Tensor, "B 3"]
    """Of the object: the middle of its mesh's box."""
    held: Float[Tensor, "B 4 4"]
    """From the object's own frame to the view's axes."""
    clip: Tensor
    """T."""


class SceneBatches(CropBatches):
    """Batches by step.

    Args:
        source: Of pictures.
        points: Round each hand and its object; 0 for none.
        reach: Half the edge of the cube round the wrist that they lie in, meters.
        clip: Pictures of a clip.
        sees: Whether pictures are read; else they are black, and only what is known of them is looked at.
        options: See `CropBatches`.
    """

    source: HandObjectImages

    def __init__(
        self, source: HandObjectImages, *, points: int, reach: float, clip: int, sees: bool, **options: Any
    ) -> None:
        super().__init__(source, **options)
        self.clip, self.sees = clip, sees
        self.draw = QueryPointDraw(source, points, reach) if points else None

    def members(self, row: int) -> list[int]:
        return self.source.clip(row, self.clip) if self.clip > 1 else [row]

    def read(self, row: int) -> HandImage:
        if self.sees:
            return super().read(row)
        return HandImage(np.zeros((1, 1, 3), np.uint8), self.source.labels(row))

    def collated(self, crops: list[RightHandCrop], rng: np.random.Generator) -> SceneBatch:
        batch = super().collated(crops, rng)
        labels = [crop.labels for crop, _, _ in crops]
        drawn = [] if self.draw is None else self.draw(labels, rng)
        return SceneBatch(
            **batch,
            points=_stacked([one.points for one in drawn], (0, 3)),
            distances=_stacked([one.distances for one in drawn], (0, 2)),
            of_object=_stacked([one.of_object for one in drawn], (0,)).bool(),
            center=torch.from_numpy(np.stack([self._center(one) for one in labels])).float(),
            held=torch.from_numpy(np.stack([_to_camera(one) for one in labels])).float(),
            clip=torch.tensor(self.clip),
        )

    def _center(self, labels: HandLabels) -> Float[np.ndarray, " 3"]:
        if labels.held is None:
            return np.full(3, np.nan)
        return apply_rigid(labels.held.to_camera, self.source.held_mesh(labels.held.name).center[None])[0]


def _to_camera(labels: HandLabels) -> Float[np.ndarray, "4 4"]:
    return np.full((4, 4), np.nan) if labels.held is None else labels.held.to_camera


def _stacked(values: list[np.ndarray], none: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.stack(values)) if values else torch.zeros(1, *none)
