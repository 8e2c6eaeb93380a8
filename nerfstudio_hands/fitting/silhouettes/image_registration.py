"""Hands that something said of a single picture, moved onto the outline that the picture shows."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.fitting.joints.pose_fit import JointTerms
from nerfstudio_hands.fitting.silhouettes.boundary_fit import BoundaryTarget, refine_on_boundaries, silhouette_mesh
from nerfstudio_hands.fitting.silhouettes.gauss_newton import no_modes
from nerfstudio_hands.fitting.silhouettes.mask_refinement import (
    BANDS,
    LATER_ROUNDS,
    SEGMENTED_MASK_WEIGHT,
    camera_tensors,
    cut_out,
)
from nerfstudio_hands.fitting.silhouettes.segmentation import trusted_outline
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.program.threads import one_thread

PIXEL_METERS = 0.004
"""Error across its ray of a joint that counts as a detection does."""

FORM_METERS = 0.015
"""Error of a joint in space of what was said of the picture, beside that of the whole hand."""


def register_to_image(
    surface: HandSurface,
    pose: HandPose,
    shape: Float[Tensor, " K"],
    pixels: Float[np.ndarray, "H 21 2"],
    error: Float[np.ndarray, "H 21"],
    image: UInt8[np.ndarray, "H W 3"],
    intrinsics: Float[np.ndarray, "3 3"],
) -> HandPose:
    """Poses whose outline meets that of the hands in the picture; joints keep their pull, the shape stays. Without an
    outline in the picture all stays.

    Args:
        surface: The hands.
        pose: Of one frame, in the frame of the picture's camera.
        shape: Of the person.
        pixels: Joints in the picture.
        error: Of these, pixels.
        image: RGB.
        intrinsics: K.
    """
    camera = CaptureCamera("", intrinsics, np.eye(4), *image.shape[1::-1])
    k, mesh = camera_tensors(camera)[0], silhouette_mesh(surface)
    still = torch.zeros(surface.num_vertices, 3)
    variables = Variables(
        *(pose.global_orient, pose.local_rotations, pose.translation, shape.float(), still),
        *(torch.zeros(1, 3), torch.zeros(1), torch.zeros(21, 3), pose.valid),
    )
    with one_thread():
        terms = _terms(surface.pose(pose, shape.float(), None).keypoints, pixels, error, intrinsics)
        for band, schedule in ((BANDS[0], LATER_ROUNDS.shaping), (BANDS[-1], LATER_ROUNDS.finishing)):
            vertices = surface.pose(variables.pose, variables.shape, None).vertices[0]
            normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
            mask, trusted = cut_out(image, None, surface, mesh, vertices, normals, camera, band)
            outline = trusted_outline(image, mask, trusted, None)
            if not len(outline.points):
                return pose
            variables = refine_on_boundaries(
                surface,
                terms,
                variables,
                [BoundaryTarget(0, 0, camera.size, outline, SEGMENTED_MASK_WEIGHT)],
                k[None],
                no_modes(surface),
                refine_cameras=False,
                refine_landmarks=False,
                shared=False,
                schedule=schedule,
            )
    return variables.pose


def _terms(
    joints: Float[Tensor, "1 H 21 3"],
    pixels: Float[np.ndarray, "H 21 2"],
    error: Float[np.ndarray, "H 21"],
    intrinsics: Float[np.ndarray, "3 3"],
) -> JointTerms:
    """Joints on the rays of their pixels, as sure as these are, and held in space where they were said to be."""
    ahead = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1) @ np.linalg.inv(intrinsics).T
    rays = torch.from_numpy(ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)).float()
    across = torch.from_numpy(error).float() * joints[0, ..., 2] / float(intrinsics[0, 0])
    known = torch.ones(joints.shape[:3])
    return JointTerms(
        points=joints.float(),
        point_weights=known,
        rays=rays[None, None],
        ray_weights=(PIXEL_METERS / across.clamp_min(PIXEL_METERS))[None, None] ** 2,
        space_weights=known * (PIXEL_METERS / FORM_METERS) ** 2,
        world_to_camera=torch.eye(4)[None],
    )
