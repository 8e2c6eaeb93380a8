"""A whole capture in the capture-room layout, rendered, with the truth beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import whole_folder
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.detections import imperfect_detections, normalised_landmarks
from nerfstudio_hands.synthesis.held_object import check_object
from nerfstudio_hands.synthesis.light import Room, studio
from nerfstudio_hands.synthesis.options import CaptureRoomOptions
from nerfstudio_hands.synthesis.render import Picture, render
from nerfstudio_hands.synthesis.rig import RigCamera, ring_of_cameras
from nerfstudio_hands.synthesis.scene import HELD, assemble
from nerfstudio_hands.synthesis.shading import GAMMA
from nerfstudio_hands.synthesis.subject import HandTruth, Subject, make_subject, pose_subject

TRUTH_VERSION = 1

CENTRE = np.array([0.08, -0.05, 1.12])
"""Where the hands are held, world metres, z up."""

SENSOR_NOISE = 0.8 / 255
"""Standard deviation of the noise on pixel values."""

MARGIN = 1.02
"""Radius of what the cameras frame, over that of the hands without forearms."""


def synthesize_capture_room(
    output: Path, options: CaptureRoomOptions, *, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Render a capture.

    Writes scans `1`, `2`, ... (a scan is a frame) in the layout that `read_capture_room` describes and a folder `truth`
    with `truth.npz` and one `mesh_<frame>.ply` a frame. With an object there are masks of it in `obj_mask` beside
    `mask`, which shows what is seen of the hand; its pose in every frame (`object_to_world`) and its mesh in its own
    frame (`object_vertices`, `object_faces`) in `truth.npz`; and its mesh in the world as `object_<frame>.ply`.
    Everything is written to a temporary folder that takes its name in the end, so that an interruption leaves nothing
    that looks complete.

    Args:
        output: Folder that does not exist yet.
        options: What to render.
        progress: Called with (pictures done, pictures in all).

    Returns:
        The folder.

    Raises:
        HandsError: The options make no sense, or the folder exists or cannot be written.
    """
    _check(options)
    output = Path(output).expanduser()
    with whole_folder(output) as partial:
        _render_all(partial, options, progress or (lambda done, total: None))
    return output


def _check(options: CaptureRoomOptions) -> None:
    check_ranges(options)
    if options.hand not in (*SIDES, "both"):
        raise HandsError(f"--hand: expected left, right or both, found '{options.hand}': give one of the three.")
    check_object(options.object, num_hands=2 if options.hand == "both" else 1)


def perform(options: CaptureRoomOptions) -> tuple[Subject, list[list[HandTruth]]]:
    """The subject, and its hands in every frame with the surface that is rendered."""
    sides = SIDES if options.hand == "both" else (options.hand,)
    subject = make_subject(sides, subdivisions=options.subdivisions, seed=options.seed, held=options.object)
    moments = np.linspace(0, 1, options.frames) if options.frames > 1 else np.zeros(1)
    return subject, [pose_subject(subject, CENTRE, float(moment)) for moment in moments]


def room_around(poses: list[list[HandTruth]], options: CaptureRoomOptions) -> Room:
    """The room that lights the hands of all frames and what they hold, round the middle of their bounding box."""
    everything = _all_vertices(poses)
    return studio(0.5 * (everything.min(0) + everything.max(0)), np.random.default_rng([options.seed, 2]))


def _all_vertices(poses: list[list[HandTruth]]) -> Float[np.ndarray, "N 3"]:
    """Vertices of the hands without forearms, and of what they hold, in all frames."""
    hands = [hand for moment in poses for hand in moment]
    held = [part.vertices for hand in hands for part in hand.parts if part.material == HELD]
    return np.concatenate([hand.vertices for hand in hands] + held)


def _render_all(root: Path, options: CaptureRoomOptions, progress: Callable[[int, int], None]) -> None:
    subject, poses = perform(options)
    room = room_around(poses, options)
    centre = room.centre
    radius = MARGIN * float(np.linalg.norm(_all_vertices(poses) - centre, axis=1).max())
    cameras = ring_of_cameras(
        centre,
        radius,
        num_cameras=options.num_cameras,
        resolution=options.resolution,
        rng=np.random.default_rng([options.seed, 3]),
    )
    frames = [str(index + 1) for index in range(options.frames)]
    for index, (frame, hands) in enumerate(zip(frames, poses, strict=True)):
        scan = root / frame
        for folder in ("img", "mask", "pose", "camera", *(["obj_mask"] if subject.held else [])):
            (scan / folder).mkdir(parents=True)
        scene = assemble([part for hand in hands for part in hand.parts], subject.skin, room, subject.held)
        for number, camera in enumerate(cameras):
            picture = render(scene, camera, supersampling=options.supersampling)
            noise = np.random.default_rng([options.seed, 4, index, number])
            _write_png(scan / "img" / f"{camera.name}.png", expose(picture, camera, noise))
            _write_png(scan / "mask" / f"{camera.name}.png", np.where(picture.coverage > 0.5, 255, 0).astype(np.uint8))
            if subject.held:
                mask = np.where(picture.held > 0.5, 255, 0).astype(np.uint8)
                _write_png(scan / "obj_mask" / f"{camera.name}.png", mask)
            progress(index * len(cameras) + number + 1, len(frames) * len(cameras))
        _write_poses(scan, cameras, hands, np.random.default_rng([options.seed, 5, index]))
        _write_cameras(scan / "camera" / "param.npz", cameras, centre, radius)
    _write_truth(root / "truth", subject, cameras, frames, poses, options)


