"""Pictures that a trained avatar draws of itself, as a capture that another method is trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.splits import HELD_OUT_EVERY, Split
from nerfstudio_hands.dataparsers.run_record import DRAWN_FILE, RunRecord
from nerfstudio_hands.files.whole_folder import whole_folder
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.hand_model.side_image import NO_SIDE, side_image
from nerfstudio_hands.model_components.export_source import HeldObjectSource
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.models.posed_hand_model import PosedHandModel
from nerfstudio_hands.program.progress import track
from nerfstudio_hands.synthesis.image_files import write_image, write_mask
from nerfstudio_hands.synthesis.rig import look_at
from nerfstudio_hands.transforms.spherical_harmonics import sphere_directions
from nerfstudio_hands.video.orbit import FILL

FIELD_OF_VIEW = 25.0
"""Degrees of the cameras that draw."""


@dataclass(frozen=True)
class DrawingOptions:
    """What an avatar draws.

    Attributes:
        views: Cameras, evenly spread over the sphere round the hands.
        poses: Training frames, evenly spread; fewer where there are fewer.
        size: Pixels along each side of a picture.
    """

    views: int
    poses: int
    size: int


@torch.no_grad()
def draw_capture(model: PosedHandModel, record: RunRecord, output: Path, options: DrawingOptions) -> None:
    """Writes a capture-room capture of what a model draws in poses of its training, in the exposure of its mean camera,
    and beside it the hands in these poses, so that nothing is fitted to the pictures. What the hands hold is drawn
    where the wrist takes it, with masks of its own.

    Every seventh camera is held out, to see how near another method comes.

    Args:
        model: A trained avatar.
        record: What its run keeps.
        output: A folder that is not there yet.
        options: What is drawn.

    Raises:
        HandsError: The folder exists or cannot be written.
    """
    frames = _some_training_frames(model, options.poses)
    cameras, held = _cameras_round(model, options), model.export_source().held
    with whole_folder(output) as folder:
        drawn = _drawn_record(model, record, frames, cameras, folder)
        if held is not None:
            drawn = replace(drawn, capture=_with_object(drawn.capture, record, model.hands, held, frames))
        keys = list(drawn.capture.images)
        for number, (frame, name) in enumerate(track(keys, "Drawing the avatar")):
            pose, camera = model.hands.pose_of(frames[number // len(cameras)][None]), drawn.capture.camera(name)
            model.hands.set_override(pose)
            outputs = model.get_outputs_for_camera(_nerfstudio_camera(model, camera))
            picture = (outputs["rgb"].clamp(0, 1) * 255).round().byte().cpu().numpy()
            write_image(drawn.capture.images[frame, name], picture)
            coverage = outputs["accumulation"][..., 0].cpu().numpy()
            if held is not None:
                of_object = outputs["object_accumulation"][..., 0].cpu().numpy()
                write_mask(drawn.capture.object_masks[frame, name], of_object)
                coverage = coverage - of_object
            write_mask(drawn.capture.masks[frame, name], np.maximum(coverage, _wrist_ends(model, pose, camera)))
        model.hands.set_override(None)
        for frame in drawn.capture.frames:
            _write_calibration(folder / frame / "camera" / "param.npz", cameras)
        drawn.save(folder / DRAWN_FILE)


def _some_training_frames(model: PosedHandModel, count: int) -> Int[Tensor, " S"]:
    """Training frames in which all hands are there, or else those in which any is."""
    frames, valid = model.hands.train_frames, model.hands.valid
    shown = frames[valid[frames].all(dim=1)]
    shown = shown if len(shown) else frames[valid[frames].any(dim=1)]
    chosen = torch.linspace(0, len(shown) - 1, min(count, len(shown))).round().long()
    return shown[chosen.to(shown.device)]


def _cameras_round(model: PosedHandModel, options: DrawingOptions) -> list[CaptureCamera]:
    """Cameras that look at the middle of the scene from all sides, capture's world."""
    low, high = model.scene_box.aabb.cpu().double().numpy()
    distance = FILL * np.linalg.norm(high - low) / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    focal = options.size / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    middle = options.size / 2
    intrinsics = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])
    to_world = model.hands.to_world.cpu().double().numpy()
    center = (low + high) / 2
    eyes = center + distance * sphere_directions(options.views).double().numpy()
    return [
        CaptureCamera(f"{number:02d}", intrinsics, look_at(eye, center) @ to_world, options.size, options.size)
        for number, eye in enumerate(eyes)
    ]


