"""Hands that a long fit has done so far, kept in a file."""

from __future__ import annotations

import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.hand_model import HandPose

# At most this much work is lost when a process is killed; whoever interrupts it loses nothing.
SECONDS_BETWEEN_SAVES = 10.0
FIELDS = ("global_orient", "local_rotations", "translation", "error")


class PartialTrack:
    """Poses of the first hands of a track; leaving the context by an exception writes them to the file.

    Args:
        path: The file; it is read if it is there and whole. None: nothing is kept.
        total: Number of hands of the track; a file about another number is passed over.

    Attributes:
        shape, landmark_offset: Of the person, None while unknown.
    """

    def __init__(self, path: Path | None, total: int) -> None:
        self.path = path
        self.total = total
        self.shape: Float[Tensor, " K"] | None = None
        self.landmark_offset: Float[Tensor, "21 3"] | None = None
        self._parts: dict[str, list[Tensor]] = {name: [] for name in FIELDS}
        self._saved = time.monotonic()
        self._read()

    def __enter__(self) -> PartialTrack:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._write()

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
        if time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._write()

    def _write(self) -> None:
        if self.path is None or not self.count:
            return
        shared = {"shape": self.shape, "landmark_offset": self.landmark_offset, "total": torch.tensor(self.total)}
        arrays = {name: value.numpy() for name, value in {**self.arrays, **shared}.items()}
        write_npz(self.path, arrays, expected="to write the fitted hands")
        self._saved = time.monotonic()

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
            if int(arrays["total"]) != self.total:
                return
            parts = {name: [arrays[name]] for name in FIELDS}
            self.shape, self.landmark_offset = arrays["shape"], arrays["landmark_offset"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            return
        self._parts = parts
