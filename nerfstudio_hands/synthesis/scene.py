"""The scene that is rendered: one or two hands with forearms and sleeves as one mesh, lit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.light import BakedLight, Room, bake
from nerfstudio_hands.synthesis.skin import Appearance, Skin
from nerfstudio_hands.synthesis.sleeve import sleeve_appearance


@dataclass(frozen=True)
class Part:
    """A piece of the scene with faces of its own."""

    vertices: Float[np.ndarray, "V 3"]
    """World metres."""
    faces: Int[np.ndarray, "F 3"]
    canonical: Float[np.ndarray, "V 3"]
    """Where its look is defined, metres: the canonical hand, or the garment at rest."""
    finger: Float[np.ndarray, "V 5"]
    dorsal: Float[np.ndarray, "V"]
    is_skin: bool


@dataclass(frozen=True)
class Scene:
    """All parts as one mesh, ready to render."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "V 3"]
    canonical: Float[np.ndarray, "V 3"]
    finger: Float[np.ndarray, "V 5"]
    dorsal: Float[np.ndarray, "V"]
    face_is_skin: Bool[np.ndarray, "F"]
    skin: Skin
    room: Room
    light: BakedLight
    surfaces: Surfaces


def assemble(parts: list[Part], skin: Skin, room: Room) -> Scene:
    """Put parts together and bake the light that reaches them."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    face_is_skin = np.concatenate([np.full(len(part.faces), part.is_skin) for part in parts])
    vertex_is_skin = np.concatenate([np.full(len(part.vertices), part.is_skin) for part in parts])
    canonical = np.concatenate([part.canonical for part in parts])
    points = SurfacePoints(
        canonical, np.concatenate([p.finger for p in parts]), np.concatenate([p.dorsal for p in parts])
    )
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
    surfaces = Surfaces(torch.from_numpy(faces), torch.from_numpy(vertices).float()[None])
    albedo = appearance(skin, points, vertex_is_skin).albedo
    light = bake(room, vertices, faces, normals, albedo, surfaces)
    return Scene(
        vertices, faces, normals, canonical, points.finger, points.dorsal, face_is_skin, skin, room, light, surfaces
    )


def appearance(skin: Skin, points: SurfacePoints, is_skin: Bool[np.ndarray, "N"]) -> Appearance:
    """Appearance of points of which some are skin and the others cloth."""
    count = len(is_skin)
    result = Appearance(np.zeros((count, 3)), np.zeros(count), np.zeros(count))
    for chosen, look in ((is_skin, skin.appearance), (~is_skin, sleeve_appearance)):
        index = np.flatnonzero(chosen)
        if len(index) == 0:
            continue
        part = look(SurfacePoints(points.position[index], points.finger[index], points.dorsal[index]))
        result.albedo[index], result.roughness[index], result.reflectance[index] = (
            part.albedo,
            part.roughness,
            part.reflectance,
        )
    return result
