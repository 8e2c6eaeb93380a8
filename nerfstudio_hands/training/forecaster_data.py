"""Recordings that a forecaster learns from: files of the user's, or made-up people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import SIDES, load_hand
from nerfstudio_hands.motion.forecasting.forecaster import ForecasterConfig
from nerfstudio_hands.motion.forecasting.joint_files import read_joint_file
from nerfstudio_hands.motion.forecasting.representations import HandAngles, JointPositions
from nerfstudio_hands.motion.forecasting.skeleton import Skeleton
from nerfstudio_hands.motion.forecasting.track_states import recordings_of
from nerfstudio_hands.motion.forecasting.windows import Recording
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_any_track
from nerfstudio_hands.synthesis.motion_tracks import motion_tracks
from nerfstudio_hands.synthesis.options import MotionOptions

MADE_UP = MotionOptions(subjects=64, test_subjects=0, seconds=40.0)
"""People that are learned from where nothing else is given."""

KEPT = 10
"""One of so many recordings is not learned from but looked at."""


def read_recordings(
    data: Sequence[Path], config: ForecasterConfig, hand_model: str = "default", convention: str | None = None
) -> list[Recording]:
    """Recordings of files and folders, at the rate of a forecaster.

    Args:
        data: Pose tracks, joint files, or folders that hold them; empty for made-up people.
        config: Of the forecaster.
        hand_model: What the tracks' poses refer to.
        convention: How the poses of other tools are to be read.

    Raises:
        HandsError: A file cannot be read or has another rate of joint positions, or there is none.
    """
    if not data:
        return [rec for made in motion_tracks(MADE_UP) for rec in recordings_of_track(made.track, config, "default")]
    found: list[Recording] = []
    for path in _files(data):
        if _has_joints(path):
            found += _of_joints(path, config)
        else:
            models = [load_hand(hand_model, side) for side in SIDES]
            found += recordings_of_track(read_any_track(path, models, convention=convention), config, hand_model)
    return found


def split_recordings(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """What is learned from, and what is looked at: the end of a recording that is alone, or the last ones of many."""
    if len(recordings) < 2:
        (only,) = recordings
        cut = len(only.states) * 4 // 5
        parts = (only.states[:cut], only.states[cut:])
        return tuple([Recording(only.name, part, only.fps)] for part in parts)  # pyright: ignore[reportReturnType]
    kept = max(len(recordings) // KEPT, 1)
    return list(recordings[:-kept]), list(recordings[-kept:])


def recordings_of_track(track: PoseTrack, config: ForecasterConfig, hand_model: str) -> list[Recording]:
    """Recordings of the hands of a track, at the rate of a forecaster and in its numbers.

    Args:
        track: Poses.
        config: Of the forecaster.
        hand_model: What the poses refer to.
    """
    models = [load_hand(hand_model, side) for side in track.sides]
    recordings = recordings_of(track, models, config.fps)
    if config.numbers == "angles":
        return recordings
    posed = HandAngles(Skeleton.of(load_hand(hand_model, "right")))
    numbers = config.representation
    assert isinstance(numbers, JointPositions)
    return [Recording(rec.name, numbers.states(posed.joints(rec.states)), rec.fps) for rec in recordings]


def _files(data: Sequence[Path]) -> list[Path]:
    """Files as they are; of folders those below them, unless the folder itself is a track."""
    found: list[Path] = []
    for path in (path.expanduser() for path in data):
        inside = sorted(path.rglob("*.npz")) if path.is_dir() else []
        if path.is_dir() and not inside and not any(path.glob("*.pkl")):
            raise HandsError(f"{path}: expected pose tracks (.npz) in the folder, found none: give another --data.")
        is_track = path.is_file() or any(path.glob("*.pkl")) or any(path.glob("labels_*.npz"))
        found += [path] if is_track else inside
    return found


def _has_joints(path: Path) -> bool:
    if path.is_dir():
        return False
    if path.suffix == ".json":
        return "joint_3d" in path.name
    from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz

    try:
        return path.suffix == ".npz" and "joints" in read_npz(path)
    except UnreadableFile:
        return False


def _of_joints(path: Path, config: ForecasterConfig) -> list[Recording]:
    if not isinstance(config.representation, JointPositions):
        raise HandsError(
            f"{path}: expected poses, from which angles follow, found joint positions: give --numbers relative or "
            "absolute."
        )
    recordings = read_joint_file(path, config.representation)
    for recording in recordings:
        if abs(recording.fps - config.fps) > 1e-3:
            raise HandsError(
                f"{path}: expected {config.fps:g} frames a second, found {recording.fps:g}: give --fps "
                f"{recording.fps:g}."
            )
    return recordings
