"""One or two hands as a single surface, so that code for one hand handles two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

PARKED_AT = (0.0, 0.0, -1.0e3)
"""Where a hand without a valid pose is put, metres: far from every scene, and finite, so that searches stay exact."""

MANO_MIDDLE = 4
"""Index of the middle finger's first joint in MANO order."""

_GAP = 0.05
"""Distance between the bounding boxes of two hands in the canonical space, metres."""


@dataclass
class HandPose:
    """Poses of H hands in the order of ``joints.SIDES``; world frame, metres and radians."""

    global_orient: Float[Tensor, "*B H 3"]
    local_rotations: Float[Tensor, "*B H 15 3"]
    translation: Float[Tensor, "*B H 3"]
    valid: Bool[Tensor, "*B H"]

    @staticmethod
    def rest(
        num_hands: int,
        batch_shape: Sequence[int] = (),
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> HandPose:
        """The rest pose: unturned hands with their wrists where the templates have them, all valid."""
        shape = (*batch_shape, num_hands)
        return HandPose(
            global_orient=torch.zeros(*shape, 3, device=device, dtype=dtype),
            local_rotations=torch.zeros(*shape, 15, 3, device=device, dtype=dtype),
            translation=torch.zeros(*shape, 3, device=device, dtype=dtype),
            valid=torch.ones(shape, device=device, dtype=torch.bool),
        )

    def __getitem__(self, index) -> HandPose:
        """Index the batch axes, for instance by frame."""
        return HandPose(
            self.global_orient[index], self.local_rotations[index], self.translation[index], self.valid[index]
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> HandPose:
        """Copy on another device or in another precision."""
        return HandPose(
            self.global_orient.to(device, dtype),
            self.local_rotations.to(device, dtype),
            self.translation.to(device, dtype),
            self.valid.to(device),
        )


@dataclass
class SurfacePose:
    """Posed vertices, keypoints and bone transforms of a :class:`HandSurface`; world frame, metres."""

    vertices: Float[Tensor, "*B V 3"]
    keypoints: Float[Tensor, "*B H 21 3"]
    bone_transforms: Float[Tensor, "*B H 16 4 4"]


class HandSurface:
    """One or two hands with concatenated vertices and faces and their texture atlases side by side.

    Args:
        hands: One hand, or the left and the right hand in this order.

    Attributes:
        faces: ``[F, 3]``, open at the wrists.
        closing_faces: ``[C, 3]``, the triangles that close the wrists for signs.
        uv: ``[F, 3, 2]`` per corner; of two hands the left one has u in [0, 0.5], the right one in [0.5, 1].
        face_side, vertex_side: Index into ``SIDES`` of each face and vertex.
        vertex_is_hand: ``[V]``, on the fingers' side of the wrist joint. The stub behind it turns with the forearm in a
            picture, but with the hand in a model without a forearm.
        face_is_hand: ``[F]``, all three vertices are.
        canonical: ``[V, 3]`` rest pose of the mean shape, metres, centered, two hands apart along z.
    """

    def __init__(self, hands: Sequence[HandModel]) -> None:
        self.hands: tuple[HandModel, ...] = tuple(hands)
        self.sides: tuple[str, ...] = tuple(hand.side for hand in self.hands)
        if self.sides not in (("left",), ("right",), SIDES):
            raise ValueError(f"A surface is one hand, or the left and the right hand in this order, not {self.sides}.")
        counts = [hand.num_vertices for hand in self.hands]
        self.vertex_slices: tuple[slice, ...] = tuple(
            slice(sum(counts[:k]), sum(counts[: k + 1])) for k in range(len(counts))
        )
        starts = [part.start for part in self.vertex_slices]
        self.num_vertices: int = sum(counts)
        self.faces: Int[Tensor, "F 3"] = torch.cat(
            [hand.faces + start for hand, start in zip(self.hands, starts, strict=True)]
        )
        self.closing_faces: Int[Tensor, "C 3"] = torch.cat(
            [closing_faces(hand.faces) + start for hand, start in zip(self.hands, starts, strict=True)]
        )
        self.uv: Float[Tensor, "F 3 2"] = torch.cat(
            [_place_atlas(hand.uv, k, len(self.hands)) for k, hand in enumerate(self.hands)]
        )
        side_index = [SIDES.index(side) for side in self.sides]
        device = self.faces.device
        self.face_side: Int[Tensor, " F"] = torch.cat(
            [torch.full((len(hand.faces),), s, device=device) for hand, s in zip(self.hands, side_index, strict=True)]
        )
        self.vertex_side: Int[Tensor, " V"] = torch.cat(
            [torch.full((count,), s, device=device) for count, s in zip(counts, side_index, strict=True)]
        )
        self.vertex_is_hand: Bool[Tensor, " V"] = torch.cat([_before_wrist(hand) for hand in self.hands])
        self.face_is_hand: Bool[Tensor, " F"] = self.vertex_is_hand[self.faces].all(dim=1)
        self.canonical: Float[Tensor, "V 3"] = _place_apart([hand.template for hand in self.hands])

    @property
    def num_hands(self) -> int:
        return len(self.hands)

    @property
    def device(self) -> torch.device:
        return self.faces.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> HandSurface:
        """The same surface on another device or in another precision."""
        return HandSurface([hand.to(device, dtype) for hand in self.hands])

    def split_vertices(self, values: Float[Tensor, "V C"]) -> tuple[Float[Tensor, "_ C"], ...]:
        """Values per vertex of the surface, cut into those of each hand."""
        return tuple(values[part] for part in self.vertex_slices)

    def vertex_valid(self, valid: Bool[Tensor, "*B H"]) -> Bool[Tensor, "*B V"]:
        """Which vertices belong to a hand whose pose is valid; the others are parked far away."""
        counts = torch.tensor([hand.num_vertices for hand in self.hands], device=valid.device)
        return valid.repeat_interleave(counts, dim=-1)

    def pose(
        self,
        pose: HandPose,
        shape: Float[Tensor, " K"],
        displacement: Float[Tensor, "V 3"] | None = None,
    ) -> SurfacePose:
        """Pose the surface, see :func:`model.pose_hand`.

        Args:
            pose: Poses of this surface's hands; any batch axes. A hand that is not valid is parked at ``PARKED_AT``
                in its rest pose, without gradients.
            shape: Coefficients that both hands share, as they belong to one person.
            displacement: Offsets of the rest vertices of the whole surface, metres.
        """
        batch = pose.valid.shape[:-1]
        if pose.valid.shape[-1] != self.num_hands:
            raise ValueError(f"A surface of {self.sides} needs {self.num_hands} poses, got {pose.valid.shape[-1]}.")
        parts = []
        for k, hand in enumerate(self.hands):
            valid = pose.valid[..., k].reshape(-1, 1)
            orient = pose.global_orient[..., k, :].reshape(-1, 3)
            local = pose.local_rotations[..., k, :, :].reshape(-1, 15, 3)
            shift = pose.translation[..., k, :].reshape(-1, 3)
            # Where, not multiplication, because an absent pose may hold NaN.
            orient = torch.where(valid, orient, torch.zeros_like(orient))
            local = torch.where(valid[..., None], local, torch.zeros_like(local))
            shift = torch.where(valid, shift, shift.new_tensor(PARKED_AT))
            offsets = None if displacement is None else displacement[self.vertex_slices[k]]
            parts.append(pose_hand(hand, orient, local, shift, shape, offsets))
        return SurfacePose(
            vertices=torch.cat([part.vertices for part in parts], dim=1).reshape(*batch, -1, 3),
            keypoints=torch.stack([part.keypoints for part in parts], dim=1).reshape(*batch, self.num_hands, 21, 3),
            bone_transforms=torch.stack([part.bone_transforms for part in parts], dim=1).reshape(
                *batch, self.num_hands, 16, 4, 4
            ),
        )


def _before_wrist(hand: HandModel) -> Bool[Tensor, " V"]:
    """Vertices of the template beyond the plane through the wrist joint, across the way to the middle knuckle."""
    joints = hand.joint_regressor @ hand.template
    return (hand.template - joints[0]) @ (joints[MANO_MIDDLE] - joints[0]) > 0


def _place_atlas(uv: Float[Tensor, "F 3 2"], index: int, count: int) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates of one hand in its column of a common atlas."""
    return torch.stack([(uv[..., 0] + index) / count, uv[..., 1]], dim=-1)


def _place_apart(templates: Sequence[Float[Tensor, "_ 3"]]) -> Float[Tensor, "V 3"]:
    """Templates centered one by one, then side by side along z with a gap."""
    placed, edge = [], 0.0
    for template in templates:
        low, high = template.amin(dim=0), template.amax(dim=0)
        centered = template - (low + high) / 2
        depth = float(high[2] - low[2])
        placed.append(centered + centered.new_tensor([0.0, 0.0, edge + depth / 2]))
        edge += depth + _GAP
    return torch.cat(placed) - torch.tensor([0.0, 0.0, (edge - _GAP) / 2]).to(placed[0])
