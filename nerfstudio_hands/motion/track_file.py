"""Files of pose tracks: our own .npz, other tools' .npz and pickles, and MANO parameters as InterHand2.6M has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.files.guarded_files import UnreadableFile, finite, read_json, read_npz
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.hand_model import SIDES, HandModel, HandPose
from nerfstudio_hands.hand_model.mano_json import mano_parameters
from nerfstudio_hands.motion.foreign_track import LARGEST, foreign_track
from nerfstudio_hands.motion.frame_clock import frame_clock
from nerfstudio_hands.motion.frame_files import read_frame_folder
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_convention import CONVENTIONS

PICKLES = (".pkl", ".pickle", ".joblib")
"""Names' ends of what other tools pickle; joblib's are told how to save them again."""

FORMAT = "nerfstudio-hands pose track 1"
"""Written into every file; the number changes when older readers would misread it."""

_WIDTHS = {"global_orient": (3,), "local_rotations": (15, 3), "translation": (3,), "valid": ()}


def save_track(path: Path, track: PoseTrack) -> None:
    """Write a track; the file appears complete or not at all, and an existing one is left as it is.

    Raises:
        HandsError: There is such a file already, or the folder cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise HandsError(f"{path}: expected a new file for the pose track, found one there: choose another name.")
    arrays = {name: getattr(track.pose, name).detach().cpu().numpy() for name in _WIDTHS}
    write_npz(
        path,
        {
            "format": FORMAT,
            "sides": np.array(track.sides),
            "name": track.name,
            "times": track.times.cpu().numpy(),
            **arrays,
        },
        expected="a place to write the pose track",
        remedy="free some space or choose another folder",
    )


def read_any_track(
    path: Path,
    hands: Sequence[HandModel],
    *,
    convention: str | None = None,
    capture: str | None = None,
    frames: tuple[int, int] | None = None,
) -> PoseTrack:
    """Read a track of whatever tool, see :func:`read_track`, :func:`read_mano_json` and `foreign_track`.

    Args:
        path: The file, or a folder with one a frame, see `read_frame_folder`.
        hands: The avatar's hands, for what MANO's poses refer to.
        convention: How another tool's numbers are to be read, a name of `CONVENTIONS`.
        capture: Which capture of a JSON file that holds several.
        frames: First and last frame number to read of a JSON file.

    Raises:
        HandsError: It is no such file.
    """
    path = Path(path)
    if path.is_dir():
        return read_frame_folder(path, hands, convention=convention)
    if path.suffix == ".json":
        return read_mano_json(path, hands, capture=capture, frames=frames, convention=convention or "mano-mean")
    arrays = _arrays(path)
    if "format" not in arrays:
        return foreign_track(path, arrays, hands, convention=convention)
    if convention is not None:
        raise HandsError(
            f"{path}: expected a file of another tool with --track-convention, found our own: leave it out."
        )
    return _own_track(path, arrays)


def read_track(path: Path) -> PoseTrack:
    """Read a track that :func:`save_track` wrote.

    Raises:
        HandsError: It is no such file, of another version, or its arrays have wrong lengths or hold NaN.
    """
    return _own_track(Path(path), _arrays(Path(path)))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    pickled = path.suffix.lower() in PICKLES
    try:
        return read_array_pickle(path) if pickled else read_npz(path)
    except UnreadableFile as error:
        if not path.exists():
            raise HandsError(f"{path}: expected a pose track, found no such file; check the path.") from error
        if pickled:
            raise HandsError(
                f"{path}: expected a pickled dictionary of arrays, found {error}: load it with the tool that wrote it, "
                "and save its arrays by numpy.savez('track.npz', **arrays)."
            ) from error
        raise _no_track(path, str(error)) from error


def _own_track(path: Path, arrays: dict[str, np.ndarray]) -> PoseTrack:
    missing = sorted({"format", "sides", "times", *_WIDTHS} - arrays.keys())
    if missing:
        raise _no_track(path, f"it lacks {', '.join(missing)}")
    if str(arrays["format"]) != FORMAT:
        raise HandsError(
            f"{path}: expected the format {FORMAT!r}, found {str(arrays['format'])!r}; make the track again with this "
            "version."
        )
    sides = tuple(str(side) for side in np.atleast_1d(arrays["sides"]))
    if sides not in (SIDES, SIDES[:1], SIDES[1:]):
        raise _no_track(path, f"its hands are {sides} instead of left, right or both")
    num_keys = arrays["times"].shape[0] if arrays["times"].ndim == 1 else 0
    for name, width in _WIDTHS.items():
        expected, found = (num_keys, len(sides), *width), arrays[name]
        if found.shape != expected or not num_keys or found.dtype.kind not in "fiub":
            raise HandsError(
                f"{path}: expected {name} as numbers of the shape {expected} for {num_keys} time(s) and {len(sides)} "
                f"hand(s), found {found.dtype} of the shape {found.shape}: give every key one time and one pose."
            )
        odd = np.argwhere(~finite(found.reshape(num_keys, len(sides), -1), below=LARGEST).all(axis=-1))
        if len(odd):
            key, hand = odd[0]
            raise HandsError(
                f"{path}: expected finite numbers (radians, metres), found NaN, infinity or more than {LARGEST:g} in "
                f"{name} of the {sides[hand]} hand at key {key}: leave the key out, or mark the hand as not valid "
                "there and write zeros."
            )
    times = arrays["times"].astype(np.float32) if arrays["times"].dtype.kind in "fiu" else np.full(num_keys, np.nan)
    # A comparison with NaN is false, so that it fails here, too.
    if not (times[0] == 0 and (np.diff(times) > 0).all() and np.isfinite(times[-1])):
        raise HandsError(f"{path}: expected times in seconds that begin at 0 and increase, found others: correct them.")
    pose = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in _WIDTHS}
    pose["valid"] = pose["valid"] > 0
    return PoseTrack(sides, HandPose(**pose), torch.from_numpy(times), str(arrays.get("name", "")) or path.stem)


