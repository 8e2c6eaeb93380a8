"""The frame in which the network sees joints: turned, moved and scaled so that palms of all hands lie alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.transforms.rotations import rigid_registration

PALM = (0, 5, 9, 13, 17)
"""Wrist and first joints of the four fingers, which hardly move against each other."""

# The other joints say where a hand is only where the palm leaves it open.
FINGER_WEIGHT = 0.05
# A joint this far from where a resting hand has it, in units, begins to be taken for an outlier.
OUTLIER = 0.15
ROUNDS = 6


@dataclass
class JointFrame:
    """Frames of N hands: `world = center + scale * rotation @ point`."""

    rotation: Float[Tensor, "N 3 3"]
    center: Float[Tensor, "N 3"]
    """Metres."""
    scale: Float[Tensor, " N"]
    """Metres a unit; about 0.1."""

    def at(self, chosen: slice | Tensor) -> JointFrame:
        """Some of the frames."""
        return JointFrame(self.rotation[chosen], self.center[chosen], self.scale[chosen])

    def to_frame(self, points: Float[Tensor, "N P 3"]) -> Float[Tensor, "N P 3"]:
        """World points in the frame."""
        return (points - self.center[:, None]) @ self.rotation / self.scale[:, None, None]

    def to_world(self, points: Float[Tensor, "N P 3"]) -> Float[Tensor, "N P 3"]:
        """Points of the frame in the world, metres."""
        return self.scale[:, None, None] * points @ self.rotation.mT + self.center[:, None]


def reference_joints(rest: Float[Tensor, "21 3"]) -> Float[Tensor, "21 3"]:
    """What frames are laid on: the joints of a resting hand in units of 0.1 m around the middle of its palm."""
    return (rest - rest[list(PALM)].mean(0)) / 0.1


def frame_of(
    reference: Float[Tensor, "21 3"], joints: Float[Tensor, "N 21 3"], present: Bool[Tensor, "N 21"]
) -> JointFrame:
    """Frames from joints of which some may be absent or far off.

    The scale is the median, over the bones of which both ends are there, of their length in units of the reference;
    bending leaves it as it is. Rotation and center lay the reference on the joints by least squares (Kabsch), mostly
    on those of the palm, reweighted with Geman-McClure's function.

    Args:
        reference: As `reference_joints` gives it.
        joints: Metres; what absent ones hold is not looked at.
        present: Which joints there are.
    """
    joints = torch.where(present[..., None], joints, 0.0)
    children, parents = torch.arange(1, 21), torch.tensor(JOINT_PARENTS[1:])
    lengths = (joints[:, children] - joints[:, parents]).norm(dim=-1)
    ratio = lengths / (reference[children] - reference[parents]).norm(dim=-1)
    ratio = torch.where(present[:, children] & present[:, parents], ratio, torch.nan)
    scale = ratio.nanmedian(-1).values.nan_to_num(0.1).clamp_min(1e-9)
    prior = torch.full_like(reference[:, 0], FINGER_WEIGHT)
    prior[list(PALM)] = 1.0
    # The first round, before any joint can be judged, believes all joints alike.
    weights = present.to(joints)
    for _ in range(ROUNDS):
        rotation, center = rigid_registration(scale[:, None, None] * reference, joints, weights)
        frame = JointFrame(rotation, center, scale)
        squared = ((frame.to_frame(joints) - reference) ** 2).sum(-1)
        weights = present * prior / (1 + squared / OUTLIER**2) ** 2
    return frame
