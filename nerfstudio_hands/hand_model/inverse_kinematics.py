"""Bone frames of a hand: from its pose, or from the places of its 21 joints alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model.joints import FINGERS, MANO_FINGERS, TIP_JOINTS, from_mano
from nerfstudio_hands.hand_model.model import HandModel, rest_joints, shaped_template
from nerfstudio_hands.transforms.rotations import rigid_registration, rotation_between

RIGID_JOINTS = (0, 1, 5, 9, 13, 17)
"""The wrist and the first joint of each finger, which no rotation of a finger moves."""


def rest_keypoints(hand: HandModel, shape: Float[Tensor, " K"]) -> Float[Tensor, "21 3"]:
    """The 21 joints of the unposed hand, metres."""
    tips = hand.keypoint_regressor[list(TIP_JOINTS)] @ shaped_template(hand, shape[None])[0]
    return from_mano(torch.cat([rest_joints(hand, shape[None])[0], tips]))


def bone_frames(
    bone_transforms: Float[Tensor, "*B 16 4 4"], rest: Float[Tensor, "*H 16 3"]
) -> Float[Tensor, "*B 16 4 4"]:
    """Frames in the joints, with the axes of the rest pose, from transforms of the bones.

    Args:
        bone_transforms: From the rest pose to the world, as `PosedHand` has them.
        rest: Joints of the rest pose in MANO order, metres; one for all or one a hand.

    Returns:
        Transforms from each bone's frame to the world.
    """
    origin = (bone_transforms[..., :3, :3] @ rest[..., None])[..., 0] + bone_transforms[..., :3, 3]
    return _frames(bone_transforms[..., :3, :3], origin)


def bone_frames_from_joints(
    joints: Float[Tensor, "B 21 3"], rest: Float[Tensor, "21 3"], parents: tuple[int, ...]
) -> Float[Tensor, "B 16 4 4"]:
    """Bone frames by inverse kinematics: the palm by least squares, each finger bone by the smallest turn.

    The palm's rotation lays the wrist and the first joints at rest on those given (Kabsch). Every other bone turns from
    its parent's rotation by the smallest angle that points it to its child. That is exact for fingers that bend and
    spread; a twist about a bone does not show in joints. Joints need not have the bone lengths of `rest`.

    Args:
        joints: The 21 joints, metres, all finite.
        rest: The 21 joints of the unposed hand, see :func:`rest_keypoints`.
        parents: Parent of each of the 16 bones, -1 for the wrist.

    Returns:
        Transforms from each bone's frame to the frame of `joints`, as :func:`bone_frames` gives them.
    """
    palm = joints[:, RIGID_JOINTS]
    rotations = [rigid_registration(rest[list(RIGID_JOINTS)].expand_as(palm), palm)[0]]
    origins = [joints[:, 0]]
    for bone in range(1, len(parents)):
        joint = 4 * FINGERS.index(MANO_FINGERS[(bone - 1) // 3]) + (bone - 1) % 3 + 1
        parent = rotations[parents[bone]]
        seen = ((joints[:, joint + 1] - joints[:, joint])[:, None] @ parent)[:, 0]
        rotations.append(parent @ rotation_between((rest[joint + 1] - rest[joint]).expand_as(seen), seen))
        origins.append(joints[:, joint])
    return _frames(torch.stack(rotations, dim=1), torch.stack(origins, dim=1))


def _frames(rotation: Float[Tensor, "*B 3 3"], origin: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4 4"]:
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(rotation).expand(*rotation.shape[:-2], 1, 4)
    return torch.cat([torch.cat([rotation, origin[..., None]], dim=-1), last], dim=-2)
