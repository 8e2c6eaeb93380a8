"""Frames of the bones from the places of the joints alone: inverse kinematics in closed form (after gSDF, CVPR 2023).

The palm says how the wrist is turned; from there each bone is turned by the least angle towards the joint at its end,
without a twist of its own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model.joints import MANO_TO_JOINTS
from nerfstudio_hands.hand_model.model import HandModel, pose_hand
from nerfstudio_hands.transforms.rotations import rigid_registration, rotation_between

PALM = (0, 1, 5, 9, 13, 17)
"""Wrist and first joints of the fingers."""

STRETCH = (0.5, 2.0)
"""Of bones, where a hand is laid on joints; what lies beyond is no hand's."""


def resting_joints(hand: HandModel) -> Float[Tensor, "21 3"]:
    """The 21 joints of the mean hand at rest, meters."""
    none = torch.zeros(1, 3)
    return pose_hand(hand, none, torch.zeros(1, 15, 3), none, torch.zeros(1)).keypoints[0]


def joint_frames(
    joints: Float[Tensor, "B 21 3"], rest: Float[Tensor, "21 3"], *, template_lengths: bool = False
) -> tuple[Float[Tensor, "B 16 4 4"], Float[Tensor, "B 21 3"]]:
    """Frames of the bones of hands whose joints are known.

    Args:
        joints: In the order of `JOINT_NAMES`, any frame, meters.
        rest: The same of the hand at rest.
        template_lengths: Whether bones are as long as at rest, so that joints move along their bones, as gSDF has it;
            else joints stay.

    Returns:
        Frames in MANO order with the axes of the hand at rest, into that of the joints, and the 21 joints that they
        stand for.
    """
    palm = list(PALM)
    rest = rest.to(joints)
    turn, _ = rigid_registration(rest[palm].expand(len(joints), -1, -1), joints[:, palm])
    wrist = joints[:, 0]
    rotations, places = {0: turn}, {0: wrist}
    for finger in range(5):
        rotation = turn
        first = 4 * finger + 1
        place = wrist + (turn @ (rest[first] - rest[0])) if template_lengths else joints[:, first]
        places[first] = place
        for joint in range(first, first + 3):
            bone = rest[joint + 1] - rest[joint]
            ahead = (rotation @ bone[:, None])[..., 0]
            rotation = rotation_between(ahead, joints[:, joint + 1] - place) @ rotation
            place = place + (rotation @ bone[:, None])[..., 0] if template_lengths else joints[:, joint + 1]
            rotations[joint], places[joint + 1] = rotation, place
    frames = torch.zeros(len(joints), 16, 4, 4, dtype=joints.dtype, device=joints.device)
    frames[..., :3, :3] = torch.stack([rotations[joint] for joint in MANO_TO_JOINTS], 1)
    frames[..., :3, 3] = torch.stack([places[joint] for joint in MANO_TO_JOINTS], 1)
    frames[..., 3, 3] = 1
    return frames, torch.stack([places[joint] for joint in range(21)], 1)


def skinned_by_frames(
    template: Float[Tensor, "V 3"],
    weights: Float[Tensor, "V 16"],
    rest: Float[Tensor, "21 3"],
    joints: Float[Tensor, "B 21 3"],
    frames: Float[Tensor, "B 16 4 4"],
) -> Float[Tensor, "B V 3"]:
    """Vertices of a hand laid on joints: as large as their palm, each bone as long as theirs.

    What its pose bulges, and bends that its bones' frames do not know of (twist), are left out.

    Args:
        template: The hand at rest, meters.
        weights: Of its skinning.
        rest: Its joints.
        joints: Those that it is laid on, any frame, meters.
        frames: Of the bones between these, see :func:`joint_frames`.

    Returns:
        In the frame of the joints.
    """
    starts, rest_starts = _chosen(joints, MANO_TO_JOINTS), _chosen(rest, MANO_TO_JOINTS)
    # The wrist's bone is the palm as a whole.
    ends = tuple(joint + 1 for joint in MANO_TO_JOINTS)
    ahead = _chosen(rest, ends) - rest_starts
    axes = torch.nn.functional.normalize(ahead, dim=-1)
    thicker = _from_wrist(joints).div(_from_wrist(rest)).clamp(*STRETCH).mean(-1)
    longer = ((_chosen(joints, ends) - starts).norm(dim=-1) / ahead.norm(dim=-1)).clamp(*STRETCH)
    longer = torch.cat([thicker[:, None], longer[:, 1:]], 1)
    offsets = template - rest_starts[:, None]
    along = (offsets * axes[:, None]).sum(-1, keepdim=True) * axes[:, None]
    offsets = thicker[:, None, None, None] * (offsets - along) + longer[:, :, None, None] * along
    placed = torch.einsum("bjkl,bjvl->bjvk", frames[..., :3, :3], offsets) + frames[..., None, :3, 3]
    return torch.einsum("vj,bjvk->bvk", weights, placed)


def _chosen(joints: Float[Tensor, "*B 21 3"], which: tuple[int, ...]) -> Float[Tensor, "*B J 3"]:
    """Some of the joints; a list of indices would have to be copied to a GPU."""
    return torch.stack([joints[..., joint, :] for joint in which], -2)


def _from_wrist(joints: Float[Tensor, "*B 21 3"]) -> Float[Tensor, "*B 5"]:
    """Distances of the first joints of the fingers."""
    return (_chosen(joints, PALM[1:]) - joints[..., :1, :]).norm(dim=-1)
