"""Pose tracks of what made-up people do, those to learn from and those to measure on apart."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import save_track
from nerfstudio_hands.synthesis.motion_takes import KINDS, Person, perform
from nerfstudio_hands.synthesis.options import MotionOptions


@dataclass(frozen=True)
class MadeUpTrack:
    """A track and where it comes from."""

    split: str
    """`train` or `test`; no person is in both."""
    subject: int
    kind: str
    track: PoseTrack


def motion_tracks(options: MotionOptions) -> Iterator[MadeUpTrack]:
    """Tracks of every kind by every person, the same for the same options.

    Args:
        options: Who and how long.
    """
    people = [("train", number) for number in range(options.subjects)]
    people += [("test", number) for number in range(options.test_subjects)]
    for split, subject in people:
        # Two people of different splits never share a seed, so that no numbers of the one enter the other.
        seed = [options.seed, zlib.crc32(split.encode()), subject]
        person = Person.draw(np.random.default_rng(seed))
        for number, kind in enumerate(KINDS):
            for take in range(options.takes):
                name = f"{kind}-{subject:02d}-{take}"
                track = _track(kind, person, [*seed, number, take], options, name)
                yield MadeUpTrack(split, subject, kind, track)


def count_tracks(options: MotionOptions) -> int:
    """How many tracks there will be."""
    return (options.subjects + options.test_subjects) * len(KINDS) * options.takes


@made_whole
def synthesize_motion(folder: Path, options: MotionOptions) -> Pieces:
    """Write the tracks as `<folder>/{train,test}/<kind>-<subject>-<take>.npz`, and their options beside them."""
    for made in motion_tracks(options):
        save_track(folder / made.split / f"{made.track.name}.npz", made.track)
        yield
    (folder / "options.json").write_text(json.dumps({"synthetic": True, **asdict(options)}, indent=1) + "\n")


def _track(kind: str, person: Person, seed: list[int], options: MotionOptions, name: str) -> PoseTrack:
    times = np.arange(round(options.seconds * options.fps)) / options.fps
    sides = SIDES if options.hand == "both" else (options.hand,)
    columns = []
    for side in sides:
        # Hands that do the same at the same time are one hand twice.
        rng = np.random.default_rng([*seed, SIDES.index(side)] if len(sides) == 2 else seed)
        motion = perform(kind, person, rng, times).on_side(side)
        model = default_hand(side)
        wrist = (model.joint_regressor @ model.template)[0]
        columns.append((motion.global_orient, motion.local_rotations, torch.from_numpy(motion.middle).float() - wrist))
    orient, local, translation = (torch.stack(parts, dim=1) for parts in zip(*columns, strict=True))
    valid = torch.ones(len(times), len(sides), dtype=torch.bool)
    return PoseTrack.of_frames(HandPose(orient, local, translation, valid), sides, fps=options.fps, name=name)
