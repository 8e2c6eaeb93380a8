"""Which cameras and frames train and which are held out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Sequence

import numpy as np
from jaxtyping import Bool

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.wording import counted

HELD_OUT_EVERY = 7
"""Without names, every seventh camera is held out: two of a rig of fourteen."""

HELD_OUT_FRAME = 10
"""Without other wishes, every so many-th frame of a film is held out that no camera is held out of."""

HELD_OUT_FRACTION = 0.25
"""Without other wishes, this share of every sequence is held out where a capture has sequences."""

EVAL_PROTOCOLS = ("view", "pose", "both")
"""What of a held-out picture is new: the camera, the frame, or both."""

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, fill the unit interval evenly."""


@dataclass
class Split:
    """Cameras and frames of a capture, each for training or held out.

    Attributes:
        train_cameras: Names, in the capture's order.
        eval_cameras: Names, in the capture's order.
        train_frames: Whether each frame trains.
    """

    train_cameras: list[str]
    eval_cameras: list[str]
    train_frames: Bool[np.ndarray, " T"]

    @property
    def shape_frames(self) -> list[int] | None:
        """Frames that the person's shape may be taken from; None for all."""
        return None if self.train_frames.all() else np.flatnonzero(self.train_frames).tolist()

    def is_same(self, other: Split) -> bool:
        """Whether the same cameras and frames train."""
        return self.train_cameras == other.train_cameras and np.array_equal(self.train_frames, other.train_frames)


def split_capture(
    capture: Capture,
    *,
    cameras: Sequence[str] | None = None,
    exclude_cameras: Sequence[str] = (),
    eval_cameras: Sequence[str] | None = None,
    eval_sequences: Sequence[str] = (),
    eval_frame_fraction: float | None = None,
    eval_frame_every: int | None = None,
) -> Split:
    """Splits a capture; see :func:`choose_cameras` and :func:`choose_frames`."""
    train, held_out = choose_cameras(capture, cameras=cameras, exclude=exclude_cameras, held_out=eval_cameras)
    if eval_frame_every is None and eval_frame_fraction is None and capture.times is not None and not held_out:
        eval_frame_every = HELD_OUT_FRAME
    frames = choose_frames(capture, held_out=eval_sequences, fraction=eval_frame_fraction, every=eval_frame_every)
    return Split(train, held_out, frames)


def nothing_held_out(capture: Capture, split: Split) -> str | None:
    """A sentence where all pictures train, so that none is left to judge an avatar by; None where some are held out."""
    if split.eval_cameras or not split.train_frames.all():
        return None
    frames, cameras = len(capture.frames), len(split.train_cameras)
    remedy = "hold some out with --eval-cameras or --eval-frame-every"
    if frames == cameras == 1:
        remedy = "take more frames, or a second camera"
    return (
        f"No picture is held out of {counted(frames, 'frame')} and {counted(cameras, 'camera')}: an "
        f"avatar is trained, but `ns-eval` cannot say how good it is; {remedy}."
    )


def choose_frames(
    capture: Capture, *, held_out: Sequence[str] = (), fraction: float | None = None, every: int | None = None
) -> np.ndarray:
    """Which frames of a capture train, bool [T]; see :func:`frames_that_train`."""
    sequences, count = capture.sequences, len(capture.frames)
    return frames_that_train(capture.root, sequences, count, held_out=held_out, fraction=fraction, every=every)