def _nerfstudio_camera(model: PosedHandModel, camera: CaptureCamera) -> Cameras:
    world_to_camera = torch.from_numpy(camera.world_to_camera) @ torch.linalg.inv(model.hands.to_world.cpu().double())
    camera_to_world = torch.linalg.inv(world_to_camera)[:3]
    camera_to_world[:, 1:3] *= -1  # OpenCV axes to nerfstudio's OpenGL axes.
    k = camera.intrinsics
    return Cameras(
        camera_to_world.float()[None],
        fx=float(k[0, 0]),
        fy=float(k[1, 1]),
        cx=float(k[0, 2]),
        cy=float(k[1, 2]),
        width=camera.width,
        height=camera.height,
    ).to(model.device)


def _wrist_ends(model: PosedHandModel, pose: HandPose, camera: CaptureCamera) -> Bool[np.ndarray, "H W"]:
    """Where a picture shows what ends the hands behind their wrists. A mask has an arm there, from which nothing is
    learned; as background it would have Gaussians open up, which are seen from both sides."""
    surface, to_world = model.hands.surface, model.hands.to_world
    intrinsics, of_capture = (torch.from_numpy(m).to(to_world) for m in (camera.intrinsics, camera.world_to_camera))
    drawn = rasterize(
        Surfaces(surface.faces, model.hands.vertices(pose), closing_faces=surface.closing_faces),
        intrinsics,
        of_capture @ torch.linalg.inv(to_world),
        camera.width,
        camera.height,
    )
    sides = side_image(drawn.face, surface.face_side, surface.face_is_hand)
    return (drawn.face >= 0).cpu().numpy() & (sides == NO_SIDE)


def _drawn_record(
    model: PosedHandModel,
    record: RunRecord,
    frames: Int[Tensor, " S"],
    cameras: list[CaptureCamera],
    folder: Path,
) -> RunRecord:
    """What a run on the pictures keeps: these cameras, and the hands as the model has them in these frames."""
    rows, names = frames.cpu().numpy(), [f"{number:04d}" for number in range(len(frames))]
    keys = [(name, camera.name) for name in names for camera in cameras]
    capture = Capture(
        root=folder,
        cameras=cameras,
        frames=names,
        images={(name, camera): folder / name / "img" / f"{camera}.png" for name, camera in keys},
        masks={(name, camera): folder / name / "mask" / f"{camera}.png" for name, camera in keys},
        detections=np.full((len(names), len(cameras), 2, 21, 2), np.nan),
        problems=[],
    )
    pose: HandPose = model.hands.pose_of(frames)
    fit = replace(
        record.fit,
        sides=model.hands.surface.sides,
        frames=names,
        displacement=model.hands.displacement.cpu(),
        pose=pose.to("cpu"),
        camera_rotation={},
        camera_zoom={},
        keypoints_3d=record.fit.keypoints_3d[rows],
        segmented_masks={},
        mask_coverage=dict.fromkeys(keys, 1.0),
    )
    held_out = [camera.name for camera in cameras[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]]
    training = [camera.name for camera in cameras if camera.name not in held_out]
    split = Split(training, held_out, np.ones(len(names), dtype=bool))
    return RunRecord(capture, fit, split, fit_key="drawn", world=record.world)


def _with_object(
    capture: Capture, record: RunRecord, hands: PosedHands, held: HeldObjectSource, frames: Int[Tensor, " S"]
) -> Capture:
    """The capture with masks and poses of what the hands hold, where the wrist takes it in these frames."""
    posed = (hands.at_pose(hands.pose_of(frame[None])) for frame in frames)
    poses = torch.linalg.inv(hands.to_world) @ torch.cat([held.poses(one) for one in posed])
    return replace(
        capture,
        object_masks={
            (frame, camera): capture.root / frame / "obj_mask" / f"{camera}.png" for frame, camera in capture.images
        },
        object_poses=poses.cpu().double().numpy(),
        object_radius=held.radius,
        object_hull=record.capture.object_hull,
    )


def _write_calibration(path: Path, cameras: list[CaptureCamera]) -> None:
    arrays: dict[str, Float[np.ndarray, "_ _"]] = {}
    for number, camera in enumerate(cameras):
        arrays |= {f"int_{number}": camera.intrinsics, f"ext_{number}": camera.world_to_camera}
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
