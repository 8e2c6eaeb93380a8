"""Anatomical axes of the finger joints, and how far the joints turn.

A local rotation of MANO is a vector in the axes of the rest frame, which say nothing about bending.  Here every joint
gets three orthonormal axes from the rest geometry of its own hand, so this works for any model in MANO layout, left and
right:

* flexion: a positive angle bends the finger towards the palm (the thumb towards its pad);
* spread: a positive angle moves a finger towards the thumb, and the thumb away from the palm;
* twist: about the bone.

The three angles are the components of the rotation vector along these axes.  That is linear, has no order of
composition and no singularity below half a turn; it equals the clinical angle where one of the three dominates.  All
angles are relative to the model's rest pose, and the same angles mean the same gesture on both hands.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model.joints import FINGERS, MANO_FINGERS, TIP_JOINTS
from nerfstudio_hands.hand_model.model import HandModel, mirror_rotations

FLEXION, SPREAD, TWIST = 0, 1, 2
"""Places of the three angles in the last axis."""

_FINGER_LIMITS = (
    ((-35.0, 95.0), (-25.0, 25.0), (-12.0, 12.0)),
    ((-8.0, 110.0), (-6.0, 6.0), (-6.0, 6.0)),
    ((-15.0, 85.0), (-5.0, 5.0), (-5.0, 5.0)),
)
_THUMB_LIMITS = (
    ((-35.0, 40.0), (-35.0, 45.0), (-30.0, 30.0)),
    ((-20.0, 65.0), (-15.0, 15.0), (-10.0, 10.0)),
    ((-25.0, 85.0), (-6.0, 6.0), (-6.0, 6.0)),
)
"""Degrees from a straight finger: (flexion low, high), (spread low, high), (twist low, high) for the three joints of
a finger and of the thumb. Flexion and thumb: normal active ranges of the American Academy of Orthopaedic Surgeons
(Greene and Heckman, "The Clinical Measurement of Joint Motion", 1994), with a few degrees of slack because rest bones
measured on a template are not clinical zero. Middle and end joints are hinges; their spread and twist only take up
the error of the axes."""

_FINGER_FRACTIONS = (0.9, 1.1, 0.6)
_THUMB_FRACTIONS = (0.3, 0.6, 0.9)
"""Fraction of each joint in one common bending angle of a finger: making a fist turns the middle joint most."""


def joint_axes(model: HandModel) -> Float[Tensor, "15 3 3"]:
    """Unit axes of flexion, spread and twist (rows) of joints 1-15 in MANO order, in the axes of the rest frame."""
    axes, _ = _rest_geometry(model)
    return axes


def joint_limits(model: HandModel) -> Float[Tensor, "15 3 2"]:
    """Lowest and highest angle of each joint's flexion, spread and twist, radians from the model's rest pose.

    The flexion that the rest pose already has is taken off, so that a curled rest pose gets the same reach.
    """
    axes, rest_flexion = _rest_geometry(model)
    rows = [limits for finger in MANO_FINGERS for limits in (_THUMB_LIMITS if finger == "thumb" else _FINGER_LIMITS)]
    limits = axes.new_tensor(rows) * (math.pi / 180)
    limits[:, FLEXION] -= rest_flexion[:, None]
    # The rest pose itself is always allowed.
    return torch.stack([limits[..., 0].clamp(max=0.0), limits[..., 1].clamp(min=0.0)], dim=-1)


def angles_to_rotations(axes: Float[Tensor, "15 3 3"], angles: Float[Tensor, "*B 15 3"]) -> Float[Tensor, "*B 15 3"]:
    """Local rotations (axis-angle) from flexion, spread and twist in radians; ``axes`` as of :func:`joint_axes`."""
    return torch.einsum("...ja,jac->...jc", angles, axes)


def rotations_to_angles(
    axes: Float[Tensor, "15 3 3"], local_rotations: Float[Tensor, "*B 15 3"]
) -> Float[Tensor, "*B 15 3"]:
    """Flexion, spread and twist in radians of local rotations (axis-angle); inverse of :func:`angles_to_rotations`."""
    return torch.einsum("...jc,jac->...ja", local_rotations, axes)


def bend_fingers(
    model: HandModel,
    flexion: Float[Tensor, "*B 5"],
    spread: Float[Tensor, "*B 5"],
) -> Float[Tensor, "*B 15 3"]:
    """Local rotations of whole fingers bent and spread, cut off at the joint limits.

    Args:
        model: The hand.
        flexion: One angle a finger in radians, in the order of ``joints.FINGERS``; the three joints turn by fractions
            of it, about 1.4 makes a fist.
        spread: Turn at the first joint in radians, positive towards the thumb (thumb: away from the palm).
    """
    angles = flexion.new_zeros(*flexion.shape[:-1], 15, 3)
    for k, finger in enumerate(MANO_FINGERS):
        source = FINGERS.index(finger)
        for joint, fraction in enumerate(_THUMB_FRACTIONS if finger == "thumb" else _FINGER_FRACTIONS):
            angles[..., 3 * k + joint, FLEXION] = fraction * flexion[..., source]
        angles[..., 3 * k, SPREAD] = spread[..., source]
    limits = joint_limits(model).to(angles)
    return angles_to_rotations(joint_axes(model).to(angles), angles.clamp(limits[..., 0], limits[..., 1]))


def _rest_geometry(model: HandModel) -> tuple[Float[Tensor, "15 3 3"], Float[Tensor, " 15"]]:
    """Axes (rows flexion, spread, twist) of joints 1-15, and the flexion of the rest pose from straight, radians."""
    joints = model.joint_regressor @ model.template
    tips = model.keypoint_regressor[list(TIP_JOINTS)] @ model.template
    if model.side == "left":
        # A left hand is measured as its mirror image, a right hand; its axes are mirrored back below.
        mirror = joints.new_tensor([-1.0, 1.0, 1.0])
        joints, tips = joints * mirror, tips * mirror
    index_base, pinky_base = (joints[1 + 3 * MANO_FINGERS.index(finger)] for finger in ("index", "pinky"))
    palmar = _unit(torch.linalg.cross(index_base - joints[0], pinky_base - joints[0]))
    ulnar = _unit(pinky_base - index_base)

    axes, rest_flexion = [], []
    for k, finger in enumerate(MANO_FINGERS):
        chain = torch.cat([joints[[0]], joints[1 + 3 * k : 4 + 3 * k], tips[[FINGERS.index(finger)]]])
        bones = _unit(chain[1:] - chain[:-1])
        # The pad of the thumb faces the other fingers rather than the palm's side.
        pad = _unit(palmar + 2.0 * ulnar) if finger == "thumb" else palmar
        # A curled rest pose shows the plane in which the finger bends; a straight one leaves it to the palm.
        curl = torch.linalg.cross(bones[1:-1], bones[2:]).sum(dim=0)
        hinge = _unit(torch.linalg.cross(bones[1:].mean(dim=0), pad)) + 2.0 * curl
        for joint in (1, 2, 3):
            twist = bones[joint]
            flexion = _unit(hinge - (hinge @ twist) * twist)
            axes.append(torch.stack([flexion, torch.linalg.cross(twist, flexion), twist]))
            previous = bones[joint - 1]
            bend = torch.atan2(torch.linalg.cross(previous, twist) @ flexion, previous @ twist)
            # The thumb's first bone leaves the palm at an angle that is no flexion.
            rest_flexion.append(torch.zeros_like(bend) if finger == "thumb" and joint == 1 else bend)
    stacked = torch.stack(axes)
    return mirror_rotations(stacked) if model.side == "left" else stacked, torch.stack(rest_flexion)


def _unit(vectors: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
