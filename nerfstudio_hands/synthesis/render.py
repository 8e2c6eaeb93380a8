"""Pictures of a scene: what each pixel sees, shaded per sample, with soft light and mild gloss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.geometry.rasterize import pixel_rays, rasterize
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.light import box_irradiance, box_points, irradiance_basis
from nerfstudio_hands.synthesis.rig import RigCamera
from nerfstudio_hands.synthesis.scene import Scene, appearance

GAMMA = 2.2
"""Pixel value = radiance^(1 / GAMMA). A pure power makes a gain on the light a gain on the pixels."""

EXPOSURE = 1.3

DIFFERENCE = 1.2e-4
"""Metres over which the slope of the fine relief is measured."""

NORMAL_SOFTNESS = np.array([0.55, 0.25, 0.1])
"""How far the shading normal of red, green and blue is smoothed towards the mesh's, because light that wandered under
the skin has forgotten the fine relief (Ma et al., EGSR 2007, measured such normal maps)."""

SAMPLES_PER_STRIP = 300_000


@dataclass(frozen=True)
class Picture:
    """A rendered picture before its camera's gain, noise and rounding."""

    colour: Float[np.ndarray, "H W 3"]
    """Pixel values, not clipped."""
    coverage: Float[np.ndarray, "H W"]
    """Part of each pixel that is skin."""


