"""A whole capture in the capture-room layout, rendered, with the truth beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from trimesh.util import append_faces

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.synthesis.calibration import check_calibration, written_cameras
from nerfstudio_hands.synthesis.detections import imperfect_detections, normalized_landmarks
from nerfstudio_hands.synthesis.held_object import check_object, object_arrays
from nerfstudio_hands.synthesis.image_files import write_image, write_mask
from nerfstudio_hands.synthesis.landmarks import mislaid, seen_joints
from nerfstudio_hands.synthesis.masks import made_mask
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, pose_sequence, posed_surfaces
from nerfstudio_hands.synthesis.options import (
    CaptureRoomOptions,
    LandmarkOptions,
    MaskOptions,
    check_images,
    write_options,
)
from nerfstudio_hands.synthesis.physique import person_arrays
from nerfstudio_hands.synthesis.range_of_motion import opening_and_closing
from nerfstudio_hands.synthesis.render import RenderedImage, render_frame
from nerfstudio_hands.synthesis.rig import CameraRig, RigCamera
from nerfstudio_hands.synthesis.scene import FINE
from nerfstudio_hands.synthesis.studio import Studio, ring_of_cameras, studio
from nerfstudio_hands.synthesis.subject import Subject, make_subject
from nerfstudio_hands.synthesis.truth_files import write_mesh, write_skin
from nerfstudio_hands.transforms.color import GAMMA
from nerfstudio_hands.transforms.rigid import apply_rigid

TRUTH_VERSION = 1

CENTER = np.array([0.08, -0.05, 1.12])
"""Where the hands are held, world meters, z up."""

MARGIN = 1.02
"""Radius of what the cameras frame, over that of the hands without forearms."""


@made_whole
def synthesize_capture_room(root: Path, options: CaptureRoomOptions) -> Pieces:
    """Render a capture.

    Writes scans `1`, `2`, ... (a scan is a frame) in the layout that `read_capture_room` describes and a folder `truth`
    with `truth.npz` and one `mesh_<frame>.ply` a frame. With an object there are masks of it in `obj_mask` beside
    `mask`, which shows what is seen of the hand; its pose in every frame (`object_to_world`) and its mesh in its own
    frame (`object_vertices`, `object_faces`) in `truth.npz`; and its mesh in the world as `object_<frame>.ply`. Of a
    subject that the shape space lacks `truth.npz` has what `person_arrays` says; with other landmarks `landmarks`, what
    is taken for the joints before any scatter, and `landmark_is_outlier`; with a wrong calibration the true
    `intrinsics` and `world_to_camera`; with other masks whole ones as `mask_hand/<frame>/NN.png` and `mask_skin`, the
    latter with the forearm; and `options.json` says how all was made where it is not the default.
    See `made_whole`.

    Raises:
        HandsError: The options make no sense.
    """
    _check(options)
    subject, motion = subject_in_motion(options)
    room = room_around(subject, motion, options)
    radius = MARGIN * float(np.linalg.norm(_all_vertices(subject, motion) - room.center, axis=1).max())
    cameras = ring_of_cameras(
        room.center,
        radius,
        num_cameras=options.num_cameras,
        resolution=options.resolution,
        rng=np.random.default_rng([options.seed, 3]),
    )
    rig = CameraRig(room, cameras)
    seen = seen_joints(motion, options.landmarks, options.seed)
    by_camera = np.broadcast_to(seen[:, :, None], (*seen.shape[:2], len(cameras), *seen.shape[2:]))
    found, is_outlier = mislaid(by_camera, options.landmarks, np.random.default_rng([options.seed, 11]))
    written = written_cameras(cameras, options.calibration, options.seed)
    for t, frame in enumerate(motion.frames):
        scan = root / str(frame)
        images = render_frame(
            subject, motion, t, rig, FINE, supersampling=options.supersampling, taken=options.pictures
        )
        for number, (camera, image) in enumerate(images):
            noise = np.random.default_rng([options.seed, 4, t, number])
            write_image(scan / "img" / f"{camera.name}.png", camera.develop(image.color, noise), optimize=True)
            _write_masks(root, f"{frame}", f"{camera.name}.png", image, options, [t, number])
            if subject.held:
                write_mask(scan / "obj_mask" / f"{camera.name}.png", image.held)
            yield
        own = {SIDES[s]: found[t, s] for s in np.flatnonzero(motion.is_there)}
        _write_detections(scan / "pose", cameras, own, np.random.default_rng([options.seed, 5, t]))
        _write_cameras(scan / "camera" / "param.npz", written, room.center, radius)
    errors = {}
    if options.landmarks != LandmarkOptions():
        errors |= {"landmarks": seen[:, motion.is_there], "landmark_is_outlier": is_outlier[:, motion.is_there]}
    if options.calibration.degrees > 0:
        errors |= {name: np.stack([getattr(c, name) for c in cameras]) for name in ("intrinsics", "world_to_camera")}
    _write_truth(root / "truth", subject, cameras, motion, errors, options)


def _check(options: CaptureRoomOptions) -> None:
    check_ranges(options)
    check_images(options.pictures, options.frames)
    check_calibration(options.calibration, options.num_cameras)
    if options.hand not in (*SIDES, "both"):
        raise HandsError(f"--hand: expected left, right or both, found '{options.hand}': give one of the three.")
    check_object(options.object, num_hands=2 if options.hand == "both" else 1)


def subject_in_motion(options: CaptureRoomOptions) -> tuple[Subject, MotionSequence]:
    """The person, and what the hands do in all frames."""
    sides = SIDES if options.hand == "both" else (options.hand,)
    subject = make_subject(
        sides,
        subdivisions=options.subdivisions,
        quality=FINE,
        seed=options.seed,
        held=options.object,
        physique=options.subject,
    )
    motions = opening_and_closing(sides, options.frames)
    return subject, pose_sequence("opening", np.arange(options.frames) + 1, motions, subject, CENTER)


def room_around(subject: Subject, motion: MotionSequence, options: CaptureRoomOptions) -> Studio:
    """The room that lights the hands of all frames and what they hold, round the middle of their bounding box."""
    everything = _all_vertices(subject, motion)
    return studio(0.5 * (everything.min(0) + everything.max(0)), np.random.default_rng([options.seed, 2]))


def _all_vertices(subject: Subject, motion: MotionSequence) -> Float[np.ndarray, "N 3"]:
    """Vertices of the hands without forearms, and of what they hold, in all frames."""
    held = [] if subject.held is None else [apply_rigid(p, subject.held.vertices) for p in motion.object_to_world]  # pyright: ignore[reportOptionalIterable]
    return np.concatenate([motion.vertices[:, motion.is_there].reshape(-1, 3).astype(float), *held])


def _write_masks(
    root: Path, frame: str, name: str, image: RenderedImage, options: CaptureRoomOptions, place: list[int]
) -> None:
    """The mask of one picture, and whole ones in `truth` where it is not that of the skin."""
    if options.masks.show != "none":
        holes = np.random.default_rng([options.seed, 13, *place])
        write_mask(root / frame / "mask" / name, made_mask(image, options.masks, holes))
    if options.masks != MaskOptions():
        write_mask(root / "truth" / "mask_hand" / frame / name, image.hand)
        write_mask(root / "truth" / "mask_skin" / frame / name, image.skin)


def _write_detections(
    folder: Path, cameras: list[RigCamera], seen: dict[str, Float[np.ndarray, "C 21 3"]], rng: np.random.Generator
) -> None:
    """Landmarks of one frame, from what each camera takes for the joints of each hand, world meters."""
    folder.mkdir()
    size = cameras[0].width
    found = {
        side: imperfect_detections(
            np.stack([camera.project(own) for camera, own in zip(cameras, points, strict=True)]), size, rng
        )
        for side, points in seen.items()
    }
    for number, camera in enumerate(cameras):
        landmarks = {side.capitalize(): [] for side in SIDES}
        for side, pixels in found.items():
            landmarks[side.capitalize()] = normalized_landmarks(pixels[number], size)
        (folder / f"{camera.name}.json").write_text(json.dumps(landmarks))


def _write_cameras(path: Path, cameras: list[RigCamera], center: np.ndarray, radius: float) -> None:
    path.parent.mkdir()
    scale = np.diag([radius, radius, radius, 1.0])
    scale[:3, 3] = center
    arrays = {}
    for number, camera in enumerate(cameras):
        intrinsics = np.eye(4)
        intrinsics[:3, :3] = camera.intrinsics
        arrays[f"int_{number}"] = intrinsics
        arrays[f"ext_{number}"] = camera.world_to_camera
        arrays[f"world_mat_{number}"] = intrinsics @ camera.world_to_camera
        arrays[f"scale_mat_{number}"] = scale
    np.savez(path, **arrays)


def _write_truth(
    folder: Path,
    subject: Subject,
    cameras: list[RigCamera],
    motion: MotionSequence,
    errors: dict[str, np.ndarray],
    options: CaptureRoomOptions,
) -> None:
    """Parameters, vertices and joints of every frame in `truth.npz`, and the rendered skin as a mesh a frame."""
    folder.mkdir(exist_ok=True)
    names = ("global_orient", "local_rotations", "translation", "keypoints")
    models = [hand.model for hand in subject.hands.values()]
    _, faces = append_faces(*zip(*((model.template.numpy(), model.faces.numpy()) for model in models), strict=True))
    frames = [str(frame) for frame in motion.frames]
    arrays = {
        "format_version": np.array(TRUTH_VERSION),
        "seed": np.array(options.seed),
        "sides": np.array([model.side for model in models]),
        "frames": np.array(frames),
        "cameras": np.array([camera.name for camera in cameras]),
        "gains": np.stack([camera.gain for camera in cameras]),
        "gamma": np.array(GAMMA),
        "shape": subject.shape.numpy(),
        **{name: getattr(motion, name)[:, motion.is_there] for name in names},
        "vertices": motion.vertices[:, motion.is_there].reshape(len(frames), -1, 3),
        "faces": faces.astype(np.int32),
        **person_arrays([hand.own for hand in subject.hands.values()]),
        **errors,
    }
    if subject.held:
        arrays |= object_arrays(subject.held) | {"object_to_world": motion.object_to_world}
    np.savez_compressed(folder / "truth.npz", **arrays)
    write_options(folder, options)
    for t, frame in enumerate(frames):
        surfaces = posed_surfaces(subject, motion, t)
        write_skin(folder / f"mesh_{frame}.ply", subject, [own for mesh, own in surfaces if mesh.kind == "skin"])
        if subject.held:
            mesh, vertices = surfaces[-1]
            write_mesh(folder / f"object_{frame}.ply", vertices, mesh.faces, mesh.material.albedo)
