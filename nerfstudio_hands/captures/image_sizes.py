"""One size a camera: files of another one, which its calibration does not describe, are left out and named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.files.image_reading import image_size

Frame = TypeVar("Frame", bound=Hashable)

NAMED = 3
"""So many of the files that are left out are named."""


def sizes_on_disk(files: Mapping[tuple[str, str], Path]) -> dict[tuple[str, str], tuple[int, int]]:
    """Width and height of the file of each (frame, camera name), from its header.

    Raises:
        HandsError: A file is truncated or no picture.
    """
    return {key: image_size(path) for key, path in files.items()}


def usual_sizes(
    found: Mapping[tuple[Frame, str], tuple[int, int]], intrinsics: Mapping[str, Float[np.ndarray, "3 3"]]
) -> dict[str, tuple[int, int]]:
    """The size most common among the files of each camera; of sizes as common as each other the one whose middle is
    nearest to the principal point.

    Args:
        found: Width and height of the file of each (frame, camera name).
        intrinsics: K of each camera in pixels.
    """
    counts: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for (_, name), size in found.items():
        counts[name][size] += 1

    def rank(name: str, size: tuple[int, int]) -> tuple[int, float]:
        return counts[name][size], -float(np.linalg.norm(intrinsics[name][:2, 2] - np.array(size) / 2))

    return {name: max(sizes, key=lambda size, name=name: rank(name, size)) for name, sizes in counts.items()}


def leave_out_other_sizes(
    kind: str,
    files: dict[tuple[Frame, str], Path],
    found: Mapping[tuple[Frame, str], tuple[int, int]],
    expected: Mapping[str, tuple[int, int]],
    problems: list[str],
) -> None:
    """Removes from `files` those that have not the size of their camera; a sentence in `problems` says which.

    Args:
        kind: What they are, in the plural.
        files: File of (frame, camera name).
        found: Width and height of each of them.
        expected: Width and height of the pictures of each camera.
        problems: Gets the sentence.
    """
    odd = {key: files.pop(key) for key, size in found.items() if size != expected[key[1]]}
    if not odd:
        return
    named = [
        f"{path} of {_pixels(found[key])} instead of {_pixels(expected[key[1]])}"
        for key, path in list(odd.items())[:NAMED]
    ]
    more = ", .." * (len(odd) > NAMED)
    problems.append(
        f"{kind} of another size than the pictures of their camera, left out: {len(odd)} ({', '.join(named)}{more})."
    )


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
