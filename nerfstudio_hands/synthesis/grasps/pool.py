"""The grasps that come with the package, found by `scripts/find_grasps.py` for a right hand of the mean shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int

from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.synthesis.grasps.shapes import KINDS

FORMAT = "nerfstudio-hands grasps 1"
"""Written into the file; the number changes when `shapes` gives a seed another thing."""

SHIPPED = Path(__file__).parent / "assets" / "grasps.npz"

TEST_KINDS = ("bottle", "hammer")
"""Kinds that no picture to learn from shows. Of the others, things of odd seeds are for testing, even ones to learn."""


@dataclass(frozen=True)
class Grasps:
    """G grasps."""

    kinds: tuple[str, ...]
    """Kind of each thing, out of `shapes.KINDS`."""
    seeds: Int[np.ndarray, "G"]
    is_pinch: Bool[np.ndarray, "G"]
    """Whether thumb and fingers hold it between them; else it lies against the palm."""
    angles: Float32[np.ndarray, "G 15 3"]
    """Of the fingers, see `hand_model.joint_limits`, radians."""
    to_rest: Float32[np.ndarray, "G 3 4"]
    """Rigid, from the thing's frame to that of the hand at rest, see `synthesis.grasp`; meters."""

    def __len__(self) -> int:
        return len(self.kinds)

    def part(self, rows: Int[np.ndarray, "N"]) -> Grasps:
        """Some of them."""
        kinds = tuple(self.kinds[row] for row in rows)
        return Grasps(kinds, self.seeds[rows], self.is_pinch[rows], self.angles[rows], self.to_rest[rows])


@cache
def shipped_grasps(*, for_testing: bool) -> Grasps:
    """The shipped grasps to learn from or to test with."""
    pool = read_grasps(SHIPPED)
    chosen = [is_for_testing(kind, int(seed)) == for_testing for kind, seed in zip(pool.kinds, pool.seeds, strict=True)]
    return pool.part(np.flatnonzero(chosen))


def is_for_testing(kind: str, seed: int) -> bool:
    """Whether a thing is kept from learning."""
    return kind in TEST_KINDS or seed % 2 == 1


def read_grasps(path: Path) -> Grasps:
    """All grasps of a file.

    Raises:
        HandsError: It cannot be read or is of another format.
    """
    arrays = read_formatted_npz(path, FORMAT, what="grasps", remedy="install the package again")
    kinds = tuple(list(KINDS)[number] for number in arrays["kind"])
    return Grasps(
        kinds,
        arrays["seed"].astype(np.int64),
        arrays["is_pinch"],
        arrays["angles"].astype(np.float32),
        arrays["to_rest"].astype(np.float32),
    )


def grasp_arrays(grasps: Grasps) -> dict[str, np.ndarray]:
    """What stands in a file."""
    return {
        "format": np.array(FORMAT),
        "kind": np.array([list(KINDS).index(kind) for kind in grasps.kinds], np.uint8),
        "seed": grasps.seeds.astype(np.int16),
        "is_pinch": grasps.is_pinch,
        "angles": grasps.angles.astype(np.float16),
        "to_rest": grasps.to_rest,
    }
