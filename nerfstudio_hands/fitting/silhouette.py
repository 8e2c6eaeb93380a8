"""Refinement of fitted hands, and of camera rotations, on the outlines of masks.

Outlines are matched as in iterated closest point: occluding contours of the posed mesh against the boundary of the mask, both
ways, by position and normal; then everything moves at once to bring matched points onto each other's tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fitting.outline import MaskOutline, OutlineMesh, match_outlines, projected_outline
from nerfstudio_hands.fitting.pose_fit import JointTerms, PosePrior, joint_loss, landmarks
from nerfstudio_hands.fitting.projection import corrected_extrinsics
from nerfstudio_hands.fitting.variables import Variables, geman_mcclure, minimise
from nerfstudio_hands.geometry.mesh import laplacian, vertex_normals
from nerfstudio_hands.hand_model import HandSurface

# Scatter of mask boundaries at the depth of the hand.
OUTLINE_METRES = 0.0008
# A stretch of outline this long counts as one independent measurement.
CORRELATION_METRES = 0.004
# Landmarks lie beside the heads of bones, so joints give way to outlines.
JOINT_WEIGHT = 1.0
CAMERA_PRIOR_RADIANS = np.deg2rad(0.35)
DISPLACEMENT_METRES = 0.004
# Scatter of the difference between a vertex's displacement and its neighbours' mean.
ROUGHNESS_METRES = 0.0001
SMOOTHING = 20.0
MANO_MIDDLE = 4
# Share of the way from the wrist to the middle knuckle up to which the surface bends with the forearm.
FOREARM_END = 0.0


@dataclass
class OutlineTarget:
    """The outline of one mask.

    Attributes:
        frame: Index of the frame.
        camera: Index among the cameras of the fit.
        size: Width and height, pixels.
        outline: Full resolution.
        weight: 1 for a good mask.
    """

    frame: int
    camera: int
    size: tuple[int, int]
    outline: MaskOutline
    weight: float


@dataclass
class _Pairs:
    """Matched points of one target: mesh edges with positions on them, and tangent lines in the picture."""

    frame: int
    camera: int
    ends: Int[Tensor, "P 2"]
    fraction: Float[Tensor, "P"]
    points: Float[Tensor, "P 2"]
    normals: Float[Tensor, "P 2"]
    weight: float


@dataclass(frozen=True)
class Round:
    """One matching and the minimisation after it.

    Attributes:
        radius: Largest distance of a match, metres at the depth of the hand.
        scale: Misfit at which a match begins to be taken for an outlier, metres.
        displacement: Whether vertices may move.
    """

    radius: float
    scale: float
    displacement: bool


SCHEDULE = (
    *[Round(0.020, 0.008, False)] * 4,
    *[Round(0.014, 0.005, True)] * 5,
    *[Round(0.010, 0.003, True)] * 5,
    *[Round(0.006, 0.002, True)] * 8,
)


def refine_on_outlines(
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    targets: Sequence[OutlineTarget],
    intrinsics: Float[Tensor, "C 3 3"],
    *,
    refine_cameras: bool,
    schedule: Sequence[Round] = SCHEDULE,
    advance: Callable[[], None] = lambda: None,
) -> Variables:
    """Moves the hands (and turns the cameras) until the outlines of the projected hands meet those of the masks.

    Args:
        surface: The hands.
        terms: Joints, which keep a faint pull, and the calibration.
        variables: A fit to joints, no further than `SCHEDULE[0].radius` off.
        targets: Outlines of the masks that may be trusted.
        intrinsics: K, pixels.
        refine_cameras: Whether camera rotations may change.
        schedule: Rounds of matching.
        advance: Called after every round, for a progress bar.
    """
    mesh = outline_mesh(surface)
    prior = PosePrior.of(surface)
    difference = laplacian(surface.faces, len(surface.vertex_side)).to_dense()
    smoothing = torch.linalg.inv(torch.eye(len(difference)) + SMOOTHING * difference.T @ difference)
    initial_rotation = variables.camera_rotation
    names = ["global_orient", "translation", "local_rotations", "shape", "landmark_offset"] + ["camera_rotation"] * refine_cameras

    for step in schedule:
        pairs = _match(surface, mesh, variables, targets, terms, intrinsics, step.radius)

        def objective(v: Variables, step: Round = step, pairs: list[_Pairs] = pairs) -> Tensor:
            posed = surface.pose(v.pose, v.shape, v.displacement)
            extrinsics = corrected_extrinsics(terms.world_to_camera, v.camera_rotation)
            loss = _outline_loss(posed.vertices, pairs, intrinsics, extrinsics, step.scale)
            loss = loss + JOINT_WEIGHT * joint_loss(landmarks(surface, posed, v.landmark_offset), terms, v) + prior.loss(v)
            if refine_cameras:
                loss = loss + (((v.camera_rotation - 0.5 * initial_rotation) / CAMERA_PRIOR_RADIANS) ** 2).sum()
            if step.displacement:
                loss = loss + ((v.displacement / DISPLACEMENT_METRES) ** 2).mean() * 100
                loss = loss + ((difference @ v.displacement / ROUGHNESS_METRES) ** 2).mean() * 100
            return loss

        moving = names + ["displacement"] * step.displacement
        variables = minimise(objective, variables, moving, iterations=30, smoothing=smoothing)
        advance()
    return variables


def outline_mesh(surface: HandSurface) -> OutlineMesh:
    """The closed surface with the stub of forearm marked as no hand.

    What lies behind the wrist turns with the forearm in a picture, but with the hand in a model without a forearm: there
    outlines say nothing.
    """
    is_hand = []
    for model in surface.hands:
        joints = model.joint_regressor @ model.template
        along = joints[MANO_MIDDLE] - joints[0]
        position = (model.template - joints[0]) @ along / (along @ along)
        is_hand.append(position > FOREARM_END)
    return OutlineMesh.from_faces(surface.faces.numpy(), surface.closing_faces.numpy(), torch.cat(is_hand).numpy())


def outline_at(
    mesh: OutlineMesh,
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    intrinsics: Float[Tensor, "3 3"],
    world_to_camera: Float[Tensor, "4 4"],
    size: tuple[int, int],
    *,
    spacing: float = 2.0,
):
    """`projected_outline` of tensors."""
    arrays = (x.detach().double().cpu().numpy() for x in (vertices, normals, intrinsics, world_to_camera))
    return projected_outline(mesh, *arrays, size, spacing=spacing)


def _match(
    surface: HandSurface,
    mesh: OutlineMesh,
    variables: Variables,
    targets: Sequence[OutlineTarget],
    terms: JointTerms,
    intrinsics: Tensor,
    radius: float,
) -> list[_Pairs]:
    vertices = surface.pose(variables.pose, variables.shape, variables.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    extrinsics = corrected_extrinsics(terms.world_to_camera, variables.camera_rotation)
    result = []
    for target in targets:
        camera, outline = target.camera, target.outline
        projected = outline_at(
            mesh, vertices[target.frame], normals[target.frame], intrinsics[camera], extrinsics[camera], target.size
        )
        if not len(projected.points) or not len(outline.points):
            continue
        pixels = radius / _metres_per_pixel(vertices[target.frame], intrinsics[camera], extrinsics[camera])
        forward = match_outlines(projected.points, projected.normals, outline.points, outline.normals, radius=pixels)
        there = np.flatnonzero((forward >= 0) & projected.is_hand)
        # Every second point of the mask, which is as dense as the projected ones.
        sampled = np.arange(0, len(outline.points), 2)
        backward = match_outlines(
            outline.points[sampled], outline.normals[sampled], projected.points, projected.normals, radius=pixels
        )
        kept = (backward >= 0) & projected.is_hand[backward]
        mesh_side = np.concatenate([there, backward[kept]])
        mask_side = np.concatenate([forward[there], sampled[kept]])
        result.append(
            _Pairs(
                frame=target.frame,
                camera=camera,
                ends=torch.from_numpy(projected.ends[mesh_side]),
                fraction=torch.from_numpy(projected.fraction[mesh_side]).float(),
                points=torch.from_numpy(outline.points[mask_side]).float(),
                normals=torch.from_numpy(outline.normals[mask_side]).float(),
                weight=target.weight,
            )
        )
    return result


def _metres_per_pixel(vertices: Tensor, intrinsics: Tensor, world_to_camera: Tensor) -> float:
    """At the mean depth of the vertices in front of the camera."""
    depth = vertices @ world_to_camera[2, :3] + world_to_camera[2, 3]
    depth = depth[(depth > 0.05) & (depth < 50)]
    return float(depth.mean() / intrinsics[0, 0]) if len(depth) else 1.0


def _outline_loss(
    vertices: Float[Tensor, "T V 3"],
    pairs: Sequence[_Pairs],
    intrinsics: Float[Tensor, "C 3 3"],
    extrinsics: Float[Tensor, "C 4 4"],
    scale: float,
) -> Tensor:
    """Robust point-to-tangent distances; a stretch of outline counts by its length, whatever its sampling."""
    loss = vertices.new_zeros(())
    for pair in pairs:
        first, second = vertices[pair.frame][pair.ends].unbind(1)
        points = first + pair.fraction[:, None] * (second - first)
        rotation, translation = extrinsics[pair.camera, :3, :3], extrinsics[pair.camera, :3, 3]
        camera = points @ rotation.T + translation
        pixels = camera @ intrinsics[pair.camera].T
        pixels = pixels[:, :2] / pixels[:, 2:].clamp_min(1e-3)
        metres_per_pixel = (camera[:, 2] / intrinsics[pair.camera, 0, 0]).detach()
        misfit = ((pixels - pair.points) * pair.normals).sum(-1) * metres_per_pixel
        # Both directions of matching together sample the outline about every pixel.
        worth = pair.weight * metres_per_pixel / CORRELATION_METRES
        loss = loss + (worth * geman_mcclure((misfit / scale) ** 2)).sum() * min(scale / OUTLINE_METRES, 3.0) ** 2
    return loss
