"""`ns-hands export`: the avatar as mesh files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional, Union

from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fields.texture_size import check_texture_size
from nerfstudio_hands.motion.track_convention import TrackConvention
from nerfstudio_hands.program.environment import require_run_config
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

if TYPE_CHECKING:
    from nerfstudio_hands.hand_model import HandPose

Format = Literal["ply", "obj", "glb", "splat", "splat-glb", "page"]
World = Literal["upright", "capture"]

LAST_FRAME = 10**6
"""No capture has more frames; how many a run has is known once it is loaded."""


def export(
    load_config: Path,
    output_dir: Path,
    *,
    frame: Union[int, Literal["capture"]] = 0,
    world: World = "upright",
    pose: Optional[Path] = None,
    format: tuple[Format, ...] = ("ply", "obj", "glb"),
    rest: bool = False,
    texture_size: int = 1024,
    rigged: bool = False,
    track: Optional[Path] = None,
    track_convention: Optional[TrackConvention] = None,
    sequence: Optional[Literal["obj", "ply"]] = None,
    open_wrist: bool = False,
    voxel: float = 0.5,
    level: float = 0.0,
    data: Optional[Path] = None,
) -> None:
    """Write the hands of a trained avatar as meshes with a texture baked from it.

    The meshes are in metres and closed, and stand upright at the origin, y up, as glTF demands; `--world capture`
    leaves them where the capture has them. PLY holds colours per vertex, OBJ and GLB a texture. The colours of a field
    have the capture's light in them; of a mesh (`hand-mesh`) they are the albedo, to be lit. A signed distance
    (`hand-sdf`) is written as its isosurface; what the hand holds lies in files of its own beside it, `object.ply` and
    so on, with colours per vertex. What the hand of `hand-splat` holds is among the Gaussians of `splat`, `splat-glb`
    and `page`, and in no other file.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the files; files of the same name are replaced.
        frame: Frame of the capture whose pose is shown, counted from 0, 0 to 1000000. The word `capture` is short for
            --world capture.
        world: Frame of reference of all files: upright at the origin with y up, or the capture's own world.
        pose: A pose of one's own instead: an .npz with local_rotations [H, 15, 3] (axis-angle, MANO's joint order) and,
            if wanted, global_orient [H, 3], translation [H, 3] and valid [H]; what it lacks is taken from the frame.
            H counts the modelled hands, left before right.
        format: Files to write. `splat`, of `hand-splat` alone, is hands_splat.ply, the Gaussians themselves as viewers
            of "3D Gaussian splatting" read them; `splat-glb` is the same as glTF, hands_splat.glb, by the extension
            KHR_gaussian_splatting; `page`, likewise, is hands.html, which opens in any browser without a network, bends
            the fingers and plays the frames of the capture and --track.
        rest: Show the flat hands side by side (T-pose) instead of a pose of the capture.
        texture_size: Texels along each side of the texture, a power of two from 16 to 8192.
        rigged: Write rigged.glb as well: the hands at rest with 16 joints each and skin weights; of a mesh, the hand
            model with the detail as a normal map.
        track: Pose track that rigged.glb and the page play and --sequence follows, of the viewer or of another tool,
            see `ns-hands animate`; by default rigged.glb stands still, and page and sequence follow the frames of the
            capture.
        track_convention: How the poses of another tool are to be read, see `ns-hands animate`.
        sequence: Write a mesh of every frame as well, in this format, into the folder `sequence`.
        open_wrist: Leave the hands open at the wrist, as the hand model is, instead of closing them.
        voxel: Edge in millimetres of the voxels in which the surface of a signed distance (`hand-sdf`) is meshed, 0.05
            to 20.
        level: Signed distance in millimetres at which that surface is taken to be, positive outside, -20 to 20.
        data: Where the capture lies now; by default where it lay when the run began. It need not be there.
    """
    if frame == "capture":
        frame, world = 0, "capture"
    require_range("--frame", frame, 0, LAST_FRAME)
    require_range("--voxel", voxel, 0.05, 20)
    require_range("--level", level, -20, 20)
    check_texture_size(texture_size)
    if not (format or rigged or sequence):
        raise HandsError("--format: expected files to write, found none: name some, or add --rigged or --sequence.")
    if rest and pose is not None:
        raise HandsError("Expected --pose or --rest, found both: choose one.")
    if track is not None and not (rigged or sequence or "page" in format):
        raise HandsError(
            "--track: expected --rigged or --sequence or --format page with it, found none: add what shall move."
        )
    require_run_config(load_config)
    for option, file in (("--pose", pose), ("--track", track)):
        if file is not None and not file.is_file():
            raise HandsError(f"{file}: expected a file of poses, found no such file; check {option}.")
    check_can_be_made(output_dir if sequence is None else output_dir / "sequence", "--output-dir")
    say(f"Loading the avatar of {load_config} ...")

    import numpy as np
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.cli.output_folder import prepare_output_folder, write_bytes
    from nerfstudio_hands.cli.shown_frame import frame_pose
    from nerfstudio_hands.cli.trained_run import load_run
    from nerfstudio_hands.export.avatar_files import AvatarFiles, FileOptions
    from nerfstudio_hands.export.finishing import upright_transform
    from nerfstudio_hands.motion.track_file import read_any_track

    config, pipeline = load_run(load_config, data)
    hands = pipeline.model.hands
    shown = frame_pose(hands, frame)
    if pose is not None:
        shown = read_pose(pose, shown)
    if not shown.valid.any():
        raise HandsError(f"{pose}: expected a pose of a hand, found all of them marked as not valid: show one.")
    played = None
    if track is not None:
        played = read_any_track(track, hands.surface.hands, convention=track_convention)
        played = played.for_hands(hands.surface.sides, hands.reference().to("cpu"))
    output_dir = prepare_output_folder(output_dir, keep_out_of=Path(config.pipeline.source.data))

    def write(name: str, content: bytes) -> None:
        write_bytes(output_dir / name, content)
        CONSOLE.print(f"Wrote {output_dir / name} ({len(content) / 1e6:.1f} MB)", soft_wrap=True)

    options = FileOptions(
        world=upright_transform(hands.world_transform) if world == "upright" else np.eye(3, 4),
        formats=format,
        at_rest=rest,
        texture_size=texture_size,
        open_wrist=open_wrist,
        voxel=voxel / 1000,
        level=level / 1000,
    )
    source = pipeline.model.export_source()
    showing = {"page"} if rest else {"splat", "splat-glb", "page"}
    if source.held_splats is not None and (rigged or sequence or not set(format) <= showing):
        say(
            "What the hand holds is Gaussians without a surface: hands.html shows it, hands_splat.ply and "
            "hands_splat.glb do unless the hands are at rest, and no other file does."
        )
    files = AvatarFiles(source, shown, options, frame if pose is None else None)
    for name, content in files.hands():
        write(name, content)
    for name, content in files.held_object():
        write(name, content)
    if "page" in format:
        eye = pipeline.datamanager.train_dataset.cameras.camera_to_worlds[0, :3, 3]
        write("hands.html", files.page([*filter(None, [played])], eye=eye))
    if rigged:
        write("rigged.glb", files.rig(played))
    if sequence is not None:
        poses = (hands.frames_track() if played is None else played).pose.to(pipeline.model.device)
        (output_dir / "sequence").mkdir(exist_ok=True)
        for name, content in files.sequence(poses, sequence):
            write_bytes(output_dir / "sequence" / name, content)
        count = int(poses.valid.any(dim=-1).sum())
        CONSOLE.print(f"Wrote {count} meshes to {output_dir / 'sequence'}", soft_wrap=True)


def read_pose(path: Path, default: HandPose) -> HandPose:
    """Reads poses of hands from an .npz, see `export`.

    Args:
        path: The file.
        default: Poses [1, H, ...] from which comes what the file lacks.

    Raises:
        HandsError: It is no such file, or an array has another shape or holds numbers that are not finite.
    """
    import numpy as np
    import torch

    from nerfstudio_hands.files.guarded_files import UnreadableFile, finite, read_npz
    from nerfstudio_hands.hand_model import HandPose
    from nerfstudio_hands.motion.foreign_track import LARGEST

    try:
        arrays = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected an .npz with local_rotations, found something else ({error}); check --pose."
        ) from error
    if "local_rotations" not in arrays:
        raise HandsError(
            f"{path}: expected an array local_rotations, found {sorted(arrays)}; write the pose under that name."
        )
    values = {}
    for name in ("global_orient", "local_rotations", "translation", "valid"):
        fallback = getattr(default, name)
        if name not in arrays:
            values[name] = fallback
            continue
        found, shape = arrays[name], tuple(fallback.shape[1:])
        if found.shape != shape or found.dtype.kind not in "fiub" or not finite(found, below=LARGEST).all():
            raise HandsError(
                f"{path}: expected {name} as finite numbers of shape {shape}, found shape {found.shape} of "
                f"{found.dtype}; the run models {fallback.shape[1]} hand(s), left before right."
            )
        values[name] = torch.from_numpy(found.astype(np.float64)).to(fallback)[None]
    return HandPose(**values)
