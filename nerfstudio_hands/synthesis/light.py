"""The room a capture is taken in: soft boxes, walls that light softly, and how much of it reaches the skin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import cotangent_laplacian
from nerfstudio_hands.synthesis.profiles import smoothstep

POINTS_PER_BOX = 4
"""A soft box shines from this many points, one in the middle of each quarter, each with a visibility of its own."""

SHADOW_RAYS = 6
"""Rays a point of a soft box and a vertex; penumbrae are smoothed by the scattering in the skin as well."""

AMBIENT_RAYS = 96
"""Rays a vertex over the hemisphere."""

RAY_OFFSET = 4e-4
"""Metres by which rays start above the surface, or they would hit the face they start from."""

PENUMBRA = 0.8e-3
"""Blur of the visibilities in metres, which takes the grain of few shadow rays away."""

SCATTERING = np.array([2.2e-3, 1.0e-3, 0.6e-3])
"""Distance in metres over which skin blurs red, green and blue light: less than the diffuse mean free paths of 3.7, 1.4
and 0.7 mm (Jensen and Buhler, SIGGRAPH 2002), as the shading normals carry part of the blur, see `NORMAL_SOFTNESS`."""


@dataclass(frozen=True)
class SoftBox:
    """A rectangle that shines to its front side."""

    centre: Float[np.ndarray, "3"]
    """World metres."""
    right: Float[np.ndarray, "3"]
    """From the centre to the middle of an edge; together with `up` it spans the rectangle."""
    up: Float[np.ndarray, "3"]
    radiance: Float[np.ndarray, "3"]

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit vector towards the lit side."""
        cross = np.cross(self.right, self.up)
        return cross / np.linalg.norm(cross)

    def quarter_points(self) -> Float[np.ndarray, "4 3"]:
        """Centres of the four quarters."""
        signs = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])
        return self.centre + signs[:, :1] * self.right + signs[:, 1:] * self.up

    @property
    def quarter_area(self) -> float:
        """Square metres of a quarter."""
        return float(np.linalg.norm(np.cross(self.right, self.up)))


