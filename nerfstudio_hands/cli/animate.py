"""`ns-hands animate`: a video of an avatar that moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional

from nerfstudio_hands.cli.output_folder import check_new_video, prepare_output_folder
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.track_convention import TrackConvention
from nerfstudio_hands.program.environment import require_run_config
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

    from nerfstudio_hands.model_components.posed_hands import PosedHands
    from nerfstudio_hands.motion.pose_track import PoseTrack

Mesh = Literal["none", "beside", "split"]

USUAL_SECONDS = 3.0
"""Length of a video at most unless somebody asks for another: its pictures are rendered in about a minute."""

SPIRAL_SAMPLES = 24
"""Poses of a track from which the room is measured that a spiral goes round."""


def animate(
    load_config: Path,
    output: Path = Path("animation.mp4"),
    *,
    track: Optional[Path] = None,
    track_capture: Optional[str] = None,
    track_frames: Optional[tuple[int, int]] = None,
    track_convention: Optional[TrackConvention] = None,
    in_place: bool = False,
    camera: Optional[str] = None,
    spiral: bool = False,
    camera_path: Optional[Path] = None,
    mesh: Mesh = "none",
    light: Optional[str] = None,
    fps: float = 10.0,
    speed: float = 1.0,
    seconds: Optional[float] = None,
    size: int = 320,
    quick: bool = True,
    overwrite: bool = False,
    data: Optional[Path] = None,
) -> None:
    """Write a video of a trained avatar that plays a pose track.

    The defaults take about a minute on two cores of a CPU; a finer video is `--fps 24 --size 640`.

    Args:
        load_config: The run's config.yml.
        output: Video file to write, .mp4; there must be none of this name, unless --overwrite.
        track: Poses to play: an .npz that the viewer saved, MANO parameters in InterHand2.6M's JSON form, or an .npz or
            .pkl of another tool (HaMeR, WiLoR, DexYCB, SMPL-X, AMASS). By default the frames of the capture, held-out
            ones too.
        track_capture: Which capture of a JSON file that holds several.
        track_frames: First and last frame number to play of a JSON file.
        track_convention: How the poses of another tool are to be read, where the file leaves it open: angles from
            MANO's mean pose or from the flat hand, coefficients of its components, HaMeR's mirrored left hands.
        in_place: Only fingers move, wrists stay where the capture has them: for tracks of another capture.
        camera: Look from this camera of the capture; by default from the first one that training saw.
        spiral: Circle once round the hands instead, and rise.
        camera_path: Follow this camera path instead, which the viewer's Render tab saves; `render_time` in it chooses
            the pose, where there is one.
        mesh: Show the posed hand model as well: beside the avatar, or in the right half of a split picture.
        light: Another light for a mesh (`hand-mesh`): studio, window, sunset, overcast, or a file: a panorama (.hdr,
            .png, .jpg) or coefficients (.npz, .json).
        fps: Pictures a second, 0.1 to 240.
        speed: 2 plays the track twice as fast; 0.001 to 1000.
        seconds: Length of the video, 0 to 3600; a track that ends begins anew. By default as long as the track, but at
            most 3, or as long as the camera path.
        size: Longest side of a picture in pixels, 16 to 4096.
        quick: Draw hand-uvnerf and hand-sdf in layers, some six times as fast and nearly the same; --no-quick draws
            them from samples, as ns-eval does.
        overwrite: Replace a file of this name.
        data: Where the capture lies now; by default where it lay when the run began. It need not be there.
    """
    if (camera is not None) + spiral + (camera_path is not None) > 1:
        raise HandsError("Expected one of --camera, --spiral and --camera-path, found several: choose one.")
    require_range("--fps", fps, 0.1, 240)
    require_range("--speed", speed, 0.001, 1000)
    require_range("--size", size, 16, 4096)
    if seconds is not None:
        require_range("--seconds", seconds, 0, 3600)
    require_run_config(load_config)
    check_new_video(output, overwrite=overwrite)
    for option, value in {"--track-frames": track_frames, "--track-capture": track_capture}.items():
        if value is not None and track is None:
            raise HandsError(f"{option}: expected --track FILE with it, found none: name the file, or leave it out.")
    if track is not None and not track.is_file():
        raise HandsError(f"{track}: expected a pose track, found no such file; check --track.")
    if camera_path is not None and not camera_path.is_file():
        raise HandsError(f"{camera_path}: expected a camera path, found no such file; check --camera-path.")
    say(f"Loading the avatar of {load_config} ...")

    import numpy as np
    import torch
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.cli.trained_run import load_run
    from nerfstudio_hands.geometry.light.environment import load_environment
    from nerfstudio_hands.video.camera_paths import at_size, read_camera_path, spiral_path, still_path
    from nerfstudio_hands.video.mesh_image import mesh_image
    from nerfstudio_hands.video.writer import write_video

    path = None if camera_path is None else read_camera_path(camera_path)
    environment = None if light is None else load_environment(light)
    config, pipeline = load_run(load_config, data, quick=quick)
    prepare_output_folder(output.parent, keep_out_of=Path(config.pipeline.source.data))
    model, manager = pipeline.model, pipeline.datamanager
    if environment is not None:
        if not model.can_be_relit:
            raise HandsError(
                f"--light: expected a run of hand-mesh, whose colours are without light, found {config.method_name}: "
                "leave --light out."
            )
        model.relight(environment)  # pyright: ignore[reportCallIssue]
    hands: PosedHands = model.hands
    if track is None:
        played = _frames_of_the_capture(hands)
    else:
        played = _read_track(track, hands, track_capture, track_frames, track_convention)
    played = _where_it_plays(played, hands, in_place=in_place)
    if seconds is None and path is None and not played.duration:
        raise HandsError(
            f"{track or load_config}: expected several poses, found one, which does not move: give another --track, or "
            "--seconds for a video of this one."
        )
    count = _image_count(played, path, seconds=seconds, speed=speed, fps=fps)
    times = torch.arange(count) * speed / fps
    if path is not None:
        cameras = path[:count]
        if path.times is not None:
            times = path.times[:count, 0] * played.duration
    elif spiral:
        sampled = played.at(torch.linspace(0, played.duration, SPIRAL_SAMPLES)).to(model.device)
        shown = hands.surface.vertex_valid(sampled.valid)
        cameras = spiral_path(hands.vertices(sampled).detach()[shown], count)
    else:
        of_capture = [manager.train_dataset.cameras, manager.eval_dataset.cameras]
        cameras = still_path(of_capture, model.camera_names, camera, count)
    cameras = at_size(cameras, size).to(model.device)
    width, height = int(cameras.width[0]), int(cameras.height[0])
    poses = played.at(torch.where(times > played.duration, times % max(played.duration, 1e-9), times)).to(model.device)

    @torch.no_grad()
    def render(index: int) -> np.ndarray:
        view, pose = cameras[index : index + 1], poses[index : index + 1]
        hands.set_override(pose)
        avatar = (model.get_outputs_for_camera(view)["rgb"].cpu().numpy() * 255).astype(np.uint8)
        if mesh == "none":
            return avatar
        drawn = mesh_image(hands.surface, hands.vertices(pose)[0], view)
        if mesh == "split":
            return np.concatenate([avatar[:, : width // 2], drawn[:, width // 2 :]], axis=1)
        return np.concatenate([avatar, drawn], axis=1)

    images = (render(index) for index in range(count))
    width = 2 * width if mesh == "beside" else width
    write_video(output, images, width=width, height=height, count=count, fps=fps)
    CONSOLE.print(f"Animation: {output} ({count} pictures)")


def _image_count(played: PoseTrack, path: Cameras | None, *, seconds: float | None, speed: float, fps: float) -> int:
    """Images of the video: as many as its length or its camera path asks for."""
    if path is not None:
        return max(len(path) if seconds is None else min(len(path), round(seconds * fps)), 1)
    length = played.duration / speed if seconds is None else seconds
    if seconds is None and length > USUAL_SECONDS:
        say(f"The first {USUAL_SECONDS:g} of {length:.0f} seconds; --seconds {length:.0f} shows all.")
        length = USUAL_SECONDS
    return max(round(length * fps), 1)


def _read_track(
    track: Path,
    hands: PosedHands,
    capture: str | None,
    frames: tuple[int, int] | None,
    convention: TrackConvention | None,
) -> PoseTrack:
    from nerfstudio_hands.motion.track_file import read_any_track

    return read_any_track(track, hands.surface.hands, convention=convention, capture=capture, frames=frames)


def _where_it_plays(played: PoseTrack, hands: PosedHands, *, in_place: bool) -> PoseTrack:
    """The track for the avatar's hands; wrists stay as the capture has them if that is wanted, or all that is known."""
    if not played.placed:
        say("The track does not say where wrists are, so they stay where the capture has them.")
    reference = hands.reference().to("cpu")
    played = played.for_hands(hands.surface.sides, reference)
    if in_place:
        return played.anchored(reference)
    if played.is_far_from(reference):
        say("The track moves the hands away from where the capture has them; --in-place keeps them there.")
    return played


def _frames_of_the_capture(hands: PosedHands) -> PoseTrack:
    from nerfstudio.utils.rich_utils import CONSOLE

    held_out = hands.num_frames - len(hands.train_frames)
    CONSOLE.print(f"Playing the {hands.num_frames} frame(s) of the capture, {held_out} of them held out.")
    return hands.frames_track().to("cpu")
