"""What the viewer's sliders show and change: the few angles of a hand that a person can name, in degrees."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model import FINGERS, HandModel, HandPose, mirror_rotations
from nerfstudio_hands.hand_model.joint_limits import (
    FLEXION,
    SPREAD,
    angles_to_rotations,
    joint_axes,
    joint_limits,
    rotations_to_angles,
)
from nerfstudio_hands.hand_model.joints import MANO_FINGERS
from nerfstudio_hands.transforms.rotations import composed

WRIST_AXES = {
    "Wrist flexion": (0.0, 0.0, 1.0),
    "Wrist deviation": (0.0, 1.0, 0.0),
    "Wrist twist": (1.0, 0.0, 0.0),
}
"""Axes in a right hand's template (x from the fingers to the wrist, y out of the back, z towards the thumb). A positive
angle turns the fingers towards the palm's side, turns them towards the thumb's side, and pronates."""

WRIST_RANGES = {"Wrist flexion": (-70.0, 80.0), "Wrist deviation": (-30.0, 20.0), "Wrist twist": (-90.0, 90.0)}
"""Degrees to either side of the frame's pose: what a wrist can do from neutral (Greene and Heckman, "The Clinical
Measurement of Joint Motion", 1994), as the capture shows no forearm to measure from."""


def hand_angles(model: HandModel, local_rotations: Float[Tensor, "T 15 3"]) -> dict[str, Float[Tensor, " T"]]:
    """Angles of a hand by name, in the order of the sliders.

    Args:
        model: the hand.
        local_rotations: rotations of its joints in some frames, axis-angle in radians.

    Returns:
        Degrees from the rest pose: for every finger "... flexion", the sum over its three joints, and "... spread"; the
        angles of the wrist are counted from the frame's pose, so they are zero.
    """
    angles = rotations_to_angles(joint_axes(model).to(local_rotations), local_rotations).rad2deg()
    named = {}
    for finger in FINGERS:
        of_finger = angles[:, _joints(finger)]
        named[f"{finger.capitalize()} flexion"] = of_finger[..., FLEXION].sum(dim=1)
        named[f"{finger.capitalize()} spread"] = of_finger[:, 0, SPREAD]
    return {**named, **{name: torch.zeros(len(angles)) for name in WRIST_AXES}}


def angle_ranges(model: HandModel) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of every angle of :func:`hand_angles` that joints allow, degrees."""
    limits = joint_limits(model).rad2deg()
    ranges = {}
    for finger in FINGERS:
        of_finger = limits[_joints(finger)]
        ranges[f"{finger.capitalize()} flexion"] = tuple(of_finger[:, FLEXION].sum(dim=0).tolist())
        ranges[f"{finger.capitalize()} spread"] = tuple(of_finger[0, SPREAD].tolist())
    return {**ranges, **WRIST_RANGES}


def bend_hand(model: HandModel, pose: HandPose, hand: int, angles: dict[str, float]) -> HandPose:
    """A pose with some angles of one hand changed and everything else as it was.

    A finger's joints share its flexion: each goes the same part of the way that it has left to its own limit, so that a
    finger curls and straightens as a whole and no joint leaves its limits.

    Args:
        model: the hand.
        pose: poses [1, H, ...].
        hand: which of the H hands.
        angles: new values by the names of :func:`hand_angles`, degrees.
    """
    local_rotations, global_orient = pose.local_rotations.clone(), pose.global_orient.clone()
    axes = joint_axes(model).to(local_rotations)
    limits = joint_limits(model).to(local_rotations)
    joints = rotations_to_angles(axes, local_rotations[0, hand])
    for finger in FINGERS:
        joint_rows = _joints(finger)
        flexion = angles.get(f"{finger.capitalize()} flexion")
        if flexion is not None:
            joints[joint_rows, FLEXION] = _spread_out(
                joints[joint_rows, FLEXION], limits[joint_rows, FLEXION], math.radians(flexion)
            )
        spread = angles.get(f"{finger.capitalize()} spread")
        if spread is not None:
            joints[joint_rows.start, SPREAD] = math.radians(spread)
    local_rotations[0, hand] = angles_to_rotations(axes, joints)
    wrist = torch.tensor([math.radians(angles.get(name, 0.0)) for name in WRIST_AXES])
    rotation = wrist[:, None] * torch.tensor([*WRIST_AXES.values()])
    if rotation.any():
        # Twist first, then deviation, then flexion: the order from the forearm to the hand.
        rotation = mirror_rotations(rotation) if model.side == "left" else rotation
        flexion, deviation, twist = rotation.double()
        frame = global_orient[0, hand].cpu().double()
        global_orient[0, hand] = composed(frame, twist, deviation, flexion).to(global_orient)
    return dataclasses.replace(pose, global_orient=global_orient, local_rotations=local_rotations)


def _joints(finger: str) -> slice:
    """The finger's three rows among the 15 local rotations."""
    first = 3 * MANO_FINGERS.index(finger)
    return slice(first, first + 3)


def _spread_out(flexion: Float[Tensor, " 3"], limits: Float[Tensor, "3 2"], total: float) -> Float[Tensor, " 3"]:
    """Flexion of a finger's joints, radians, whose sum is `total` as far as the limits allow it."""
    change = total - float(flexion.sum())
    # A fit may have a joint beyond its limit; that joint has no way left and stays.
    room = (limits[:, 1] - flexion).clamp(min=0) if change > 0 else (limits[:, 0] - flexion).clamp(max=0)
    return flexion + room * min(change / float(room.sum()), 1.0) if float(room.sum()) else flexion