def frames_that_train(
    root: Path,
    sequences: Sequence[str] | None,
    count: int,
    *,
    held_out: Sequence[str] = (),
    fraction: float | None = None,
    every: int | None = None,
) -> np.ndarray:
    """Which frames train, bool [T].

    Args:
        root: folder of the capture.
        sequences: the sequence of each frame; None where a capture has none.
        count: T.
        held_out: sequences that are held out whole.
        fraction: share of every other sequence that is held out: its end, in one piece, so that no held-out pose stands
            between two training ones. None is a quarter where a capture has sequences and none is held out whole, else
            nothing. A capture without sequences counts as one.
        every: of each sequence every so many-th frame is held out, too, from the middle of the first so many on; none
            with 0 or None.

    Raises:
        HandsError: a sequence that the capture does not have, a fraction out of range, or no training frame left.
    """
    of_frames = np.array(sequences or [""] * count)
    for name in held_out:
        if sequences is None or name not in sequences:
            raise HandsError(
                f"--eval-sequences: expected names among the sequences read from {root} "
                f"({', '.join(sorted(set(sequences or []))) or 'there are none'}), found {name}; correct the "
                "name, or name it after --sequences too."
            )
    if fraction is None:
        fraction = HELD_OUT_FRACTION if sequences is not None and not held_out else 0.0
    if not 0 <= fraction < 1:
        raise HandsError(
            f"--eval-frame-fraction: expected a number from 0 to below 1, found {fraction}; give a smaller one."
        )
    train = ~np.isin(of_frames, list(held_out))
    for name in np.unique(of_frames[train]):
        rows = np.flatnonzero(of_frames == name)
        train[rows[len(rows) - round(fraction * len(rows)) :]] = False
        if every:
            train[rows[every // 2 :: every]] = False
    if not train.any():
        raise HandsError(
            f"{root}: expected at least one training frame, found none after --eval-sequences and "
            "--eval-frame-fraction; hold out less."
        )
    return train


def training_rows(capture: Capture, split: Split, shown: Bool[np.ndarray, " T"]) -> list[tuple[int, str]]:
    """Pairs (frame, camera) that have a picture and train, in the order of frames, then cameras.

    Args:
        capture: the capture.
        split: its split.
        shown: the frames in which the hand is there; the others are left out.
    """
    return _rows(capture, split.train_cameras, split.train_frames & shown)


def evaluation_rows(
    capture: Capture, split: Split, shown: Bool[np.ndarray, " T"], *, max_images: int
) -> tuple[list[tuple[int, str]], list[str] | None]:
    """Held-out pairs (frame, camera) that have a picture, and what is new in each.

    Args:
        capture: the capture.
        split: its split.
        shown: the frames in which the hand is there; the others are left out.
        max_images: of each of the groups "view", "pose" and "both" at most so many, evenly spread; 0 for all.

    Returns:
        The pairs group by group, and the group of each; None for that where no frame is held out.
    """
    groups = {
        "view": _rows(capture, split.eval_cameras, split.train_frames & shown),
        "pose": _rows(capture, split.train_cameras, ~split.train_frames & shown),
        "both": _rows(capture, split.eval_cameras, ~split.train_frames & shown),
    }
    chosen = {name: _spread(rows, max_images) for name, rows in groups.items()}
    rows = [row for name in EVAL_PROTOCOLS for row in chosen[name]]
    if split.train_frames.all():
        return rows, None
    return rows, [name for name in EVAL_PROTOCOLS for _ in chosen[name]]


def _rows(capture: Capture, cameras: Sequence[str], frames: Bool[np.ndarray, " T"]) -> list[tuple[int, str]]:
    return [
        (int(t), name)
        for t in np.flatnonzero(frames)
        for name in cameras
        if (capture.frames[t], name) in capture.images
    ]


def _spread(rows: list[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    """At most `count` rows (0 for all): one from each of as many equal parts. Its place in the part changes, so that
    not always the same camera is met."""
    if count == 0 or len(rows) <= count:
        return rows
    edges = [k * len(rows) // count for k in range(count + 1)]
    return [rows[low + int(k * GOLDEN % 1 * (high - low))] for k, (low, high) in enumerate(pairwise(edges))]


def choose_cameras(
    capture: Capture, *, cameras: Sequence[str] | None, exclude: Sequence[str], held_out: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Splits the cameras of a capture that have pictures.

    Args:
        capture: the capture.
        cameras: names to use; None for all that have a picture.
        exclude: names to leave out.
        held_out: names to hold out; None for every seventh camera; empty for none.

    Returns:
        Names of the training cameras and of the held-out cameras, each in the capture's order.

    Raises:
        HandsError: a name that the capture does not have, or no training camera left.
    """
    known = [camera.name for camera in capture.cameras]
    with_images = [name for name in known if any((frame, name) in capture.images for frame in capture.frames)]
    for option, names in (
        ("--cameras", cameras or ()),
        ("--exclude-cameras", exclude),
        ("--eval-cameras", held_out or ()),
    ):
        for name in names:
            if name not in known:
                raise HandsError(
                    f"{option}: expected names of cameras of {capture.root} ({', '.join(known)}), found {name}; "
                    "correct the name."
                )
    missing = [name for name in held_out or () if name not in with_images]
    if missing:
        raise HandsError(
            f"--eval-cameras: expected cameras with pictures in {capture.root}, found none for {', '.join(missing)}; "
            "add the pictures or hold out other cameras."
        )
    usable = [n for n in with_images if n not in exclude and (cameras is None or n in cameras or n in (held_out or ()))]
    if held_out is None:
        held_out = usable[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY] if len(usable) > 2 else []
    train = [name for name in usable if name not in held_out]
    if not train:
        raise HandsError(
            f"{capture.root}: expected at least one training camera, found none after --cameras, "
            "--exclude-cameras and --eval-cameras; leave fewer cameras out."
        )
    return train, [name for name in usable if name in held_out]
