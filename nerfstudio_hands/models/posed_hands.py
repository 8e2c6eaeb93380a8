"""The hands' poses inside a model: which pose a ray sees, the posed surface, and the code that the field takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor, nn

from nerfstudio_hands.dataparsers.avatar_data import AvatarData, apply_rigid
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose

POSE_SPREAD_FLOOR = 0.05
"""Radians; a joint that moves less than this over the training frames has nothing to teach and is left out of the
pose code."""


@dataclass
class PosedSurfaces:
    """The posed surfaces that a batch of rays needs.

    Attributes:
        surfaces: S posed surfaces, nerfstudio's world.
        normals: their smooth vertex normals [S, V, 3].
        code: pose code of each [S, P].
        ray_surface: which of them each ray sees [R].
    """

    surfaces: Surfaces
    normals: Float[Tensor, "S V 3"]
    code: Float[Tensor, "S P"]
    ray_surface: Int[Tensor, "R"]


class PosedHands(nn.Module):
    """Poses of every frame, optionally refined, and the surface that they give.

    A ray's pose is, in this order: the override set by an exporter, its `frame_index`, the pose that the viewer chose
    for rays of no frame (neither of the two while training), its `times` (nearest frame), the first frame. Exporters
    send rays with none of these. The viewer's choice comes after `frame_index`, so that an evaluation stays what it
    is while somebody bends a finger.

    Args:
        avatar: the hands and their poses.
        refine: whether the poses are parameters.
    """

    def __init__(self, avatar: AvatarData, *, refine: bool):
        super().__init__()
        self.surface = avatar.surface
        pose = avatar.pose
        self.register_buffer("global_orient", pose.global_orient.float())
        self.register_buffer("local_rotations", pose.local_rotations.float())
        self.register_buffer("translation", pose.translation.float())
        self.register_buffer("valid", pose.valid)
        self.register_buffer("shape", avatar.shape.float())
        self.register_buffer("displacement", avatar.displacement.float())
        self.register_buffer("world_transform", avatar.world_transform.float())
        rotations = self.local_rotations.flatten(1)  # [T, H*45]
        middle, spread = rotations.mean(dim=0), rotations.amax(dim=0) - rotations.amin(dim=0)
        self.register_buffer("code_middle", middle)
        self.register_buffer(
            "code_scale", torch.where(spread > POSE_SPREAD_FLOOR, 2 / spread, torch.zeros_like(spread))
        )
        self.deltas = (
            nn.ParameterList(
                nn.Parameter(torch.zeros_like(table))
                for table in (self.global_orient, self.local_rotations, self.translation)
            )
            if refine
            else None
        )
        self._override: HandPose | None = None
        self._override_count = 0
        self._free_pose: HandPose | None = None
        self._free_count = 0
        self._cached: dict[str, tuple[object, PosedSurfaces]] = {}

    @property
    def num_frames(self) -> int:
        """Frames in the table."""
        return len(self.global_orient)

    @property
    def code_dim(self) -> int:
        """Numbers of the pose code: none where the training frames show one pose only."""
        return int(self.code_scale.count_nonzero())

    def set_override(self, pose: HandPose | None) -> None:
        """Shows this pose ([1, H, ...], capture's world) instead of any frame's outside training; None ends it."""
        self._override = pose
        self._override_count += 1

    def set_free_pose(self, pose: HandPose | None) -> None:
        """Shows this pose ([1, H, ...], capture's world) to rays of no frame outside training; None ends it."""
        # In this order: a render that starts in between must not file the old pose under the new number.
        self._free_pose = pose
        self._free_count += 1

    def pose_of(self, frames: Int[Tensor, "S"]) -> HandPose:
        """Poses of frames, with the refinement, in the capture's world."""
        tables = [self.global_orient[frames], self.local_rotations[frames], self.translation[frames]]
        if self.deltas is not None:
            tables = [table + delta[frames] for table, delta in zip(tables, self.deltas, strict=True)]
        return HandPose(*tables, valid=self.valid[frames])

    def vertices(self, pose: HandPose) -> Float[Tensor, "S V 3"]:
        """Posed vertices in nerfstudio's world."""
        posed = self.surface.pose(pose, self.shape, self.displacement)
        return apply_rigid(self.world_transform, posed.vertices)

    def code(self, pose: HandPose) -> Float[Tensor, "S P"]:
        """Local rotations, scaled to [-1, 1] over the training frames and held there: a pose beyond them looks like
        the nearest known."""
        scaled = (pose.local_rotations.flatten(1) - self.code_middle) * self.code_scale
        return scaled[:, self.code_scale > 0].clamp(-1, 1)

    def for_rays(self, rays: RayBundle) -> PosedSurfaces:
        """The posed surfaces that the rays [R] need; built anew only where the poses changed."""
        framed = rays.metadata is not None and "frame_index" in rays.metadata
        choices = [("override", self._override_count, self._override)]
        if not framed:
            choices.append(("free", self._free_count, self._free_pose))
        for slot, count, pose in choices:
            if pose is not None and not self.training:
                first = torch.zeros(len(rays.origins), dtype=torch.long, device=rays.origins.device)
                return self._posed(slot, count, pose, first)
        frames = self._ray_frames(rays)
        used, ray_surface = frames.unique(return_inverse=True)
        return self._posed("frames", used.tolist(), self.pose_of(used), ray_surface)

    def _ray_frames(self, rays: RayBundle) -> Int[Tensor, "R"]:
        device = self.global_orient.device
        if rays.metadata is not None and "frame_index" in rays.metadata:
            return rays.metadata["frame_index"].view(-1).long().to(device)
        if rays.times is not None:
            return (rays.times.view(-1) * (self.num_frames - 1)).round().long().clamp(0, self.num_frames - 1).to(device)
        return torch.zeros(len(rays.origins), dtype=torch.long, device=device)

    def _posed(self, slot: str, key: object, pose: HandPose, ray_surface: Int[Tensor, "R"]) -> PosedSurfaces:
        # The viewer may interrupt a render at any line, so a surface is out of the cache while it is being moved.
        cached_key, cached = self._cached.pop(slot, (None, None))
        if cached is not None and cached_key == key and not (self.deltas is not None and self.training):
            self._cached[slot] = (cached_key, cached)
            return PosedSurfaces(cached.surfaces, cached.normals, cached.code, ray_surface)
        vertices = self.vertices(pose)
        if cached is not None and cached.surfaces.num_surfaces == len(vertices):
            surfaces = cached.surfaces
            surfaces.update(vertices)
        else:
            surfaces = Surfaces(self.surface.faces, vertices, closing_faces=self.surface.closing_faces)
        normals = vertex_normals(vertices, surfaces.faces[: surfaces.num_own_faces])
        posed = PosedSurfaces(surfaces, normals, self.code(pose), ray_surface)
        self._cached[slot] = (key, posed)
        return posed

    def __getstate__(self):
        """Drops the surface query: it lives in native memory and is rebuilt on demand."""
        return {**self.__dict__, "_cached": {}}

    def _apply(self, fn, recurse=True):
        self._cached = {}
        module = super()._apply(fn, recurse)
        self.surface = self.surface.to(self.shape.device)
        return module
