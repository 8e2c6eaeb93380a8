"""Refinement of fitted hands, and of camera rotations, on the outlines of masks.

Outlines are matched as in iterated closest point: occluding contours of the posed mesh against the boundary of the
mask, both ways, by position and normal; then everything moves at once to bring matched points onto each other's
tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.fitting.joints.pose_fit import JointTerms
from nerfstudio_hands.fitting.silhouettes.contours import (
    MaskBoundary,
    SilhouetteMesh,
    match_contours,
    projected_silhouette,
)
from nerfstudio_hands.fitting.silhouettes.gauss_newton import WORKERS, Modes, Pairs, Problem, Weights
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.transforms.projection import corrected_extrinsics, zoomed_intrinsics

# Landmarks lie beside the heads of bones, so joints give way to outlines.
JOINT_WEIGHT = 1.0
# Of fewer cameras none knows the hand's size from the others so well that it can say how long its own lens is.
CAMERAS_TO_ZOOM = 5
# Gauss-Newton steps a matching.
STEPS = 2


@dataclass
class BoundaryTarget:
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
    outline: MaskBoundary
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


PLACING = (*[Round(0.020, 0.008, False)] * 4, *[Round(0.014, 0.005, True)] * 4)
"""Rounds from joints to within a few pixels, for masks as they are."""

SHAPING = (*[Round(0.008, 0.004, True)] * 6,)
"""Rounds after the first segmentation."""

FINISHING = (*[Round(0.005, 0.003, True)] * 8,)
"""Rounds after the second segmentation."""


def refine_on_boundaries(
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    targets: Sequence[BoundaryTarget],
    intrinsics: Float[Tensor, "C 3 3"],
    modes: Modes,
    *,
    refine_cameras: bool,
    refine_landmarks: bool = True,
    shared: bool = True,
    schedule: Sequence[Round],
    advance: Callable[[], None] = lambda: None,
) -> Variables:
    """Moves the hands (and turns the cameras) until the outlines of the projected hands meet those of the masks.

    Args:
        surface: The hands.
        terms: Joints, which keep a faint pull, and the calibration.
        variables: A fit to joints, no further than the first radius off.
        targets: Outlines of the masks that may be trusted.
        intrinsics: K, pixels.
        modes: Smooth displacements of the hands.
        refine_cameras: Whether camera rotations may change.
        refine_landmarks: Whether the places of landmarks may change.
        shared: Whether what all frames share may change at all: shape, displacement, cameras, places of landmarks.
        schedule: Rounds of matching.
        advance: Called after every round, for a progress bar.
    """
    mesh = silhouette_mesh(surface)
    exact = surface.to(dtype=torch.float64)
    problem = Problem(exact, terms, intrinsics, modes)
    moving = Variables(
        **{key: value.double() if value.is_floating_point() else value for key, value in vars(variables).items()}
    )
    for step in schedule:
        pairs = _match(exact, mesh, moving, targets, terms, intrinsics, step.radius)
        weights = Weights(
            joints=JOINT_WEIGHT,
            outline_scale=step.scale,
            cameras=refine_cameras and shared,
            zoom=refine_cameras and shared and step.displacement and len(intrinsics) >= CAMERAS_TO_ZOOM,
            displacement=step.displacement and shared,
            shape=shared,
            landmarks=refine_landmarks and shared,
        )
        for _ in range(STEPS):
            moving = problem.step(moving, pairs, weights)
        advance()
    return Variables(
        **{key: value.float() if value.is_floating_point() else value for key, value in vars(moving).items()}
    )


def silhouette_mesh(surface: HandSurface) -> SilhouetteMesh:
    """The closed surface, with the stub of forearm marked as no hand."""
    return SilhouetteMesh.from_faces(
        surface.faces.numpy(), surface.closing_faces.numpy(), surface.vertex_is_hand.numpy()
    )


def silhouette_at(
    mesh: SilhouetteMesh,
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    intrinsics: Float[Tensor, "3 3"],
    world_to_camera: Float[Tensor, "4 4"],
    size: tuple[int, int],
    *,
    spacing: float = 2.0,
):
    """`projected_silhouette` of tensors."""
    arrays = (x.detach().double().cpu().numpy() for x in (vertices, normals, intrinsics, world_to_camera))
    return projected_silhouette(mesh, *arrays, size, spacing=spacing)  # pyright: ignore[reportCallIssue]


def _match(
    surface: HandSurface,
    mesh: SilhouetteMesh,
    variables: Variables,
    targets: Sequence[BoundaryTarget],
    terms: JointTerms,
    intrinsics: Tensor,
    radius: float,
) -> list[Pairs]:
    vertices = surface.pose(variables.pose, variables.shape, variables.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    extrinsics = corrected_extrinsics(terms.world_to_camera.double(), variables.camera_rotation)
    intrinsics = zoomed_intrinsics(intrinsics.double(), variables.camera_zoom)

    def matched(target: BoundaryTarget) -> Pairs | None:
        camera, outline = target.camera, target.outline
        projected = silhouette_at(
            mesh, vertices[target.frame], normals[target.frame], intrinsics[camera], extrinsics[camera], target.size
        )
        if not len(projected.points) or not len(outline.points):
            return None
        pixels = radius / meters_per_pixel(vertices[target.frame], intrinsics[camera], extrinsics[camera])
        forward = match_contours(projected.points, projected.normals, outline.points, outline.normals, radius=pixels)
        there = np.flatnonzero((forward >= 0) & projected.is_hand)
        # Every second point of the mask, which is as dense as the projected ones.
        sampled = np.arange(0, len(outline.points), 2)
        backward = match_contours(
            outline.points[sampled], outline.normals[sampled], projected.points, projected.normals, radius=pixels
        )
        kept = (backward >= 0) & projected.is_hand[backward]
        mesh_side = np.concatenate([there, backward[kept]])
        mask_side = np.concatenate([forward[there], sampled[kept]])
        return Pairs(
            frame=target.frame,
            camera=camera,
            ends=torch.from_numpy(projected.ends[mesh_side]),
            fraction=torch.from_numpy(projected.fraction[mesh_side]),
            points=torch.from_numpy(outline.points[mask_side]).double(),
            normals=torch.from_numpy(outline.normals[mask_side]).double(),
            # Both directions of matching together sample the outline about every pixel.
            length=1.0,
            weight=target.weight,
        )

    with ThreadPoolExecutor(WORKERS) as pool:
        return [pairs for pairs in pool.map(matched, targets) if pairs is not None]


def meters_per_pixel(vertices: Tensor, intrinsics: Tensor, world_to_camera: Tensor) -> float:
    """At the mean depth of the vertices in front of the camera."""
    depth = vertices @ world_to_camera[2, :3] + world_to_camera[2, 3]
    depth = depth[(depth > 0.05) & (depth < 50)]
    return float(depth.mean() / intrinsics[0, 0]) if len(depth) else 1.0
