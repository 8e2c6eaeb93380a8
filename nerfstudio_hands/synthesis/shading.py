"""What skin does with the light that reaches it: soft diffuse reflection and mild gloss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis.light import Room, box_irradiance, box_points, irradiance_basis

GAMMA = 2.2
"""Pixel value = radiance^(1 / GAMMA). A pure power makes a gain on the light a gain on the pixels."""

EXPOSURE = 1.3

NORMAL_SOFTNESS = np.array([0.55, 0.25, 0.1])
"""How far the shading normal of red, green and blue is smoothed towards the mesh's, because light that wandered under
the skin has forgotten the fine relief (Ma et al., EGSR 2007, measured such normal maps)."""


def diffuse_irradiance(
    room: Room,
    position: Float[np.ndarray, "N 3"],
    smooth: Float[np.ndarray, "N 3"],
    normal: Float[np.ndarray, "N 3"],
    visibility: Float[np.ndarray, "N P"],
    ambient: Float[np.ndarray, "N 3"],
    scattered: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N 3"]:
    """Irradiance of points of skin, each colour by a normal of its own softness.

    Args:
        room: Where the light comes from.
        position: World metres.
        smooth: Unit normals of the mesh.
        normal: Unit normals tilted by the fine relief.
        visibility: See `light.BakedLight`, as the next two.
        ambient: For `smooth`; it is turned to the softened normal by the harmonics of the walls.
        scattered: Added last.
    """
    harmonics = room.harmonics()
    unshadowed = irradiance_basis(smooth) @ harmonics
    irradiance = np.empty_like(position)
    for channel in range(3):
        softness = NORMAL_SOFTNESS[channel]
        soft = softness * smooth + (1 - softness) * normal
        soft /= np.linalg.norm(soft, axis=1, keepdims=True)
        boxes = box_irradiance(room, position, soft, visibility)[:, channel]
        turned = (irradiance_basis(soft) @ harmonics)[:, channel] / unshadowed[:, channel]
        irradiance[:, channel] = boxes + ambient[:, channel] * np.clip(turned, 0, 2) + scattered[:, channel]
    return irradiance


def gloss(
    room: Room,
    position: Float[np.ndarray, "N 3"],
    smooth: Float[np.ndarray, "N 3"],
    normal: Float[np.ndarray, "N 3"],
    toward_camera: Float[np.ndarray, "N 3"],
    visibility: Float[np.ndarray, "N P"],
    openness: Float[np.ndarray, "N"],
    roughness: Float[np.ndarray, "N"],
    reflectance: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 3"]:
    """Mirror-like reflection by microfacets (GGX; Walter et al., EGSR 2007), widened by the size of the light."""
    facing = np.clip((normal * toward_camera).sum(1), 0.05, None)
    total = np.zeros_like(position)
    for box, toward_light, distance, seen in box_points(room, position, visibility):
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
    walls = np.clip(irradiance_basis(mirrored) @ room.harmonics(), 0, None) / np.pi
    return total + (rim * openness**1.5)[:, None] * walls
