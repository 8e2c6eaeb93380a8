"""Frames that a long registration has done so far, kept in a file."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.fitting.variables import Variables

# At most this much work is lost when a process is killed; whoever interrupts it loses nothing.
SECONDS_BETWEEN_SAVES = 10.0


def registration_file(partial: Path) -> Path:
    """Where a registration is kept beside the file of the fit to joints that comes before it."""
    return partial.with_suffix(".pictures.npz")


class PartialRegistration:
    """The variables of a fit, some of whose frames are registered; leaving the context by an exception writes them.

    Args:
        path: The file; it is read if it is there, whole, and of as many frames and hands. None: nothing is kept.
        variables: Where the registration starts.

    Attributes:
        variables: With the frames that are done.
        done: Whether each frame is [T].
    """

    def __init__(self, path: Path | None, variables: Variables) -> None:
        self.path = path
        self.variables = variables
        self.done = torch.zeros(len(variables.valid), dtype=torch.bool)
        self._saved = time.monotonic()
        self._read()

    def __enter__(self) -> PartialRegistration:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._write()

    def put(self, frames: Sequence[int], part: Variables) -> None:
        """Takes over registered frames, and what all frames share."""
        self.variables = self.variables.put(frames, part)
        self.done[list(frames)] = True
        if time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._write()

    def _write(self) -> None:
        if self.path is None or not self.done.any():
            return
        arrays = {name: value.numpy() for name, value in vars(self.variables).items()}
        write_npz(self.path, {**arrays, "done": self.done.numpy()}, expected="to write the fitted hands")
        self._saved = time.monotonic()

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
            done = arrays.pop("done")
            kept = Variables(**arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            return
        if all(value.shape == getattr(kept, name).shape for name, value in vars(self.variables).items()):
            self.variables, self.done = kept, done
