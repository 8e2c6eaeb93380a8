"""What surfaces do with the light that reaches them: soft diffuse reflection and mild gloss, a sample at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nerfstudio_hands.synthesis.anatomy import SkinPoints, interpolate, interpolate_all
from nerfstudio_hands.synthesis.body import mesh_normals
from nerfstudio_hands.synthesis.light import BakedLight, Room, box_irradiance, toward_lights
from nerfstudio_hands.synthesis.scene import RenderMesh, Scene

Shader = Callable[
    [Int[np.ndarray, "N"], Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"]],
    Float[np.ndarray, "N 3"],
]
"""Radiance of points of a scene towards a camera, from their faces, barycentric coordinates and unit view rays."""

EXPOSURE = 1.3

NORMAL_SOFTNESS = np.array([0.55, 0.25, 0.1])
"""How far the shading normal of red, green and blue is smoothed towards the mesh's, because light that wandered under
the skin has forgotten the fine relief (Ma et al., EGSR 2007, measured such normal maps)."""

RELIEF_STEP = 1.2e-4
"""Meters over which the slope of the fine relief is measured."""

MAX_SLOPE = 1.2
"""Of the fine relief, as far as it turns normals."""


@dataclass(frozen=True)
class GBuffer:
    """What gloss depends on at N points of surfaces."""

    position: Float[np.ndarray, "N 3"]
    """World meters."""
    smooth: Float[np.ndarray, "N 3"]
    """Unit normals of the mesh."""
    normal: Float[np.ndarray, "N 3"]
    """Unit normals tilted by the fine relief."""
    visibility: Float[np.ndarray, "N P"]
    """See `light.BakedLight`, as the next."""
    openness: Float[np.ndarray, "N"]
    roughness: Float[np.ndarray, "N"]
    """See `skin.Material`, as the next."""
    reflectance: Float[np.ndarray, "N"]


def sample_shader(scene: Scene) -> Shader:
    """A shader that looks up material and relief at every sample: as fine as these are defined."""

    def shade(face: np.ndarray, barycentric: np.ndarray, directions: np.ndarray) -> np.ndarray:
        radiance = np.empty((len(face), 3))
        first = 0
        for mesh in scene.meshes:
            chosen = np.flatnonzero((face >= first) & (face < first + len(mesh.faces)))
            if len(chosen):
                own = face[chosen], mesh.faces[face[chosen] - first]
                radiance[chosen] = _shade_mesh(scene, mesh, *own, barycentric[chosen].astype(float), directions[chosen])
            first += len(mesh.faces)
        return radiance

    return shade


def _shade_mesh(
    scene: Scene,
    mesh: RenderMesh,
    face: Int[np.ndarray, "N"],
    own_corners: Int[np.ndarray, "N 3"],
    weights: Float[np.ndarray, "N 3"],
    directions: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N 3"]:
    """Radiance of points of one mesh of a scene, on faces with these corners among the mesh's own vertices."""
    corners = scene.faces[face]
    position = interpolate(scene.vertices, corners, weights)
    normal = smooth = _unit(interpolate(scene.normals, corners, weights))
    points = interpolate_all(mesh.points, own_corners, weights)
    light = interpolate_all(scene.light, corners, weights)
    material = mesh.look(points)
    if mesh.fine_relief is not None:
        normal = _unit(smooth - _relief_slope(mesh, points, own_corners, scene.vertices[corners]))
    irradiance = diffuse_irradiance(scene.room, position, smooth, normal, light)
    gloss_at = GBuffer(
        position, smooth, normal, light.visibility, light.openness, material.roughness, material.reflectance
    )
    return material.albedo * np.clip(irradiance, 0, None) / np.pi + gloss(scene.room, gloss_at, -directions)


def _relief_slope(
    mesh: RenderMesh, points: SkinPoints, corners: np.ndarray, posed: Float[np.ndarray, "N 3 3"]
) -> Float[np.ndarray, "N 3"]:
    """Gradient of the fine relief along the posed surface, not steeper than `MAX_SLOPE`."""
    rest = mesh.points.position[corners]
    height = mesh.fine_relief(points)
    # The relief lives on the hand at rest: its change along an edge at rest is its change along the posed edge.
    edges = posed[:, 1:] - posed[:, :1]
    change = np.empty((len(height), 2))
    for k in range(2):
        edge = rest[:, 1 + k] - rest[:, 0]
        step = RELIEF_STEP / np.maximum(np.linalg.norm(edge, axis=1), 1e-9)
        change[:, k] = (mesh.fine_relief(points.moved(step[:, None] * edge)) - height) / step
    gram = edges @ edges.transpose(0, 2, 1)
    determinant = np.maximum(gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2, 1e-24)
    first = (gram[:, 1, 1] * change[:, 0] - gram[:, 0, 1] * change[:, 1]) / determinant
    second = (gram[:, 0, 0] * change[:, 1] - gram[:, 0, 1] * change[:, 0]) / determinant
    slope = first[:, None] * edges[:, 0] + second[:, None] * edges[:, 1]
    steepness = np.linalg.norm(slope, axis=1, keepdims=True)
    return slope * np.minimum(1, MAX_SLOPE / np.maximum(steepness, 1e-9))


