"""From a fitted capture to what nerfstudio's data manager and our models take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.splits import Split, evaluation_rows, training_rows
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, load_surface
from nerfstudio_hands.hand_model.model import shaped_template
from nerfstudio_hands.transforms.rigid import apply_rigid
from nerfstudio_hands.transforms.rotations import rotation_between

SCENE_MARGIN = 0.03
"""Metres round the hands that belong to the scene: shell, misfit and what a moved finger needs."""

MEASURED_FRAMES = 200
"""Frames in which the place and the extent of the hands are measured; thousands do not fit into memory."""

NEAREST_CAMERA = 0.01
"""Metres between a camera and a hand: no lens of a capture is nearer."""

REACH = 1.5
"""Factor on the distance of a hand model's farthest vertex from its wrist within which the hand is in every pose."""


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
        object_pose: first guess of the transform from the frame of a held object, whose origin is its middle, to the
            capture's world, [T, 4, 4]; None without an object.
        object_radius: metres from there within which the object lies; None without an object.
        object_hull: points spread evenly over all that its masks leave of space, in its frame; None without masks.
        fps: frames a second; None where the capture does not tell.
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
    object_pose: Float[Tensor, "T 4 4"] | None = None
    object_radius: float | None = None
    object_hull: Float[Tensor, "N 3"] | None = None
    fps: float | None = None

    def all_vertices(self, frames: Sequence[int]) -> Float[Tensor, "S W 3"]:
        """Vertices of every fitted hand in some frames, nerfstudio's world; posed anew at every call, because those of
        thousands of frames do not fit into memory."""
        posed = self.all_hands.pose(self.all_pose[list(frames)], self.shape, self.all_displacement)
        return apply_rigid(self.world_transform, posed.vertices)


def capture_to_outputs(
    capture: Capture,
    fit: HandFit,
    split: Split,
    world: Float[Tensor, "3 4"] | None = None,
    *,
    train: bool,
    max_eval_images: int,
    hand: str,
    hand_model: str,
    resolution_scale: float | None,
    max_resolution: int,
    eval_resolution: int = 1280,
) -> DataparserOutputs:
    """One image a (frame, camera) that has a picture and in whose frame the hand is there: those that train, or those
    that are held out. Tables of poses hold all frames.

    The world is turned so that the mean up direction of the training cameras is z, and moved so that the hands of the
    training frames are at the origin; it stays metric.

    Args:
        capture: the capture.
        fit: its hands.
        split: what trains and what is held out.
        world: that transform, where it is known; by default `world_transform`.
        train: whether the training rows are wanted, else the held-out ones.
        max_eval_images: held-out rows of each protocol, at most (`evaluation_rows`); 0 for all.
        hand: "left", "right" or "both".
        hand_model: "default" or a path.
        resolution_scale: scale of the training's pictures.
        max_resolution: their longest side where there is no scale.
        eval_resolution: longest side of held-out pictures, which the training's size does not touch.

    Raises:
        HandsError: the hand asked for was not fitted, a scale is out of range, no picture is there to train on, or a
            camera lies in a hand.
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
    world = world_transform(capture, fit, split, hand_model) if world is None else world
    avatar = _avatar_data(capture, fit, sides, hand_model, world, split)
    shown = avatar.pose.valid.any(dim=1).numpy()
    if train:
        rows, protocols = training_rows(capture, split, shown), None
        if not rows:
            raise HandsError(
                f"{capture.root}: expected training pictures of frames in which a hand was fitted, found none; hold "
                "out fewer frames and cameras, or run `ns-hands check` to see the fit."
            )
    else:
        rows, protocols = evaluation_rows(capture, split, shown, max_images=max_eval_images)

    def training_scale(name: str) -> float:
        return resolution_scale or min(1.0, max_resolution / max(capture.camera(name).size))

    def eval_scale(name: str) -> float:
        return min(1.0, eval_resolution / max(capture.camera(name).size))

    scale = training_scale if train else eval_scale
    cameras = _cameras(capture, fit, rows, world, scale)
    _require_cameras_outside(capture, avatar, cameras)
    keys = [(capture.frames[frame], name) for frame, name in rows]

    def masks(key: tuple[str, str]) -> ImageMasks:
        return ImageMasks(
            given=capture.masks.get(key),
            inverted=key in capture.masks_inverted,
            verdict=fit.mask_verdict(key),
            segmented=fit.segmented_masks.get(key),
            held_object=capture.object_masks.get(key),
            truth=None if train else capture.true_masks.get(key),
            training_scale=min(1.0, training_scale(key[1]) / scale(key[1])),
        )

    return DataparserOutputs(
        image_filenames=[capture.images[key] for key in keys],
        cameras=cameras,
        scene_box=SceneBox(aabb=_box(capture, avatar)),
        metadata={
            "hands": avatar,
            "masks": [masks(key) for key in keys],
            "protocols": protocols,
        },
        dataparser_transform=world,
    )


def _sample(count: int) -> list[int]:
    """At most `MEASURED_FRAMES` of so many frames, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MEASURED_FRAMES)).round().astype(int)).tolist()


