"""Hands ready to be rendered quickly: all that does not depend on the pose is worked out once a vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.rasterize import pixel_rays
from nerfstudio_hands.geometry.subdivision import loop_subdivision
from nerfstudio_hands.hand_model.model import HandModel, shaped_template
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.body import Tessellation, fine_vertices
from nerfstudio_hands.synthesis.held_object import HeldObject
from nerfstudio_hands.synthesis.light import Room, bake
from nerfstudio_hands.synthesis.rig import RigCamera
from nerfstudio_hands.synthesis.shading import EXPOSURE, GAMMA, diffuse_irradiance, gloss
from nerfstudio_hands.synthesis.skin import BLOOD, MELANIN, Skin
from nerfstudio_hands.synthesis.sleeve import sleeve, sleeve_appearance

CLOTH, ARM, HAND, HELD = 0, 1, 2, 3
"""Labels of faces: the sleeve, the forearm that the hand model lacks, the surface of the hand model, the object."""

SHADOW_RAYS = 2
AMBIENT_RAYS = 32
"""See `light.bake`; the blur over the surface and the move to the finer mesh hide their grain."""


@dataclass(frozen=True)
class DressedHand:
    """One hand with forearm and sleeve: first the V vertices of skin, then those of cloth."""

    model: HandModel
    tessellation: Tessellation
    shape: Float[Tensor, "K"]
    rest: Float[np.ndarray, "C 3"]
    """Shaped rest vertices of the hand model."""
    cloth: Float[np.ndarray, "S 3"]
    """Vertices of the sleeve at rest."""
    faces: Int[np.ndarray, "F 3"]
    face_label: Int[np.ndarray, "F"]
    relief: Float[np.ndarray, "V"]
    """Displacement along the normal, metres."""
    fine_relief: Float[np.ndarray, "V"]
    """As fine as the mesh can carry; turns normals only."""
    albedo: Float[np.ndarray, "W 3"]
    roughness: Float[np.ndarray, "W"]
    reflectance: Float[np.ndarray, "W"]
    light_vertices: Int[np.ndarray, "L"]
    """Those of the mesh that the light is traced to, one subdivision coarser."""
    light_faces: Int[np.ndarray, "M 3"]
    """Indices into `light_vertices`."""
    spread: sparse.csr_matrix
    """From values at the light's vertices (L) to all vertices (W)."""


@dataclass(frozen=True)
class DressedObject:
    """An object to hold, in the terms of a dressed hand; W vertices, all of which light is traced to."""

    faces: Int[np.ndarray, "F 3"]
    face_label: Int[np.ndarray, "F"]
    cloth: Float[np.ndarray, "0 3"]
    fine_relief: Float[np.ndarray, "W"]
    albedo: Float[np.ndarray, "W 3"]
    roughness: Float[np.ndarray, "W"]
    reflectance: Float[np.ndarray, "W"]
    light_vertices: Int[np.ndarray, "W"]
    light_faces: Int[np.ndarray, "F 3"]
    spread: sparse.csr_matrix


@dataclass(frozen=True)
class LitHands:
    """Hands in one frame and what they hold, with the light that reaches them; W vertices of all together."""

    room: Room
    surfaces: Surfaces
    faces: Int[np.ndarray, "F 3"]
    face_label: Int[np.ndarray, "F"]
    values: Float[np.ndarray, "W C"]
    """What is interpolated: position, smooth and fine normal, diffuse radiance (3 each), roughness, reflectance,
    openness, visibilities."""


@dataclass(frozen=True)
class Shot:
    """A rendered picture before its camera's response, noise and rounding."""

    colour: Float[np.ndarray, "H W 3"]
    """Pixel values, not clipped."""
    hand: Float[np.ndarray, "H W"]
    """Part of each pixel that is the surface of the hand model."""
    skin: Float[np.ndarray, "H W"]
    """The same with the forearm."""
    held: Float[np.ndarray, "H W"]
    """Part of each pixel that is the object in the hand."""


