"""A pose track as an animation of glTF: turning joints, a moving wrist, hands that come and go."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from nerfstudio_hands.animation.pose_track import PoseTrack
from nerfstudio_hands.export.glb import GlbBuilder


def add_animation(
    glb: GlbBuilder,
    track: PoseTrack,
    skeletons: dict[str, list[int]],
    wrists: dict[str, Float[np.ndarray, 3]],
) -> None:
    """Adds an animation that turns the joints as the track does and puts the hands where it has them.

    Between keys glTF turns joints by slerp and moves wrists on straight lines, which is the track's own rule. A hand is
    shrunk to nothing while the track lacks it.

    Args:
        glb: The file.
        track: The poses; hands without a skeleton are left out.
        skeletons: Nodes of the joints of each hand, the wrist first, by "left" and "right".
        wrists: What to add to the track's translation to have that of the wrist's node.
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
    for hand, side in enumerate(track.sides):
        if side not in skeletons:
            continue
        joints, pose = skeletons[side], track.pose.to("cpu")[:, hand]
        valid = pose.valid.numpy()
        if not valid.all():
            add(joints[0], "scale", times, np.repeat(_shown(valid)[:, None], 3, axis=1), "STEP")
        if not valid.any():
            continue
        pose = pose[_standing_in(valid)]
        turns = np.concatenate([pose.global_orient[:, None].numpy(), pose.local_rotations.numpy()], axis=1)
        for joint, node in enumerate(joints):
            add(node, "rotation", times, Rotation.from_rotvec(turns[:, joint]).as_quat())
        add(joints[0], "translation", times, pose.translation.numpy() + wrists[side])
    if animation["channels"]:
        glb.add("animations", {"name": track.name or "motion"} | animation)


def _standing_in(valid: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """Which key's pose a hand has at each key: its own, or that of the last key that has it, or of the next one."""
    keys = np.arange(len(valid))
    last = np.maximum.accumulate(np.where(valid, keys, -1))
    seen_next = np.append(valid[1:], False) & ~np.insert(valid[:-1], 0, False)
    return np.where(valid, keys, np.where(seen_next, keys + 1, np.maximum(last, valid.argmax())))


def _shown(valid: Bool[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
    """Whether a hand is seen from each key on: between two keys it is if either has it."""
    return valid | np.append(valid[1:], False)