def vertex_shader(scene: Scene) -> Shader:
    """A shader that looks up material, relief and diffuse light at the vertices only: quick, as fine as the mesh."""
    lift = np.concatenate([mesh.lift for mesh in scene.meshes])
    fine = mesh_normals(scene.vertices + lift[:, None] * scene.normals, scene.faces)
    irradiance = diffuse_irradiance(scene.room, scene.vertices, scene.normals, fine, scene.light)
    albedo, roughness, reflectance = (
        np.concatenate([getattr(mesh.material, name) for mesh in scene.meshes])
        for name in ("albedo", "roughness", "reflectance")
    )
    diffuse = albedo * np.clip(irradiance, 0, None) / np.pi
    scalars = np.stack([scene.light.openness, roughness, reflectance], axis=1)
    columns = [scene.vertices, scene.normals, fine, diffuse, scalars, scene.light.visibility]
    values = np.concatenate(columns, axis=1).astype(np.float32)
    starts = np.cumsum([0, *(len(mesh.faces) for mesh in scene.meshes)])
    patterned = [(first, mesh) for first, mesh in zip(starts, scene.meshes, strict=False) if mesh.pattern is not None]

    def glossy(face: np.ndarray, barycentric: np.ndarray, directions: np.ndarray) -> np.ndarray:
        corners = scene.faces[face]
        # The sum over corners one by one takes half the time of one over an axis.
        seen = sum(barycentric[:, k, None] * values[corners[:, k]] for k in range(3))
        position, smooth, normal, diffuse = (seen[:, 3 * k : 3 * k + 3] for k in range(4))  # pyright: ignore[reportIndexIssue]
        gloss_at = GBuffer(position, _unit(smooth), _unit(normal), seen[:, 15:], *seen[:, 12:15].T)  # pyright: ignore[reportIndexIssue]
        return diffuse + gloss(scene.room, gloss_at, -directions.astype(np.float32))

    def shade(face: np.ndarray, barycentric: np.ndarray, directions: np.ndarray) -> np.ndarray:
        radiance, is_glossy = np.empty((len(face), 3)), np.ones(len(face), dtype=bool)
        for first, mesh in patterned:
            own = (face >= first) & (face < first + len(mesh.faces))
            corners = scene.faces[face[own]]
            position, light = (interpolate(of, corners, barycentric[own]) for of in (scene.vertices, diffuse))
            radiance[own] = light * mesh.pattern(position)
            is_glossy &= ~own
        radiance[is_glossy] = glossy(face[is_glossy], barycentric[is_glossy], directions[is_glossy])
        return radiance

    return shade if patterned else glossy


def diffuse_irradiance(
    room: Room,
    position: Float[np.ndarray, "N 3"],
    smooth: Float[np.ndarray, "N 3"],
    normal: Float[np.ndarray, "N 3"],
    light: BakedLight,
) -> Float[np.ndarray, "N 3"]:
    """Irradiance of points of skin, each color by a normal of its own softness.

    Args:
        room: Where the light comes from.
        position: World meters.
        smooth: Unit normals of the mesh.
        normal: Unit normals tilted by the fine relief.
        light: At the points. What is ambient is that of `smooth`; it turns to the softened normal as the light of the
            walls does.
    """
    unshaded = room.wall_irradiance(smooth)
    irradiance = np.empty_like(position)
    for channel, softness in enumerate(NORMAL_SOFTNESS):
        soft = _unit(softness * smooth + (1 - softness) * normal)
        ratio = room.wall_irradiance(soft)[:, channel] / unshaded[:, channel]
        ambient = light.ambient[:, channel] * np.clip(ratio, 0, 2)
        boxes = box_irradiance(room, position, soft, light.visibility)[:, channel]
        irradiance[:, channel] = boxes + ambient + light.scattered[:, channel]
    return irradiance


def gloss(room: Room, at: GBuffer, toward_camera: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Mirror-like reflection by microfacets (GGX; Walter et al., EGSR 2007), widened by the size of the light."""
    facing = np.clip((at.normal * toward_camera).sum(1), 0.05, None)
    total = np.zeros_like(at.position)
    for light, toward_light, distance, visible in toward_lights(room, at.position, at.visibility):
        half = _unit(toward_light + toward_camera)
        cosine = np.clip((at.normal * toward_light).sum(1), 0, None)
        alpha = np.clip(at.roughness**2 + 0.25 * np.sqrt(light.area) / distance, 0, 1)
        squared = alpha**2
        peak = np.clip((at.normal * half).sum(1), 0, 1) ** 2 * (squared - 1) + 1
        distribution = squared / (np.pi * peak**2)
        k = 0.5 * alpha
        masking = 1 / ((facing * (1 - k) + k) * (cosine * (1 - k) + k))
        fresnel = at.reflectance + (1 - at.reflectance) * (1 - np.clip((half * toward_camera).sum(1), 0, 1)) ** 5
        falloff = np.clip(-(toward_light @ light.normal), 0, None) * light.area / distance**2
        total += (visible * cosine * falloff * distribution * masking * fresnel / 4)[:, None] * light.radiance
    mirrored = 2 * (at.normal * toward_camera).sum(1, keepdims=True) * at.normal - toward_camera
    # Seen at a grazing angle the relief hides its own far sides, so the smooth surface says how bright the edge is.
    grazing = (1 - np.clip((at.smooth * toward_camera).sum(1), 0, 1)) ** 5
    edge = at.reflectance + 0.5 * np.clip(1 - at.roughness - at.reflectance, 0, None) * grazing
    walls = np.clip(room.wall_irradiance(mirrored), 0, None) / np.pi
    return total + (edge * at.openness**1.5)[:, None] * walls


def _unit(vectors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