def _training_frames(pose: HandPose, trains: Bool[Tensor, "T"]) -> Int[Tensor, "S"]:
    """Some of the training frames in which a hand is there."""
    there = torch.nonzero(pose.valid.any(dim=1) & trains).flatten()
    return there[_sample(len(there))]


def world_transform(capture: Capture, fit: HandFit, split: Split, hand_model: str) -> Float[Tensor, "3 4"]:
    """Capture's world to a metric world with the hands of the training frames at the origin and the training cameras'
    mean up direction along z."""
    extrinsics = np.stack([fit.corrected(capture.camera(name)).world_to_camera for name in split.train_cameras])
    up = torch.from_numpy(-extrinsics[:, 1, :3].mean(axis=0))
    rotation = rotation_between(up, torch.tensor([0.0, 0.0, 1.0]).to(up)).float()
    pose = fit.pose[_training_frames(fit.pose, torch.from_numpy(split.train_frames))]
    if not len(pose.valid):
        raise HandsError(
            f"{capture.root}: expected a training frame in which a hand was fitted, found none; hold out fewer frames, "
            "or run `ns-hands check` to see the fit."
        )
    posed = load_surface(fit.sides, hand_model).pose(pose, fit.shape, fit.displacement)
    seen = posed.keypoints[pose.valid].flatten(0, 1)
    center = (seen.amin(dim=0) + seen.amax(dim=0)) / 2
    return torch.cat([rotation, -(rotation @ center.float())[:, None]], dim=1)


def _box(capture: Capture, avatar: AvatarData) -> Float[Tensor, "2 3"]:
    """Corners of the box in nerfstudio's world that the hands move in while training: vertices of some training frames
    and, where they came with the capture, the joints of all of them."""
    frames = _training_frames(avatar.all_pose, avatar.train_frames)
    points = avatar.all_vertices(frames.tolist())[avatar.all_hands.vertex_valid(avatar.all_pose.valid[frames])]
    if capture.detections is None:
        joints = torch.from_numpy(capture.stored_keypoints).float()[avatar.train_frames].flatten(0, 2)
        points = torch.cat([points, apply_rigid(avatar.world_transform, joints[joints.isfinite().all(dim=-1)])])
    return torch.stack([points.amin(dim=0) - SCENE_MARGIN, points.amax(dim=0) + SCENE_MARGIN]).float()


def _avatar_data(
    capture: Capture,
    fit: HandFit,
    sides: Sequence[str],
    hand_model: str,
    world: Float[Tensor, "3 4"],
    split: Split,
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
        train_frames=torch.from_numpy(split.train_frames),
        object_pose=None if capture.object_poses is None else torch.from_numpy(capture.object_poses).float(),
        object_radius=capture.object_radius,
        object_hull=None if capture.object_hull is None else torch.from_numpy(capture.object_hull).float(),
        fps=capture.fps,
    )


