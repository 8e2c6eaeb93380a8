"""A pose track as an animation of glTF: turning joints, a moving wrist, hands that come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.files.glb import GlbBuilder
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.transforms.rotations import composed, rotation_vector, unit_quaternion

HIDDEN_SCALE = 1e-6
"""Scale of a hand that is absent: less than a hair. Zero would leave viewers a matrix without inverse."""


@dataclass
class Wrist:
    """Where a rig has its wrist; metres.

    Attributes:
        rest: Place of the wrist's joint at rest, about which MANO turns a hand.
        offset: Translation of the node above it.
    """

    rest: Float[np.ndarray, 3]
    offset: Float[np.ndarray, 3]


def add_animation(
    glb: GlbBuilder,
    track: PoseTrack,
    skeletons: dict[str, list[int]],
    wrists: dict[str, Wrist],
    world: Float[np.ndarray, "3 4"],
) -> None:
    """Adds an animation that turns the joints as the track does and puts the hands where it has them.

    Between keys glTF turns joints by slerp and moves wrists on straight lines, which is the track's own rule. Of the
    two quaternions of a rotation a key has that which is nearer to the key before it, so that programs which do not
    choose the shorter way take it, too. A hand is shrunk out of sight while the track lacks it.

    Args:
        glb: The file.
        track: The poses; hands without a skeleton are left out.
        skeletons: Nodes of the joints of each hand, the wrist first, by "left" and "right".
        wrists: Their wrists, likewise.
        world: Rigid transform from the world of the track to that of the file.
    """
    animation: dict[str, list] = {"samplers": [], "channels": []}

    def add(node: int, path: str, times: np.ndarray, values: np.ndarray, interpolation: str = "LINEAR") -> None:
        sampler = {
            "input": glb.add_array(times.astype(np.float32), bounds=True),
            "output": glb.add_array(values.astype(np.float32)),
            "interpolation": interpolation,
        }
        animation["samplers"].append(sampler)
        target = {"node": node, "path": path}
        animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})

    times = track.times.double().cpu().numpy()
    turn, shift = rotation_vector(torch.from_numpy(world[:, :3]).double()), world[:, 3]
    for hand, side in enumerate(track.sides):
        if side not in skeletons:
            continue
        joints, wrist, pose = skeletons[side], wrists[side], track.pose.to("cpu")[:, hand]
        valid = pose.valid.numpy()
        if not valid.all():
            scale = np.where(_shown(valid), 1.0, HIDDEN_SCALE)
            add(joints[0], "scale", times, np.repeat(scale[:, None], 3, axis=1), "STEP")
        if not valid.any():
            continue
        pose = pose[_standing_in(valid)]
        orientation = pose.global_orient.double()
        add(joints[0], "rotation", times, steady_quaternions(composed(turn.expand_as(orientation), orientation)))
        for joint, node in enumerate(joints[1:]):
            add(node, "rotation", times, steady_quaternions(pose.local_rotations[:, joint].double()))
        places = (wrist.rest + pose.translation.double().numpy()) @ world[:, :3].T + shift
        add(joints[0], "translation", times, places - wrist.offset)
    if animation["channels"]:
        glb.add("animations", {"name": track.name or "motion"} | animation)


def steady_quaternions(rotvecs: Float[Tensor, "T 3"]) -> Float[np.ndarray, "T 4"]:
    """Unit quaternions (x, y, z, w) of rotation vectors over time, none of opposite sign to the one before."""
    quaternions = unit_quaternion(rotvecs).numpy()
    opposite = (quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0
    signs = np.cumprod(np.where(opposite, -1.0, 1.0))
    quaternions[1:] *= signs[:, None]
    return quaternions


def _standing_in(valid: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """Which key's pose a hand has at each key: its own, or that of the last key that has it, or of the next one."""
    keys = np.arange(len(valid))
    last = np.maximum.accumulate(np.where(valid, keys, -1))
    seen_next = np.append(valid[1:], False) & ~np.insert(valid[:-1], 0, False)
    return np.where(valid, keys, np.where(seen_next, keys + 1, np.maximum(last, valid.argmax())))


def _shown(valid: Bool[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
    """Whether a hand is seen from each key on: between two keys it is if either has it."""
    return valid | np.append(valid[1:], False)
