"""Hands of either side, anywhere in the world, from the network for right hands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.estimators.joint_frame import JointFrame, frame_of
from nerfstudio_hands.estimators.network import HandParameters, PoseNetwork


@dataclass
class PredictedHands:
    """What the network makes of N hands of one side; world frame, metres.

    Attributes:
        fractions: Where each angle lies between its limits, see `HandParameters`; alike on both sides.
        orientation: Rotation of the wrist.
        wrist: Place of the wrist joint.
        shape: Coefficients of the hand model that the network was trained with.
    """

    fractions: Float[Tensor, "N 15 3"]
    orientation: Float[Tensor, "N 3 3"]
    wrist: Float[Tensor, "N 3"]
    shape: Float[Tensor, "N K"]


def predict_hands(network: PoseNetwork, joints: Float[Tensor, "N 21 3"], side: str) -> PredictedHands:
    """Pose and shape of hands.

    Args:
        network: Trained; the answer is on its device, float32.
        joints: World frame, metres, NaN where absent; a dozen of a hand should be there.
        side: `left` or `right`; a left hand is looked at in the mirror x -> -x.
    """
    with torch.no_grad():
        frame, found, _ = _look(network, joints, side)
    mirror = _mirror(found.wrist, side)
    orientation = mirror[:, None] * (frame.rotation @ found.rotation) * mirror
    return PredictedHands(found.fractions, orientation, _in_world(frame, found) * mirror, found.shape)


def predict_vertices(network: PoseNetwork, joints: Float[Tensor, "N 21 3"], side: str) -> Float[Tensor, "N V 3"]:
    """Vertices of the template that the network was trained with, world frame, metres; arguments as above."""
    with torch.no_grad():
        frame, _, features = _look(network, joints, side)
        return frame.to_world(network.vertices_of(features)) * _mirror(features, side)


def _look(network: PoseNetwork, joints: Tensor, side: str) -> tuple[JointFrame, HandParameters, Tensor]:
    joints = joints.to(network.reference)
    joints = joints * _mirror(joints, side)
    present = joints.isfinite().all(-1)
    frame = frame_of(network.reference, joints, present)
    return frame, *network(frame.to_frame(joints), present, frame.scale)


def _in_world(frame: JointFrame, found: HandParameters) -> Float[Tensor, "N 3"]:
    return frame.to_world(found.wrist[:, None])[:, 0]


def _mirror(like: Tensor, side: str) -> Float[Tensor, " 3"]:
    """Signs that turn a hand of this side into a right one, and back."""
    return like.new_tensor([1.0 if side == "right" else -1.0, 1.0, 1.0])
