"""What is rendered: surfaces that are prepared once, and the scene that they make in one frame, lit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from trimesh.util import append_faces

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.synthesis.anatomy import SkinPoints
from nerfstudio_hands.synthesis.body import mesh_normals
from nerfstudio_hands.synthesis.light import BakedLight, Room, bake, ray_surfaces
from nerfstudio_hands.synthesis.skin import Material


@dataclass(frozen=True)
class RenderMesh:
    """A surface ready to be rendered: all that does not depend on where its V vertices are in a frame."""

    kind: str
    """`skin`, `sleeve` or `object`."""
    faces: Int[np.ndarray, "F 3"]
    face_label: Int[np.ndarray, "F"]
    """`PixelLabel` of each; the forearm, which the hand model lacks, is IGNORE, the sleeve BACKGROUND."""
    points: SkinPoints
    """Where the vertices are on what the look is defined on."""
    look: Callable[[SkinPoints], Material]
    """Material anywhere on it."""
    light_faces: Int[np.ndarray, "M 3"]
    """Of the mesh that the light is traced to, whose L vertices are the first of the V."""
    light_spread: sparse.csr_matrix
    """From values at those vertices to all (V, L)."""
    fine_relief: Callable[[SkinPoints], Float[np.ndarray, "N"]] | None = None
    """Displacement anywhere on it, meters, too fine for the mesh: it turns normals only."""
    pattern: Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, "N 3"]] | None = None
    """Of a matt surface that stays where it is: factor on its albedo at world points, finer than the mesh; the quick
    shader looks it up at every sample, too."""

    @cached_property
    def material(self) -> Material:
        """Material at the vertices."""
        return self.look(self.points)

    @cached_property
    def lift(self) -> Float[np.ndarray, "V"]:
        """Fine relief at the vertices."""
        return np.zeros(len(self.points.dorsal)) if self.fine_relief is None else self.fine_relief(self.points)


PosedMesh = tuple[RenderMesh, Float[np.ndarray, "V 3"]]
"""A surface and where its vertices are, world meters."""


@dataclass(frozen=True)
class Quality:
    """How much work goes into an image."""

    at_samples: bool
    """Whether material and relief are looked up at every sample, or at the vertices only."""
    light_levels: int
    """Subdivisions by which the mesh that light is traced to is coarser than what is rendered."""
    shadow_rays: int
    """See `light.bake`, as the next."""
    ambient_rays: int


FINE = Quality(at_samples=True, light_levels=0, shadow_rays=6, ambient_rays=96)
QUICK = Quality(at_samples=False, light_levels=1, shadow_rays=2, ambient_rays=32)
"""The blur over the surface and the move to the finer mesh hide the grain of few rays."""


@dataclass(frozen=True)
class Scene:
    """Surfaces in the world, as one mesh of W vertices, and the light that reaches them."""

    room: Room
    meshes: tuple[RenderMesh, ...]
    vertices: Float[np.ndarray, "W 3"]
    normals: Float[np.ndarray, "W 3"]
    faces: Int[np.ndarray, "F 3"]
    face_label: Int[np.ndarray, "F"]
    light: BakedLight
    surfaces: Surfaces


def plain_mesh(
    kind: str,
    label: PixelLabel,
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    look: Callable[[SkinPoints], Material],
    pattern: Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, "N 3"]] | None = None,
) -> RenderMesh:
    """A surface that moves as a whole, given at rest, all of whose vertices light is traced to."""
    return RenderMesh(
        kind=kind,
        faces=faces,
        face_label=np.full(len(faces), label),
        points=SkinPoints.off_skin(vertices),
        look=look,
        light_faces=faces,
        light_spread=sparse.identity(len(vertices), format="csr"),  # pyright: ignore[reportArgumentType]
        pattern=pattern,
    )


def light_scene(posed: Sequence[PosedMesh], room: Room, quality: Quality) -> Scene:
    """Put surfaces into a room and trace the light that reaches them, with the shadows that they cast on each other."""
    meshes = tuple(mesh for mesh, _ in posed)
    vertices, faces = append_faces([own for _, own in posed], [mesh.faces for mesh in meshes])
    counts = [mesh.light_spread.shape[1] for mesh in meshes]
    light = bake(
        room,
        *append_faces(
            [own[:n] for (_, own), n in zip(posed, counts, strict=True)], [mesh.light_faces for mesh in meshes]
        ),
        np.concatenate([mesh.material.albedo[:n] for mesh, n in zip(meshes, counts, strict=True)]),
        shadow_rays=quality.shadow_rays,
        ambient_rays=quality.ambient_rays,
    )
    return Scene(
        room=room,
        meshes=meshes,
        vertices=vertices,
        normals=mesh_normals(vertices, faces),
        faces=faces,
        face_label=np.concatenate([mesh.face_label for mesh in meshes]),
        light=light.spread(sparse.block_diag([mesh.light_spread for mesh in meshes], format="csr")),  # pyright: ignore[reportArgumentType]
        surfaces=ray_surfaces(vertices, faces),
    )


def at_other_places(scene: Scene, posed: Sequence[PosedMesh]) -> Scene:
    """The same surfaces a moment earlier or later, in the light of that one."""
    vertices = np.concatenate([own for _, own in posed])
    return replace(
        scene,
        vertices=vertices,
        normals=mesh_normals(vertices, scene.faces),
        surfaces=ray_surfaces(vertices, scene.faces),
    )
