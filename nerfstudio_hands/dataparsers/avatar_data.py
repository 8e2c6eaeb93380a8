"""From a fitted capture to what nerfstudio's data manager and our models take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.dataparsers.capture import Capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, load_hand

SCENE_MARGIN = 0.03
"""Metres round the hands that belong to the scene: shell, misfit and what a moved finger needs."""

PARKED_BEYOND = 100.0
"""Metres from the origin beyond which a vertex belongs to a hand that is absent from the frame."""


@dataclass
class AvatarData:
    """The hands of a capture and their poses, in the form that models keep.

    Attributes:
        surface: the modelled hands as one surface.
        pose: their poses in the capture's world, [T, H, ...].
        shape: shape coefficients of the person [K].
        displacement: offset of every vertex of the zero pose [V, 3], metres.
        all_hands: surface of every fitted hand, modelled or not: what hides what.
        all_pose: their poses in the capture's world, [T, H', ...].
        all_displacement: offset of every vertex of their zero pose [V', 3], metres.
        world_transform: capture's world to nerfstudio's world, rigid [3, 4].
        frame_names: name of each frame.
        camera_names: names of all cameras of the capture; `camera_index` points into it.
        train_frames: frames that training sees; the others are held out.
    """

    surface: HandSurface
    pose: HandPose
    shape: Float[Tensor, "K"]
    displacement: Float[Tensor, "V 3"]
    all_hands: HandSurface
    all_pose: HandPose
    all_displacement: Float[Tensor, "W 3"]
    world_transform: Float[Tensor, "3 4"]
    frame_names: list[str]
    camera_names: list[str]
    train_frames: Bool[Tensor, "T"]

    def all_vertices(self, frames: Sequence[int]) -> Float[Tensor, "S W 3"]:
        """Vertices of every fitted hand in some frames, nerfstudio's world; posed anew at every call, because those of
        thousands of frames do not fit into memory."""
        posed = self.all_hands.pose(self.all_pose[list(frames)], self.shape, self.all_displacement)
        return apply_rigid(self.world_transform, posed.vertices)


def apply_rigid(transform: Float[Tensor, "3 4"], points: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
    """Points carried by a rigid transform."""
    return points @ transform[:, :3].T + transform[:, 3]


def load_surface(sides: Sequence[str], hand_model: str) -> HandSurface:
    """The hand model of the given sides as one surface; `hand_model` is "default" or a path."""
    source = hand_model if hand_model == "default" else Path(hand_model)
    return HandSurface(tuple(load_hand(source, side) for side in sides))


def capture_to_outputs(
    capture: Capture,
    fit: HandFit,
    cameras: Sequence[str],
    *,
    centre_cameras: Sequence[str],
    hand: str,
    hand_model: str,
    resolution_scale: float | None,
    max_resolution: int,
) -> DataparserOutputs:
    """One row a (frame, camera) that has a picture, in the order of frames, then cameras.

    The world is turned so that the mean up direction of `centre_cameras` is z, and moved so that the hands are at the
    origin; it stays metric.

    Raises:
        HandsError: the hand asked for was not fitted, or a scale out of range.
    """
    if resolution_scale is not None and not 0 < resolution_scale <= 1:
        raise HandsError(
            f"--resolution-scale: expected a number in (0, 1], found {resolution_scale}; give a smaller one."
        )
    sides = [side for side in SIDES if side in fit.sides and hand in (side, "both")]
    if not sides:
        raise HandsError(
            f"{capture.root}: expected detections of the {hand} hand, found only {' and '.join(fit.sides)}; "
            "choose --hand accordingly."
        )
    world = _world_transform(capture, fit, centre_cameras, hand_model)
    avatar = _avatar_data(capture, fit, sides, hand_model, world)
    rows = [(f, n) for f in range(len(capture.frames)) for n in cameras if (capture.frames[f], n) in capture.images]
    verdicts = {(frame, name): verdict for frame, name, verdict in fit.report["mask_verdicts"]}
    there = avatar.all_vertices(range(len(capture.frames))).flatten(0, 1)
    there = there[there.norm(dim=-1) < PARKED_BEYOND]
    box = torch.stack([there.amin(dim=0) - SCENE_MARGIN, there.amax(dim=0) + SCENE_MARGIN])
    return DataparserOutputs(
        image_filenames=[capture.images[capture.frames[f], n] for f, n in rows],
        cameras=_cameras(capture, fit, rows, world, resolution_scale, max_resolution),
        scene_box=SceneBox(aabb=box.float()),
        metadata={
            "hands": avatar,
            "mask_paths": [capture.masks.get((capture.frames[f], n)) for f, n in rows],
            "own_masks": [fit.masks.get((capture.frames[f], n)) for f, n in rows],
            "mask_verdicts": [verdicts.get((capture.frames[f], n), "useless") for f, n in rows],
        },
        dataparser_transform=world,
    )


def _world_transform(capture: Capture, fit: HandFit, cameras: Sequence[str], hand_model: str) -> Float[Tensor, "3 4"]:
    """Capture's world to a metric world with the hands at the origin and the cameras' mean up direction along z."""
    extrinsics = np.stack([fit.corrected(capture.camera(name)).world_to_camera for name in cameras])
    up = -extrinsics[:, 1, :3].mean(axis=0)
    up /= np.linalg.norm(up)
    rotation, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], [up])
    posed = load_surface(fit.sides, hand_model).pose(fit.pose, fit.shape, fit.displacement)
    seen = posed.keypoints[fit.pose.valid].flatten(0, 1)
    centre = (seen.amin(dim=0) + seen.amax(dim=0)) / 2
    turned = torch.from_numpy(rotation.as_matrix()).float()
    return torch.cat([turned, -(turned @ centre.float())[:, None]], dim=1)


def _avatar_data(
    capture: Capture, fit: HandFit, sides: Sequence[str], hand_model: str, world: Float[Tensor, "3 4"]
) -> AvatarData:
    everything = load_surface(fit.sides, hand_model)
    surface = load_surface(sides, hand_model)
    keep = torch.isin(everything.vertex_side, torch.tensor([SIDES.index(side) for side in sides]))
    return AvatarData(
        surface=surface,
        pose=fit.pose[:, [fit.sides.index(side) for side in sides]],
        shape=fit.shape,
        displacement=fit.displacement[keep],
        all_hands=everything,
        all_pose=fit.pose,
        all_displacement=fit.displacement,
        world_transform=world,
        frame_names=list(capture.frames),
        camera_names=[camera.name for camera in capture.cameras],
        train_frames=torch.ones(len(capture.frames), dtype=torch.bool),
    )


def _cameras(
    capture: Capture,
    fit: HandFit,
    rows: Sequence[tuple[int, str]],
    world: Float[Tensor, "3 4"],
    resolution_scale: float | None,
    max_resolution: int,
) -> Cameras:
    names = [camera.name for camera in capture.cameras]
    intrinsics, poses, sizes = [], [], []
    to_world = np.vstack([world.double().numpy(), [0, 0, 0, 1]])
    for _, name in rows:
        camera = fit.corrected(capture.camera(name))
        scale = resolution_scale or min(1.0, max_resolution / max(camera.width, camera.height))
        width, height = round(camera.width * scale), round(camera.height * scale)
        stretch = np.diag([width / camera.width, height / camera.height, 1.0])
        intrinsics.append(stretch @ camera.intrinsics)
        sizes.append((width, height))
        camera_to_world = to_world @ np.linalg.inv(camera.world_to_camera)
        camera_to_world[:, 1:3] *= -1  # OpenCV axes to nerfstudio's OpenGL axes.
        poses.append(camera_to_world[:3])
    k = torch.from_numpy(np.array(intrinsics).reshape(-1, 3, 3)).float()
    frames: Int[Tensor, "N 1"] = torch.tensor([[frame] for frame, _ in rows]).reshape(-1, 1)
    return Cameras(
        camera_to_worlds=torch.from_numpy(np.array(poses).reshape(-1, 3, 4)).float(),
        fx=k[:, 0, 0].clone(),
        fy=k[:, 1, 1].clone(),
        cx=k[:, 0, 2].clone(),
        cy=k[:, 1, 2].clone(),
        width=torch.tensor([w for w, _ in sizes]),
        height=torch.tensor([h for _, h in sizes]),
        camera_type=CameraType.PERSPECTIVE,
        times=frames / max(len(capture.frames) - 1, 1),
        metadata={
            "frame_index": frames,
            "camera_index": torch.tensor([[names.index(name)] for _, name in rows]).reshape(-1, 1),
        },
    )