@dataclass(frozen=True)
class Room:
    """Soft boxes around a subject, in a room whose walls are far away."""

    boxes: tuple[SoftBox, ...]
    centre: Float[np.ndarray, "3"]

    def walls(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Radiance of ceiling, walls and floor in a world direction; z is up."""
        elevation = directions[:, 2]
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        curtain = smoothstep(-0.35, 0.45, np.cos(azimuth - 2.2) + 0.12 * np.sin(3 * azimuth + 0.5))[:, None]
        wall = np.array([0.21, 0.215, 0.21]) * (1 - curtain) + np.array([0.065, 0.09, 0.082]) * curtain
        wall = wall * (0.85 + 0.5 * elevation[:, None])
        ceiling = np.array([0.55, 0.55, 0.53])
        floor = np.array([0.10, 0.085, 0.07])
        above = smoothstep(0.45, 0.95, elevation)[:, None]
        below = smoothstep(-0.15, -0.75, elevation)[:, None]
        return wall * (1 - above) * (1 - below) + ceiling * above + floor * below

    def background(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """What a camera sees behind the subject: the walls and the soft boxes, out of focus."""
        colour = self.walls(directions)
        for box in self.boxes:
            toward = box.centre - self.centre
            distance = np.linalg.norm(toward)
            depth = directions @ (toward / distance)
            place = directions / np.maximum(depth, 0.05)[:, None] * distance
            glow = (depth > 0.05).astype(float)
            for half in (box.right, box.up):
                size = np.linalg.norm(half)
                glow *= smoothstep(1.12, 0.84, np.abs(place @ half) / size**2)
            colour = colour + glow[:, None] * (0.09 * box.radiance - colour)
        return colour

    def harmonics(self) -> Float[np.ndarray, "9 3"]:
        """Irradiance of the walls on an unoccluded surface, as coefficients for `irradiance_basis` of its normal."""
        directions = _sphere(4096)
        target = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25]) * np.pi
        return target[:, None] * (irradiance_basis(directions).T @ self.walls(directions)) * (4 * np.pi / 4096)


@dataclass(frozen=True)
class BakedLight:
    """Light that arrives at each of V vertices."""

    visibility: Float[np.ndarray, "V P"]
    """Part of each soft-box point that the vertex sees; P = boxes x `POINTS_PER_BOX`."""
    ambient: Float[np.ndarray, "V 3"]
    """Irradiance from the walls and, once reflected, from the rest of the scene."""
    openness: Float[np.ndarray, "V"]
    """Part of the hemisphere that is free, weighted by the cosine."""
    scattered: Float[np.ndarray, "V 3"]
    """What scattering under the surface adds to the irradiance (or takes away)."""


def studio(centre: Float[np.ndarray, "3"], rng: np.random.Generator) -> Room:
    """Three soft boxes at slightly random places around a subject; world z is up."""
    # (azimuth, elevation in degrees, distance in metres, half a side, radiance)
    plan = (
        (62.0, 42.0, 1.1, 0.26, (14.0, 13.2, 12.2)),
        (190.0, 34.0, 1.2, 0.32, (5.0, 5.1, 5.2)),
        (305.0, 20.0, 1.25, 0.28, (7.4, 7.0, 6.5)),
    )
    boxes = []
    for azimuth, elevation, distance, half, radiance in plan:
        direction = [azimuth, elevation] + rng.uniform(-8, 8, 2)
        boxes.append(facing_box(centre, direction, distance, half, np.array(radiance)))
    return Room(tuple(boxes), centre)


def facing_box(
    centre: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "2"],
    distance: float,
    half: float,
    radiance: Float[np.ndarray, "3"],
) -> SoftBox:
    """A square soft box that looks at a point.

    Args:
        centre: The point, world metres, z up.
        direction: Azimuth and elevation of the box seen from there, degrees.
        distance: Metres from there.
        half: Half a side of the box, metres.
        radiance: What it shines with.
    """
    a, e = np.radians(direction)
    outward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.cross(outward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, outward)
    return SoftBox(centre + distance * outward, half * right, half * up, radiance)


class SurfaceBlur:
    """Blurs values over a surface by one implicit step of the heat equation."""

    def __init__(self, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
        """Vertices in metres."""
        self._stiffness = _sparse(cotangent_laplacian(torch.from_numpy(vertices), torch.from_numpy(faces)))
        corners = vertices[faces]
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        # A vertex without faces keeps its value thanks to the tiny mass.
        self._mass = np.bincount(faces.ravel(), weights=np.repeat(area / 3, 3), minlength=len(vertices)) + 1e-12

    def __call__(self, values: Float[np.ndarray, "V K"], width: float) -> Float[np.ndarray, "V K"]:
        """Blur by a kernel of standard deviation `width` in metres."""
        system = (sparse.diags(self._mass) - 0.5 * width**2 * self._stiffness).tocsc()
        return splu(system).solve(self._mass[:, None] * values)


def bake(
    room: Room,
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    normals: Float[np.ndarray, "V 3"],
    albedo: Float[np.ndarray, "V 3"],
    surfaces: Surfaces,
    *,
    shadow_rays: int = SHADOW_RAYS,
    ambient_rays: int = AMBIENT_RAYS,
) -> BakedLight:
    """Trace shadow and ambient rays from every vertex.

    Args:
        room: Where the light comes from.
        vertices: World metres.
        faces: Vertex indices.
        normals: Unit vertex normals.
        albedo: Linear RGB, for the light that one part of the scene throws on another.
        surfaces: The same vertices and faces, for ray casting.
        shadow_rays: Rays a point of a soft box and a vertex; penumbrae are smoothed by the scattering as well.
        ambient_rays: Rays a vertex over the hemisphere.
    """
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
    for box, toward, distance, seen in box_points(room, points, visibility):
        cosine = np.clip((normals * toward).sum(1), 0, None) * np.clip(-(toward @ box.normal), 0, None)
        total += (seen * cosine * box.quarter_area / distance**2)[:, None] * box.radiance
    return total


def box_points(
    room: Room, points: Float[np.ndarray, "N 3"], visibility: Float[np.ndarray, "N P"]
) -> Iterator[tuple[SoftBox, Float[np.ndarray, "N 3"], Float[np.ndarray, "N"], Float[np.ndarray, "N"]]]:
    """For each light point of each soft box: the box, unit directions to the light, distances and visibilities."""
    for b, box in enumerate(room.boxes):
        for k, light in enumerate(box.quarter_points()):
            offset = light - points
            distance = np.linalg.norm(offset, axis=1)
            yield box, offset / distance[:, None], distance, visibility[:, b * POINTS_PER_BOX + k]


def irradiance_basis(normals: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 9"]:
    """Real spherical harmonics up to the second order (Ramamoorthi and Hanrahan, SIGGRAPH 2001)."""
    x, y, z = normals.T
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=1,
    )


def _box_visibility(
    room: Room, start: np.ndarray, normals: np.ndarray, surfaces: Surfaces, num_rays: int
) -> np.ndarray:
    visibility = np.zeros((len(start), len(room.boxes) * POINTS_PER_BOX))
    # The R2 sequence of Roberts fills the unit square evenly; each vertex starts elsewhere in it.
    shift = np.outer(np.arange(len(start)), [0.75487767, 0.56984029])
    for b, box in enumerate(room.boxes):
        for k, point in enumerate(box.quarter_points()):
            hits = np.zeros(len(start))
            for ray in range(num_rays):
                place = (shift + ray * np.array([0.75487767, 0.56984029])) % 1.0 - 0.5
                target = point + place[:, :1] * box.right + place[:, 1:] * box.up
                toward = target - start
                toward /= np.linalg.norm(toward, axis=1, keepdims=True)
                facing = np.flatnonzero((toward * normals).sum(1) > 0)
                hits[facing] += _cast(surfaces, start[facing], toward[facing]) < 0
            visibility[:, b * POINTS_PER_BOX + k] = hits / num_rays
    return visibility


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
    turn = 2 * np.pi * (0.618034 * np.arange(len(start)) % 1.0)
    walls = np.zeros_like(start)
    free = np.zeros(len(start))
    hit_faces = []
    for ray in range(num_rays):
        # Cosine-weighted directions (Malley's method) on a golden-angle spiral.
        radius = np.sqrt((ray + 0.5) / num_rays)
        angle = turn + ray * 2.399963
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


def _sparse(matrix: torch.Tensor) -> sparse.csr_matrix:
    rows, columns = matrix.indices().numpy()
    return sparse.coo_matrix((matrix.values().numpy(), (rows, columns)), shape=tuple(matrix.shape)).tocsr()


def _cast(surfaces: Surfaces, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
    hits = surfaces.cast(torch.from_numpy(start).float(), torch.from_numpy(direction).float())
    return hits.face.numpy()


def _sphere(count: int) -> np.ndarray:
    """Evenly spread unit vectors (Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = k * 2.399963
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