def read_mano_json(
    path: Path,
    hands: Sequence[HandModel],
    *,
    capture: str | None = None,
    frames: tuple[int, int] | None = None,
    convention: str = "mano-mean",
) -> PoseTrack:
    """Read poses in the form of InterHand2.6M's `MANO_NeuralAnnot` files, or of one capture of such a file.

    Poses there are relative to MANO's mean pose (`flat_hand_mean=False`), which is therefore added, unless the
    convention is that of the flat hand. The subject's shape is left out: a track moves any hand. Times follow from the
    frames' numbers, see `frame_clock`.

    Args:
        path: `{capture: {frame: {"right": null or {"pose": 48, "shape": 10, "trans": 3}, "left": ...}}}`.
        hands: The avatar's hands, one or both, for their mean poses: hand models in MANO's own layout.
        capture: Which capture; may be left out where there is only one.
        frames: First and last frame number to read; by default all.
        convention: `mano-mean`, or `mano-flat` for files of this form whose poses are relative to the flat hand.

    Raises:
        HandsError: It is no such file, it cannot be in this convention, there is no such capture, or no frame has one
            of the hands.
    """
    path = Path(path)
    if convention not in ("mano-mean", "mano-flat"):
        raise HandsError(
            f"{path}: expected --track-convention mano-mean or mano-flat for JSON, found {convention}: give one of the "
            "two."
        )
    try:
        entries = read_json(path)
    except UnreadableFile as error:
        if not path.exists():
            raise HandsError(f"{path}: expected MANO poses, found no such file; check the path.") from error
        raise HandsError(
            f"{path}: expected MANO poses in JSON, found something else ({error}); copy the file again."
        ) from error
    entries = _one_capture(path, entries, capture)
    low, high = frames or (-math.inf, math.inf)
    try:
        entries = {int(frame): entry for frame, entry in entries.items()}
    except ValueError as error:
        raise HandsError(f"{path}: expected numbers of frames, found others ({error}); give another file.") from error
    numbers = sorted(number for number in entries if low <= number <= high)
    sides = tuple(hand.side for hand in hands)
    table = _poses_and_translations(path, {number: entries[number] for number in numbers}, sides)
    valid: Bool[np.ndarray, "T H"] = finite(table).all(axis=-1)  # pyright: ignore[reportAssignmentType]
    kept, there = valid.any(axis=1), valid.any(axis=0)
    if not kept.any():
        raise HandsError(
            f"{path}: expected poses of the {' or '.join(sides)} hand in frames {low} to {high}, found none among "
            f"{len(numbers)} frame(s): choose other frames or another avatar."
        )
    table = torch.from_numpy(np.nan_to_num(table)[kept][:, there]).float()
    mean = torch.stack([hand.hands_mean for hand, present in zip(hands, there, strict=True) if present]).to(table)  # pyright: ignore[reportArgumentType]
    mean = mean * CONVENTIONS[convention].on_mean
    times = torch.from_numpy(np.array(numbers)[kept] / frame_clock(entries))
    pose = HandPose(
        global_orient=table[..., :3],
        local_rotations=table[..., 3:48].unflatten(-1, (15, 3)) + mean,
        translation=table[..., 48:],
        valid=torch.from_numpy(valid[kept][:, there]),
    )
    kept_sides = tuple(side for side, present in zip(sides, there, strict=True) if present)  # pyright: ignore[reportArgumentType]
    return PoseTrack(kept_sides, pose, (times - times[0]).float(), path.stem)


def _one_capture(path: Path, entries: Any, capture: str | None) -> dict[str, dict]:
    """The entries by frame of a whole annotation file's capture, or of a file of one capture."""
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) and entry for entry in entries.values()):
        raise HandsError(f"{path}: expected MANO poses by capture and frame, found something else; give another file.")
    if all(set(entry) <= set(SIDES) for entry in entries.values()):
        return entries
    if capture is None and len(entries) == 1:
        (capture,) = entries
    if capture not in entries:
        raise HandsError(
            f"{path}: expected a capture out of {', '.join(entries)}, found {capture or 'none'}: name one of them."
        )
    return _one_capture(path, entries[capture], None)


def _poses_and_translations(
    path: Path, entries: dict[int, dict[str, Any]], sides: Sequence[str]
) -> Float[np.ndarray, "F S 51"]:
    """Numbers of the hands of frames; NaN where there is none."""
    rows = {number: row for row, number in enumerate(entries)}
    remedy = "correct the file or choose other frames."
    found = mano_parameters(path, entries.items(), rows, keys=("pose", "trans"), sides=sides, remedy=remedy)
    table = np.concatenate(list(found.values()), axis=-1)
    for (number, hands), known in zip(entries.items(), finite(table).all(axis=-1), strict=True):  # pyright: ignore[reportArgumentType]
        broken = [side for side, whole in zip(sides, known, strict=True) if not whole and hands.get(side) is not None]
        if broken:
            raise HandsError(
                f"{path}: expected 48 finite numbers as 'pose' and 3 as 'trans' of the {broken[0]} hand in frame "
                f"{number}, found NaN or infinity: {remedy}"
            )
    return table


def _no_track(path: Path, found: str) -> HandsError:
    return HandsError(f"{path}: expected a pose track (.npz), found something else ({found}); give another file.")
