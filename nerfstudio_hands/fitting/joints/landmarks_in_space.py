"""Landmarks of pictures in space, and how well each is known there: triangulated where two cameras see a hand, else
lifted out of the one picture by the form that the detector gives the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.joints.joint_track import ANNOTATION_METERS
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, JointTerms, joint_terms
from nerfstudio_hands.fitting.joints.triangulate import Triangulation, triangulate
from nerfstudio_hands.transforms.projection import corrected_extrinsics

SIDEWAYS_METERS = 0.004
"""Error of a landmark across its ray."""

DEPTH_METERS = 0.015
"""Error, along its ray, of a landmark that one picture shows, beside that of the whole hand."""


@dataclass
class LandmarksInSpace:
    """Landmarks in the world, and what they were made of; T frames, H hands, C cameras.

    Attributes:
        terms: Rays of the detections, and the points, held to as far as they are known along the rays.
        precision: How well each point is known, in directions, for `fit_joint_track`.
        triangulation: What the cameras agree on.
    """

    terms: JointTerms
    precision: Float[Tensor, "T H 21 3 3"]
    triangulation: Triangulation

    @property
    def points(self) -> Float[Tensor, "T H 21 3"]:
        """World frame, metres; NaN where a hand was not seen."""
        return torch.where(self.terms.point_weights[..., None] > 0, self.terms.points, torch.nan).double()

    def with_frames(self, others: LandmarksInSpace, frames: Sequence[int]) -> LandmarksInSpace:
        """The frames of both, which are these, in order of time; cameras are as the first has them."""
        return LandmarksInSpace(
            self.terms.with_frames(others.terms, frames),
            torch.cat([self.precision, others.precision])[np.argsort(frames)],
            self.triangulation.with_frames(others.triangulation, frames),
        )


def landmarks_in_space(
    seen: Capture, sides: Sequence[int], rotation: Float[Tensor, "C 3"] | None, *, refine_rotations: bool
) -> LandmarksInSpace:
    """Where the landmarks of a capture lie.

    Args:
        seen: With the cameras that take part only.
        sides: Indices of the sides asked for.
        rotation: Corrections of the cameras, where they are known.
        refine_rotations: Whether cameras may be turned where they are not.
    """
    intrinsics = torch.from_numpy(np.stack([camera.intrinsics for camera in seen.cameras]))
    extrinsics = torch.from_numpy(np.stack([camera.world_to_camera for camera in seen.cameras]))
    detections = torch.from_numpy(seen.detections[:, :, list(sides)])
    known = torch.zeros(len(intrinsics), 3, dtype=torch.float64) if rotation is None else rotation.double()
    found = triangulate(
        detections, intrinsics, corrected_extrinsics(extrinsics, known), refine_rotations=refine_rotations
    )
    if rotation is not None:
        found.rotation = known
    terms = joint_terms(detections, intrinsics, extrinsics, found)
    corrected = corrected_extrinsics(extrinsics, found.rotation)
    information = _information(terms, corrected)
    if seen.metric_landmarks is not None:
        metric = torch.from_numpy(seen.metric_landmarks[:, :, list(sides)])
        _lift(terms, information, detections, metric, intrinsics, corrected)
    return LandmarksInSpace(terms, ANNOTATION_METERS * _root(information), found)


def _information(terms: JointTerms, extrinsics: Float[Tensor, "C 4 4"]) -> Float[Tensor, "T H 21 3 3"]:
    """Of triangulated points: each camera tells of what lies across its ray."""
    rays = torch.einsum("cji,tchkj->tchki", extrinsics[:, :3, :3], terms.rays.double())
    across = torch.eye(3, dtype=torch.float64) - rays[..., :, None] * rays[..., None, :]
    weight = (terms.ray_weights > 0).double() / SIDEWAYS_METERS**2
    return (across * weight[..., None, None]).sum(1)


def _lift(
    terms: JointTerms,
    information: Float[Tensor, "T H 21 3 3"],
    detections: Float[Tensor, "T C H 21 2"],
    metric: Float[Tensor, "T C H 21 3"],
    intrinsics: Float[Tensor, "C 3 3"],
    extrinsics: Float[Tensor, "C 4 4"],
) -> None:
    """Fills in the hands that no two cameras agree on, each from the first camera that says how it is formed."""
    missing = terms.point_weights.sum(-1) < MIN_JOINTS
    told = (torch.isfinite(metric).all(-1) & torch.isfinite(detections).all(-1)).all(-1)
    for t, h in (missing & told.any(1)).nonzero().tolist():
        c = int(told[t, :, h].int().argmax())
        points, ray = lifted(detections[t, c, h], metric[t, c, h], intrinsics[c])
        rotation, translation = extrinsics[c, :3, :3], extrinsics[c, :3, 3]
        terms.points[t, h] = ((points - translation) @ rotation).float()
        terms.point_weights[t, h] = 1.0
        terms.ray_weights[t, :, h] = 0.0
        terms.ray_weights[t, c, h] = 1.0
        # Along the ray; across it the ray itself says where the landmark lies.
        terms.space_weights[t, h] = (SIDEWAYS_METERS / DEPTH_METERS) ** 2
        along = (ray @ rotation)[..., :, None] * (ray @ rotation)[..., None, :]
        across = torch.eye(3, dtype=torch.float64) - along
        information[t, h] = across / SIDEWAYS_METERS**2 + along / DEPTH_METERS**2


def lifted(
    pixels: Float[Tensor, "21 2"], metric: Float[Tensor, "21 3"], intrinsics: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "21 3"], Float[Tensor, "21 3"]]:
    """Landmarks on their rays, at the depths that make a hand of known form fill its picture.

    The hand's place is that which projects it onto the pixels, by least squares of the linear equations
    `x + t_x = u (z + t_z)` and `y + t_y = v (z + t_z)`.

    Args:
        pixels: Landmarks.
        metric: Their form, camera axes, metres about any centre.
        intrinsics: K, pixels.

    Returns:
        Points in camera axes, metres, and the unit rays that they lie on.
    """
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[:, :1])], -1)
    normalized = homogeneous @ torch.linalg.inv(intrinsics).T
    ones, zeros = torch.ones(21, dtype=torch.float64), torch.zeros(21, dtype=torch.float64)
    u, v = normalized[:, 0], normalized[:, 1]
    matrix = torch.cat([torch.stack([ones, zeros, -u], -1), torch.stack([zeros, ones, -v], -1)])
    right = torch.cat([u * metric[:, 2] - metric[:, 0], v * metric[:, 2] - metric[:, 1]])
    depth = metric[:, 2] + torch.linalg.lstsq(matrix, right[:, None]).solution[2]
    return normalized * depth[:, None], normalized / normalized.norm(dim=-1, keepdim=True)


def _root(information: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    values, vectors = torch.linalg.eigh(information)
    return (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mT
