"""Pose, shape and placement of the hand model from triangulated joints and 2D detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.fitting.joints.triangulate import Triangulation
from nerfstudio_hands.fitting.variables import Variables, geman_mcclure, in_order, minimize
from nerfstudio_hands.hand_model import HandSurface, SurfacePose
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.hand_model.joints import JOINT_NAMES, MANO_TO_JOINTS, TIP_JOINTS
from nerfstudio_hands.transforms.projection import corrected_extrinsics
from nerfstudio_hands.transforms.rotations import rigid_registration, rotation_vector, weighted_mean

# The bone that carries each of the 21 joints; a fingertip goes with the last bone of its finger.
JOINT_BONES = [MANO_TO_JOINTS.index(joint - 1 if joint in TIP_JOINTS else joint) for joint in range(len(JOINT_NAMES))]
# Joints that hardly move against each other: wrist and the first joints of the four fingers.
PALM = (0, 5, 9, 13, 17)
# Detected joints scatter by about this much around the heads of the bones.
DETECTION_METERS = 0.006
# A hand with fewer triangulated joints than this in a frame is taken as not seen.
MIN_JOINTS = 12
# A detector's landmarks are drawn on the skin; heads of bones lie inside, and a wrist or a knuckle is where a person
# says it is.
LANDMARK_OFFSET_METERS = 0.006
SHAPE_PRIOR = 2.0
# Radians; wide, because most of what a hand may do is for the joint limits to say.
USUAL_RADIANS = 0.7
# The same of flexion, spread and twist where one picture shows a hand, as parts of half the range of the limits: depth,
# of which it says little, fingers that spread and twist would explain, and a fist is not to be pulled open.
USUAL_OF_RANGE = (1.5, 0.6, 0.6)
# Softness of the joint limits.
LIMIT_RADIANS = 0.07


@dataclass
class JointTerms:
    """Measurements that the joints of the model are held against.

    Attributes:
        points: Triangulated joints, world, zero where absent.
        point_weights: 1 where a joint was triangulated.
        rays: Unit rays in camera axes through detections.
        ray_weights: Worth of each detection, divided by the number of cameras that saw the joint.
        space_weights: Worth of points that were measured in space and not triangulated from the detections.
        world_to_camera: As calibrated.
    """

    points: Float[Tensor, "T H 21 3"]
    point_weights: Float[Tensor, "T H 21"]
    rays: Float[Tensor, "T C H 21 3"]
    ray_weights: Float[Tensor, "T C H 21"]
    space_weights: Float[Tensor, "T H 21"]
    world_to_camera: Float[Tensor, "C 4 4"]

    @property
    def lifted(self) -> bool:
        """Whether every point was lifted out of one picture, so that its depth is hardly known."""
        known = self.space_weights[self.point_weights > 0]
        return len(known) > 0 and bool(((known > 0) & (known < 1)).all())

    def at(self, frames: Sequence[int]) -> JointTerms:
        """The measurements of some frames."""
        chosen = list(frames)
        return JointTerms(
            self.points[chosen],
            self.point_weights[chosen],
            self.rays[chosen],
            self.ray_weights[chosen],
            self.space_weights[chosen],
            self.world_to_camera,
        )

    def with_frames(self, others: JointTerms, frames: Sequence[int]) -> JointTerms:
        """The measurements of both, of these frames, in order of time."""
        return replace(self, **in_order(self, others, frames, OF_FRAMES))


OF_FRAMES = ("points", "point_weights", "rays", "ray_weights", "space_weights")
"""Fields of `JointTerms` with a leading axis of frames."""


def joint_terms(
    detections: Float[Tensor, "T C H 21 2"],
    intrinsics: Float[Tensor, "C 3 3"],
    world_to_camera: Float[Tensor, "C 4 4"],
    triangulation: Triangulation,
) -> JointTerms:
    """Prepares measurements in float32.

    Args:
        detections: Pixels, NaN where absent.
        intrinsics: K, pixels.
        world_to_camera: Extrinsics as calibrated.
        triangulation: Of the same detections.
    """
    homogeneous = torch.cat([detections, torch.ones_like(detections[..., :1])], -1).double()
    rays = torch.einsum("cij,tchkj->tchki", torch.linalg.inv(intrinsics.double()), homogeneous)
    rays = rays / rays.norm(dim=-1, keepdim=True)
    weights = triangulation.weights
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1.0)
    finite = torch.isfinite(triangulation.points).all(-1)
    return JointTerms(
        points=triangulation.points.nan_to_num(0.0).float(),
        point_weights=finite.float(),
        rays=rays.nan_to_num(0.0).float(),
        ray_weights=weights.float(),
        space_weights=torch.zeros_like(finite, dtype=torch.float32),
        world_to_camera=world_to_camera.float(),
    )


def space_terms(joints: Float[Tensor, "T H 21 3"], world_to_camera: Float[Tensor, "C 4 4"]) -> JointTerms:
    """Prepares joints that were measured in space, in float32.

    Args:
        joints: World frame, metres, NaN where absent.
        world_to_camera: Extrinsics as calibrated.
    """
    finite = torch.isfinite(joints).all(-1).float()
    frames, hands, cameras = *joints.shape[:2], len(world_to_camera)
    return JointTerms(
        points=joints.nan_to_num(0.0).float(),
        point_weights=finite,
        rays=torch.zeros(frames, cameras, hands, 21, 3),
        ray_weights=torch.zeros(frames, cameras, hands, 21),
        space_weights=finite,
        world_to_camera=world_to_camera.float(),
    )


def fit_joints(
    surface: HandSurface,
    terms: JointTerms,
    camera_rotation: Float[Tensor, "C 3"],
    *,
    known: Variables | None = None,
) -> Variables:
    """Fits the hands to joints, from nothing.

    Placement comes from the palm by Procrustes; then pose to the 3D joints; then pose and shape to the detections
    themselves, which weigh depth and sideways errors as the cameras do.

    Args:
        surface: The hands to fit, as many as the terms have.
        terms: Measurements.
        camera_rotation: Corrections of the cameras that the triangulation found, kept.
        known: A fit of other frames whose shape, displacement and places of landmarks are taken over and kept.
    """
    valid = terms.point_weights.sum(-1) >= MIN_JOINTS
    frames, hands = valid.shape
    count = surface.hands[0].shape_dirs.shape[-1]
    zeros = torch.zeros(frames, hands, 3)
    start = Variables(
        zeros,
        torch.zeros(frames, hands, 15, 3),
        zeros,
        torch.zeros(count) if known is None else known.shape,
        torch.zeros(len(surface.vertex_side), 3) if known is None else known.displacement,
        camera_rotation.float(),
        torch.zeros(len(camera_rotation)) if known is None else known.camera_zoom,
        torch.zeros(21, 3) if known is None else known.landmark_offset,
        valid,
    )
    variables = _place(surface, terms, start)
    prior = PosePrior.of(surface)

    def to_points(v: Variables) -> Tensor:
        squared = (
            (landmarks(surface, surface.pose(v.pose, v.shape, None), v.landmark_offset) - terms.points) ** 2
        ).sum(-1) / DETECTION_METERS**2
        # The loose scale (5 times) keeps far joints pulling while the hand is still flat.
        return (terms.point_weights * valid[..., None] * 25 * geman_mcclure(squared / 25)).sum() + prior.loss(v)

    def to_detections(v: Variables) -> Tensor:
        found = landmarks(surface, surface.pose(v.pose, v.shape, None), v.landmark_offset)
        return joint_loss(found, terms, v) + prior.loss(v)

    pose = ("global_orient", "translation", "local_rotations")
    variables = minimize(to_points, variables, pose, iterations=80)
    if known is not None:
        return minimize(to_detections, variables, pose, iterations=80)
    variables = minimize(to_points, variables, (*pose, "shape"), iterations=60)
    return minimize(to_detections, variables, (*pose, "shape", "landmark_offset"), iterations=80)


def landmarks(surface: HandSurface, posed: SurfacePose, offset: Float[Tensor, "21 3"]) -> Float[Tensor, "T H 21 3"]:
    """Where a detector should see the joints of posed hands, world frame, metres.

    Args:
        surface: The hands.
        posed: Their poses.
        offset: `Variables.landmark_offset`.
    """
    shifts = [landmark_shift(posed.bone_transforms[:, hand], offset, side) for hand, side in enumerate(surface.sides)]
    return posed.keypoints + torch.stack(shifts, 1)


def landmark_shift(
    bone_transforms: Float[Tensor, "*B 16 4 4"], offset: Float[Tensor, "21 3"], side: str
) -> Float[Tensor, "*B 21 3"]:
    """Offsets of landmarks from joints as the bones of a posed hand carry them, world frame, metres."""
    mirror = offset.new_tensor([1.0 if side == "right" else -1.0, 1.0, 1.0])
    return (bone_transforms[..., JOINT_BONES, :3, :3] @ (mirror * offset)[..., None])[..., 0]


def joint_loss(joints: Float[Tensor, "T H 21 3"], terms: JointTerms, variables: Variables) -> Tensor:
    """Robust reprojection error of the hands' landmarks, in units of the scatter of detections, at each joint's
    depth."""
    extrinsics = corrected_extrinsics(terms.world_to_camera, variables.camera_rotation)
    camera = torch.einsum("cij,thkj->tchki", extrinsics[:, :3, :3], joints) + extrinsics[:, None, None, :3, 3]
    along = (camera * terms.rays).sum(-1, keepdim=True)
    squared = ((camera - along * terms.rays) ** 2).sum(-1) / DETECTION_METERS**2
    return (terms.ray_weights * variables.valid[:, None, :, None] * 9 * geman_mcclure(squared / 9)).sum()


@dataclass
class PosePrior:
    """What hands do not do.

    Attributes:
        axes: Axes of flexion, spread and twist of each hand's joints.
        limits: Lowest and highest of these angles, radians.
        usual: Standard deviations of these angles, radians.
    """

    axes: Float[Tensor, "H 15 3 3"]
    limits: Float[Tensor, "H 15 3 2"]
    usual: Float[Tensor, "H 15 3"]

    @staticmethod
    def of(surface: HandSurface, *, lifted: bool = False) -> PosePrior:
        """The prior of the hands of a surface.

        Args:
            surface: The hands.
            lifted: Whether their joints are known from one picture each, see `JointTerms.lifted`.
        """
        limits = torch.stack([joint_limits(hand) for hand in surface.hands])
        half = (limits[..., 1] - limits[..., 0]) / 2
        usual = half * half.new_tensor(USUAL_OF_RANGE) if lifted else torch.full_like(half, USUAL_RADIANS)
        return PosePrior(torch.stack([joint_axes(hand) for hand in surface.hands]), limits, usual)

    def loss(self, variables: Variables) -> Tensor:
        """Cost of rotations beyond the joint limits, of uncommon rotations and of uncommon shapes."""
        angles = torch.stack(
            [
                rotations_to_angles(self.axes[hand], variables.local_rotations[:, hand])
                for hand in range(len(self.axes))
            ],
            1,
        )
        beyond = (angles - self.limits[..., 1]).relu() + (self.limits[..., 0] - angles).relu()
        loss = (beyond / LIMIT_RADIANS) ** 2 + (angles / self.usual) ** 2
        loss = (loss * variables.valid[..., None, None]).sum()
        loss = loss + ((variables.landmark_offset / LANDMARK_OFFSET_METERS) ** 2).sum()
        return loss + SHAPE_PRIOR * (variables.shape**2).sum()


def _place(surface: HandSurface, terms: JointTerms, start: Variables) -> Variables:
    """Rotation and translation that lay each resting palm on the triangulated one."""
    everywhere = start.pose
    everywhere.valid = torch.ones_like(start.valid)
    rest = surface.pose(everywhere, start.shape, None).keypoints
    palm = list(PALM)
    weights = terms.point_weights[..., palm]
    # A frame that lacks palm joints starts from all the joints it has.
    few = weights.sum(-1, keepdim=True) < 3
    weights = torch.where(few, terms.point_weights, _scatter(weights, palm))  # pyright: ignore[reportArgumentType]
    rotation, _ = rigid_registration(rest, terms.points, weights)
    source_mean, target_mean = (weighted_mean(points, weights)[..., None, :] for points in (rest, terms.points))
    # The orientation turns about the root joint, which is the wrist keypoint.
    root = rest[..., :1, :]
    translation = target_mean - ((source_mean - root) @ rotation.mT + root)
    return Variables(
        rotation_vector(rotation),
        start.local_rotations,
        translation[..., 0, :],
        start.shape,
        start.displacement,
        start.camera_rotation,
        start.camera_zoom,
        start.landmark_offset,
        start.valid,
    )


def _scatter(weights: Tensor, palm: list[int]) -> Tensor:
    full = weights.new_zeros(*weights.shape[:-1], 21)
    full[..., palm] = weights
    return full
