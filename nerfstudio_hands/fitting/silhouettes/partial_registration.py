"""Frames that a long registration has done so far, kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor

from nerfstudio_hands.fitting.partial_work import PartialWork
from nerfstudio_hands.fitting.variables import Variables


def registration_file(partial: Path) -> Path:
    """Where a registration is kept beside the file of the fit to joints that comes before it."""
    return partial.with_suffix(".pictures.npz")


class PartialRegistration(PartialWork):
    """The variables of a fit, some of whose frames are registered.

    Args:
        path: The file; it is read if it is there, whole, and of as many frames and hands. None: nothing is kept.
        variables: Where the registration starts.

    Attributes:
        variables: With the frames that are done.
        done: Whether each frame is [T].
    """

    def __init__(self, path: Path | None, variables: Variables) -> None:
        super().__init__(path)
        self.variables = variables
        self.done = torch.zeros(len(variables.valid), dtype=torch.bool)
        kept = self._read()
        if {name: value.shape for name, value in kept.items()} == {k: v.shape for k, v in self._arrays().items()}:
            self.done = kept.pop("done")
            self.variables = Variables(**kept)

    def put(self, frames: Sequence[int], part: Variables) -> None:
        """Takes over registered frames, and what all frames share."""
        self.variables = self.variables.put(frames, part)
        self.done[list(frames)] = True
        self._write_in_time()

    def _arrays(self) -> dict[str, Shaped[Tensor, "*_"]]:
        return {**vars(self.variables), "done": self.done}

    def _done(self) -> dict[str, Shaped[Tensor, "*_"]]:
        return self._arrays() if self.done.any() else {}
