"""Hands in the pictures of a source, kept in the cache as they are found: what was found once is not looked for again,
whatever ended the command before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand, HandDetector
from nerfstudio_hands.estimators.hand_detector.weights import SHA256
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.guarded_files import UnreadableFile, open_regular, read_text
from nerfstudio_hands.files.npz_writing import CACHE_REMEDY
from nerfstudio_hands.preparation.sources import Source

SEARCH = 1
"""To be raised with every change of the detector's code that lets it find other hands in the same pictures."""

BLOCK = 2**20
"""Bytes of a picture or film that are read at once to tell it from others."""


def found_hands(
    source: Source, images: Iterable[UInt8[np.ndarray, "H W 3"]], weights: Path | None = None
) -> Iterator[list[DetectedHand]]:
    """The hands in each picture of a source, as these come; of a video each is looked for where it was before.

    Those of an earlier search of the same pictures come from the cache, the others go there one by one.

    Args:
        source: Pictures of one camera.
        images: The same pictures, RGB, read by the caller; one is taken for each that is given back.
        weights: Folder with the detector's networks; by default where `ns-hands fetch-weights` puts them.

    Raises:
        HandsError: The networks are not there, a file cannot be read, or the cache cannot be written.
    """
    detector, images = HandDetector(weights), iter(images)
    file = cache_folder() / "hands" / f"{_key(source)}.jsonl"
    known = _kept(file)
    for hands, _ in zip(known, images, strict=False):
        yield hands
    before = known[-1] if known else []
    found = detector.detect_video(images, before) if source.is_video else map(detector.detect, images)
    for index, hands in enumerate(found, len(known)):
        _keep(file, index, hands)
        yield hands


def _key(source: Source) -> str:
    """Of what the pictures are, wherever they lie, and of the detector."""
    digest = hashlib.sha256(repr((SEARCH, sorted(SHA256.items()), source.is_video)).encode())
    for path in source.files:
        own = hashlib.sha256()
        try:
            with open_regular(path) as file:
                while block := file.read(BLOCK):
                    own.update(block)
        except (UnreadableFile, OSError) as error:
            raise HandsError(f"{path}: expected a picture or video, found '{error}': correct or remove it.") from error
        digest.update(own.digest())
    return digest.hexdigest()[:24]


def _kept(file: Path) -> list[list[DetectedHand]]:
    """Hands of the first pictures, up to the first that is missing; lines that were cut do not count."""
    try:
        lines = read_text(file).splitlines()
    except UnreadableFile:
        return []
    found = {}
    for line in lines:
        try:
            index, hands = json.loads(line)
            found[index] = [hand_of(values) for values in hands]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return [found[index] for index in takewhile(found.__contains__, count())]


def _keep(file: Path, index: int, hands: Sequence[DetectedHand]) -> None:
    # A line of its own even after one that an interruption cut.
    line = f"\n{json.dumps([index, [plain(hand) for hand in hands]])}\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf8") as kept:
            kept.write(line)
    except OSError as error:
        raise HandsError(
            f"{file}: expected to keep the hands that were found, found '{error.strerror or error}': {CACHE_REMEDY}."
        ) from error


def plain(hand: DetectedHand) -> dict[str, Any]:
    """A hand as JSON has it; `hand_of` gives it back to the last digit."""
    arrays = {"pixels": hand.pixels, "depth": hand.depth, "metric": hand.metric}
    return {"score": hand.score, "right": hand.right} | {name: values.tolist() for name, values in arrays.items()}


def hand_of(values: dict[str, Any]) -> DetectedHand:
    """The hand that `plain` wrote.

    Raises:
        ValueError, TypeError, KeyError: It is none.
    """
    pixels, depth, metric = (np.array(values[name], dtype=float) for name in ("pixels", "depth", "metric"))
    if (pixels.shape, depth.shape, metric.shape) != ((21, 2), (21,), (21, 3)):
        raise ValueError(f"landmarks of shape {pixels.shape}")
    return DetectedHand(pixels, depth, float(values["score"]), float(values["right"]), metric)
