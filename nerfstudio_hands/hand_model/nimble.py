"""NIMBLE's hand: 20 bones, a surface of its own, and MANO's joints as this surface says them.

Li et al., "NIMBLE: a non-rigid hand model with bones and muscles", ACM Transactions on Graphics 41 (2022). Its inner
surfaces (bones, muscles) only carry its joints here, and skin is not pushed out of muscles: that has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from smplx.lbs import batch_rodrigues, blend_shapes
from torch import Tensor

from nerfstudio_hands.hand_model.model import skinned, with_tensors

NUM_BONES = 20
NUM_JOINTS = 25
ENDS = (4, 9, 14, 19, 24)
"""Joints at the fingers' ends, which turn nothing."""
STARTS = (1, 5, 10, 15, 20)
"""First joints of the five chains, whose parent is the carpal's."""
PARENTS: tuple[int, ...] = (-1, *(0 if joint in STARTS else joint - 1 for joint in range(1, NUM_JOINTS)))
TURNING: tuple[int, ...] = tuple(joint for joint in range(1, NUM_JOINTS) if joint not in ENDS)
"""The joints of the 19 rotations, in their order."""
KEYPOINT_JOINTS: tuple[int, ...] = tuple(joint for joint in range(NUM_JOINTS) if joint not in STARTS[1:])
"""The 25 joints without the metacarpals of four fingers: near the 21 joints of the project, in their order."""
NUM_ROTATIONS = NUM_BONES - 1
NUM_POSE = 30
"""Principal components of a pose."""
NUM_SHAPE = 20
"""Those of a shape."""


@dataclass(frozen=True)
class NimbleHand:
    """A right hand in NIMBLE's own axes, meters; S vertices of the skin, M of MANO's.

    Attributes:
        template: Rest vertices of the mean shape.
        faces: Triangles, counter-clockwise seen from outside.
        uv: Texture coordinates per corner in [0, 1], the origin at the lower left.
        weights: Skinning weights, rows sum to one.
        shape_dirs: Offsets of one standard deviation along each shape direction.
        pose_dirs: Offsets per entry of the 19 rotation matrices minus identity.
        joints: The 25 joints of the mean shape: the carpal's, then along the thumb, index, middle, ring and little
            finger from the palm outwards, each chain with its end.
        joint_dirs: Their offsets along each shape direction.
        pose_mean: Axis-angle of the 19 bones after the first in the mean pose.
        pose_components: The same of one standard deviation of each pose coefficient.
        to_mano: MANO's vertices from those of the skin.
        to_keypoints: The 21 joints in the project's order from those of the skin, posed or not.
        name: For messages and files.
    """

    template: Float[Tensor, "S 3"]
    faces: Int[Tensor, "F 3"]
    uv: Float[Tensor, "F 3 2"]
    weights: Float[Tensor, "S 25"]
    shape_dirs: Float[Tensor, "S 3 20"]
    pose_dirs: Float[Tensor, "S 3 171"]
    joints: Float[Tensor, "25 3"]
    joint_dirs: Float[Tensor, "25 3 20"]
    pose_mean: Float[Tensor, " 57"]
    pose_components: Float[Tensor, "30 57"]
    to_mano: Float[Tensor, "M S"]
    to_keypoints: Float[Tensor, "21 S"]
    name: str = "nimble"

    @property
    def num_vertices(self) -> int:
        return len(self.template)

    @property
    def num_shape(self) -> int:
        return NUM_SHAPE

    def to(self, device: torch.device | str) -> NimbleHand:
        """Copy with all tensors on a device."""
        return with_tensors(self, lambda value: value.to(device))


@dataclass
class PosedNimble:
    """B hands in NIMBLE's own axes, the first bone at rest; meters."""

    vertices: Float[Tensor, "B S 3"]
    keypoints: Float[Tensor, "B 21 3"]
    """MANO's joints, in the order of ``joints.JOINT_NAMES``."""
    center: Float[Tensor, "B 3"]
    """The first joint, about which NIMBLE turns a whole hand."""


def pose_nimble(hand: NimbleHand, pose: Float[Tensor, "B 30"], shape: Float[Tensor, "B 20"]) -> PosedNimble:
    """Poses a hand by NIMBLE's rule: shape, pose blend shapes, linear blend skinning of 25 joints.

    Args:
        hand: The hand.
        pose: Coefficients, unit one standard deviation.
        shape: Coefficients, unit one standard deviation.
    """
    count = len(pose)
    axis_angle = hand.pose_mean + pose @ hand.pose_components
    turned = batch_rodrigues(axis_angle.reshape(-1, 3)).view(count, NUM_ROTATIONS, 3, 3)
    identity = torch.eye(3, dtype=turned.dtype, device=turned.device)
    rest = hand.template + blend_shapes(shape, hand.shape_dirs)
    rest = rest + torch.einsum("bp,vcp->bvc", (turned - identity).flatten(1), hand.pose_dirs)
    joints = hand.joints + blend_shapes(shape, hand.joint_dirs)
    rotations = identity.repeat(count, NUM_JOINTS, 1, 1)
    rotations[:, list(TURNING)] = turned
    vertices, _, _ = skinned(rest, joints, rotations, PARENTS, hand.weights)
    return PosedNimble(vertices, hand.to_keypoints @ vertices, joints[:, 0])
