"""A finely tessellated hand with a stub of forearm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse

from nerfstudio_hands.geometry.mesh import boundary_loops, vertex_normals
from nerfstudio_hands.geometry.subdivision import interpolating_controls, loop_subdivision
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.synthesis.anatomy import Anatomy, dorsality, finger_membership

FOREARM_LENGTH = 0.085
"""Metres of bare skin behind the template's wrist; a sleeve begins before its end."""

FOREARM_RINGS = 12


@dataclass(frozen=True)
class Tessellation:
    """How a coarse hand becomes a fine one, the same for every pose; V coarse vertices, W fine ones."""

    num_hand_vertices: int
    """The first vertices of the coarse mesh are the hand model's, the rest is forearm."""
    wrist: Int[np.ndarray, "L"]
    """The hand model's border, in the direction of its faces."""
    faces: Int[np.ndarray, "G 3"]
    coarse_faces: Int[np.ndarray, "H 3"]
    """Faces after one subdivision only; they use the first fine vertices."""
    matrix: sparse.csr_matrix
    """Subdivision (W, V)."""
    canonical: Float[np.ndarray, "W 3"]
    """Fine vertices of the mean right hand at rest, metres; a left hand's are mirrored to it."""
    finger: Float[np.ndarray, "W 5"]
    dorsal: Float[np.ndarray, "W"]


def tessellate(model: HandModel, anatomy: Anatomy, levels: int) -> Tessellation:
    """Prepare a hand model of either side.

    Args:
        model: The hand.
        anatomy: Of the right hand.
        levels: Of Loop subdivision; 2 leaves edges of about 1 mm.
    """
    mirror = np.array([1.0, 1.0, 1.0]) if model.side == "right" else np.array([-1.0, 1.0, 1.0])
    template = model.template.double().numpy()
    wrist = boundary_loops(model.faces)[0].numpy()
    coarse_faces = np.concatenate([model.faces.numpy(), _ring_faces(wrist, len(template))])
    coarse = np.concatenate([template, forearm(template, wrist)])
    faces, matrix = loop_subdivision(torch.from_numpy(coarse_faces), len(coarse), levels)
    canonical = matrix @ interpolating_controls(matrix, coarse) * mirror
    outward = faces if model.side == "right" else faces[:, [0, 2, 1]]
    weights = np.zeros((len(coarse), model.weights.shape[1]))
    weights[:, 0] = 1
    weights[: len(template)] = model.weights.double().numpy()
    finger = matrix @ finger_membership(weights)
    normals = vertex_normals(torch.from_numpy(canonical), outward).numpy()
    return Tessellation(
        num_hand_vertices=len(template),
        wrist=wrist,
        faces=faces.numpy(),
        coarse_faces=loop_subdivision(torch.from_numpy(coarse_faces), len(coarse), 1)[0].numpy(),
        matrix=matrix,
        canonical=canonical,
        finger=finger,
        dorsal=dorsality(anatomy, normals, finger),
    )


def fine_vertices(
    tessellation: Tessellation,
    posed: Float[np.ndarray, "V 3"],
    rest: Float[np.ndarray, "V 3"],
    wrist_transform: Float[np.ndarray, "4 4"],
) -> Float[np.ndarray, "W 3"]:
    """Fine vertices of a posed hand, through the posed vertices of the hand model.

    Args:
        tessellation: Of the hand model.
        posed: Vertices of the hand model, metres, world.
        rest: Its shaped rest vertices, from which the forearm grows.
        wrist_transform: From rest to world.
    """
    arm = forearm(rest, tessellation.wrist) @ wrist_transform[:3, :3].T + wrist_transform[:3, 3]
    coarse = np.concatenate([posed, arm])
    return tessellation.matrix @ interpolating_controls(tessellation.matrix, coarse)


def forearm(rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]) -> Float[np.ndarray, "R 3"]:
    """Rings of vertices that continue the border of a hand at rest, from the wrist to the elbow, metres."""
    loop = rest[wrist]
    centre, axis = arm_axis(rest, wrist)
    offset = loop - centre
    flat = offset - (offset @ axis)[:, None] * axis
    rings = []
    for distance in np.linspace(0, FOREARM_LENGTH, FOREARM_RINGS + 1)[1:]:
        # The slant of the border dies out along the arm; the forearm widens by a quarter over a hand's breadth.
        slant = np.exp(-distance / 0.02) * (offset @ axis)[:, None] * axis
        width = 1 + 0.26 * (distance / 0.09) ** 1.4
        rings.append(centre + slant + width * flat + distance * axis)
    return np.concatenate(rings)


def arm_axis(rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the wrist's border and unit direction of the arm, at rest."""
    loop = rest[wrist]
    centre = loop.mean(0)
    # The x axis of the rest frame points from the fingers to the wrist; mirrored on a left hand.
    axis = np.array([np.sign(centre[0] - rest[:, 0].mean()), 0.0, 0.0])
    return centre, axis


def _ring_faces(wrist: np.ndarray, num_vertices: int) -> np.ndarray:
    count = len(wrist)
    rings = [wrist] + [num_vertices + count * k + np.arange(count) for k in range(FOREARM_RINGS)]
    return np.concatenate([band(a, b) for a, b in zip(rings[:-1], rings[1:], strict=True)])


def band(inner: Int[np.ndarray, "L"], outer: Int[np.ndarray, "L"]) -> Int[np.ndarray, "M 3"]:
    """Faces between two rings of equal size; the inner ring runs in the direction of the faces before it."""
    a, b = inner, np.roll(inner, -1)
    c, d = outer, np.roll(outer, -1)
    return np.concatenate([np.stack([b, a, c], axis=1), np.stack([b, c, d], axis=1)])
