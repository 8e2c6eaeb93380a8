"""Weights of networks among the arrays of a file, without pickles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError


def weights_of(network: nn.Module, prefix: str = "weight/", *, half: bool = True) -> dict[str, np.ndarray]:
    """Arrays of a network's weights, to be written into a file.

    Args:
        network: Trained.
        prefix: Before their names in the file.
        half: Whether numbers are written in half precision.
    """
    arrays = {prefix + name: value.cpu().numpy() for name, value in network.state_dict().items()}
    if not half:
        return arrays
    return {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in arrays.items()}


def weights_in(arrays: dict[str, np.ndarray], prefix: str = "weight/") -> dict[str, Tensor]:
    """Weights among the arrays of a file, for `load_state_dict`."""
    found = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
    return {
        name: torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)
        for name, value in found.items()
    }


@contextmanager
def layers_expected(path: Path, form: str, remedy: str) -> Iterator[None]:
    """What a network cannot be made of is said of the file.

    Raises:
        HandsError: Inside, arrays are missing or are those of other layers.
    """
    try:
        yield
    except (KeyError, RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HandsError(f"{path}: expected the layers of {form!r}, found others ({reason}): {remedy}.") from error
