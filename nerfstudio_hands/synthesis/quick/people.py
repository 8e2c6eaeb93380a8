"""People whose hands are drawn by the thousand: a shape and a skin each, looked up once at the vertices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from scipy import sparse

from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.synthesis.anatomy import Anatomy, SkinPoints, read_anatomy
from nerfstudio_hands.synthesis.body import Tessellation, tessellate
from nerfstudio_hands.synthesis.options import OF_THE_SHAPE_SPACE, SubjectOptions
from nerfstudio_hands.synthesis.physique import PersonalHand, personal_hand_of
from nerfstudio_hands.synthesis.skin import MELANIN, Skin

SHAPE_SPREAD = 1.0
"""Standard deviation of the shape coefficients."""

FEW_VERTICES = 1000
"""A hand of fewer vertices is subdivided twice, others once: either leaves edges of about two pixels."""

MOST_MELANIN = 2.4
"""Of the darkest skin, beyond that of the fair tone of `skin`; the palm keeps a part of it."""

SATURATION = (0.65, 1.0)
"""Factor on how far colors of skin are from gray: cameras show them paler than they are in oblique daylight."""

PALM_SHARE = 0.45
"""Share of its melanin that dark skin has on the palm and under the nails."""


@dataclass(frozen=True)
class BodyPlan:
    """What all hands of a model have in common."""

    model: HandModel
    """Of the right hand."""
    anatomy: Anatomy
    body: Tessellation
    faces: Int32[np.ndarray, "F 3"]
    """Of the fine mesh; the first of every four children of a coarse face, see `Tessellation`."""
    coarse: Int32[np.ndarray, "M 3"]
    spread: sparse.csr_matrix
    """To vertices from faces: the sum over the faces around each."""


@dataclass(frozen=True)
class Somebody:
    """A person's right hand; W fine vertices with the forearm's."""

    own: PersonalHand
    rest: Float[np.ndarray, "V 3"]
    shape: Float32[np.ndarray, " K"]
    """The shape coefficients whose surface is nearest to this hand's."""
    albedo: Float32[np.ndarray, "W 3"]
    gloss: Float32[np.ndarray, "W 2"]
    """Roughness and reflectance."""
    lift: Float32[np.ndarray, "W"]
    """Meters by which relief raises the skin."""


@lru_cache(maxsize=4)
def body_plan(source: str) -> BodyPlan:
    """Of a hand model: `default`, or a file or folder as of `load_hand`."""
    model = load_hand(source, "right")
    anatomy = read_anatomy(model)
    body = tessellate(model, anatomy, 2 if model.num_vertices < FEW_VERTICES else 1)
    faces, coarse = body.faces[-1].astype(np.int32), body.faces[0].astype(np.int32)
    spread = faces_to_vertices(faces, len(body.points.dorsal))
    return BodyPlan(model, anatomy, body, faces, coarse, spread)


def faces_to_vertices(faces: Int32[np.ndarray, "F 3"], num_vertices: int) -> sparse.csr_matrix:
    """Sums values of the faces around each vertex."""
    ends = np.arange(0, faces.size + 1, 3)
    ones = np.ones(faces.size, np.float32)
    return sparse.csc_matrix((ones, faces.ravel(), ends), shape=(num_vertices, len(faces))).tocsr()  # pyright: ignore[reportReturnType]


@lru_cache(maxsize=256)
def somebody(source: str, seed: int, of_the_shape_space: bool = False) -> Somebody:
    """The person of a seed, with hands of a model (see `body_plan`), or of exactly its shape space."""
    plan = body_plan(source)
    rng = np.random.default_rng([seed, 31])
    shape = torch.from_numpy(SHAPE_SPREAD * rng.standard_normal(plan.model.num_shape)).float()
    physique = _physique(rng)
    own = personal_hand_of(plan.model, shape, OF_THE_SHAPE_SPACE if of_the_shape_space else physique, seed)
    skin, points = Skin(plan.anatomy, seed), plan.body.points
    material = skin.material(points)
    albedo = _of_complexion(material.albedo, points, rng)
    gloss = np.stack([material.roughness * rng.uniform(0.75, 1.1), material.reflectance * rng.uniform(0.8, 1.6)], 1)
    lift = skin.relief(points) + skin.fine_relief(points)
    nearest = shape.numpy() if of_the_shape_space else _nearest_shape(plan.model, own)
    numbers = (np.ascontiguousarray(part, np.float32) for part in (albedo, gloss, lift))
    return Somebody(own, own.rest.double().numpy(), nearest, *numbers)


@lru_cache(maxsize=256)
def drawn_albedo(source: str, seed: int) -> Float[np.ndarray, "V 3"]:
    """Linear albedo at the vertices of a hand model of one more person, read-only; see `body_plan`."""
    plan = body_plan(source)
    count, points = plan.model.num_vertices, plan.body.points
    own = SkinPoints(points.position[:count], points.finger[:count], points.dorsal[:count])
    albedo = _of_complexion(Skin(plan.anatomy, seed).material(own).albedo, own, np.random.default_rng([seed, 32]))
    albedo.setflags(write=False)
    return albedo


def _of_complexion(
    albedo: Float[np.ndarray, "N 3"], points: SkinPoints, rng: np.random.Generator
) -> Float[np.ndarray, "N 3"]:
    albedo = albedo * _complexion(points, rng)
    gray = albedo.mean(1, keepdims=True)
    return gray + rng.uniform(*SATURATION) * (albedo - gray)


def _physique(rng: np.random.Generator) -> SubjectOptions:
    """What the shape space lacks, within its options' ranges."""

    def factor(spread: float) -> float:
        return float(np.exp(np.clip(rng.normal(0, spread), -2.5 * spread, 2.5 * spread)))

    return SubjectOptions(
        finger_thickness=factor(0.09),
        palm_thickness=factor(0.08),
        finger_length=factor(0.05),
        finger_variation=0.025,
        wrist_width=factor(0.07),
        nail_length=float(rng.choice([0.0, rng.uniform(0, 2), rng.uniform(2, 8)], p=[0.5, 0.35, 0.15])),
        skin_displacement=float(rng.uniform(0, 0.5)),
    )


def _complexion(points: SkinPoints, rng: np.random.Generator) -> Float[np.ndarray, "N 3"]:
    """Factor on the albedo: from fair to dark, ruddy or sallow; palms keep lighter."""
    palm = np.clip(0.5 - 0.7 * points.dorsal, 0, 1)
    amount = MOST_MELANIN * rng.beta(0.7, 1.9) * (1 - (1 - PALM_SHARE) * palm)
    ruddy = rng.normal(0, 0.16) * np.array([0.16, 0.85, 0.72])
    return np.exp(-amount[:, None] * MELANIN - ruddy + rng.normal(0, 0.1))


def _nearest_shape(model: HandModel, own: PersonalHand) -> Float32[np.ndarray, " K"]:
    """Least squares over the rest vertices, with a slight pull to the mean."""
    directions = model.shape_dirs.flatten(0, 1).double()
    offset = (own.rest - model.template).flatten().double()
    ridge = 1e-6 * len(model.template)
    normal = directions.T @ directions + ridge * torch.eye(model.num_shape).double()
    return torch.linalg.solve(normal, directions.T @ offset).float().numpy()
