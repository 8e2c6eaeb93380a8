"""What a long fit has done so far, kept in a file from which it goes on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor

from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.files.npz_writing import write_npz

SECONDS_BETWEEN_SAVES = 10.0
"""At most this much work is lost when a process is killed; whoever interrupts it loses nothing."""

Work = TypeVar("Work", bound="PartialWork")


class PartialWork(ABC):
    """Leaving the context by an exception writes what is done.

    Args:
        path: The file; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._saved = time.monotonic()

    def __enter__(self: Work) -> Work:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._write()

    @abstractmethod
    def _done(self) -> dict[str, Shaped[Tensor, "*_"]]:
        """What the file is to hold; empty while nothing is done."""

    def _write_in_time(self) -> None:
        if time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._write()

    def _write(self) -> None:
        arrays: dict[str, Any] = {name: value.numpy() for name, value in self._done().items()}
        if self.path is not None and arrays:
            write_npz(self.path, arrays, expected="to write the fitted hands")
            self._saved = time.monotonic()

    def _read(self) -> dict[str, Shaped[Tensor, "*_"]]:
        """What the file holds; empty if it is not there or not whole."""
        try:
            return {} if self.path is None else {k: torch.from_numpy(v) for k, v in read_npz(self.path).items()}
        except (UnreadableFile, TypeError):
            return {}
