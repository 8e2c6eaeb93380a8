"""The scene that is rendered: hands with forearms and sleeves, and what they hold, as one mesh, lit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.held_object import HeldObject
from nerfstudio_hands.synthesis.light import BakedLight, Room, bake
from nerfstudio_hands.synthesis.skin import Appearance, Skin
from nerfstudio_hands.synthesis.sleeve import sleeve_appearance

CLOTH, SKIN, HELD = range(3)
"""What a part is made of."""


@dataclass(frozen=True)
class Part:
    """A piece of the scene with faces of its own."""

    vertices: Float[np.ndarray, "V 3"]
    """World metres."""
    faces: Int[np.ndarray, "F 3"]
    canonical: Float[np.ndarray, "V 3"]
    """Where its look is defined, metres: the canonical hand, the garment at rest, or the object's own frame."""
    finger: Float[np.ndarray, "V 5"]
    dorsal: Float[np.ndarray, "V"]
    material: int
    """`CLOTH`, `SKIN` or `HELD`."""


@dataclass(frozen=True)
class Scene:
    """All parts as one mesh, ready to render."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "V 3"]
    canonical: Float[np.ndarray, "V 3"]
    finger: Float[np.ndarray, "V 5"]
    dorsal: Float[np.ndarray, "V"]
    face_material: Int[np.ndarray, "F"]
    skin: Skin
    held: HeldObject | None
    room: Room
    light: BakedLight
    surfaces: Surfaces


def assemble(parts: list[Part], skin: Skin, room: Room, held: HeldObject | None = None) -> Scene:
    """Put parts together and bake the light that reaches them."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    face_material = np.concatenate([np.full(len(part.faces), part.material) for part in parts])
    vertex_material = np.concatenate([np.full(len(part.vertices), part.material) for part in parts])
    canonical = np.concatenate([part.canonical for part in parts])
    points = SurfacePoints(
        canonical, np.concatenate([p.finger for p in parts]), np.concatenate([p.dorsal for p in parts])
    )
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
    surfaces = Surfaces(torch.from_numpy(faces), torch.from_numpy(vertices).float()[None])
    albedo = appearance(skin, points, vertex_material, held).albedo
    light = bake(room, vertices, faces, normals, albedo, surfaces)
    return Scene(
        vertices,
        faces,
        normals,
        canonical,
        points.finger,
        points.dorsal,
        face_material,
        skin,
        held,
        room,
        light,
        surfaces,
    )


def appearance(
    skin: Skin, points: SurfacePoints, material: Int[np.ndarray, "N"], held: HeldObject | None = None
) -> Appearance:
    """Appearance of points of which some are skin, some cloth and some of an object."""
    count = len(material)
    result = Appearance(np.zeros((count, 3)), np.zeros(count), np.zeros(count))
    looks = {SKIN: skin.appearance, CLOTH: sleeve_appearance, HELD: lambda own: held.appearance(own.position)}
    for kind, look in looks.items():
        index = np.flatnonzero(material == kind)
        if len(index) == 0:
            continue
        part = look(SurfacePoints(points.position[index], points.finger[index], points.dorsal[index]))
        result.albedo[index], result.roughness[index], result.reflectance[index] = (
            part.albedo,
            part.roughness,
            part.reflectance,
        )
    return result
