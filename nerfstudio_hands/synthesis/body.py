"""A finely subdivided hand with a stub of forearm, and the sleeve that the arm comes out of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse

from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.subdivision import interpolating_controls, loop_subdivision
from nerfstudio_hands.geometry.topology import boundary_loops
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.synthesis.anatomy import Anatomy, SkinPoints, dorsality, finger_membership
from nerfstudio_hands.transforms.rigid import apply_rigid

FOREARM_LENGTH = 0.085
"""Meters of bare skin behind the template's wrist; a sleeve begins before its end."""

FOREARM_RINGS = 12

SLEEVE_START = 0.055
"""Meters behind the wrist."""

SLEEVE_LENGTH = 0.45
"""Meters; long enough to leave every picture."""


@dataclass(frozen=True)
class Tessellation:
    """How a coarse hand with forearm becomes a fine one, the same for every pose; V coarse vertices, W fine ones."""

    wrist: Int[np.ndarray, "L"]
    """The hand model's boundary, in the direction of its faces."""
    faces: tuple[Int[np.ndarray, "_ 3"], ...]
    """After no, one, two, ... subdivisions; all use the first of the fine vertices."""
    is_hand: Bool[np.ndarray, "F"]
    """Whether each of the fine faces is the hand model's and not the forearm's."""
    matrix: sparse.csr_matrix
    """From the coarse vertices to the fine ones (W, V)."""
    points: SkinPoints
    """Where the fine vertices are on the skin; a left hand's are mirrored to the right one's."""

    def subdivision_from(self, level: int) -> sparse.csr_matrix:
        """Matrix from the vertices after so many subdivisions to the fine ones."""
        faces = self.faces[level]
        return loop_subdivision(torch.from_numpy(faces), int(faces.max()) + 1, len(self.faces) - 1 - level)[1]


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
    coarse = np.concatenate([template, forearm(template, wrist)])
    behind = len(template) + np.arange(FOREARM_RINGS * len(wrist)).reshape(FOREARM_RINGS, -1)
    joined = torch.cat([model.faces, torch.from_numpy(tube_faces([wrist, *behind]))])
    subdivided = [loop_subdivision(joined, len(coarse), level) for level in range(levels + 1)]
    faces, matrix = [finer.numpy() for finer, _ in subdivided], subdivided[-1][1]
    position = matrix @ interpolating_controls(matrix, coarse) * mirror
    outward = faces[-1] if model.side == "right" else faces[-1][:, [0, 2, 1]]
    weights = np.zeros((len(coarse), model.weights.shape[1]))
    weights[:, 0] = 1
    weights[: len(template)] = model.weights.double().numpy()
    finger = matrix @ finger_membership(weights)
    points = SkinPoints(position, finger, dorsality(anatomy, mesh_normals(position, outward), finger))
    # A child keeps its parent's index modulo the number of parents, so the order tells which face it comes from.
    is_hand = np.arange(len(faces[-1])) % len(joined) < len(model.faces)
    return Tessellation(wrist, tuple(faces), is_hand, matrix, points)


def fine_vertices(
    tessellation: Tessellation,
    posed: Float[np.ndarray, "V 3"],
    rings: Float[np.ndarray, "R 3"],
    wrist_to_world: Float[np.ndarray, "4 4"],
) -> Float[np.ndarray, "W 3"]:
    """Fine vertices of a posed hand, through the posed vertices of the hand model.

    Args:
        tessellation: Of the hand model.
        posed: Vertices of the hand model, meters, world.
        rings: Of the forearm at rest, see `forearm`.
        wrist_to_world: Transform of the wrist from the rest pose.
    """
    coarse = np.concatenate([posed, apply_rigid(wrist_to_world, rings)])
    return tessellation.matrix @ interpolating_controls(tessellation.matrix, coarse)


def forearm(rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]) -> Float[np.ndarray, "R 3"]:
    """Rings of vertices that continue the boundary of a hand at rest, from the wrist to the elbow, meters."""
    center, axis, along, across = _wrist_frame(rest, wrist)
    rings = []
    for distance in np.linspace(0, FOREARM_LENGTH, FOREARM_RINGS + 1)[1:]:
        # The slant of the boundary dies out along the arm; the forearm widens by a quarter over a hand's breadth.
        slant = np.exp(-distance / 0.02) * along
        width = 1 + 0.26 * (distance / 0.09) ** 1.4
        rings.append(center + slant + width * across + distance * axis)
    return np.concatenate(rings)


def sleeve(
    rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]
) -> tuple[Float[np.ndarray, "S 3"], Int[np.ndarray, "T 3"]]:
    """A cuff and the arm of a garment around the forearm, as an open tube with a turned-in hem.

    Args:
        rest: Rest vertices of the hand model, meters.
        wrist: Its boundary, in the direction of its faces.

    Returns:
        Vertices at rest, which move with the wrist, and faces.
    """
    center, axis, _, across = _wrist_frame(rest, wrist)
    length = np.linalg.norm(across, axis=1, keepdims=True)
    shape = 0.6 * across + 0.4 * (across / length * length.mean())
    # (distance behind the wrist, width relative to the wrist); the first two are the inside of the hem.
    hem = [(SLEEVE_START + 0.028, 1.3), (SLEEVE_START + 0.002, 1.27), (SLEEVE_START, 1.3), (SLEEVE_START + 0.002, 1.37)]
    cuff = [(SLEEVE_START + d, 1.39) for d in (0.014, 0.028, 0.04)]
    arm = [(SLEEVE_START + 0.044, 1.48), (SLEEVE_START + 0.05, 1.64), (SLEEVE_START + 0.07, 1.76)]
    arm += [(SLEEVE_START + d, 1.8 + 0.8 * d) for d in np.linspace(0.1, SLEEVE_LENGTH, 8)]
    profile = hem + cuff + arm
    rings = np.concatenate([center + width * shape + distance * axis for distance, width in profile])
    faces = tube_faces(list(np.arange(len(rings)).reshape(len(profile), -1)))
    fine_faces, matrix = loop_subdivision(torch.from_numpy(faces), len(rings), 2)
    return matrix @ rings, fine_faces.numpy()


def _wrist_frame(
    rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], Float[np.ndarray, "L 3"], Float[np.ndarray, "L 3"]]:
    """Middle of the wrist's boundary, unit direction of the arm, and the boundary from there, along it and across."""
    center = rest[wrist].mean(0)
    # The x axis of the rest frame points from the fingers to the wrist; mirrored on a left hand.
    axis = np.array([np.sign(center[0] - rest[:, 0].mean()), 0.0, 0.0])
    offset = rest[wrist] - center
    along = (offset @ axis)[:, None] * axis
    return center, axis, along, offset - along


def tube_faces(rings: list[Int[np.ndarray, "L"]]) -> Int[np.ndarray, "M 3"]:
    """Faces between rings of equal size; the first ring runs in the direction of the faces before it."""
    faces = []
    for a, c in zip(rings[:-1], rings[1:], strict=True):
        b, d = np.roll(a, -1), np.roll(c, -1)
        faces += [np.stack([b, a, c], axis=1), np.stack([b, c, d], axis=1)]
    return np.concatenate(faces)


def mesh_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit vertex normals."""
    return vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
