"""The person in the picture: true shape and poses, known exactly, and the surface that is rendered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import HandModel, mirror_rotations, pose_hand, shaped_template
from nerfstudio_hands.synthesis.anatomy import Anatomy, SurfacePoints, read_anatomy
from nerfstudio_hands.synthesis.body import Tessellation, fine_vertices, tessellate
from nerfstudio_hands.synthesis.grasp import Grasp, find_grasp
from nerfstudio_hands.synthesis.held_object import HeldObject, make_object
from nerfstudio_hands.synthesis.pose import CURLED, RELAXED, blend_poses, local_rotations
from nerfstudio_hands.synthesis.scene import CLOTH, HELD, SKIN, Part
from nerfstudio_hands.synthesis.skin import Skin
from nerfstudio_hands.synthesis.sleeve import sleeve

SHAPE_SPREAD = 0.8
"""Standard deviation of the subject's shape coefficients: a person, not the mean of persons."""

HAND_SPACING = 0.24
"""Metres between the middles of the two hands of a subject."""


@dataclass(frozen=True)
class HandTruth:
    """True parameters of one hand in one frame, in the convention of `pose_hand`, and what follows from them."""

    side: str
    global_orient: Float[Tensor, "3"]
    local_rotations: Float[Tensor, "15 3"]
    translation: Float[Tensor, "3"]
    vertices: Float[np.ndarray, "V 3"]
    """Of the hand model, world metres, before subdivision and relief."""
    keypoints: Float[np.ndarray, "21 3"]
    surface: Float[np.ndarray, "W 3"]
    """Fine surface with relief, forearm included: what is rendered."""
    faces: Int[np.ndarray, "G 3"]
    parts: tuple[Part, ...]
    """The skin, the sleeve and what is held."""
    object_to_world: Float[np.ndarray, "4 4"] | None = None
    """From the frame of the held object."""


@dataclass(frozen=True)
class Subject:
    """One or two hands of a person."""

    models: tuple[HandModel, ...]
    tessellations: tuple[Tessellation, ...]
    anatomy: Anatomy
    skin: Skin
    shape: Float[Tensor, "K"]
    held: HeldObject | None = None
    """What a hand holds."""
    grasps: dict[str, Grasp] = field(default_factory=dict)
    """How the hand of each side holds it."""


def make_subject(sides: tuple[str, ...], *, subdivisions: int, seed: int, held: str | None = None) -> Subject:
    """Draw a person's shape and skin from a seed, and an object to hold of a kind out of `SHAPES`."""
    anatomy = read_anatomy(default_hand("right"))
    models = tuple(default_hand(side) for side in sides)
    rng = np.random.default_rng([seed, 1])
    shape = torch.from_numpy(SHAPE_SPREAD * rng.standard_normal(models[0].num_shape)).float()
    tessellations = tuple(tessellate(model, anatomy, subdivisions) for model in models)
    subject = Subject(models, tessellations, anatomy, Skin(anatomy, seed), shape)
    if held is None:
        return subject
    thing = make_object(held, seed)
    grasp = find_grasp(default_hand("right"), shape, thing)
    return replace(subject, held=thing, grasps={side: grasp if side == "right" else grasp.mirrored() for side in sides})


def pose_subject(subject: Subject, centre: Float[np.ndarray, "3"], progress: float) -> list[HandTruth]:
    """The subject's hands at a moment of a slow movement: fingers up, opening and closing a little, or holding fast.

    Args:
        subject: Whose hands.
        centre: Where the middle of the hands is, world metres, z up.
        progress: 0 at the start of the movement, 1 at its end.
    """
    closing = 0.5 - 0.5 * np.cos(np.pi * progress)
    angles = local_rotations(subject.anatomy, blend_poses(RELAXED, CURLED, 0.75 * closing))
    # The rest hand points along -x with its back to +y: stand it up, lean it a little and turn it.
    upright = Rotation.from_matrix(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]))
    turn = Rotation.from_euler("zyx", [20 + 30 * closing, 14, -10], degrees=True)
    hands = []
    for model, tessellation in zip(subject.models, subject.tessellations, strict=True):
        orient = torch.from_numpy((turn * upright).as_rotvec()).float()
        offset = np.zeros(3)
        if len(subject.models) == 2:
            # The person stands on the side of the backs (+y) and has the right hand at -x, thumbs inwards.
            offset[0] = HAND_SPACING / 2 * (-1 if model.side == "right" else 1)
        local = angles
        if model.side == "left":
            orient, local = mirror_rotations(orient), mirror_rotations(local)
        if subject.held:
            local = subject.grasps[model.side].local_rotations
        hands.append(_pose_hand(subject, model, tessellation, orient, local, centre + offset))
    return hands


def _pose_hand(
    subject: Subject,
    model: HandModel,
    tessellation: Tessellation,
    orient: Tensor,
    local: Tensor,
    middle: np.ndarray,
) -> HandTruth:
    free = pose_hand(model, orient[None], local[None], torch.zeros(1, 3), subject.shape)
    translation = torch.from_numpy(middle).float() - free.keypoints[0, [0, 9, 12]].mean(0)
    posed = pose_hand(model, orient[None], local[None], translation[None], subject.shape)
    rest = shaped_template(model, subject.shape[None])[0].double().numpy()
    wrist = posed.bone_transforms[0, 0].double().numpy()
    vertices = posed.vertices[0].double().numpy()

    smooth = fine_vertices(tessellation, vertices, rest, wrist)
    normals = vertex_normals(torch.from_numpy(smooth), torch.from_numpy(tessellation.faces)).numpy()
    points = SurfacePoints(tessellation.canonical, tessellation.finger, tessellation.dorsal)
    surface = smooth + subject.skin.relief(points)[:, None] * normals

    cloth, cloth_faces = sleeve(rest, tessellation.wrist)
    nowhere = np.zeros(len(cloth))
    parts = (
        Part(surface, tessellation.faces, points.position, points.finger, points.dorsal, SKIN),
        Part(cloth @ wrist[:3, :3].T + wrist[:3, 3], cloth_faces, cloth, np.zeros((len(cloth), 5)), nowhere, CLOTH),
    )
    object_to_world = None
    if subject.held:
        object_to_world = wrist @ subject.grasps[model.side].object_to_rest
        parts += (_held_part(subject.held, object_to_world),)
    return HandTruth(
        side=model.side,
        global_orient=orient,
        local_rotations=local,
        translation=translation,
        vertices=vertices,
        keypoints=posed.keypoints[0].double().numpy(),
        surface=surface,
        faces=tessellation.faces,
        parts=parts,
        object_to_world=object_to_world,
    )


def _held_part(held: HeldObject, object_to_world: Float[np.ndarray, "4 4"]) -> Part:
    count = len(held.vertices)
    placed = held.vertices @ object_to_world[:3, :3].T + object_to_world[:3, 3]
    return Part(placed, held.faces, held.vertices, np.zeros((count, 5)), np.zeros(count), HELD)
