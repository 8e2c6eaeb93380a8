"""Finds the grasps that `synthesis/grasps/pool.py` reads: fists and pinches of things of all kinds and many sizes.

    python scripts/find_grasps.py

Takes some six minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro
from rich.progress import track

from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.grasps.pool import SHIPPED, TEST_KINDS, Grasps, grasp_arrays
from nerfstudio_hands.synthesis.grasps.search import Attempt, Hands, closed, fist_attempt, measured, pinch_attempt
from nerfstudio_hands.synthesis.grasps.shapes import KINDS, solid
from nerfstudio_hands.synthesis.physique import PersonalHand

SEEDS = (*range(0, 28, 2), *range(1, 7, 2))
"""Of things of kinds of which there are some to learn from and some for testing, see `pool.is_for_testing`."""

SEEDS_OF_TEST_KINDS = range(8)

AT_ONCE, ROUNDS = 2, 6
"""Attempts for one thing that are closed together, and how often until one of them holds it."""

PLACEMENTS = 12
"""Placements tried until one leaves room for the hand."""

Found = tuple[str, int, bool, np.ndarray, np.ndarray]


def main(output: Path = SHIPPED) -> None:
    """Write the file.

    Args:
        output: The .npz.
    """
    torch.set_num_threads(1)
    model, found = default_hand("right"), []
    hands = Hands(PersonalHand(model, torch.zeros(model.num_shape)))
    for kind, seed in track(list(objects()), description="things"):
        for is_pinch in (False, True):
            found += grasps_of(hands, kind, seed, is_pinch)
    kinds, seeds, pinches, angles, to_rest = zip(*found, strict=True)
    numbers = (np.array(part, np.float32) for part in (angles, to_rest))
    grasps = Grasps(kinds, np.array(seeds), np.array(pinches), *numbers)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_npz(output, grasp_arrays(grasps), expected="to write the grasps", remedy="free some space")
    for kind in KINDS:
        rows = np.array([name == kind for name in kinds])
        print(f"{kind}: {rows.sum()} grasps, {grasps.is_pinch[rows].sum()} of them pinches")
    print(f"{len(grasps)} grasps, {output.stat().st_size / 1e3:.0f} kB at {output}")


def objects():
    """Kinds and seeds."""
    for kind in KINDS:
        numbers = SEEDS_OF_TEST_KINDS if kind in TEST_KINDS else SEEDS
        yield from ((kind, seed) for seed in numbers)


def grasps_of(hands: Hands, kind: str, seed: int, is_pinch: bool) -> list[Found]:
    """Grasps of a thing; none where it is hard to hold."""
    rng, found = np.random.default_rng([list(KINDS).index(kind), seed, is_pinch]), []
    for _ in range(ROUNDS):
        attempts = [a for a in (placed(hands, kind, seed, is_pinch, rng) for _ in range(AT_ONCE)) if a]
        if not attempts:
            continue
        for attempt, angles in zip(attempts, closed(hands, attempts, relax=is_pinch), strict=True):
            if measured(hands, attempt, angles).is_good:
                pose = np.concatenate([attempt.rotation, attempt.center[:, None]], axis=1)
                found.append((kind, seed, is_pinch, angles, pose))
        if found:
            break
    return found


def placed(hands: Hands, kind: str, seed: int, is_pinch: bool, rng: np.random.Generator) -> Attempt | None:
    """A thing where a hand can close around it."""
    attempt = pinch_attempt if is_pinch else fist_attempt
    tries = (attempt(hands, solid(kind, seed), rng) for _ in range(PLACEMENTS))
    return next((found for found in tries if found), None)


if __name__ == "__main__":
    tyro.cli(main)
