"""What the hands do over the frames of a sequence, known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.range_of_motion import HandMotion
from nerfstudio_hands.synthesis.scene import PosedMesh
from nerfstudio_hands.synthesis.subject import Subject
from nerfstudio_hands.transforms.rigid import apply_rigid

PALM_JOINTS = (0, 9, 12)
"""Wrist, knuckle and tip of the middle finger: the mean of them is the middle of a hand."""


@dataclass(frozen=True)
class MotionSequence:
    """True hands of a sequence of T frames; meters, world, sides in the order of `SIDES`, NaN where absent."""

    name: str
    frames: Int[np.ndarray, "T"]
    """Frame numbers, unique within the capture."""
    is_there: Bool[np.ndarray, "2"]
    """Which sides take part."""
    global_orient: Float[np.ndarray, "T 2 3"]
    """In the convention of `pose_hand`, as the next two."""
    local_rotations: Float[np.ndarray, "T 2 15 3"]
    translation: Float[np.ndarray, "T 2 3"]
    keypoints: Float[np.ndarray, "T 2 21 3"]
    vertices: Float[np.ndarray, "T 2 V 3"]
    """Of the hand model."""
    bone_to_world: Float[np.ndarray, "T 2 16 4 4"]
    """From the rest pose, in the order of MANO's joints."""
    object_to_world: Float[np.ndarray, "T 4 4"] | None = None
    """From the frame of the object that the hand holds."""

    @property
    def wrist_to_world(self) -> Float[np.ndarray, "T 2 4 4"]:
        """From the rest pose."""
        return self.bone_to_world[:, :, 0]

    @property
    def hand_type(self) -> str:
        """`right`, `left` or `interacting`."""
        return "interacting" if self.is_there.all() else SIDES[int(np.argmax(self.is_there))]


def pose_sequence(
    name: str,
    frames: Int[np.ndarray, "T"],
    motions: Mapping[str, HandMotion],
    subject: Subject,
    center: Float[np.ndarray, "3"],
) -> MotionSequence:
    """Let a person's hands do something; fingers that hold an object keep hold of it.

    Args:
        name: Of the sequence.
        frames: Their numbers.
        motions: By side.
        subject: The person.
        center: Where the hands are held, world meters.
    """
    count = len(frames)
    sizes = {"global_orient": (3,), "local_rotations": (15, 3), "translation": (3,), "keypoints": (21, 3)}
    sizes |= {"vertices": (default_hand("right").num_vertices, 3), "bone_to_world": (16, 4, 4)}
    tables = {key: np.full((count, 2, *size), np.nan, dtype=np.float32) for key, size in sizes.items()}
    object_to_world = None
    for side, motion in motions.items():
        hand, local = subject.hands[side].own, motion.local_rotations
        if subject.held:
            local = subject.grasps[side].local_rotations.expand(count, -1, -1)
        free = hand.pose(motion.global_orient, local, torch.zeros(count, 3))
        translation = torch.from_numpy(center + motion.middle).float() - free.keypoints[:, PALM_JOINTS].mean(1)
        posed = hand.pose(motion.global_orient, local, translation)
        values = (motion.global_orient, local, translation, posed.keypoints, posed.vertices, posed.bone_transforms)
        for table, value in zip(tables.values(), values, strict=True):
            table[:, SIDES.index(side)] = value.numpy()
        if subject.held:
            object_to_world = posed.bone_transforms[:, 0].double().numpy() @ subject.grasps[side].object_to_rest
    is_there = np.array([side in motions for side in SIDES])
    return MotionSequence(name, frames, is_there, **tables, object_to_world=object_to_world)


def moved(motion: MotionSequence, t: int, offset: float) -> MotionSequence:
    """The surfaces between two frames, as a sequence of a single one.

    Places are mixed linearly, which is good for small parts of the way; before the first frame and after the last the
    hands move as they do behind it and before it.

    Args:
        motion: At least two frames.
        t: Which frame.
        offset: Frames from there, -1 to 1.
    """
    other = t + (1 if offset > 0 else -1)
    if not 0 <= other < len(motion.frames):
        other = 2 * t - other
    share = offset * (other - t)

    def mixed(table: Float[np.ndarray, "T *N"]) -> Float[np.ndarray, "1 *N"]:
        return table[t : t + 1] + share * (table[other : other + 1] - table[t : t + 1])

    names = ["vertices", "bone_to_world", *(["object_to_world"] if motion.object_to_world is not None else [])]
    return replace(motion, frames=motion.frames[t : t + 1], **{name: mixed(getattr(motion, name)) for name in names})


def posed_surfaces(subject: Subject, motion: MotionSequence, t: int) -> list[PosedMesh]:
    """All surfaces in one frame: skin and sleeve of each hand, then what is held."""
    surfaces = []
    for s in np.flatnonzero(motion.is_there):
        vertices = motion.vertices[t, s].astype(float)
        surfaces += subject.hands[SIDES[s]].posed(vertices, motion.wrist_to_world[t, s].astype(float))
    if motion.object_to_world is not None:
        mesh = subject.held_mesh
        surfaces.append((mesh, apply_rigid(motion.object_to_world[t], mesh.points.position)))
    return surfaces