def dress(
    model: HandModel, tessellation: Tessellation, levels: int, skin: Skin, shape: Float[Tensor, "K"]
) -> DressedHand:
    """Work out the look of every vertex.

    Args:
        model: The hand.
        tessellation: Of the hand, at `levels` subdivisions, at least two.
        levels: One less is used for the light.
        skin: The person's.
        shape: The person's.
    """
    points = SurfacePoints(tessellation.canonical, tessellation.finger, tessellation.dorsal)
    look = skin.appearance(points)
    rest = shaped_template(model, shape[None])[0].double().numpy()
    cloth, cloth_faces = sleeve(rest, tessellation.wrist)
    cloth_look = sleeve_appearance(SurfacePoints(cloth, np.zeros((len(cloth), 5)), np.zeros(len(cloth))))
    num_skin, num_cloth = len(points.position), len(cloth)

    coarse = torch.from_numpy(tessellation.coarse_faces)
    light_faces = loop_subdivision(coarse, int(coarse.max()) + 1, levels - 2)[0]
    num_light = int(light_faces.max()) + 1
    spread = loop_subdivision(light_faces, num_light, 1)[1]
    # A child keeps its parent's place modulo the number of parents, so the order tells which face it comes from.
    num_coarse = len(tessellation.faces) // 4**levels
    from_hand = np.arange(len(tessellation.faces)) % num_coarse < len(model.faces)
    return DressedHand(
        model=model,
        tessellation=tessellation,
        shape=shape,
        rest=rest,
        cloth=cloth,
        faces=np.concatenate([tessellation.faces, cloth_faces + num_skin]),
        face_label=np.concatenate([np.where(from_hand, HAND, ARM), np.full(len(cloth_faces), CLOTH)]),
        relief=skin.relief(points),
        fine_relief=skin.fine_relief(points),
        albedo=np.concatenate([look.albedo * _complexion(skin.seed), cloth_look.albedo]),
        roughness=np.concatenate([look.roughness, cloth_look.roughness]),
        reflectance=np.concatenate([look.reflectance, cloth_look.reflectance]),
        light_vertices=np.concatenate([np.arange(num_light), num_skin + np.arange(num_cloth)]),
        light_faces=np.concatenate([light_faces.numpy(), cloth_faces + num_light]),
        spread=sparse.block_diag([spread, sparse.identity(num_cloth)], format="csr"),
    )


def dress_object(held: HeldObject) -> DressedObject:
    """Work out the look of every vertex of an object."""
    look = held.appearance(held.vertices)
    count = len(held.vertices)
    return DressedObject(
        faces=held.faces,
        face_label=np.full(len(held.faces), HELD),
        cloth=np.zeros((0, 3)),
        fine_relief=np.zeros(count),
        albedo=look.albedo,
        roughness=look.roughness,
        reflectance=look.reflectance,
        light_vertices=np.arange(count),
        light_faces=held.faces,
        spread=sparse.identity(count, format="csr"),
    )


def _complexion(seed: int) -> Float[np.ndarray, "3"]:
    """Factor on the albedo that makes one person darker or ruddier than the next."""
    rng = np.random.default_rng([seed, 6])
    return np.exp(-rng.uniform(0, 1.1) * MELANIN - rng.uniform(-0.1, 0.25) * BLOOD)


def surface_vertices(
    hand: DressedHand, vertices: Float[np.ndarray, "C 3"], wrist: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "W 3"]:
    """Rendered vertices of a posed hand: subdivided, raised by the relief, the sleeve behind.

    Args:
        hand: The hand.
        vertices: Posed vertices of the hand model, world metres.
        wrist: Transform of the wrist from rest to world.
    """
    smooth = fine_vertices(hand.tessellation, vertices, hand.rest, wrist)
    normals = vertex_normals(torch.from_numpy(smooth), torch.from_numpy(hand.tessellation.faces)).numpy()
    cloth = hand.cloth @ wrist[:3, :3].T + wrist[:3, 3]
    return np.concatenate([smooth + hand.relief[:, None] * normals, cloth])