def _cameras(
    capture: Capture,
    fit: HandFit,
    rows: Sequence[tuple[int, str]],
    world: Float[Tensor, "3 4"],
    scale_of: Callable[[str], float],
) -> Cameras:
    names = capture.camera_names
    to_world = np.vstack([world.double().numpy(), [0, 0, 0, 1]])
    views = {}
    for name in {name for _, name in rows}:
        camera = fit.corrected(capture.camera(name))
        scale = scale_of(name)
        width, height = round(camera.width * scale), round(camera.height * scale)
        stretch = np.diag([width / camera.width, height / camera.height, 1.0])
        camera_to_world = to_world @ np.linalg.inv(camera.world_to_camera)
        camera_to_world[:, 1:3] *= -1  # OpenCV axes to nerfstudio's OpenGL axes.
        views[name] = stretch @ camera.intrinsics, camera_to_world[:3], (width, height), names.index(name)
    intrinsics, poses, sizes, indices = ([views[name][part] for _, name in rows] for part in range(4))
    k = torch.from_numpy(np.array(intrinsics).reshape(-1, 3, 3)).float()
    frames: Int[Tensor, "N 1"] = torch.tensor([[frame] for frame, _ in rows], dtype=torch.long).reshape(-1, 1)
    return Cameras(
        camera_to_worlds=torch.from_numpy(np.array(poses).reshape(-1, 3, 4)).float(),
        fx=k[:, 0, 0].clone(),
        fy=k[:, 1, 1].clone(),
        cx=k[:, 0, 2].clone(),
        cy=k[:, 1, 2].clone(),
        width=torch.tensor([w for w, _ in sizes], dtype=torch.long),
        height=torch.tensor([h for _, h in sizes], dtype=torch.long),
        camera_type=CameraType.PERSPECTIVE,
        times=frames / max(len(capture.frames) - 1, 1),
        metadata={
            "frame_index": frames,
            "camera_index": torch.tensor(indices, dtype=torch.long).reshape(-1, 1),
        },
    )


def _require_cameras_outside(capture: Capture, avatar: AvatarData, cameras: Cameras) -> None:
    """Raises a HandsError where a camera lies in a hand that it sees, or all but touches it."""
    centers, frames = cameras.camera_to_worlds[:, :, 3], cameras.metadata["frame_index"][:, 0]
    close = torch.zeros(len(centers), dtype=torch.bool)
    # Thousands of frames are not posed for cameras that are far from every wrist.
    for hand, translation in zip(avatar.all_hands.hands, avatar.all_pose.translation.unbind(dim=1), strict=True):
        rest = shaped_template(hand, avatar.shape[None])[0]
        wrist = hand.joint_regressor[0] @ rest
        reach = REACH * (rest - wrist).norm(dim=-1).max() + NEAREST_CAMERA
        close |= (centers - apply_rigid(avatar.world_transform, translation + wrist)[frames]).norm(dim=-1) < reach
    for frame in frames[close].unique().tolist():
        rows = torch.nonzero(close & (frames == frame))[:, 0]
        hands = Surfaces(
            avatar.all_hands.faces, avatar.all_vertices([frame]), closing_faces=avatar.all_hands.closing_faces
        )
        distance = hands.closest(centers[rows].contiguous()).signed_distance
        if not (distance < NEAREST_CAMERA).any():
            continue
        nearest, more = int(distance.argmin()), int((distance < NEAREST_CAMERA).sum()) - 1
        name, found = avatar.camera_names[int(cameras.metadata["camera_index"][rows[nearest]])], float(distance.min())
        raise HandsError(
            f"{capture.root}: expected cameras at least {NEAREST_CAMERA * 1000:.0f} mm outside of the hands, found "
            f"camera {name} {abs(found) * 1000:.1f} mm {'inside' if found < 0 else 'outside'} in frame "
            f"{avatar.frame_names[frame]}{f', and {more} more as near' if more else ''}: check the unit of the "
            "translations, and that extrinsics lead from world to camera, not back; or leave cameras out with "
            "--exclude-cameras."
        )
