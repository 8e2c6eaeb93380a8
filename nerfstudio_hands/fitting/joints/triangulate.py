"""Robust triangulation of hand joints from 2D detections in many calibrated views.

All errors are measured in metres at the depth of the joint (pixels times depth over focal length), so that the same
thresholds serve every image size and focal length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.fitting.variables import in_order
from nerfstudio_hands.transforms.projection import corrected_extrinsics, project

# A 2D detector is right to within about 6 mm on a hand; a hand given to the wrong side or made up misses by far more.
INLIER_METERS = 0.010
HAND_OUTLIER_METERS = 0.045
HAND_OUTLIER_METERS_AFTER_ROTATION = 0.015
# Two rays that meet at less than this angle say nothing about depth.
MINIMUM_ANGLE_DEGREES = 6.0
MAXIMUM_PAIRS = 200
ROTATION_PRIOR_DEGREES = 1.0
# The 21 joints of one detected hand err together, so a hand is worth about this many independent joints.
INDEPENDENT_JOINTS = 4.0
# A correction below this is noise of the detector, and the calibration is trusted more.
MIN_ROTATION_DEGREES = 0.3


@dataclass
class Triangulation:
    """Joints in space and what each camera's detections were worth.

    Attributes:
        points: World frame, metres; NaN where fewer than two views agree.
        weights: 0 (ignored) to 1, of each detection; 0 where there was none.
        errors: Reprojection errors in pixels against the corrected cameras; NaN where there was no detection.
        rotation: Axis-angle corrections of the cameras (`X_cam' = R(rotation) @ X_cam`), radians; zero where the
            calibration was good enough.
        hand_inlier: Whether the detection of a whole hand agrees with the others.
    """

    points: Float[Tensor, "T H 21 3"]
    weights: Float[Tensor, "T C H 21"]
    errors: Float[Tensor, "T C H 21"]
    rotation: Float[Tensor, "C 3"]
    hand_inlier: Float[Tensor, "T C H"]

    def with_frames(self, others: Triangulation, frames: Sequence[int]) -> Triangulation:
        """What was found in both, in these frames, in order of time; cameras are turned as the first says."""
        return replace(self, **in_order(self, others, frames, ("points", "weights", "errors", "hand_inlier")))


def triangulate(
    detections: Float[Tensor, "T C H 21 2"],
    intrinsics: Float[Tensor, "C 3 3"],
    world_to_camera: Float[Tensor, "C 4 4"],
    *,
    refine_rotations: bool = True,
    rounds: int = 8,
) -> Triangulation:
    """Finds joints that most views agree on, and optionally the cameras that are turned against the others.

    Each hand of each frame starts from the pair of cameras whose joints explain the other views best (RANSAC over
    whole hands); then joints (iteratively reweighted least squares on ray distances, Geman-McClure weights) and
    camera rotations (small-angle least squares with a prior at zero) take turns.

    Args:
        detections: Pixels, NaN where absent.
        intrinsics: K, pixels.
        world_to_camera: Extrinsics as calibrated.
        refine_rotations: Whether cameras may be turned.
        rounds: How often joints and rotations take turns.
    """
    detections, intrinsics, world_to_camera = (x.double() for x in (detections, intrinsics, world_to_camera))
    rays = _camera_rays(detections, intrinsics)
    present = torch.isfinite(rays).all(-1)
    rays = rays.nan_to_num(0.0)
    rotation = torch.zeros(len(intrinsics), 3, dtype=torch.float64)

    points = _best_pairs(rays, present, world_to_camera)
    limit = HAND_OUTLIER_METERS
    for index in range(rounds if refine_rotations else 2):
        extrinsics = corrected_extrinsics(world_to_camera, rotation)
        points, weights, inlier = _reweighted_points(points, rays, present, extrinsics, limit)
        if refine_rotations:
            rotation = _camera_rotations(points, weights, rays, world_to_camera)
            if index >= rounds - 3:
                # Late, so that the joints settle against the corrections that stay.
                small = rotation.norm(dim=-1) < np.deg2rad(MIN_ROTATION_DEGREES)
                rotation = torch.where(small[:, None], 0.0, rotation)
            limit = HAND_OUTLIER_METERS_AFTER_ROTATION if index >= 2 else limit
    extrinsics = corrected_extrinsics(world_to_camera, rotation)
    points, weights, inlier = _reweighted_points(points, rays, present, extrinsics, limit)

    errors = _pixel_errors(points, detections, intrinsics, extrinsics)
    return Triangulation(points, weights, errors, rotation, inlier)


def _camera_rays(detections: Tensor, intrinsics: Tensor) -> Tensor:
    """Unit rays [T,C,H,21,3] in camera axes through detected pixels."""
    homogeneous = torch.cat([detections, torch.ones_like(detections[..., :1])], -1)
    rays = torch.einsum("cij,tchkj->tchki", torch.linalg.inv(intrinsics), homogeneous)
    return rays / rays.norm(dim=-1, keepdim=True)


def _world_rays(rays: Tensor, extrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Camera centers [C,3] and unit rays [T,C,H,21,3] in the world frame."""
    centers = -torch.einsum("cji,cj->ci", extrinsics[:, :3, :3], extrinsics[:, :3, 3])
    return centers, torch.einsum("cji,tchkj->tchki", extrinsics[:, :3, :3], rays)