def light_hands(
    hands: list[DressedHand | DressedObject], surface: list[Float[np.ndarray, "_ 3"]], room: Room
) -> LitHands:
    """Trace the light that reaches hands, one or two, with the shadows that they cast on themselves and each other.

    Args:
        hands: The hands, and what they hold.
        surface: Of each hand its `surface_vertices`, of an object its vertices in the world.
        room: Where the light comes from.
    """
    vertices = np.concatenate(surface)
    starts = np.cumsum([0] + [len(part) for part in surface])
    faces = np.concatenate([hand.faces + start for hand, start in zip(hands, starts[:-1], strict=True)])
    smooth = _normals(vertices, faces)
    lift = np.concatenate([np.pad(hand.fine_relief, (0, len(hand.cloth))) for hand in hands])
    fine = _normals(vertices + lift[:, None] * smooth, faces)
    albedo = np.concatenate([hand.albedo for hand in hands])

    chosen = np.concatenate([hand.light_vertices + start for hand, start in zip(hands, starts[:-1], strict=True)])
    light_starts = np.cumsum([0] + [len(hand.light_vertices) for hand in hands])
    light_faces = np.concatenate([h.light_faces + s for h, s in zip(hands, light_starts[:-1], strict=True)])
    blockers = Surfaces(torch.from_numpy(light_faces), torch.from_numpy(vertices[chosen]).float()[None])
    light = bake(
        room,
        vertices[chosen],
        light_faces,
        _normals(vertices[chosen], light_faces),
        albedo[chosen],
        blockers,
        shadow_rays=SHADOW_RAYS,
        ambient_rays=AMBIENT_RAYS,
    )
    spread = sparse.block_diag([hand.spread for hand in hands], format="csr")
    visibility = np.clip(spread @ light.visibility, 0, 1)
    irradiance = diffuse_irradiance(
        room, vertices, smooth, fine, visibility, spread @ light.ambient, spread @ light.scattered
    )
    values = [
        vertices,
        smooth,
        fine,
        albedo * np.clip(irradiance, 0, None) / np.pi,
        np.concatenate([hand.roughness for hand in hands])[:, None],
        np.concatenate([hand.reflectance for hand in hands])[:, None],
        np.clip(spread @ light.openness, 0, 1)[:, None],
        visibility,
    ]
    return LitHands(
        room=room,
        surfaces=Surfaces(torch.from_numpy(faces), torch.from_numpy(vertices).float()[None]),
        faces=faces,
        face_label=np.concatenate([hand.face_label for hand in hands]),
        values=np.concatenate(values, axis=1).astype(np.float32),
    )


def shoot(hands: LitHands, camera: RigCamera, *, supersampling: int) -> Shot:
    """Render a picture with `supersampling` squared samples a pixel on the hands, one on the background."""
    scaling = np.diag([supersampling, supersampling, 1.0])
    size = camera.width * supersampling, camera.height * supersampling
    intrinsics = torch.from_numpy(scaling @ camera.intrinsics).float()
    pose = torch.from_numpy(camera.world_to_camera).float()
    raster = rasterize(hands.surfaces, intrinsics, pose, *size)
    face = raster.face.numpy()
    hit = face >= 0
    radiance = np.zeros((*face.shape, 3))
    eye = (-camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]).astype(np.float32)
    radiance[hit] = _shade(hands, face[hit], raster.barycentric.numpy()[hit], eye)
    label = np.where(hit, hands.face_label[face], CLOTH)

    directions = pixel_rays(torch.from_numpy(camera.intrinsics).float(), pose, camera.width, camera.height)[1]
    directions = directions.double().numpy().reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    background = hands.room.background(directions).reshape(camera.height, camera.width, 3)
    seen = _pixel_means(radiance, supersampling)
    covered = _pixel_means(hit, supersampling)
    return Shot(
        colour=(EXPOSURE * (seen + (1 - covered)[..., None] * background)) ** (1 / GAMMA),
        hand=_pixel_means(label == HAND, supersampling),
        skin=_pixel_means((label == ARM) | (label == HAND), supersampling),
        held=_pixel_means(label == HELD, supersampling),
    )


def _shade(
    hands: LitHands, face: Int[np.ndarray, "N"], barycentric: Float[np.ndarray, "N 3"], eye: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "N 3"]:
    corners = hands.faces[face]
    values = sum(barycentric[:, k, None] * hands.values[corners[:, k]] for k in range(3))
    position, smooth, fine, diffuse = (values[:, 3 * k : 3 * k + 3] for k in range(4))
    roughness, reflectance, openness = values[:, 12:15].T
    toward_eye = eye - position
    return diffuse + gloss(
        hands.room,
        position,
        _unit(smooth),
        _unit(fine),
        _unit(toward_eye),
        values[:, 15:],
        openness,
        roughness,
        reflectance,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()


def _pixel_means(samples: np.ndarray, size: int) -> np.ndarray:
    height, width = samples.shape[0] // size, samples.shape[1] // size
    return samples.reshape(height, size, width, size, *samples.shape[2:]).mean((1, 3))
