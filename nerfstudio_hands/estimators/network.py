"""The network: joints to pose, shape and vertices of a right hand.

After the graph network of FMHR (Gan et al., "Fine-grained multi-view hand reconstruction using inverse rendering",
AAAI 2024): fully connected layers to features at the coarsest level of the template's mesh, residual blocks of
Chebyshev convolutions, upsampling to the template's vertices. Unlike there, pose and shape are read off the fully
connected layers, and the graph convolutions make vertices only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.graph_conv import ChebyshevConv, ResidualBlock, SparseMap, scaled_laplacian
from nerfstudio_hands.estimators.hierarchy import MeshHierarchy, build_hierarchy
from nerfstudio_hands.estimators.joint_frame import PALM, reference_joints
from nerfstudio_hands.hand_model import HandModel
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.transforms.rotations import rotation_from_columns

CHANNELS = (32, 32, 16)
"""Channels at the coarsest and the next levels; the template's own vertices get their three coordinates only."""
BLOCKS = (2, 1, 1)
"""Residual blocks at these levels."""
WIDTH = 256
"""Of the fully connected layers."""

NUM_INPUTS = 21 * 3 + 21 + 15 + 1
"""Coordinates of the joints, which of them there are, bends of the fingers, size."""


@dataclass
class HandParameters:
    """Poses of N right hands in the frame of their joints.

    Attributes:
        fractions: Where each angle (flexion, spread, twist of joints 1-15) lies between its limits, 0 to 1; the same
            fraction is the same bend from the straight finger in every hand model.
        rotation: Of the wrist, in the frame.
        wrist: Place of the wrist in the frame, units.
        shape: Coefficients of the hand model that the network was trained with.
    """

    fractions: Float[Tensor, "N 15 3"]
    rotation: Float[Tensor, "N 3 3"]
    wrist: Float[Tensor, "N 3"]
    shape: Float[Tensor, "N K"]


class PoseNetwork(nn.Module):
    """Joints in their frame (`joint_frame`) to parameters, and to the template's vertices.

    Args:
        hierarchy: Of the template.
        reference: Joints that frames are laid on (`reference_joints`).
        template: Where the vertices of a resting hand are in its frame, units.
        num_shape: Shape coefficients of the hand model.
    """

    reference: Tensor

    def __init__(
        self,
        hierarchy: MeshHierarchy,
        reference: Float[Tensor, "21 3"],
        template: Float[Tensor, "V 3"],
        num_shape: int,
    ) -> None:
        super().__init__()
        self.hierarchy = hierarchy
        self.num_shape = num_shape
        self.register_buffer("reference", reference, persistent=False)
        pairs = zip(hierarchy.edges, hierarchy.sizes, strict=True)
        shifts = [SparseMap(scaled_laplacian(edges, size)) for edges, size in pairs]
        self.trunk = nn.Sequential(
            *(nn.Linear(NUM_INPUTS, WIDTH), nn.ReLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        )
        self.parameters_head = nn.Linear(WIDTH, 45 + 6 + 3 + num_shape)
        self.to_mesh = nn.Linear(WIDTH, hierarchy.sizes[0] * CHANNELS[0])
        self.blocks = nn.ModuleList(
            nn.Sequential(*[ResidualBlock(shift, channels) for _ in range(count)])
            for shift, channels, count in zip(shifts[:-1], CHANNELS, BLOCKS, strict=True)
        )
        *ups, last = [
            SparseMap(up.matrix(size)) for up, size in zip(hierarchy.upsamplings, hierarchy.sizes[:-1], strict=True)
        ]
        self.upsamplings = nn.ModuleList(ups)
        self.narrow = nn.ModuleList(nn.Linear(*CHANNELS[k : k + 2]) for k in range(len(CHANNELS) - 1))  # pyright: ignore[reportArgumentType]
        self.last = ChebyshevConv(shifts[-1], CHANNELS[-1], 3, upsampling=last)
        self.template = nn.Parameter(template.clone())

    def forward(
        self, joints: Float[Tensor, "N 21 3"], present: Bool[Tensor, "N 21"], scale: Float[Tensor, " N"]
    ) -> tuple[HandParameters, Float[Tensor, "N W"]]:
        """Pose and shape, and the features that `vertices_of` goes on from.

        Args:
            joints: In their frame, units; what absent ones hold is not looked at.
            present: Which joints there are.
            scale: Of the frame, metres a unit: the size of the hand, which the frame takes out.
        """
        joints = torch.where(present[..., None], joints, 0.0)
        size = (10 * scale[:, None]).log()
        features = self.trunk(torch.cat([joints.flatten(1), present.to(joints), bends(joints, present), size], 1))
        fractions, turn, wrist, shape = self.parameters_head(features).split([45, 6, 3, self.num_shape], -1)
        fractions = fractions.unflatten(-1, (15, 3)) + 0.5
        return HandParameters(fractions, rotation_from_columns(turn), wrist + self.reference[0], shape), features

    def vertices_of(self, features: Float[Tensor, "N W"]) -> Float[Tensor, "N V 3"]:
        """Vertices in the frame, units, from features."""
        values = self.to_mesh(features).unflatten(1, (self.hierarchy.sizes[0], CHANNELS[0])).transpose(0, 1)
        values = self.blocks[0](values)
        for narrow, up, blocks in zip(self.narrow, self.upsamplings, self.blocks[1:], strict=True):
            values = blocks(up(narrow(values)))
        return self.template + self.last(values.relu()).transpose(0, 1)


def bends(joints: Float[Tensor, "N 21 3"], present: Bool[Tensor, "N 21"]) -> Float[Tensor, "N 15"]:
    """Angles between the bones that meet in the three inner joints of each finger, radians; 0 where one is absent.

    FMHR gives its network coordinates only; angles, which do not depend on the frame, spare it learning them.
    """
    fingers = torch.cat([joints[:, :1, None].expand(-1, 5, -1, -1), joints[:, 1:].unflatten(1, (5, 4))], 2)
    known = torch.cat([present[:, :1, None].expand(-1, 5, -1), present[:, 1:].unflatten(1, (5, 4))], 2)
    bones = fingers[:, :, 1:] - fingers[:, :, :-1]
    first, second = bones[:, :, :-1], bones[:, :, 1:]
    angle = torch.atan2(torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1))
    return torch.where(known[:, :, :-2] & known[:, :, 1:-1] & known[:, :, 2:], angle, 0.0).flatten(1)


def new_network(model: HandModel) -> PoseNetwork:
    """An untrained network for a right hand."""
    joints = resting_joints(model)
    middle = joints[list(PALM)].mean(0)
    hierarchy = build_hierarchy(model.template, model.faces)
    return PoseNetwork(hierarchy, reference_joints(joints), (model.template - middle) / 0.1, model.num_shape)