def _nearest_points(centers: Tensor, rays: Tensor, weights: Tensor) -> Tensor:
    """Points [...,3] with the least weighted squared distance to rays [...,C,3] from centers [C,3]; weights [...,C]."""
    identity = torch.eye(3, dtype=rays.dtype)
    projector = (identity - rays[..., :, None] * rays[..., None, :]) * weights[..., None, None]
    right = (projector @ centers[..., None])[..., 0].sum(-2)
    # A faint pull to the origin keeps the system solvable where no ray takes part; those points are never used.
    return torch.linalg.solve(projector.sum(-3) + 1e-9 * identity, right)


def _ray_errors(points: Tensor, rays: Tensor, extrinsics: Tensor) -> Tensor:
    """Distances [T,C,H,21] in metres between points [T,H,21,3] and camera rays, infinite behind a camera."""
    camera = torch.einsum("cij,thkj->tchki", extrinsics[:, :3, :3], points) + extrinsics[:, None, None, :3, 3]
    along = (camera * rays).sum(-1, keepdim=True)
    distance = (camera - along * rays).norm(dim=-1)
    return torch.where(along[..., 0] > 0, distance, torch.inf)


def _best_pairs(rays: Tensor, present: Tensor, extrinsics: Tensor) -> Tensor:
    """Joints [T,H,21,3] of the camera pair that explains the other views best, per frame and hand; NaN without a
    pair.

    A joint that this pair does not both see comes from the pair that explains the views of that joint best.
    """
    centers, world = _world_rays(rays, extrinsics)
    frames, cameras, hands, joints = present.shape
    best = torch.full((frames, hands), torch.inf, dtype=rays.dtype)
    best_of_joint = torch.full((frames, hands, joints), torch.inf, dtype=rays.dtype)
    points, joint_points = torch.full((2, frames, hands, joints, 3), torch.nan, dtype=rays.dtype)
    seen = torch.zeros(frames, hands, joints, dtype=torch.bool)
    pairs = list(combinations(range(cameras), 2))
    if len(pairs) > MAXIMUM_PAIRS:
        # Seeded, so that a fit is repeatable; hundreds of pairs hit two good views with near certainty.
        chosen = np.random.default_rng(0).choice(len(pairs), MAXIMUM_PAIRS, replace=False)
        pairs = [pairs[i] for i in chosen]
    for pair in pairs:
        index = torch.tensor(pair)
        both = present[:, index].all(1)  # [T,H,21]
        candidate = _nearest_points(
            centers[index], world[:, index].permute(0, 2, 3, 1, 4), both[..., None].expand(*both.shape, 2).to(rays)
        )
        cosine = (world[:, pair[0]] * world[:, pair[1]]).sum(-1)
        usable = both & (cosine < np.cos(np.deg2rad(MINIMUM_ANGLE_DEGREES)))
        errors = _ray_errors(candidate, rays, extrinsics).clamp_max(HAND_OUTLIER_METERS) ** 2
        score_of_joint = torch.where(present, errors, 0.0).sum(1)
        better = usable & (score_of_joint < best_of_joint)
        best_of_joint = torch.where(better, score_of_joint, best_of_joint)
        joint_points = torch.where(better[..., None], candidate, joint_points)
        # A pair that sees few joints must not win by default.
        score = score_of_joint.sum(-1) + (joints - usable.sum(-1)) * cameras * HAND_OUTLIER_METERS**2
        better = (score < best) & (usable.sum(-1) >= joints // 2)
        best = torch.where(better, score, best)
        points = torch.where(better[..., None, None], candidate, points)
        seen = torch.where(better[..., None], usable, seen)
    has_pair = best.isfinite()[..., None]
    return torch.where((seen | ~has_pair)[..., None], points, joint_points)


def _reweighted_points(
    points: Tensor, rays: Tensor, present: Tensor, extrinsics: Tensor, limit: float, iterations: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """Joints [T,H,21,3], weights [T,C,H,21] and whole-hand verdicts [T,C,H] by iteratively reweighted least squares."""
    centers, world = _world_rays(rays, extrinsics)
    for _ in range(iterations):
        errors = torch.where(present, _ray_errors(points, rays, extrinsics), torch.nan)
        inlier = errors.nanmedian(-1).values < limit  # NaN compares false
        # Geman-McClure; the scale follows from what a detector can do.
        weights = 1 / (1 + (errors.nan_to_num(1e3) / INLIER_METERS) ** 2) ** 2
        weights = weights * (present & inlier[..., None])
        enough = (weights > 0.05).sum(1) >= 2
        points = _nearest_points(centers, world.permute(0, 2, 3, 1, 4), weights.permute(0, 2, 3, 1))
        points = torch.where(enough[..., None], points, torch.nan)
    return points, torch.where(enough[:, None], weights, 0.0), inlier


def _camera_rotations(points: Tensor, weights: Tensor, rays: Tensor, world_to_camera: Tensor) -> Tensor:
    """Small-angle corrections [C,3] that turn predicted directions onto detected ones, with a prior at zero."""
    camera = torch.einsum("cij,thkj->tchki", world_to_camera[:, :3, :3], points) + world_to_camera[:, None, None, :3, 3]
    depth = camera.norm(dim=-1, keepdim=True)
    predicted = (camera / depth).nan_to_num(0.0)
    precision = (weights * (depth[..., 0] / INLIER_METERS) ** 2).nan_to_num(0.0) * (INDEPENDENT_JOINTS / 21)
    prior = torch.eye(3, dtype=rays.dtype) / np.deg2rad(ROTATION_PRIOR_DEGREES) ** 2
    # predicted + omega x predicted = detected, with omega x p = -[p]x omega, and [p]x^T [p]x = I - p p^T for unit p.
    normal = torch.eye(3, dtype=rays.dtype) - predicted[..., :, None] * predicted[..., None, :]
    matrix = (normal * precision[..., None, None]).sum((0, 2, 3)) + prior
    right = (torch.cross(predicted, rays, dim=-1) * precision[..., None]).sum((0, 2, 3))
    return torch.linalg.solve(matrix, right)


def _pixel_errors(points: Tensor, detections: Tensor, intrinsics: Tensor, extrinsics: Tensor) -> Tensor:
    """Reprojection errors [T,C,H,21] in pixels."""
    pixels, _ = project(points[:, None], intrinsics[:, None, None], extrinsics[:, None, None])
    return (pixels - detections).norm(dim=-1)
