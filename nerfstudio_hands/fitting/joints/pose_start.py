"""What the fit to joints asks of whoever says where poses may start, a network for instance."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fitting.joints.keypoint_chain import ChainPose, KeypointChain


class PoseStart(Protocol):
    """Poses to start a fit from, seen in joints."""

    @property
    def name(self) -> str:
        """Tells it from others in the key under which a fit is kept."""
        ...

    def __call__(
        self,
        chain: KeypointChain,
        joints: Float[Tensor, "N 21 3"],
        hand: Int[Tensor, " N"],
        shape: Float[Tensor, " K"],
    ) -> ChainPose:
        """Poses of N hands.

        Args:
            chain: The hands' bones.
            joints: World frame, metres, NaN where absent; some may be far off.
            hand: Which hand of the surface each one is.
            shape: Of the person.
        """
        ...
