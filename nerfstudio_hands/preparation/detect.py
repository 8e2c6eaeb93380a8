"""Landmarks of all pictures of a source, kept as they are found, so that an interrupted search goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.captures.landmark_files import write_landmarks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand, HandDetector
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text
from nerfstudio_hands.preparation.kept_hands import hand_of, plain
from nerfstudio_hands.preparation.landmark_sheet import landmark_tile
from nerfstudio_hands.preparation.sides import SidedHands, decide_sides
from nerfstudio_hands.preparation.sources import Source, SourceImage
from nerfstudio_hands.preparation.tracklets import hand_steps
from nerfstudio_hands.program.progress import show_progress

KEPT = "hands.jsonl"
"""Beside the landmarks: what the networks said of every picture, a line each, from which a search goes on."""

FILM_STEP = 0.2
"""Mean way of the landmarks between two pictures, in sizes of the hand, up to which these are one film."""

TILES = 12
"""Pictures of a source on the contact sheet."""


@dataclass(frozen=True)
class FoundLandmarks:
    """What was found in the pictures of a source.

    Attributes:
        names: Of the pictures.
        sides: Their hands, one camera.
    """

    names: list[str]
    sides: SidedHands

    @property
    def counts(self) -> tuple[int, int, int]:
        """In how many pictures some hand was found, a left one, and a right one."""
        left, right = np.isfinite(self.sides.score[:, 0]).T
        return int((left | right).sum()), int(left.sum()), int(right.sum())


def detect_landmarks(source: Source, folder: Path, detector: HandDetector) -> FoundLandmarks:
    """Find the hands in all pictures of a source, and write `<folder>/<picture>.json` for each (`write_landmarks`).

    Pictures that an earlier search saw are not looked at again. Sides are decided over all pictures at the end.

    Args:
        source: Pictures of one camera.
        folder: Where the files go; it is made.
        detector: Finds hands.

    Raises:
        HandsError: A picture cannot be read, the folder cannot be written, or holds the landmarks of other pictures.
    """
    about = {"pictures": [str(file.resolve()) for file in source.files[:1]], "max_hands": detector.max_hands}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hands = _kept(folder / KEPT, about)
        with (folder / KEPT).open("a", encoding="utf8") as kept:
            kept.write("" if (folder / KEPT).stat().st_size else json.dumps(about) + "\n")
            for name, found in _search(source, set(hands), detector):
                hands[name] = found
                kept.write(json.dumps([name, [plain(hand) for hand in found]]) + "\n")
                kept.flush()
    except OSError as error:
        raise HandsError(
            f"{folder}: expected a folder for landmarks, found '{error.strerror}': free some space or give another "
            "--output."
        ) from error
    names = list(hands) if source.is_video else [file.stem for file in source.files]
    sides = _sides([hands[name] for name in names], source)
    for index, name in enumerate(names):
        write_landmarks(folder / f"{name}.json", sides.picture(index, 0))
    return FoundLandmarks(names, sides)


def _sides(hands: Sequence[list[DetectedHand]], source: Source) -> SidedHands:
    """Sides of the hands in pictures that follow each other, or that were taken from anywhere."""
    if source.is_video or looks_like_film(hands):
        return decide_sides([[found] for found in hands], [source.name])
    # Views of one moment: nothing is followed from one to the next.
    sides = decide_sides([hands], [file.stem for file in source.files])
    pixels, metric, score = (values.swapaxes(0, 1) for values in (sides.pixels, sides.metric, sides.score))
    return SidedHands(pixels, metric, score, sides.problems)


def looks_like_film(hands: Sequence[list[DetectedHand]]) -> bool:
    """Whether most hands of a folder's pictures hardly move from a picture to the next."""
    steps = [hand_steps(before, now).min(0) for before, now in pairwise(hands) if before and now]
    return bool(steps and np.median(np.concatenate(steps)) < FILM_STEP)


def _search(source: Source, done: set[str], detector: HandDetector) -> Iterator[tuple[str, list[DetectedHand]]]:
    """Hands of each picture that is not done; of a video each is looked for where it was before."""
    with show_progress(f"Finding hands in {source.name}", source.count) as report:
        if not source.is_video:
            left = [file for file in source.files if file.stem not in done]
            for index, picture in enumerate(replace(source, files=tuple(left)).pictures() if left else ()):
                yield picture.name, detector.detect(picture.image)
                report(len(source.files) - len(left) + index + 1)
            return
        names: list[str] = []

        def images() -> Iterator[UInt8[np.ndarray, "H W 3"]]:
            for index, picture in enumerate(source.pictures()):
                report(index)
                if picture.name not in done:
                    names.append(picture.name)
                    yield picture.image

        for found in detector.detect_video(images()):
            yield names.pop(), found


def _kept(path: Path, about: dict[str, Any]) -> dict[str, list[DetectedHand]]:
    """Hands that an earlier search found, by picture; its last line may be cut."""
    if not path.exists():
        return {}
    try:
        lines = read_text(path).splitlines(keepends=True)
        known = [json.loads(line) for line in lines if line.endswith("\n")]
        hands = {name: [hand_of(values) for values in found] for name, found in known[1:]}
    except (UnreadableFile, ValueError, TypeError, KeyError) as error:
        raise HandsError(
            f"{path}: expected what an earlier search found, found '{error}': delete the file or give another --output."
        ) from error
    if known and known[0] != about:
        raise HandsError(
            f"{path.parent}: expected a new folder or one of these pictures, found landmarks of {known[0]}: give "
            "another --output."
        )
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]), encoding="utf8")
    return hands


def landmark_tiles(source: Source, found: FoundLandmarks) -> list[UInt8[np.ndarray, "S S 3"]]:
    """Some pictures of a source, evenly chosen, with their landmarks."""
    count = len(found.names)
    chosen = {found.names[index]: index for index in np.linspace(0, count - 1, min(TILES, count)).round().astype(int)}
    return [
        landmark_tile(picture.image, _pixels(found, chosen[picture.name]), f"{source.name} {picture.name}")
        for picture in _pictures(source, set(chosen))
    ]


def _pixels(found: FoundLandmarks, index: int) -> Float[np.ndarray, "2 21 2"]:
    return found.sides.pixels[index, 0]


def _pictures(source: Source, names: set[str]) -> Iterator[SourceImage]:
    if not source.is_video:
        source = replace(source, files=tuple(file for file in source.files if file.stem in names))
    yield from (picture for picture in source.pictures() if picture.name in names)


def summary(sources: Sequence[Source], found: Sequence[FoundLandmarks]) -> list[str]:
    """A sentence a source: in how many pictures hands were found, and which; and what was odd."""
    sentences = []
    for source, one in zip(sources, found, strict=True):
        some, left, right = one.counts
        sentences.append(
            f"{source.name}: hands in {some} of {len(one.names)} pictures (left in {left}, right in {right})."
        )
        sentences += one.sides.problems
    return sentences
