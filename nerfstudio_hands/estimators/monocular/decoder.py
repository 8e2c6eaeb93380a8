"""From the network's numbers to a hand in the camera's frame, meters."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.monocular.network import MonocularOutput, resting_axes
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.hand_model.model import HandModel, pose_hand, with_tensors
from nerfstudio_hands.hand_model.nimble import NUM_POSE, NUM_SHAPE, NimbleHand, pose_nimble

ROOT = 9
"""The middle finger's first joint, FreiHAND's root: what places and sizes are measured from."""

FARTHEST = 3.0
"""Standard deviations of a NIMBLE pose coefficient that are its limits."""


@dataclass
class UnplacedHand:
    """B posed right hands that are not yet turned, in the axes of their hand model, meters.

    Attributes:
        vertices: Of the hand model.
        joints: In the order of ``joints.JOINT_NAMES``.
        center: What a hand of the model is turned about.
        pose: Its numbers: angles (flexion, spread, twist of joints 1 to 15), or NIMBLE's coefficients.
        local_rotations: Of joints 1 to 15, axis-angle, radians; J is 0 for a hand that is not in MANO's layout.
        mano_vertices: MANO's vertices as the surface says them; M is 0 for a hand that does not.
    """

    vertices: Float[Tensor, "B V 3"]
    joints: Float[Tensor, "B 21 3"]
    center: Float[Tensor, "B 3"]
    pose: Float[Tensor, "B P"]
    local_rotations: Float[Tensor, "B J 3"]
    mano_vertices: Float[Tensor, "B M 3"]


@dataclass
class CameraHand(UnplacedHand):
    """B right hands in the axes of their views (OpenCV), meters.

    Attributes:
        rotation: Of the whole hand, from the axes of the hand model.
        translation: What is added after turning about `center`, which is the only place in the axes of the hand model;
            as `pose_hand` takes it.
        shape: Coefficients.
        pixels: The joints in crop units, -1 to 1.
    """

    rotation: Float[Tensor, "B 3 3"]
    translation: Float[Tensor, "B 3"]
    shape: Float[Tensor, "B K"]
    pixels: Float[Tensor, "B 21 2"]

    def vertices_of(self, count: int) -> Float[Tensor, "B _ 3"] | None:
        """The surface that labels with so many vertices speak of; None where this hand has none."""
        return next((found for found in (self.vertices, self.mano_vertices) if found.shape[1] == count > 0), None)


class HandDecoder(nn.Module):
    """Poses a hand model and puts it where the crop shows it.

    The network sees neither focal length nor meters: it says where the root lies in the crop and how large the hand
    appears (palm length over the crop's side). With the palm's length of the predicted shape and the view's focal
    length that is a depth.

    Attributes:
        num_pose: Numbers of a pose.

    Args:
        hand: Right hand.
    """

    num_pose: int

    def __init__(self, hand: HandModel | NimbleHand) -> None:
        super().__init__()
        self.hand = hand

    def _apply(self, fn, recurse: bool = True) -> HandDecoder:
        super()._apply(fn, recurse)
        self.hand = with_tensors(self.hand, fn)
        return self

    @abstractmethod
    def posed(self, fractions: Float[Tensor, "B P"], shape: Float[Tensor, "B K"]) -> UnplacedHand:
        """Hands in the axes of the hand model."""

    @abstractmethod
    def rest(self) -> tuple[Float[Tensor, "21 3"], Float[Tensor, "V 3"]]:
        """Joints and vertices of the mean hand at rest, in the axes of the hand model."""

    @abstractmethod
    def fractions_of(self, local_rotations: Float[Tensor, "B 15 3"]) -> Float[Tensor, "B P"]:
        """Where the numbers of known local rotations in MANO's layout lie between their limits; NaN where the hand
        model has no such rotations."""

    def own_rotation(self, rotation: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 3 3"]:
        """From the axes of the hand model, of what turns the resting hand's (see `palm_axes`)."""
        return rotation

    def forward(self, output: MonocularOutput, focal: Float[Tensor, " B"]) -> CameraHand:
        """Hands of an output.

        Args:
            output: Of the network.
            focal: Of the views, sides of the crop.
        """
        posed = self.posed(output.fractions, output.shape)
        rotation = self.own_rotation(output.rotation)
        root = posed.joints[:, ROOT]
        palm = (root - posed.joints[:, 0]).norm(dim=-1)
        depth = focal * palm * torch.exp(-output.log_size)
        place = torch.cat([output.root * (depth / (2 * focal))[:, None], depth[:, None]], -1)

        def seen(points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N 3"]:
            return (points - root[:, None]) @ rotation.mT + place[:, None]

        joints = seen(posed.joints)
        return CameraHand(
            vertices=seen(posed.vertices),
            joints=joints,
            center=posed.center,
            pose=posed.pose,
            local_rotations=posed.local_rotations,
            mano_vertices=seen(posed.mano_vertices),
            rotation=rotation,
            translation=seen(posed.center[:, None])[:, 0] - posed.center,
            shape=output.shape,
            pixels=2 * focal[:, None, None] * joints[..., :2] / joints[..., 2:].clamp_min(0.05),
        )

    def log_size_of(self, joints: Float[Tensor, "B 21 3"], focal: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Logarithm of the apparent size of known hands: palm length over depth, times the focal length."""
        palm = (joints[:, ROOT] - joints[:, 0]).norm(dim=-1)
        return (focal * palm / joints[:, ROOT, 2]).log()


class ManoDecoder(HandDecoder):
    """Of hands in MANO's layout: flexion, spread and twist of joints 1 to 15 between their limits."""

    num_pose = 45
    hand: HandModel
    axes: Tensor
    limits: Tensor

    def __init__(self, hand: HandModel) -> None:
        super().__init__(hand)
        self.register_buffer("axes", joint_axes(hand), persistent=False)
        self.register_buffer("limits", joint_limits(hand), persistent=False)

    def posed(self, fractions: Float[Tensor, "B 45"], shape: Float[Tensor, "B K"]) -> UnplacedHand:
        low, high = self.limits.unbind(-1)
        angles = low + (high - low) * fractions.unflatten(-1, (15, 3))
        local = angles_to_rotations(self.axes, angles)
        zero = torch.zeros_like(local[:, 0])
        posed = pose_hand(self.hand, zero, local, zero, shape)
        # The wrist's joint is what `pose_hand` turns about, and it stays where it is in the rest pose.
        wrist = posed.keypoints[:, 0]
        return UnplacedHand(posed.vertices, posed.keypoints, wrist, angles.flatten(1), local, posed.vertices[:, :0])

    def rest(self) -> tuple[Float[Tensor, "21 3"], Float[Tensor, "V 3"]]:
        zero = torch.zeros(1, 3)
        posed = pose_hand(self.hand, zero, torch.zeros(1, 15, 3), zero, torch.zeros(1))
        return posed.keypoints[0], posed.vertices[0]

    def fractions_of(self, local_rotations: Float[Tensor, "B 15 3"]) -> Float[Tensor, "B 45"]:
        low, high = self.limits.unbind(-1)
        return ((rotations_to_angles(self.axes, local_rotations) - low) / (high - low)).flatten(1)


class NimbleDecoder(HandDecoder):
    """Of NIMBLE's hand: coefficients of its poses between `FARTHEST` standard deviations to either side."""

    num_pose = NUM_POSE
    hand: NimbleHand
    axes: Tensor

    def __init__(self, hand: NimbleHand) -> None:
        super().__init__(hand)
        self.register_buffer("axes", resting_axes(self.rest()[0][None])[0], persistent=False)

    def posed(self, fractions: Float[Tensor, "B 30"], shape: Float[Tensor, "B 20"]) -> UnplacedHand:
        pose = FARTHEST * (2 * fractions - 1)
        posed = pose_nimble(self.hand, pose, shape)
        vertices, mano_vertices = posed.vertices, self.hand.to_mano @ posed.vertices
        return UnplacedHand(vertices, posed.keypoints, posed.center, pose, vertices[:, :0], mano_vertices)

    def rest(self) -> tuple[Float[Tensor, "21 3"], Float[Tensor, "V 3"]]:
        posed = pose_nimble(self.hand, torch.zeros(1, NUM_POSE), torch.zeros(1, NUM_SHAPE))
        return posed.keypoints[0], posed.vertices[0]

    def fractions_of(self, local_rotations: Float[Tensor, "B 15 3"]) -> Float[Tensor, "B 30"]:
        return local_rotations.new_full((len(local_rotations), NUM_POSE), torch.nan)

    def own_rotation(self, rotation: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 3 3"]:
        return rotation @ self.axes.mT


def decoder_of(hand: HandModel | NimbleHand) -> HandDecoder:
    """The decoder of a right hand."""
    return NimbleDecoder(hand) if isinstance(hand, NimbleHand) else ManoDecoder(hand)
