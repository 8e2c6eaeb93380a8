"""The 21 joints of a right hand as a chain of rigid bones, differentiable and without vertices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model import FINGERS, HandModel, pose_hand
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits
from nerfstudio_hands.hand_model.joints import MANO_FINGERS
from nerfstudio_hands.transforms.rotations import rotation_matrix

FINGER_ROWS = [[3 * MANO_FINGERS.index(finger) + joint for joint in range(3)] for finger in FINGERS]
"""For each finger, in the order of the 21 joints, its rows among MANO's joints 1-15."""


@dataclass(frozen=True)
class Skeleton:
    """Bones of a right hand.

    Attributes:
        offsets: From each joint of a finger to the one before it, the first from the wrist, in the axes of the rest
            frame, metres; fingers in the order of the 21 joints.
        axes: Flexion, spread and twist of joints 1-15, see `joint_axes`.
        limits: Lowest and highest of these angles, radians.
    """

    offsets: Float[Tensor, "5 4 3"]
    axes: Float[Tensor, "15 3 3"]
    limits: Float[Tensor, "15 3 2"]

    @staticmethod
    def of(model: HandModel) -> Skeleton:
        """The skeleton of a right hand's mean shape; a tip is carried by the last bone as it lies at rest."""
        zero = torch.zeros(1, 3)
        joints = pose_hand(model, zero, torch.zeros(1, 15, 3), zero, torch.zeros(1)).keypoints[0]
        fingers = joints[1:].view(5, 4, 3)
        before = torch.cat([joints[:1].expand(5, 1, 3), fingers[:, :-1]], dim=1)
        return Skeleton(fingers - before, joint_axes(model), joint_limits(model))

    def joints(
        self, angles: Float[Tensor, "*B 45"], orientation: Float[Tensor, "*B 3 3"], wrist: Float[Tensor, "*B 3"]
    ) -> Float[Tensor, "*B 21 3"]:
        """Joints in the order of `JOINT_NAMES`, metres.

        Args:
            angles: Flexion, spread and twist of joints 1-15, radians.
            orientation: Of the wrist.
            wrist: Where the wrist is, metres.
        """
        local = torch.einsum("...ja,jac->...jc", angles.unflatten(-1, (15, 3)), self.axes.to(angles))
        bends = rotation_matrix(local[..., FINGER_ROWS, :])
        turn, offsets = orientation[..., None, :, :], self.offsets.to(angles)[..., None]
        joint = wrist[..., None, :] + (turn @ offsets[:, 0])[..., 0]
        chain = [joint]
        for bone in range(3):
            turn = turn @ bends[..., bone, :, :]
            joint = joint + (turn @ offsets[:, bone + 1])[..., 0]
            chain.append(joint)
        fingers = torch.stack(chain, dim=-2).flatten(-3, -2)
        return torch.cat([wrist[..., None, :], fingers], dim=-2)
