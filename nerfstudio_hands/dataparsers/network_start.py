"""The pose network as a start of fits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.estimators.prediction import predict_hands
from nerfstudio_hands.estimators.weights_file import shipped_digest, shipped_network
from nerfstudio_hands.fitting.joints.keypoint_chain import MANO_ROWS, ChainPose, KeypointChain


@dataclass(frozen=True)
class NetworkStart:
    """A `PoseStart`: poses that the shipped network sees in joints of which some may be absent or far off.

    Angles keep their places between the joint limits of the hands at hand, whatever model these are of.
    """

    @property
    def name(self) -> str:
        """By the network's weights."""
        return f"pose network {shipped_digest()}"

    def __call__(
        self,
        chain: KeypointChain,
        joints: Float[Tensor, "N 21 3"],
        hand: Int[Tensor, " N"],
        shape: Float[Tensor, " K"],
    ) -> ChainPose:
        network = shipped_network()
        wrist = chain.rest_of(hand, shape)[:, 0]
        orientation = torch.empty(len(hand), 3, 3, dtype=torch.float64)
        translation = torch.empty(len(hand), 3, dtype=torch.float64)
        fractions = torch.empty(len(hand), 15, 3, dtype=torch.float64)
        for index, model in enumerate(chain.hands):
            mine = hand == index
            found = predict_hands(network, joints[mine], model.side)
            orientation[mine] = found.orientation.double()
            translation[mine] = found.wrist.double() - wrist[mine]
            fractions[mine] = found.fractions.double()
        low, high = chain.limits[hand].unbind(-1)
        angles = low + fractions[:, torch.tensor(MANO_ROWS)].clamp(0, 1) * (high - low)
        return ChainPose(hand, orientation, translation, angles)
