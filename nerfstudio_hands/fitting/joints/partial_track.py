"""Hands that a long fit has done so far, kept in a file."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nerfstudio_hands.fitting.partial_work import PartialWork
from nerfstudio_hands.hand_model import HandPose

FIELDS = ("global_orient", "local_rotations", "translation", "error")
SHARED = ("shape", "landmark_offset")


class PartialTrack(PartialWork):
    """Poses of the first hands of a track.

    Args:
        path: The file; it is read if it is there and whole. None: nothing is kept.
        total: Number of hands of the track; a file about another number is passed over.

    Attributes:
        shape, landmark_offset: Of the person, None while unknown.
    """

    def __init__(self, path: Path | None, total: int) -> None:
        super().__init__(path)
        self.total = total
        self.shape: Float[Tensor, " K"] | None = None
        self.landmark_offset: Float[Tensor, "21 3"] | None = None
        self._parts: dict[str, list[Tensor]] = {name: [] for name in FIELDS}
        kept = self._read()
        if kept.keys() >= {"total", *SHARED, *FIELDS} and kept["total"].equal(torch.tensor(total)):
            self.shape, self.landmark_offset = (kept[name] for name in SHARED)
            self._parts = {name: [kept[name]] for name in FIELDS}

    @property
    def count(self) -> int:
        """Number of hands done."""
        return sum(len(part) for part in self._parts["error"])

    @property
    def arrays(self) -> dict[str, Shaped[Tensor, "N *_"]]:
        """`FIELDS` of the hands done; empty where there is none."""
        return {name: torch.cat(parts) for name, parts in self._parts.items() if parts}

    def add(self, pose: HandPose, error: Float[Tensor, " N"]) -> None:
        """Adds the next hands."""
        values = (pose.global_orient, pose.local_rotations, pose.translation, error)
        for name, value in zip(FIELDS, values, strict=True):
            self._parts[name].append(value)
        self._write_in_time()

    def _done(self) -> dict[str, Shaped[Tensor, "*_"]]:
        if self.shape is None or self.landmark_offset is None or not self.count:
            return {}
        shared = {"shape": self.shape, "landmark_offset": self.landmark_offset, "total": torch.tensor(self.total)}
        return {**self.arrays, **shared}
