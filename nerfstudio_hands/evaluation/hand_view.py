"""What a camera sees of a capture beside what the fitted hands say it should see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from nerfstudio_hands.dataparsers.capture import Capture, CaptureCamera, read_image, read_mask
from nerfstudio_hands.evaluation.hand_region import side_image
from nerfstudio_hands.fitting.outline import OutlineMesh, ProjectedOutline, projected_outline
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouette import outline_mesh
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, HandSurface


@dataclass
class PosedCapture:
    """The fitted hands in every frame, world metres.

    Attributes:
        surface: The hands as one surface, over the sides of the fit.
        surfaces: One posed surface a frame.
        normals: Vertex normals of the posed surfaces.
        outline_mesh: Edges of the surface, for its outline.
        keypoints: Joints of the fitted hands, sides in the order left, right; NaN where a side was not fitted.
    """

    surface: HandSurface
    surfaces: Surfaces
    normals: Float[np.ndarray, "T V 3"]
    outline_mesh: OutlineMesh
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
        detections: Detected joints, NaN where absent.
        triangulated: Triangulated joints through the corrected camera.
        triangulated_as_calibrated: The same through the camera as it stands in the file.
        fitted: Joints of the fitted hands through the corrected camera.
        outline: Outline of the fitted hands through the corrected camera.
        metres_per_pixel: What one pixel spans at the depth of each hand.
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
    outline: ProjectedOutline
    metres_per_pixel: Float[np.ndarray, " 2"]


def pose_capture(fit: HandFit, surface: HandSurface) -> PosedCapture:
    """Pose the fitted hands in every frame of a fit; `surface` is the hand model over `fit.sides`."""
    with torch.no_grad():
        posed = surface.pose(fit.pose, fit.shape, fit.displacement)
    keypoints = np.full((len(fit.frames), 2, 21, 3), np.nan)
    rows = [SIDES.index(side) for side in fit.sides]
    keypoints[:, rows] = posed.keypoints.double().numpy()
    keypoints[:, rows] = np.where(fit.pose.valid.numpy()[..., None, None], keypoints[:, rows], np.nan)
    vertices = posed.vertices.float()
    return PosedCapture(
        surface=surface,
        surfaces=Surfaces(surface.faces, vertices, closing_faces=surface.closing_faces),
        normals=vertex_normals(vertices, surface.faces).numpy(),
        outline_mesh=outline_mesh(surface),
        keypoints=keypoints,
    )


def project_points(camera: CaptureCamera, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
    """Pixels of world points; NaN for points behind the camera."""
    in_camera = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    pixels = in_camera @ camera.intrinsics.T
    depth = np.where(pixels[..., 2:] > 1e-6, pixels[..., 2:], np.nan)
    return pixels[..., :2] / depth


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
        surface=frame,
    ).face
    sides = side_image(face, posed.surface.face_side)
    triangulated = np.asarray(fit.keypoints_3d[frame], dtype=np.float64)
    centre = np.where(np.isfinite(triangulated), triangulated, posed.keypoints[frame])[:, 0]
    depth = centre @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]
    return HandView(
        frame=capture.frames[frame],
        camera=camera,
        image=read_image(capture.images[key]),
        mask=read_mask(capture.masks[key], camera.size) if key in capture.masks else None,
        face=np.where(sides >= 0, face.numpy(), -1),
        sides=sides,
        detections=capture.detections[frame, capture.camera_index(name)],
        triangulated=project_points(camera, triangulated),
        triangulated_as_calibrated=project_points(as_calibrated, triangulated),
        fitted=project_points(camera, posed.keypoints[frame]),
        outline=projected_outline(
            posed.outline_mesh,
            posed.surfaces.vertices[frame].double().numpy(),
            posed.normals[frame],
            camera.intrinsics,
            camera.world_to_camera,
            camera.size,
        ),
        metres_per_pixel=depth / camera.intrinsics[0, 0],
    )
