"""Pictures of a scene: what each pixel sees, shaded per sample, with soft light and mild gloss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from nerfstudio_hands.geometry.rasterize import pixel_rays, rasterize
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.rig import RigCamera
from nerfstudio_hands.synthesis.scene import HELD, SKIN, Scene, appearance
from nerfstudio_hands.synthesis.shading import EXPOSURE, GAMMA, diffuse_irradiance, gloss

DIFFERENCE = 1.2e-4
"""Metres over which the slope of the fine relief is measured."""

SAMPLES_PER_STRIP = 300_000


@dataclass(frozen=True)
class Picture:
    """A rendered picture before its camera's gain, noise and rounding."""

    colour: Float[np.ndarray, "H W 3"]
    """Pixel values, not clipped."""
    coverage: Float[np.ndarray, "H W"]
    """Part of each pixel that is skin."""
    held: Float[np.ndarray, "H W"]
    """Part of each pixel that is the object in the hand."""


def render(scene: Scene, camera: RigCamera, *, supersampling: int) -> Picture:
    """Render a scene with `supersampling` squared samples a pixel."""
    scaling = np.diag([supersampling, supersampling, 1.0])
    width = camera.width * supersampling
    rows_per_strip = max(1, SAMPLES_PER_STRIP // (width * supersampling))
    colours, skin, held = [], [], []
    for top in range(0, camera.height, rows_per_strip):
        rows = min(rows_per_strip, camera.height - top)
        intrinsics = camera.intrinsics.copy()
        intrinsics[1, 2] -= top
        radiance, material = _strip(scene, scaling @ intrinsics, camera, width, rows * supersampling)
        colours.append(_pixel_means(radiance, supersampling))
        for kind, coverages in ((SKIN, skin), (HELD, held)):
            coverages.append(_pixel_means((material == kind)[..., None].astype(float), supersampling)[..., 0])
    colour = (EXPOSURE * np.concatenate(colours)) ** (1 / GAMMA)
    return Picture(colour, np.concatenate(skin), np.concatenate(held))


def _strip(
    scene: Scene, intrinsics: np.ndarray, camera: RigCamera, width: int, height: int
) -> tuple[Float[np.ndarray, "H W 3"], Int[np.ndarray, "H W"]]:
    """Radiance, and what each sample shows; -1 where it shows the room."""
    k, pose = torch.from_numpy(intrinsics).float(), torch.from_numpy(camera.world_to_camera).float()
    raster = rasterize(scene.surfaces, k, pose, width, height)
    directions = pixel_rays(k, pose, width, height)[1].double().numpy()
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    face = raster.face.numpy()
    hit = face >= 0
    radiance = np.empty((height, width, 3))
    radiance[~hit] = scene.room.background(directions[~hit])
    radiance[hit] = shade(scene, face[hit], raster.barycentric.double().numpy()[hit], directions[hit])
    return radiance, np.where(hit, scene.face_material[face], -1)


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
    look = appearance(scene.skin, points, scene.face_material[face], scene.held)
    normal = _relief_normal(scene, face, points, smooth)
    visibility = interpolate(scene.light.visibility)
    ambient, scattered = interpolate(scene.light.ambient), interpolate(scene.light.scattered)
    openness = interpolate(scene.light.openness)

    irradiance = diffuse_irradiance(scene.room, position, smooth, normal, visibility, ambient, scattered)
    diffuse = look.albedo * np.clip(irradiance, 0, None) / np.pi
    return diffuse + gloss(
        scene.room, position, smooth, normal, -directions, visibility, openness, look.roughness, look.reflectance
    )


def _relief_normal(scene: Scene, face: np.ndarray, points: SurfacePoints, smooth: np.ndarray) -> np.ndarray:
    """Tilt the normals of skin by the slope of its fine relief."""
    chosen = np.flatnonzero(scene.face_material[face] == SKIN)
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
