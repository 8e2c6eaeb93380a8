"""The room a capture is taken in: soft boxes, walls that light softly, and how much of it reaches the skin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import cotangent_laplacian
from nerfstudio_hands.synthesis.body import mesh_normals
from nerfstudio_hands.transforms.spherical_harmonics import irradiance, sphere_directions, spherical_harmonics

WALL_DIRECTIONS = 4096
"""Directions over the sphere by which the light of the walls is taken."""

RAY_OFFSET = 4e-4
"""Meters by which rays start above the surface, or they would hit the face they start from."""

PENUMBRA = 0.8e-3
"""Blur of the visibilities in meters, which takes the grain of few shadow rays away."""

SCATTERING = np.array([2.2e-3, 1.0e-3, 0.6e-3])
"""Distance in meters over which skin blurs red, green and blue light: less than the diffuse mean free paths of 3.7, 1.4
and 0.7 mm (Jensen and Buhler, SIGGRAPH 2002), as the shading normals carry part of the blur, see `NORMAL_SOFTNESS`."""


@dataclass(frozen=True)
class SoftBox:
    """A rectangle that shines to its front side."""

    center: Float[np.ndarray, "3"]
    """World meters."""
    right: Float[np.ndarray, "3"]
    """From the center to the middle of an edge; together with `up` it spans the rectangle."""
    up: Float[np.ndarray, "3"]
    radiance: Float[np.ndarray, "3"]

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit vector towards the lit side."""
        cross = np.cross(self.right, self.up)
        return cross / np.linalg.norm(cross)

    @property
    def area(self) -> float:
        """Square meters."""
        return 4 * float(np.linalg.norm(np.cross(self.right, self.up)))

    def quarters(self) -> list[SoftBox]:
        """The four boxes that it consists of."""
        right, up = self.right / 2, self.up / 2
        return [SoftBox(self.center + a * right + b * up, right, up, self.radiance) for a in (-1, 1) for b in (-1, 1)]


@dataclass(frozen=True)
class Room(ABC):
    """Soft boxes around a subject, and what else shines on it from far away."""

    boxes: tuple[SoftBox, ...]
    center: Float[np.ndarray, "3"]

    @abstractmethod
    def walls(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Radiance from unit world directions without the soft boxes; z is up."""

    @abstractmethod
    def background(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """What a camera sees in unit world directions behind the subject."""

    @cached_property
    def lights(self) -> list[SoftBox]:
        """The quarters of all boxes: each shines as from its middle, with a visibility of its own."""
        return [quarter for box in self.boxes for quarter in box.quarters()]

    @cached_property
    def wall_coefficients(self) -> Float[Tensor, "9 3"]:
        """Radiance of the walls in the basis of `transforms.spherical_harmonics`."""
        directions = sphere_directions(WALL_DIRECTIONS).double()
        radiance = torch.from_numpy(self.walls(directions.numpy()))
        return 4 * np.pi / WALL_DIRECTIONS * spherical_harmonics(3, directions).T @ radiance

    def wall_irradiance(self, normals: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Irradiance of the walls on a surface that nothing shades; approximate, may be slightly negative."""
        directions = torch.from_numpy(normals)
        return np.pi * irradiance(self.wall_coefficients.to(directions), directions).numpy()


@dataclass(frozen=True)
class BakedLight:
    """Light that arrives at each of V vertices."""

    visibility: Float[np.ndarray, "V P"]
    """Part of each of the room's P `lights` that the vertex sees."""
    ambient: Float[np.ndarray, "V 3"]
    """Irradiance from the walls and, once reflected, from the rest of the scene."""
    openness: Float[np.ndarray, "V"]
    """Part of the hemisphere that is free, weighted by the cosine."""
    scattered: Float[np.ndarray, "V 3"]
    """What scattering under the surface adds to the irradiance (or takes away)."""

    def spread(self, matrix: sparse.csr_matrix) -> BakedLight:
        """Light at the vertices of a finer mesh, each a mean of these."""
        return BakedLight(
            visibility=np.clip(matrix @ self.visibility, 0, 1),
            ambient=matrix @ self.ambient,
            openness=np.clip(matrix @ self.openness, 0, 1),
            scattered=matrix @ self.scattered,
        )


def facing_box(
    center: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "2"],
    distance: float,
    half: float,
    radiance: Float[np.ndarray, "3"],
) -> SoftBox:
    """A square soft box that looks at a point.

    Args:
        center: The point, world meters, z up.
        direction: Azimuth and elevation of the box seen from there, degrees.
        distance: Meters from there.
        half: Half a side of the box, meters.
        radiance: What it shines with.
    """
    away = outward(*np.radians(direction))
    right = np.cross(away, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, away)
    return SoftBox(center + distance * away, half * right, half * up, radiance)


def outward(azimuth: float, elevation: float) -> Float[np.ndarray, "3"]:
    """Unit direction from a subject, angles in radians; z is up."""
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])


