"""Texture coordinates of MANO from the .obj that its authors offer beside the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text


def uv_file_beside(path: Path, side: str) -> Path | None:
    """The .obj with texture coordinates of a side that lies beside a model file, as ``MANO_UV_right.obj``."""
    names = (entry for entry in sorted(path.parent.glob("*.obj")) if {"uv", side} <= set(_words(entry)))
    return next(names, None)


def _words(path: Path) -> list[str]:
    return path.stem.lower().replace("-", "_").split("_")


def read_uv(path: Path, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates of each corner of the faces of a hand, the origin at the lower left.

    Args:
        path: Wavefront .obj whose faces are those of the hand, in any order and starting at any corner.
        faces: The faces of the hand model.

    Raises:
        HandsError: The file cannot be read, or lacks texture coordinates of a face.
    """
    remedy = "take the .obj that belongs to this model, or remove it to go without it."
    try:
        return uv_of_obj(read_text(path), faces)
    except (UnreadableFile, ValueError) as error:
        raise HandsError(f"{path}: expected a mesh with texture coordinates, found {error}: {remedy}") from error


def uv_of_obj(text: str, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates of each corner of the faces of a hand, the origin at the lower left.

    Args:
        text: Of a Wavefront .obj, see `read_uv`; what it says of vertices is not needed.
        faces: The faces of the hand model.

    Raises:
        ValueError: It lacks texture coordinates of a face; what was found is said in a few words.
    """
    try:
        coordinates, corners = _parse(text)
    except (ValueError, IndexError) as error:
        raise ValueError(f"'{error}'") from error
    found = [_texture_corners(corners, face) for face in faces.tolist()]
    missing = sum(face is None for face in found)
    if missing:
        raise ValueError(f"none for {missing} of {len(faces)} faces")
    indices = np.array(found)
    if not (0 <= indices.min() and indices.max() < len(coordinates) and np.isfinite(coordinates).all()):
        raise ValueError("some that are not finite or not there")
    return torch.from_numpy(coordinates[indices]).float()


def _parse(text: str) -> tuple[Float[np.ndarray, "N 2"], dict[tuple[int, ...], list[int]]]:
    """Texture coordinates, and their indices at the corners of each face by the indices of its vertices."""
    coordinates, corners = [], {}
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind == "vt":
            coordinates.append([float(word) for word in words[:2]])
        elif kind == "f":
            pairs = [word.split("/") for word in words]
            # Indices begin at 1.
            corners[tuple(int(pair[0]) - 1 for pair in pairs)] = [int(pair[1]) - 1 for pair in pairs]
    return np.array(coordinates, dtype=np.float64).reshape(-1, 2), corners


def _texture_corners(corners: dict[tuple[int, ...], list[int]], face: list[int]) -> list[int] | None:
    """Indices at the corners of a face, which may start at another corner in the file."""
    for first in range(3):
        found = corners.get(tuple(face[first:] + face[:first]))
        if found is not None:
            return found[3 - first :] + found[: 3 - first]
    return None
