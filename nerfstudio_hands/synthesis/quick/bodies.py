"""Hands with their arms, and things, as surfaces to be lit and drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int32
from scipy import sparse

from nerfstudio_hands.geometry.raster.vertex_images import LitSurface
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.synthesis.body import fine_vertices
from nerfstudio_hands.synthesis.noise import fractal_noise
from nerfstudio_hands.synthesis.quick.arms import Arm, arm_tube, forearm_rings
from nerfstudio_hands.synthesis.quick.objects import Object3D, some_color
from nerfstudio_hands.synthesis.quick.people import BodyPlan, Somebody, faces_to_vertices
from nerfstudio_hands.transforms.rigid import apply_rigid

HAND, ARM, OTHER = range(3)
"""Layers of a picture: the hand, its arm, and what else there is."""

CLOTH_GLOSS = (0.8, 0.02)
"""Roughness and reflectance."""


def hand_surface(plan: BodyPlan, who: Somebody, posed: PosedHand, arm: Arm) -> LitSurface:
    """Hand and forearm, subdivided, with normals of the raised skin."""
    wrist = posed.bone_transforms[0, 0].double().numpy()
    rings = forearm_rings(arm, who.rest, plan.body.wrist)
    smooth = fine_vertices(plan.body, posed.vertices[0].double().numpy(), rings, wrist).astype(np.float32)
    raised = smooth + who.lift[:, None] * surface_normals(smooth, plan.faces, plan.spread)
    return LitSurface(
        vertices=smooth,
        normals=surface_normals(raised, plan.faces, plan.spread),
        albedo=who.albedo,
        gloss=who.gloss,
        faces=plan.faces,
        labels=np.where(plan.body.is_hand, HAND, ARM).astype(np.int32),
        casting=plan.coarse,
    )


def arm_surface(plan: BodyPlan, who: Somebody, posed: PosedHand, arm: Arm, rng: np.random.Generator) -> LitSurface:
    """What goes on behind the forearm: more of it, or a sleeve."""
    rest, faces, _ = arm_tube(arm, who.rest, plan.body.wrist)
    vertices = apply_rigid(posed.bone_transforms[0, 0].double().numpy(), rest).astype(np.float32)
    if arm.sleeve_from is None:
        end = plan.model.num_vertices + np.arange(len(plan.body.wrist)) - len(plan.body.wrist) * 3
        albedo = np.tile(who.albedo[end].mean(0), (len(rest), 1))
        gloss = who.gloss[end].mean(0)
    else:
        albedo, gloss = _cloth(rest, rng), np.array(CLOTH_GLOSS)
    return _surface(vertices, faces.astype(np.int32), albedo.astype(np.float32), gloss.astype(np.float32), ARM)


def object_surface(held: Object3D) -> LitSurface:
    """A thing, none of it a hand."""
    return _surface(held.vertices, held.faces, held.albedo, held.gloss, OTHER)


def mirrored_surface(surface: LitSurface) -> LitSurface:
    """A surface in a mirror, none of it the hand."""
    flip = np.array([-1, 1, 1], np.float32)
    return replace(
        surface,
        vertices=surface.vertices * flip,
        normals=surface.normals * flip,
        faces=surface.faces[:, ::-1],
        casting=surface.casting[:, ::-1],
        labels=np.full_like(surface.labels, OTHER),
    )


def together(surfaces: list[LitSurface]) -> LitSurface:
    """Several surfaces as one, vertices and faces one after the other."""
    starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces[:-1])]).astype(np.int32)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(surface, name) for surface in surfaces])

    def shifted(name: str) -> Int32[np.ndarray, "F 3"]:
        return np.concatenate([getattr(part, name) + start for part, start in zip(surfaces, starts, strict=True)])

    values = {name: joined(name) for name in ("vertices", "normals", "albedo", "gloss", "labels")}
    return LitSurface(**values, faces=shifted("faces"), casting=shifted("casting"))


def surface_normals(
    vertices: Float32[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"], spread: sparse.csr_matrix
) -> Float32[np.ndarray, "V 3"]:
    """Unit normals, faces weighted by their areas."""
    columns = np.ascontiguousarray(vertices.T)
    a, b, c = (columns[:, faces[:, k]] for k in range(3))
    (x, y, z), (u, v, w) = b - a, c - a
    # numpy's own cross product takes three times as long.
    normals = spread @ np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)
    return normals / np.maximum(np.sqrt(normals**2 @ np.ones((3, 1), np.float32)), np.float32(1e-12))


def _surface(
    vertices: Float32[np.ndarray, "V 3"],
    faces: Int32[np.ndarray, "F 3"],
    albedo: Float32[np.ndarray, "V 3"],
    gloss: Float32[np.ndarray, "*V 2"],
    label: int,
) -> LitSurface:
    spread = faces_to_vertices(faces, len(vertices))
    labels = np.full(len(faces), label, np.int32)
    everywhere = np.broadcast_to(gloss, (len(vertices), 2)).astype(np.float32)
    return LitSurface(vertices, surface_normals(vertices, faces, spread), albedo, everywhere, faces, labels, faces)


def _cloth(rest: Float[np.ndarray, "T 3"], rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """Albedo of a sleeve: plain or striped, with soft folds."""
    color, other = some_color(rng), some_color(rng)
    stripes = (np.sin(rest[:, 0] * rng.uniform(100, 500)) > rng.uniform(-0.5, 0.9)) * (rng.random() < 0.3)
    folds = 1 + 0.8 * fractal_noise(rest / 0.03, int(rng.integers(1 << 20)), octaves=2)
    return (color + (other - color) * stripes[:, None]) * np.clip(folds, 0.4, 1.6)[:, None]
