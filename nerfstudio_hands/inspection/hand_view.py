"""What a camera sees of a capture beside what the fitted hands say it should see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from nerfstudio_hands.captures.capture import Capture, CaptureCamera, hand_mask, object_pixels
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouettes.boundary_fit import silhouette_mesh
from nerfstudio_hands.fitting.silhouettes.contours import ProjectedSilhouette, SilhouetteMesh, projected_silhouette
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, HandSurface, SurfacePose
from nerfstudio_hands.hand_model.side_image import NO_SIDE, side_image
from nerfstudio_hands.transforms.projection import MIN_DEPTH, project

POSED_AT_ONCE = 256
"""Frames that are posed together."""


@dataclass
class PosedCapture:
    """The fitted hands, world metres: joints in every frame, surfaces in the frames that are looked at.

    Attributes:
        surface: The hands as one surface, over the sides of the fit.
        frames: Indices of the frames that are looked at; thousands of surfaces would not fit into memory.
        surfaces: One posed surface each.
        normals: Vertex normals of the posed surfaces.
        silhouette_mesh: Edges of the surface, for its outline.
        keypoints: Joints of the fitted hands, sides in the order left, right; NaN where a side was not fitted.
    """

    surface: HandSurface
    frames: list[int]
    surfaces: Surfaces
    normals: Float[np.ndarray, "S V 3"]
    silhouette_mesh: SilhouetteMesh
    keypoints: Float[np.ndarray, "T 2 21 3"]


@dataclass
class HandView:
    """One picture with everything that projects into it; pixels at full resolution, sides in the order left, right.

    Attributes:
        frame: Name of the frame.
        camera: The camera as the fit corrected it.
        image: The picture.
        mask: Its mask, None where it has none.
        face: Face of the fitted surface nearest at each pixel, -1 where there is none.
        sides: Side of that face (index into left, right), -1 where there is none.
        detections: Detected joints, NaN where absent (`observed_joints`).
        triangulated: Triangulated joints through the corrected camera.
        triangulated_as_calibrated: The same through the camera as it stands in the file.
        fitted: Joints of the fitted hands through the corrected camera.
        outline: Outline of the fitted hands through the corrected camera.
        forearm: Where the end of the fitted hands behind the wrist is seen.
        meters_per_pixel: What one pixel spans at the depth of each hand.
        hidden: Where an object is seen that may hide the hands, None without a mask of it.
    """

    frame: str
    camera: CaptureCamera
    image: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "H W"] | None
    face: Int[np.ndarray, "H W"]
    sides: Int[np.ndarray, "H W"]
    detections: Float[np.ndarray, "2 21 2"]
    triangulated: Float[np.ndarray, "2 21 2"]
    triangulated_as_calibrated: Float[np.ndarray, "2 21 2"]
    fitted: Float[np.ndarray, "2 21 2"]
    outline: ProjectedSilhouette
    forearm: Bool[np.ndarray, "H W"]
    meters_per_pixel: Float[np.ndarray, " 2"]
    hidden: Bool[np.ndarray, "H W"] | None = None


def fitted_joints(fit: HandFit, surface: HandSurface) -> Float[np.ndarray, "T 2 21 3"]:
    """Joints of the fitted hands in all frames, world metres, sides in the order left, right; NaN where there is none.

    Args:
        fit: The fit.
        surface: The hand model over `fit.sides`.
    """
    keypoints = np.full((len(fit.frames), 2, 21, 3), np.nan)
    rows = [SIDES.index(side) for side in fit.sides]
    for start in range(0, len(fit.frames), POSED_AT_ONCE):
        part = range(start, min(start + POSED_AT_ONCE, len(fit.frames)))
        valid = fit.pose.valid[list(part)].numpy()[..., None, None]
        keypoints[start : part.stop, rows] = np.where(
            valid, _posed(fit, surface, part).keypoints.double().numpy(), np.nan
        )
    return keypoints


def _posed(fit: HandFit, surface: HandSurface, frames: Sequence[int]) -> SurfacePose:
    with torch.no_grad():
        return surface.pose(fit.pose[list(frames)], fit.shape, fit.displacement)


def pose_capture(
    fit: HandFit, surface: HandSurface, frames: Sequence[int], keypoints: Float[np.ndarray, "T 2 21 3"]
) -> PosedCapture:
    """Pose the fitted hands.

    Args:
        fit: The fit.
        surface: The hand model over `fit.sides`.
        frames: Indices of the frames to look at.
        keypoints: Of all frames (`fitted_joints`).
    """
    vertices = _posed(fit, surface, frames).vertices.float()
    return PosedCapture(
        surface=surface,
        frames=list(frames),
        surfaces=Surfaces(surface.faces, vertices, closing_faces=surface.closing_faces),
        normals=vertex_normals(vertices, surface.faces).numpy(),
        silhouette_mesh=silhouette_mesh(surface),
        keypoints=keypoints,
    )


def observed_joints(capture: Capture, name: str) -> Float[np.ndarray, "T 2 21 2"]:
    """Pixels of the joints in a camera as they were detected; of a capture that came with joints in space instead,
    where the calibration puts these."""
    if capture.detections is None:
        return project_points(capture.camera(name), capture.stored_keypoints)  # pyright: ignore[reportArgumentType]
    return capture.detections[:, capture.camera_index(name)]


def project_points(camera: CaptureCamera, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
    """Pixels of world points; NaN for points behind the camera."""
    pixels, depth = project(points, camera.intrinsics, camera.world_to_camera)
    return np.where(depth[..., None] > MIN_DEPTH, pixels, np.nan)


def observe(capture: Capture, fit: HandFit, posed: PosedCapture, frame: int, name: str) -> HandView:
    """Read the picture of a frame and camera and project the fitted hands into it.

    Raises:
        HandsError: The picture or its mask cannot be read.
    """
    as_calibrated = capture.camera(name)
    camera = fit.corrected(as_calibrated)
    key = (capture.frames[frame], name)
    face = rasterize(
        posed.surfaces,
        torch.from_numpy(camera.intrinsics).float(),
        torch.from_numpy(camera.world_to_camera).float(),
        camera.width,
        camera.height,
        surface=posed.frames.index(frame),
    ).face
    sides = side_image(face, posed.surface.face_side)
    before_wrist = side_image(face, posed.surface.face_side, posed.surface.face_is_hand) != NO_SIDE
    triangulated = np.asarray(fit.keypoints_3d[frame], dtype=np.float64)
    center = np.where(np.isfinite(triangulated), triangulated, posed.keypoints[frame])[:, 0]
    depth = center @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]
    return HandView(
        frame=capture.frames[frame],
        camera=camera,
        image=read_image(capture.images[key]),
        mask=hand_mask(capture, key),
        hidden=object_pixels(capture, key),
        face=np.where(sides >= 0, face.numpy(), -1),
        sides=sides,
        detections=observed_joints(capture, name)[frame],
        triangulated=project_points(camera, triangulated),
        triangulated_as_calibrated=project_points(as_calibrated, triangulated),
        fitted=project_points(camera, posed.keypoints[frame]),
        outline=projected_silhouette(
            posed.silhouette_mesh,
            posed.surfaces.vertices[posed.frames.index(frame)].double().numpy(),
            posed.normals[posed.frames.index(frame)],
            camera.intrinsics,
            camera.world_to_camera,
            camera.size,
        ),
        forearm=(face.numpy() >= 0) & ~before_wrist,
        meters_per_pixel=depth / camera.intrinsics[0, 0],
    )