class SurfaceBlur:
    """Blurs values over a surface by one implicit step of the heat equation."""

    def __init__(self, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
        """Vertices in meters."""
        self._stiffness = _sparse(cotangent_laplacian(torch.from_numpy(vertices), torch.from_numpy(faces)))
        corners = vertices[faces]
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        # A vertex without faces keeps its value thanks to the tiny mass.
        self._mass = np.bincount(faces.ravel(), weights=np.repeat(area / 3, 3), minlength=len(vertices)) + 1e-12

    def __call__(self, values: Float[np.ndarray, "V K"], width: float) -> Float[np.ndarray, "V K"]:
        """Blur by a kernel of standard deviation `width` in meters."""
        system = (sparse.diags(self._mass) - 0.5 * width**2 * self._stiffness).tocsc()
        return splu(system).solve(self._mass[:, None] * values)


def bake(
    room: Room,
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    albedo: Float[np.ndarray, "V 3"],
    *,
    shadow_rays: int,
    ambient_rays: int,
) -> BakedLight:
    """Trace shadow and ambient rays from every vertex.

    Args:
        room: Where the light comes from.
        vertices: World meters.
        faces: Vertex indices.
        albedo: Linear RGB, for the light that one part of the scene throws on another.
        shadow_rays: Rays a light and a vertex; penumbrae are smoothed by the scattering in the skin, too.
        ambient_rays: Rays a vertex over the hemisphere.
    """
    normals = mesh_normals(vertices, faces)
    surfaces = ray_surfaces(vertices, faces)
    start = vertices + RAY_OFFSET * normals
    blur = SurfaceBlur(vertices, faces)
    visibility = blur(_box_visibility(room, start, normals, surfaces, shadow_rays), PENUMBRA)
    direct = box_irradiance(room, vertices, normals, visibility)
    ambient, openness = _ambient(room, start, normals, direct, albedo, faces, surfaces, ambient_rays)
    total = direct + ambient
    blurred = [blur(total[:, c : c + 1], width) for c, width in enumerate(SCATTERING)]
    scattered = np.concatenate(blurred, axis=1) - total
    return BakedLight(visibility, ambient, openness, scattered)


def box_irradiance(
    room: Room,
    points: Float[np.ndarray, "N 3"],
    normals: Float[np.ndarray, "N 3"],
    visibility: Float[np.ndarray, "N P"],
) -> Float[np.ndarray, "N 3"]:
    """Irradiance from the soft boxes."""
    total = np.zeros_like(points)
    for light, toward, distance, visible in toward_lights(room, points, visibility):
        cosine = np.clip((normals * toward).sum(1), 0, None) * np.clip(-(toward @ light.normal), 0, None)
        total += (visible * cosine * light.area / distance**2)[:, None] * light.radiance
    return total


def toward_lights(
    room: Room, points: Float[np.ndarray, "N 3"], visibility: Float[np.ndarray, "N P"]
) -> Iterator[tuple[SoftBox, Float[np.ndarray, "N 3"], Float[np.ndarray, "N"], Float[np.ndarray, "N"]]]:
    """For each light of the room: unit directions to it, distances and visibilities."""
    for light, visible in zip(room.lights, visibility.T, strict=True):
        offset = light.center - points
        distance = np.linalg.norm(offset, axis=1)
        yield light, offset / distance[:, None], distance, visible


def _box_visibility(
    room: Room, start: np.ndarray, normals: np.ndarray, surfaces: Surfaces, num_rays: int
) -> np.ndarray:
    visibility = np.zeros((len(start), len(room.lights)))
    # The R2 sequence of Roberts fills the unit square evenly; each vertex starts elsewhere in it.
    step = np.array([0.75487767, 0.56984029])
    shift = np.outer(np.arange(len(start)), step)
    for light, visible in zip(room.lights, visibility.T, strict=True):
        for ray in range(num_rays):
            sample = 2 * ((shift + ray * step) % 1.0) - 1
            toward = light.center + sample[:, :1] * light.right + sample[:, 1:] * light.up - start
            toward /= np.linalg.norm(toward, axis=1, keepdims=True)
            facing = np.flatnonzero((toward * normals).sum(1) > 0)
            visible[facing] += _cast(surfaces, start[facing], toward[facing]) < 0
    return visibility / num_rays


def _ambient(
    room: Room,
    start: np.ndarray,
    normals: np.ndarray,
    direct: np.ndarray,
    albedo: np.ndarray,
    faces: np.ndarray,
    surfaces: Surfaces,
    num_rays: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Irradiance from the walls, straight and once reflected by the scene, and the free part of the hemisphere."""
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    tangent = np.cross(normals, helper)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    bitangent = np.cross(normals, tangent)
    start_angle = 2 * np.pi * (0.618034 * np.arange(len(start)) % 1.0)
    walls = np.zeros_like(start)
    free = np.zeros(len(start))
    hit_faces = []
    for ray in range(num_rays):
        # Cosine-weighted directions (Malley's method) on a golden-angle spiral.
        radius = np.sqrt((ray + 0.5) / num_rays)
        angle = start_angle + ray * 2.399963
        direction = (radius * np.cos(angle))[:, None] * tangent + (radius * np.sin(angle))[:, None] * bitangent
        direction += np.sqrt(1 - radius**2) * normals
        face = _cast(surfaces, start, direction)
        missed = face < 0
        walls[missed] += room.walls(direction[missed])
        free += missed
        hit_faces.append(face.astype(np.int32))
    walls *= np.pi / num_rays
    # What is hit shines with the light of its face, as first reached by boxes and walls.
    face_glow = (albedo * (direct + walls))[faces].mean(1)
    bounced = np.zeros_like(start)
    for face in hit_faces:
        hit = face >= 0
        bounced[hit] += face_glow[face[hit]]
    return walls + bounced / num_rays, free / num_rays


def _sparse(matrix: Tensor) -> sparse.csr_matrix:
    rows, columns = matrix.indices().numpy()
    return sparse.coo_matrix((matrix.values().numpy(), (rows, columns)), shape=tuple(matrix.shape)).tocsr()  # pyright: ignore[reportReturnType]


def ray_surfaces(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Surfaces:
    """A mesh ready to meet rays."""
    return Surfaces(torch.from_numpy(faces), torch.from_numpy(vertices).float()[None])


def _cast(surfaces: Surfaces, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
    hits = surfaces.cast(torch.from_numpy(start).float(), torch.from_numpy(direction).float())
    return hits.face.numpy()
