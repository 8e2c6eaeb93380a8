"""Folders with a file a frame: DexYCB's labels, HO-3D's meta, ObMan's, or other pickles of their form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.hand_model import HandModel
from nerfstudio_hands.motion.foreign_track import foreign_track
from nerfstudio_hands.motion.pose_track import PoseTrack

SUFFIXES = (".pkl", ".pickle", ".npz")

_ABSENT = {"pose_m": 51, "handPose": 48}
"""Numbers of a hand by the array that has them."""


def read_frame_folder(folder: Path, hands: Sequence[HandModel], *, convention: str | None = None) -> PoseTrack:
    """A track of a folder in which every file is a frame, in the order of the numbers in their names.

    Known are DexYCB's `pose_m` (51 numbers, zeros where no hand is seen) and HO-3D's `handPose` (48) with `handTrans`
    (3). Frames whose file has no pose count as frames without the hand. Thirty frames a second are meant. Nothing that
    a pickle names is run. Wrists are in the files' own camera; HO-3D's has y up and z backwards.

    Args:
        folder: The folder.
        hands: The avatar's hands, see `foreign_track`.
        convention: How the numbers are to be read; by default as the two data sets write them.

    Raises:
        HandsError: There are no such files, one cannot be read, or none has a pose.
    """
    paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=_number)
    if not paths:
        raise HandsError(f"{folder}: expected a file a frame ({', '.join(SUFFIXES)}), found none: give another folder.")
    frames = [_arrays(path) for path in paths]
    name = next((name for name in _ABSENT if any(name in frame for frame in frames)), None)
    if name is None:
        known = sorted({key for frame in frames for key in frame})
        raise HandsError(
            f"{folder}: expected pose_m (DexYCB) or handPose with handTrans (HO-3D) in its files, found "
            f"{', '.join(known[:12]) or 'no arrays'}: give another folder."
        )
    rows = np.stack([_row(path, frame, name) for path, frame in zip(paths, frames, strict=True)])
    usual = convention or ("dexycb" if name == "pose_m" else "mano-flat")
    # In the form of DexYCB a hand of zeros is one that is absent.
    return foreign_track(folder, {"pose_m": rows}, hands, convention=usual)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path) if path.suffix.lower() == ".npz" else read_array_pickle(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected a frame's arrays, found {error}: leave the file out.") from error


def _row(path: Path, frame: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Orientation, 45 numbers of the fingers and translation; zeros where there is no hand."""
    found = frame.get(name)
    if found is None or not found.size:
        return np.zeros(51)
    parts = [found.ravel()] if name == "pose_m" else [found.ravel(), frame.get("handTrans", np.zeros(0)).ravel()]
    row = np.concatenate(parts).astype(np.float64)
    if row.size != 51:
        raise HandsError(f"{path}: expected 51 numbers of a hand, found {row.size} in {name}: leave the file out.")
    return row


def _number(path: Path) -> tuple[int, str]:
    digits = "".join(letter for letter in path.stem if letter.isdigit())
    return int(digits or 0), path.name
