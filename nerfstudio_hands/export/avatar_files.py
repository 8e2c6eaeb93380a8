"""The files of one export, by name and content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.export.avatar import textured_mesh
from nerfstudio_hands.export.avatar_meshes import avatar_meshes
from nerfstudio_hands.export.finishing import close_mesh, close_rig, transformed
from nerfstudio_hands.export.hand_page import splat_page
from nerfstudio_hands.export.held_object_mesh import held_object_mesh
from nerfstudio_hands.export.mesh_sequence import mesh_sequence, rest_pose
from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes
from nerfstudio_hands.export.splat_glb import splat_glb_bytes
from nerfstudio_hands.export.splat_ply import splat_ply_bytes
from nerfstudio_hands.export.textured_mesh import TexturedMesh, glb_bytes, obj_files, ply_bytes
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.model_components.export_source import ExportSource, SplatCloud
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.motion.pose_track import PoseTrack

MeshFormat = Literal["ply", "obj", "glb"]
SplatFormat = Literal["splat", "splat-glb"]
Format = Literal[MeshFormat, SplatFormat, "page"]


@dataclass(frozen=True)
class FileOptions:
    """How files of meshes are made.

    Attributes:
        world: From the capture's world to that of the files, rigid.
        formats: Files of the hands; those of meshes are written of what they hold, too.
        at_rest: The hands are flat and side by side.
        texture_size: Texels along each side of the texture, a power of two.
        open_wrist: Wrists stay open, as the hand model is.
        voxel: Edge of the voxels in which isosurfaces are meshed, metres.
        level: Signed distance of the hands' isosurface, metres.
    """

    world: Float[np.ndarray, "3 4"]
    formats: Sequence[Format]
    at_rest: bool
    texture_size: int
    open_wrist: bool
    voxel: float
    level: float


class AvatarFiles:
    """Makes the files of what a model says of itself; the hands are meshed and their texture is baked at once.

    Args:
        source: What the model has for files.
        pose: Poses of its hands [1, H, ...] in the capture's world that give the colours and, unless the hands are at
            rest, are shown.
        options: How the files are made.
        frame: The frame of these poses, in which a held object is where it is there; in other poses (None) the wrist
            takes it along.

    Raises:
        HandsError: An isosurface is nowhere, or the voxels are too small for the memory.
    """

    @torch.no_grad()
    def __init__(self, source: ExportSource, pose: HandPose, options: FileOptions, frame: int | None = None):
        self._source, self._pose, self._options, self._frame = source, pose, options, frame
        query_pose = rest_pose(source.hands.surface) if options.at_rest else pose[0]
        self._meshes = avatar_meshes(source, pose, query_pose, voxel=options.voxel, level=options.level)
        mesh = textured_mesh(self._meshes.part(query_pose), self._meshes.color_fn, options.texture_size)
        # At rest the hands lie in MANO's own frame, whose y is up already.
        self._mesh = self._closed(mesh) if options.at_rest else self._finished(mesh)

    def hands(self) -> Iterator[tuple[str, bytes]]:
        """`hands.ply`, `.obj` with its material and texture, `.glb`, and `hands_splat.ply` and `.glb`."""
        mesh, lit, formats = self._mesh, self._source.lit, self._options.formats
        if "ply" in formats:
            yield "hands.ply", ply_bytes(mesh)
        if "obj" in formats:
            yield from obj_files(mesh, "hands", lit=lit).items()
        if "glb" in formats:
            yield "hands.glb", glb_bytes(mesh, "hands", lit=lit)
        if "splat" in formats:
            yield "hands_splat.ply", splat_ply_bytes(*self._splats("splat"))
        if "splat-glb" in formats:
            yield "hands_splat.glb", splat_glb_bytes(*self._splats("splat-glb"))

    @torch.no_grad()
    def _splats(self, kind: SplatFormat) -> tuple[SplatCloud, Float[Tensor, "3 4"]]:
        """The Gaussians, with those of what the hands hold unless these are at rest, and the transform that puts them
        where the mesh is."""
        source, options = self._source, self._options
        if source.splats is None:
            raise _no_gaussians(kind)
        cloud = source.splats(self._shown_pose())
        if source.held_splats is not None and not options.at_rest:
            cloud = cloud.beside(source.held_splats(self._posed()))
        of_file = np.eye(4) if options.at_rest else np.vstack([options.world, [0, 0, 0, 1]])
        transform = torch.from_numpy(of_file).float() @ torch.linalg.inv(source.hands.to_world.cpu())
        return cloud, transform[:3]

    def _posed(self) -> PosedSurfaces:
        """The hands as they are shown, where they hold something."""
        hands = self._source.hands
        return hands.at_pose(self._pose) if self._frame is None else hands.at_frame(self._frame)

    def _shown_pose(self) -> HandPose:
        """Poses [1, H, ...] of the Gaussians, capture's world."""
        return rest_pose(self._source.hands.surface)[None] if self._options.at_rest else self._pose

    def page(self, tracks: Sequence[PoseTrack], *, eye: Float[Tensor, "3"]) -> bytes:
        """A web page that shows the hands and plays tracks, see `splat_page`."""
        source, frame = self._source, None if self._options.at_rest else self._frame
        if source.splat_rig is None:
            raise _no_gaussians("page")
        return splat_page(source.splat_rig, source.hands, self._shown_pose(), tracks, eye=eye, frame=frame)

    @torch.no_grad()
    def held_object(self) -> Iterator[tuple[str, bytes]]:
        """`object.ply` and so on; none where the hands hold nothing that has a surface, or are at rest."""
        held, hands, options = self._source.held, self._source.hands, self._options
        if held is None or options.at_rest:
            return
        mesh = held_object_mesh(held, self._posed(), hands.world_transform, voxel=options.voxel)
        mesh.apply_transform(np.vstack([options.world, [0, 0, 0, 1]]))
        for kind in (kind for kind in options.formats if kind in get_args(MeshFormat)):
            content = mesh.export(file_type=kind)
            yield f"object.{kind}", content.encode() if isinstance(content, str) else content  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def rig(self, track: PoseTrack | None) -> bytes:
        """A binary glTF of the hands at rest with joints and skin weights, which plays the track."""
        rigs, normal_map = self._meshes.rigs(self._pose.valid[0].tolist(), self._options.texture_size)
        return rigged_glb_bytes(
            rigs if self._options.open_wrist else [close_rig(rig) for rig in rigs],
            self._mesh.texture,
            lit=self._source.lit,
            normal_map=normal_map,
            track=track,
            world=self._options.world,
        )

    @torch.no_grad()
    def sequence(self, poses: HandPose, format: Literal["obj", "ply"]) -> Iterator[tuple[str, bytes]]:
        """A mesh of each pose [T, H, ...] that has a hand, and what they share, see `mesh_sequence`."""
        numbers = torch.nonzero(poses.valid.any(dim=-1))[:, 0].tolist()
        parts = (self._meshes.part(poses[number]) for number in numbers)
        options = {"num_frames": len(numbers), "format": format, "lit": self._source.lit, "finish": self._finished}
        yield from mesh_sequence(parts, self._mesh.texture, **options)

    def _closed(self, mesh: TexturedMesh) -> TexturedMesh:
        return mesh if self._options.open_wrist else close_mesh(mesh)

    def _finished(self, mesh: TexturedMesh) -> TexturedMesh:
        return transformed(self._closed(mesh), self._options.world)


def _no_gaussians(kind: Format) -> HandsError:
    return HandsError(
        f"--format: expected an avatar of Gaussians for `{kind}`, found another: make one of it with `ns-hands bake`, "
        "or choose ply, obj or glb."
    )
