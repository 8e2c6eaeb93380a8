"""From the network's numbers to a hand in the camera's frame, meters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.monocular.network import MonocularOutput
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

ROOT = 9
"""The middle finger's first joint, FreiHAND's root: what places and sizes are measured from."""


@dataclass
class CameraHand:
    """B right hands in the axes of their views (OpenCV), meters.

    Attributes:
        vertices: Of the hand model.
        joints: In the order of ``joints.JOINT_NAMES``.
        local_rotations: Of joints 1 to 15, axis-angle, radians.
        angles: The same as flexion, spread and twist.
        rotation: Of the whole hand.
        translation: What `pose_hand` takes beside `rotation` and `local_rotations` to give these vertices.
        shape: Coefficients.
        pixels: The joints in crop units, -1 to 1.
    """

    vertices: Float[Tensor, "B V 3"]
    joints: Float[Tensor, "B 21 3"]
    local_rotations: Float[Tensor, "B 15 3"]
    angles: Float[Tensor, "B 15 3"]
    rotation: Float[Tensor, "B 3 3"]
    translation: Float[Tensor, "B 3"]
    shape: Float[Tensor, "B K"]
    pixels: Float[Tensor, "B 21 2"]


class HandDecoder(nn.Module):
    """Poses the hand model and puts it where the crop shows it.

    The network sees neither focal length nor meters: it says where the root lies in the crop and how large the hand
    appears (palm length over the crop's side). With the palm's length of the predicted shape and the view's focal
    length that is a depth.

    Args:
        hand: Right hand.
    """

    def __init__(self, hand: HandModel) -> None:
        super().__init__()
        self.hand = hand
        self.axes, self.limits = joint_axes(hand), joint_limits(hand)

    def _apply(self, fn, recurse: bool = True) -> HandDecoder:
        super()._apply(fn, recurse)
        tensors = {field.name: getattr(self.hand, field.name) for field in dataclasses.fields(self.hand)}
        moved = {name: fn(value) for name, value in tensors.items() if isinstance(value, Tensor)}
        self.hand = dataclasses.replace(self.hand, **moved)
        self.axes, self.limits = fn(self.axes), fn(self.limits)
        return self

    def forward(self, output: MonocularOutput, focal: Float[Tensor, " B"]) -> CameraHand:
        """Hands of an output.

        Args:
            output: Of the network.
            focal: Of the views, sides of the crop.
        """
        low, high = self.limits.unbind(-1)
        angles = low + (high - low) * output.fractions
        local = angles_to_rotations(self.axes, angles)
        zero = torch.zeros_like(output.rotation[:, 0])
        posed = pose_hand(self.hand, zero, local, zero, output.shape)
        root = posed.keypoints[:, ROOT]
        palm = (root - posed.keypoints[:, 0]).norm(dim=-1)
        depth = focal * palm * torch.exp(-output.log_size)
        place = torch.cat([output.root * (depth / (2 * focal))[:, None], depth[:, None]], -1)
        turned = output.rotation.mT
        vertices = (posed.vertices - root[:, None]) @ turned + place[:, None]
        joints = (posed.keypoints - root[:, None]) @ turned + place[:, None]
        pixels = 2 * focal[:, None, None] * joints[..., :2] / joints[..., 2:].clamp_min(0.05)
        # The wrist's joint is what `pose_hand` turns about, and it stays where it is in the rest pose.
        wrist = posed.keypoints[:, 0]
        translation = joints[:, 0] - wrist
        return CameraHand(vertices, joints, local, angles, output.rotation, translation, output.shape, pixels)

    def fractions_of(self, local_rotations: Float[Tensor, "B 15 3"]) -> Float[Tensor, "B 15 3"]:
        """Where the angles of local rotations lie between their limits."""
        low, high = self.limits.unbind(-1)
        return (rotations_to_angles(self.axes, local_rotations) - low) / (high - low)

    def log_size_of(self, joints: Float[Tensor, "B 21 3"], focal: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Logarithm of the apparent size of known hands: palm length over depth, times the focal length."""
        palm = (joints[:, ROOT] - joints[:, 0]).norm(dim=-1)
        return (focal * palm / joints[:, ROOT, 2]).log()