def expose(picture: Picture, camera: RigCamera, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Pixel values as the camera stores them: its gain, some noise, 8 bits."""
    values = picture.colour * camera.gain + rng.normal(0, SENSOR_NOISE, picture.colour.shape)
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)


def _write_png(path: Path, picture: UInt8[np.ndarray, "H W *channels"]) -> None:
    Image.fromarray(picture).save(path, optimize=True)


def _write_poses(scan: Path, cameras: list[RigCamera], hands: list[HandTruth], rng: np.random.Generator) -> None:
    size = cameras[0].width
    found = {
        hand.side: imperfect_detections(np.stack([c.project(hand.keypoints) for c in cameras]), size, rng)
        for hand in hands
    }
    for number, camera in enumerate(cameras):
        landmarks = {side.capitalize(): [] for side in SIDES}
        for side, pixels in found.items():
            landmarks[side.capitalize()] = normalised_landmarks(pixels[number], size)
        (scan / "pose" / f"{camera.name}.json").write_text(json.dumps(landmarks))


def _write_cameras(path: Path, cameras: list[RigCamera], centre: np.ndarray, radius: float) -> None:
    scale = np.diag([radius, radius, radius, 1.0])
    scale[:3, 3] = centre
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
    frames: list[str],
    poses: list[list[HandTruth]],
    options: CaptureRoomOptions,
) -> None:
    """Parameters, vertices and joints of every frame in `truth.npz`, and the rendered skin as a mesh a frame."""
    folder.mkdir()

    def table(name: str) -> np.ndarray:
        return np.stack([[np.asarray(getattr(hand, name)) for hand in hands] for hands in poses]).astype(np.float32)

    starts = np.cumsum([0] + [model.num_vertices for model in subject.models])
    arrays = {
        "format_version": np.array(TRUTH_VERSION),
        "seed": np.array(options.seed),
        "sides": np.array([model.side for model in subject.models]),
        "frames": np.array(frames),
        "cameras": np.array([camera.name for camera in cameras]),
        "gains": np.stack([camera.gain for camera in cameras]),
        "gamma": np.array(GAMMA),
        "shape": subject.shape.numpy(),
        "global_orient": table("global_orient"),
        "local_rotations": table("local_rotations"),
        "translation": table("translation"),
        "keypoints": table("keypoints"),
        "vertices": np.stack([np.concatenate([h.vertices for h in hands]) for hands in poses]).astype(np.float32),
        "faces": np.concatenate(
            [m.faces.numpy() + start for m, start in zip(subject.models, starts[:-1], strict=True)]
        ).astype(np.int32),
    }
    if subject.held:
        arrays["object"] = np.array(subject.held.kind)
        arrays["object_to_world"] = np.stack([hands[0].object_to_world for hands in poses])
        arrays["object_vertices"] = subject.held.vertices.astype(np.float32)
        arrays["object_faces"] = subject.held.faces.astype(np.int32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (folder / "truth.npz").write_bytes(buffer.getvalue())
    for frame, hands in zip(frames, poses, strict=True):
        _write_mesh(folder / f"mesh_{frame}.ply", *skin_mesh(subject, hands))
        if subject.held:
            colours = pixel_values(subject.held.appearance(subject.held.vertices).albedo)
            _write_mesh(folder / f"object_{frame}.ply", hands[0].parts[-1].vertices, subject.held.faces, colours)


def _write_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray) -> None:
    mesh = trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False)
    path.write_bytes(mesh.export(file_type="ply"))


def skin_mesh(
    subject: Subject, hands: list[HandTruth]
) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "G 3"], UInt8[np.ndarray, "W 3"]]:
    """The rendered skin, forearms included, at one subdivision: every vertex lies on the rendered surface.

    Returns:
        Vertices in world metres, faces, and the skin's albedo as pixel values.
    """
    vertices, faces, colours = [], [], []
    start = 0
    for hand, tessellation in zip(hands, subject.tessellations, strict=True):
        count = int(tessellation.coarse_faces.max()) + 1
        part = SurfacePoints(tessellation.canonical[:count], tessellation.finger[:count], tessellation.dorsal[:count])
        albedo = subject.skin.appearance(part).albedo
        vertices.append(hand.surface[:count])
        faces.append(tessellation.coarse_faces + start)
        colours.append(pixel_values(albedo))
        start += count
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colours)


def pixel_values(albedo: Float[np.ndarray, "N 3"]) -> UInt8[np.ndarray, "N 3"]:
    """Linear colours as they are stored."""
    return np.round(255 * albedo ** (1 / GAMMA)).astype(np.uint8)
