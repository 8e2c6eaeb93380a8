"""The hands' poses inside a model: which pose a ray sees, the posed surface, and the code that the field takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor, nn

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.light.transfer import light_transfer
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.motion.pose_track import PoseTrack, first_seen, interpolate_poses
from nerfstudio_hands.transforms.rigid import apply_rigid
from nerfstudio_hands.transforms.rotations import angle_between

POSE_SPREAD_FLOOR = 0.05
"""Radians; a joint that moves less than this over the training frames has nothing to teach and is left out of the
pose code."""

CAPTURE_FPS = 5.0
"""Frames a second at which a capture's frames play where it does not tell: those of InterHand2.6M's usual download."""

FRAME_LIGHT_BYTES = 2**30
"""Bytes of light transfer of frames that are kept: 2,200 frames of one hand. The oldest are worked out again."""

LIGHT_LEVELS = 4
"""Levels of spherical harmonics of the light transfer."""

DELTA_UNITS = (1.0, 1.0, 0.1)
"""Units of the corrections of global orientation, local rotations (radians) and translation (meters): a step of any of
them moves a fingertip about as far."""


@dataclass
class PosedSurfaces:
    """The posed surfaces that a batch of rays needs.

    Attributes:
        surfaces: S posed surfaces, nerfstudio's world.
        normals: their smooth vertex normals [S, V, 3].
        bones: transforms of the bones from the rest pose [S, H, 16, 4, 4].
        joints: the 21 joints, nerfstudio's world [S, H, 21, 3].
        light: light transfer of the vertices, see `geometry.light.transfer`; C is 0 where one pose is all [S, V, C].
        code: pose code of each [S, P].
        ray_surface: which of them each ray sees [R].
        frames: the frame of each; None where poses are of no frame [S].
    """

    surfaces: Surfaces
    normals: Float[Tensor, "S V 3"]
    bones: Float[Tensor, "S H 16 4 4"]
    joints: Float[Tensor, "S H 21 3"]
    light: Float[Tensor, "S V C"]
    code: Float[Tensor, "S P"]
    ray_surface: Int[Tensor, "R"]
    frames: Int[Tensor, "S"] | None = None

    def first_surface(self) -> int:
        """The surface that the first ray sees: of a picture, which shows one moment, that of all."""
        return 0 if self.surfaces.num_surfaces == 1 else int(self.ray_surface[0])

    def interpolate(
        self,
        values: Float[Tensor, "S V C"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N C"]:
        """Values of the vertices at points of the surfaces."""
        return blend_corners(values[surface[:, None], self.surfaces.faces[face]], barycentric)


def _turned(orient: Float[Tensor, "T H 3"], valid: Bool[Tensor, "T H"]) -> Bool[Tensor, " H"]:
    """Whether each hand as a whole turns by more than `POSE_SPREAD_FLOOR` over the frames that it is in."""
    first = orient[valid.int().argmax(dim=0), torch.arange(orient.shape[1], device=orient.device)]
    return ((angle_between(orient, first.expand_as(orient)) > POSE_SPREAD_FLOOR) & valid).any(dim=0)


class PosedHands(nn.Module):
    """Poses of every frame, optionally refined, and the surface that they give.

    A ray's pose is, in this order: the override set by an exporter, its `frame_index`, the pose that the viewer chose
    for rays of no frame, its `times`, the first training frame; while training, override, choice and track have no
    effect. `times` run from 0 to 1 over the track that is set, or else over the training frames. Exporters send rays
    with none of these. The viewer's choice comes after `frame_index`, so that an evaluation stays what it is while
    somebody bends a finger.

    Args:
        avatar: the hands and their poses.
        refine: whether the poses are parameters.
        pose_code: whether the field is told the pose.
        casts_light: whether there is a light transfer, where poses or wrists turn.
    """

    global_orient: Tensor
    local_rotations: Tensor
    translation: Tensor
    valid: Tensor
    shape: Tensor
    displacement: Tensor
    world_transform: Tensor
    train_frames: Tensor
    code_middle: Tensor
    code_scale: Tensor

    def __init__(self, avatar: AvatarData, *, refine: bool, pose_code: bool = True, casts_light: bool = True):
        super().__init__()
        self.surface = avatar.surface
        self.fps = avatar.fps or CAPTURE_FPS
        pose = avatar.pose
        self.register_buffer("global_orient", pose.global_orient.float())
        self.register_buffer("local_rotations", pose.local_rotations.float())
        self.register_buffer("translation", pose.translation.float())
        self.register_buffer("valid", pose.valid)
        self.register_buffer("shape", avatar.shape.float())
        self.register_buffer("displacement", avatar.displacement.float())
        self.register_buffer("world_transform", avatar.world_transform.float())
        self.register_buffer("train_frames", avatar.train_frames.nonzero().flatten(), persistent=False)
        rotations = self.local_rotations[avatar.train_frames].flatten(1)  # [T', H*45]
        low, high = rotations.amin(dim=0), rotations.amax(dim=0)
        moves = high - low > POSE_SPREAD_FLOOR
        self.register_buffer("code_middle", (low + high) / 2)
        self.register_buffer("code_scale", torch.where(moves & pose_code, 2 / (high - low), torch.zeros_like(low)))
        # A single pose under a light that does not change looks as it looks; a wrist that turns faces other lights.
        turns = bool((_turned(self.global_orient[avatar.train_frames], pose.valid[avatar.train_frames])).any())
        self.light_levels = LIGHT_LEVELS if casts_light and (moves.any() or turns) else 0
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
        self._track: PoseTrack | None = None
        self._track_count = 0
        self.offset: Float[Tensor, "V 3"] | None = None
        self._offset_count = 0
        self._cached: dict[str, tuple[object, PosedSurfaces]] = {}
        self._frame_light: dict[int, Float[Tensor, "V C"]] = {}

    @property
    def num_frames(self) -> int:
        """Frames in the table."""
        return len(self.global_orient)

    @property
    def code_dim(self) -> int:
        """Numbers of the pose code: none where the training frames show one pose only."""
        return int(self.code_scale.count_nonzero())

    def set_offset(self, offset: Float[Tensor, "V 3"] | None) -> None:
        """Moves the vertices of the rest pose by this, meters, on top of what the fit displaced them by; gradients
        reach it."""
        self.offset = offset
        self._offset_count += 1

    @property
    def rest_offset(self) -> Float[Tensor, "V 3"]:
        """What the vertices of the rest pose are moved by, meters: by the fit and by `set_offset`."""
        return self.displacement if self.offset is None else self.displacement + self.offset

    def set_override(self, pose: HandPose | None) -> None:
        """Shows this pose ([1, H, ...], capture's world) instead of any frame's outside training; None ends it."""
        self._override = pose
        self._override_count += 1

    def set_free_pose(self, pose: HandPose | None) -> None:
        """Shows this pose ([1, H, ...], capture's world) to rays of no frame outside training; None ends it."""
        # In this order: a render that starts in between must not file the old pose under the new number.
        self._free_pose = pose
        self._free_count += 1

    def set_track(self, track: PoseTrack | None) -> None:
        """Plays this track to rays that carry `times` and no frame, outside training; None ends it.

        A hand that the track lacks stands still, see `reference`.

        Raises:
            HandsError: The track has none of the hands.
        """
        self._track = None if track is None else track.for_hands(self.surface.sides, self.reference())
        self._track_count += 1

    @torch.no_grad()
    def reference(self) -> HandPose:
        """Each hand in the first training frame that has it [H, ...], capture's world."""
        return first_seen(self.pose_of(self.train_frames))

    @torch.no_grad()
    def frames_track(self, fps: float | None = None) -> PoseTrack:
        """All frames, held-out ones too, as a track; by default at the capture's own rate."""
        frames = torch.arange(self.num_frames, device=self.valid.device)
        return PoseTrack.of_frames(
            self.pose_of(frames), self.surface.sides, fps=fps or self.fps, name="frames of the capture"
        )

    def pose_at(self, times: Float[Tensor, "S"]) -> HandPose:
        """Poses at times from 0 to 1 over what plays, in the capture's world."""
        if self._track is not None and not self.training:
            return self._track.at(times * self._track.duration).to(self.valid.device)
        position = times.to(self.valid.device).clamp(0, 1) * (len(self.train_frames) - 1)
        before = position.floor().long()
        after = (before + 1).clamp(max=len(self.train_frames) - 1)
        first, second = (self.pose_of(self.train_frames[keys]) for keys in (before, after))
        return interpolate_poses(first, second, position - before)

    def pose_of(self, frames: Int[Tensor, "S"]) -> HandPose:
        """Poses of frames, with the refinement, in the capture's world."""
        tables = [self.global_orient[frames], self.local_rotations[frames], self.translation[frames]]
        if self.deltas is not None:
            found = zip(tables, DELTA_UNITS, self.deltas, strict=True)
            tables = [table + unit * delta[frames] for table, unit, delta in found]
        return HandPose(*tables, valid=self.valid[frames])

    @property
    def light_dim(self) -> int:
        """Numbers of the light transfer."""
        return self.light_levels**2

    def correction(self) -> Float[Tensor, ""]:
        """Squared corrections of the poses, in units of `DELTA_UNITS`, summed over a frame; the mean over frames."""
        if self.deltas is None:
            return self.shape.new_zeros(())
        return torch.stack([delta.square().sum() for delta in self.deltas]).sum() / self.num_frames

    @property
    def to_world(self) -> Float[Tensor, "4 4"]:
        """Transform from the capture's world to nerfstudio's."""
        last = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).to(self.world_transform)
        return torch.cat([self.world_transform, last])

    def vertices(self, pose: HandPose) -> Float[Tensor, "S V 3"]:
        """Posed vertices in nerfstudio's world."""
        posed = self.surface.pose(pose, self.shape, self.rest_offset)
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
        if self.training:
            self._cached.pop("times", None)  # Its poses are about to be refined.
        if not framed and rays.times is not None:
            times, ray_surface = rays.times.view(-1).unique(return_inverse=True)
            return self._posed("times", [self._track_count, *times.tolist()], self.pose_at(times), ray_surface)
        if self.num_frames == 1:
            # Which one it is nobody has to ask the GPU.
            first = torch.zeros(len(rays.origins), dtype=torch.long, device=self.valid.device)
            return self._posed("frames", [0], self.pose_of(first[:1]), first)
        frames = rays.metadata["frame_index"] if framed else self.train_frames[:1].expand(len(rays.origins))
        used, ray_surface = frames.view(-1).long().to(self.valid.device).unique(return_inverse=True)
        return self._posed("frames", used.tolist(), self.pose_of(used), ray_surface)

    def _posed(self, slot: str, key: object, pose: HandPose, ray_surface: Int[Tensor, "R"]) -> PosedSurfaces:
        # The viewer may interrupt a render at any line, so a surface is out of the cache while it is being moved.
        key = (self._offset_count, key)
        cached_key, cached = self._cached.pop(slot, (None, None))
        if cached is not None and cached_key == key and not (self.deltas is not None and self.training):
            self._cached[slot] = (cached_key, cached)
            return replace(cached, ray_surface=ray_surface)
        frames = key[1] if slot == "frames" else None
        posed = self._build(pose, frames, ray_surface, cached.surfaces if cached is not None else None)  # pyright: ignore[reportArgumentType]
        self._cached[slot] = (key, posed)
        return posed

    def at_pose(self, pose: HandPose, frames: list[int] | None = None) -> PosedSurfaces:
        """Surfaces of some poses ([S, H, ...], capture's world), for who asks without rays; `frames` if they are of
        some."""
        return self._build(pose, frames, torch.zeros(0, dtype=torch.long, device=self.shape.device), None)

    def at_frame(self, frame: int) -> PosedSurfaces:
        """Surface of a frame, likewise."""
        return self.at_pose(self.pose_of(torch.tensor([frame], device=self.shape.device)), [frame])

    def _build(
        self, pose: HandPose, frames: list[int] | None, ray_surface: Int[Tensor, "R"], surfaces: Surfaces | None
    ) -> PosedSurfaces:
        """Poses the surface; `surfaces` are reused where they fit."""
        pose = pose.to(self.valid.device)
        posed = self.surface.pose(pose, self.shape, self.rest_offset)
        vertices = apply_rigid(self.world_transform, posed.vertices)
        if surfaces is not None and surfaces.num_surfaces == len(vertices):
            surfaces.update(vertices)
        else:
            surfaces = Surfaces(self.surface.faces, vertices, closing_faces=self.surface.closing_faces)
        normals = vertex_normals(vertices, surfaces.faces[: surfaces.num_own_faces])
        return PosedSurfaces(
            surfaces=surfaces,
            normals=normals,
            bones=self.to_world @ posed.bone_transforms,
            joints=apply_rigid(self.world_transform, posed.keypoints),
            light=self._light(surfaces, normals, frames),
            code=self.code(pose),
            ray_surface=ray_surface,
            frames=None if frames is None else torch.tensor(frames, device=vertices.device),
        )

    def _light(
        self, surfaces: Surfaces, normals: Float[Tensor, "S V 3"], frames: list[int] | None
    ) -> Float[Tensor, "S V C"]:
        """Light transfer of posed surfaces; that of frames is worked out once, whatever a refinement moves later."""
        if not self.light_levels:
            return normals[..., :0]
        if frames is None:
            return self.cast_light(surfaces, normals.detach())
        if any(frame not in self._frame_light for frame in frames):
            found = self.cast_light(surfaces, normals.detach())
            self._frame_light.update(zip(frames, found.half(), strict=True))
        light = torch.stack([self._frame_light[frame] for frame in frames])
        most = max(FRAME_LIGHT_BYTES // (light[0].numel() * light.element_size()), 1)
        while len(self._frame_light) > most:
            del self._frame_light[next(iter(self._frame_light))]
        return light.float()

    def cast_light(self, surfaces: Surfaces, normals: Float[Tensor, "S V 3"]) -> Float[Tensor, "S V C"]:
        """What is kept of how posed surfaces are lit."""
        return light_transfer(surfaces, normals, num_levels=self.light_levels)

    def __getstate__(self):
        """Drops the surface query: it lives in native memory and is rebuilt on demand."""
        return {**self.__dict__, "_cached": {}, "_frame_light": {}, "offset": None}

    def _apply(self, fn, recurse=True):
        self._cached, self._frame_light = {}, {}
        module = super()._apply(fn, recurse)
        self.surface = self.surface.to(self.shape.device)
        return module
