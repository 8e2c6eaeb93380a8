"""The distances that gSDF's preprocessing sampled (Chen et al., CVPR 2023), and other arrays of its."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.hand_images.number_lists import REMEDY

MOST_DISTANCE = 2.0
"""Distances from here on, in the samples' own unit, stand for none."""


@dataclass(frozen=True)
class DistanceSamples:
    """Points and their signed distances.

    Attributes:
        points: In the camera's frame, OpenCV, meters.
        distances: To hand and thing, meters, negative inside.
    """

    points: Float32[np.ndarray, "N 3"]
    distances: Float32[np.ndarray, "N 2"]


def read_distance_samples(hand: Path, held: Path, scale: float, offset: Float[np.ndarray, "3"]) -> DistanceSamples:
    """Points of both files of a sample with their distances to hand and thing; those without a distance are left out.

    Args:
        hand: `.npz` of points about the hand: `pos` and `neg` of x, y, z and the distance, `pos_other` and `neg_other`
            of the distance to the other thing.
        held: The same about the held thing.
        scale: Of the samples' unit: so many units are a meter.
        offset: Meters: what the samples' origin is moved by, see `norm/*.npz`.

    Raises:
        HandsError: A file is missing or is no such file.
    """
    numbers = np.concatenate([_samples(hand), _samples(held)[:, [0, 1, 2, 4, 3]]])
    known = (np.abs(numbers[:, 3:]) < MOST_DISTANCE).all(1)
    points = numbers[known, :3] / scale - np.asarray(offset)
    return DistanceSamples(points.astype(np.float32), (numbers[known, 3:] / scale).astype(np.float32))


def _samples(path: Path) -> Float[np.ndarray, "N 5"]:
    """Place, own and other distance of the points of a file."""
    found = read_arrays(path, "pos", "neg", "pos_other", "neg_other")
    try:
        parts = [np.column_stack([found[sign], found[f"{sign}_other"]]) for sign in ("pos", "neg")]
        if any(part.shape[1] != 5 for part in parts):
            raise ValueError
        return np.concatenate(parts).astype(np.float64)
    except ValueError as error:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in found.items())
        raise HandsError(
            f"{path}: expected pos and neg of N x 4 and pos_other and neg_other of N x 1 numbers, found {shapes}; "
            "sample the distances again."
        ) from error


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Arrays of an archive by name.

    Raises:
        HandsError: It cannot be read, or one of them is missing.
    """
    try:
        found = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected an archive of gSDF's, found {error}; {REMEDY}.") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise HandsError(f"{path}: expected {', '.join(missing)}, found {', '.join(sorted(found))}; {REMEDY}.")
    return {name: found[name] for name in names}