def render(scene: Scene, camera: RigCamera, *, supersampling: int) -> Picture:
    """Render a scene with `supersampling` squared samples a pixel."""
    scaling = np.diag([supersampling, supersampling, 1.0])
    width = camera.width * supersampling
    rows_per_strip = max(1, SAMPLES_PER_STRIP // (width * supersampling))
    colours, coverages = [], []
    for top in range(0, camera.height, rows_per_strip):
        rows = min(rows_per_strip, camera.height - top)
        intrinsics = camera.intrinsics.copy()
        intrinsics[1, 2] -= top
        radiance, skin = _strip(scene, scaling @ intrinsics, camera, width, rows * supersampling)
        colours.append(_pixel_means(radiance, supersampling))
        coverages.append(_pixel_means(skin[..., None].astype(float), supersampling)[..., 0])
    colour = (EXPOSURE * np.concatenate(colours)) ** (1 / GAMMA)
    return Picture(colour, np.concatenate(coverages))


def _strip(
    scene: Scene, intrinsics: np.ndarray, camera: RigCamera, width: int, height: int
) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    k, pose = torch.from_numpy(intrinsics).float(), torch.from_numpy(camera.world_to_camera).float()
    raster = rasterize(scene.surfaces, k, pose, width, height)
    directions = pixel_rays(k, pose, width, height)[1].double().numpy()
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    face = raster.face.numpy()
    hit = face >= 0
    radiance = np.empty((height, width, 3))
    radiance[~hit] = scene.room.background(directions[~hit])
    radiance[hit] = shade(scene, face[hit], raster.barycentric.double().numpy()[hit], directions[hit])
    skin = np.zeros((height, width), dtype=bool)
    skin[hit] = scene.face_is_skin[face[hit]]
    return radiance, skin


def shade(
    scene: Scene,
    face: np.ndarray,
    barycentric: Float[np.ndarray, "N 3"],
    directions: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N 3"]:
    """Radiance of surface points towards a camera.

    Args:
        scene: The scene.
        face: Face of each point, shape (N,).
        barycentric: Where on it.
        directions: Unit view rays, from the camera.
    """
    corners = scene.faces[face]

    def interpolate(values: np.ndarray) -> np.ndarray:
        weights = barycentric if values.ndim == 1 else barycentric[:, :, None]
        return (weights * values[corners]).sum(1)

    position = interpolate(scene.vertices)
    smooth = interpolate(scene.normals)
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True)
    points = SurfacePoints(interpolate(scene.canonical), interpolate(scene.finger), interpolate(scene.dorsal))
    look = appearance(scene.skin, points, scene.face_is_skin[face])
    normal = _relief_normal(scene, face, points, smooth)
    visibility = interpolate(scene.light.visibility)
    ambient, scattered = interpolate(scene.light.ambient), interpolate(scene.light.scattered)
    openness = interpolate(scene.light.openness)

    harmonics = scene.room.harmonics()
    unshadowed = irradiance_basis(smooth) @ harmonics
    irradiance = np.empty_like(position)
    for channel in range(3):
        softness = NORMAL_SOFTNESS[channel]
        soft = softness * smooth + (1 - softness) * normal
        soft /= np.linalg.norm(soft, axis=1, keepdims=True)
        boxes = box_irradiance(scene.room, position, soft, visibility)[:, channel]
        turned = (irradiance_basis(soft) @ harmonics)[:, channel] / unshadowed[:, channel]
        irradiance[:, channel] = boxes + ambient[:, channel] * np.clip(turned, 0, 2) + scattered[:, channel]
    diffuse = look.albedo * np.clip(irradiance, 0, None) / np.pi
    gloss = _gloss(scene, position, smooth, normal, -directions, visibility, openness, look.roughness, look.reflectance)
    return diffuse + gloss


def _gloss(
    scene: Scene,
    position: np.ndarray,
    smooth: np.ndarray,
    normal: np.ndarray,
    toward_camera: np.ndarray,
    visibility: np.ndarray,
    openness: np.ndarray,
    roughness: np.ndarray,
    reflectance: np.ndarray,
) -> np.ndarray:
    """Mirror-like reflection by microfacets (GGX; Walter et al., EGSR 2007), widened by the size of the light."""
    facing = np.clip((normal * toward_camera).sum(1), 0.05, None)
    total = np.zeros_like(position)
    for box, toward_light, distance, seen in box_points(scene.room, position, visibility):
        half = toward_light + toward_camera
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        cosine = np.clip((normal * toward_light).sum(1), 0, None)
        spread = 0.25 * np.sqrt(box.quarter_area) / distance
        alpha = np.clip(roughness**2 + spread, 0, 1)
        squared = alpha**2
        peak = np.clip((normal * half).sum(1), 0, 1) ** 2 * (squared - 1) + 1
        distribution = squared / (np.pi * peak**2)
        k = 0.5 * alpha
        masking = 1 / ((facing * (1 - k) + k) * (cosine * (1 - k) + k))
        fresnel = reflectance + (1 - reflectance) * (1 - np.clip((half * toward_camera).sum(1), 0, 1)) ** 5
        falloff = np.clip(-(toward_light @ box.normal), 0, None) * box.quarter_area / distance**2
        total += (seen * cosine * falloff * distribution * masking * fresnel / 4)[:, None] * box.radiance
    mirrored = 2 * (normal * toward_camera).sum(1, keepdims=True) * normal - toward_camera
    # Seen at a grazing angle the relief hides its own far sides, so the smooth surface decides how strong the rim is.
    grazing = (1 - np.clip((smooth * toward_camera).sum(1), 0, 1)) ** 5
    rim = reflectance + 0.5 * np.clip(1 - roughness - reflectance, 0, None) * grazing
    walls = np.clip(irradiance_basis(mirrored) @ scene.room.harmonics(), 0, None) / np.pi
    return total + (rim * openness**1.5)[:, None] * walls


def _relief_normal(scene: Scene, face: np.ndarray, points: SurfacePoints, smooth: np.ndarray) -> np.ndarray:
    """Tilt the normals of skin by the slope of its fine relief."""
    chosen = np.flatnonzero(scene.face_is_skin[face])
    normal = smooth.copy()
    if len(chosen) == 0:
        return normal
    own = SurfacePoints(points.position[chosen], points.finger[chosen], points.dorsal[chosen])
    corners = scene.faces[face[chosen]]
    posed, canonical = scene.vertices[corners], scene.canonical[corners]
    height = scene.skin.fine_relief(own)
    # The relief lives on the canonical hand: its change along a canonical edge is its change along the posed edge.
    edges = posed[:, 1:] - posed[:, :1]
    change = np.empty((len(chosen), 2))
    for k in range(2):
        edge = canonical[:, 1 + k] - canonical[:, 0]
        length = np.linalg.norm(edge, axis=1)
        step = DIFFERENCE / np.maximum(length, 1e-9)
        change[:, k] = (scene.skin.fine_relief(own.moved(step[:, None] * edge)) - height) / step
    gram = edges @ edges.transpose(0, 2, 1)
    determinant = np.maximum(gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2, 1e-24)
    first = (gram[:, 1, 1] * change[:, 0] - gram[:, 0, 1] * change[:, 1]) / determinant
    second = (gram[:, 0, 0] * change[:, 1] - gram[:, 0, 1] * change[:, 0]) / determinant
    slope = first[:, None] * edges[:, 0] + second[:, None] * edges[:, 1]
    steepness = np.linalg.norm(slope, axis=1, keepdims=True)
    slope *= np.minimum(1, 1.2 / np.maximum(steepness, 1e-9))
    tilted = smooth[chosen] - slope
    normal[chosen] = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return normal


def _pixel_means(samples: np.ndarray, size: int) -> np.ndarray:
    height, width, channels = samples.shape
    return samples.reshape(height // size, size, width // size, size, channels).mean((1, 3))
