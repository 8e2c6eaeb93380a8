"""`ns-hands export`: the avatar as mesh files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional

if TYPE_CHECKING:
    from nerfstudio_hands.hand_model import HandPose

Format = Literal["ply", "obj", "glb"]


def export(
    load_config: Path,
    output_dir: Path,
    *,
    frame: int = 0,
    pose: Optional[Path] = None,
    format: tuple[Format, ...] = ("ply", "obj", "glb"),
    rest: bool = False,
    texture_size: int = 1024,
    rigged: bool = False,
    track: Optional[Path] = None,
    sequence: Optional[Literal["obj", "ply"]] = None,
    voxel: float = 0.5,
    level: float = 0.0,
) -> None:
    """Write the hands of a trained avatar as meshes with a texture baked from it.

    The meshes lie in the capture's world, in metres. PLY holds colours per vertex, OBJ and GLB a texture. The colours
    of a field have the capture's light in them; of a mesh (`hand-mesh`) they are the albedo, to be lit. A signed
    distance (`hand-sdf`) is written as its zero level, closed at the wrist, in rigged.glb too; what the hand holds lies
    in files of its own beside it, `object.ply` and so on, with colours per vertex.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the files; files of the same name are replaced.
        frame: Frame of the capture whose pose is shown, counted from 0.
        pose: A pose of one's own instead: an .npz with local_rotations [H, 15, 3] (axis-angle, MANO's joint order) and,
            if wanted, global_orient [H, 3], translation [H, 3] and valid [H]; what it lacks is taken from the frame.
            H counts the modelled hands, left before right.
        format: Files to write.
        rest: Show the flat hands side by side (T-pose) instead of a pose of the capture.
        texture_size: Texels along each side of the texture, a power of two.
        rigged: Write rigged.glb as well: the hands at rest with 16 joints each and skin weights; of a mesh, the hand
            model with the detail as a normal map.
        track: Pose track (an .npz that the viewer saved) that rigged.glb plays and --sequence follows; by default
            rigged.glb stands still, and the sequence follows the frames of the capture.
        sequence: Write a mesh of every frame as well, in this format, into the folder `sequence`.
        voxel: Edge in millimetres of the voxels in which the surface of a signed distance (`hand-sdf`) is meshed.
        level: Signed distance in millimetres at which that surface is taken to be, positive outside.
    """
    from nerfstudio_hands.cli.trained_run import check_config, load_run
    from nerfstudio_hands.errors import HandsError
    from nerfstudio_hands.export.bake import check_texture_size

    check_texture_size(texture_size)
    check_config(load_config)

    import torch
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.animation import read_track
    from nerfstudio_hands.cli.output_folder import prepare_output_folder, write_bytes
    from nerfstudio_hands.export.appearance import appearance_of
    from nerfstudio_hands.export.avatar import textured_mesh
    from nerfstudio_hands.export.mesh_sequence import mesh_sequence, rest_pose
    from nerfstudio_hands.export.object_level import object_level
    from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes
    from nerfstudio_hands.export.textured_mesh import glb_bytes, obj_files, ply_bytes

    if rest and pose is not None:
        raise HandsError("Expected --pose or --rest, found both: choose one.")
    played = None if track is None else read_track(track)
    config, pipeline = load_run(load_config)
    output_dir = prepare_output_folder(output_dir, keep_out_of=Path(config.pipeline.datamanager.dataparser.data))
    model = pipeline.model
    hands = model.hands
    if not 0 <= frame < hands.num_frames:
        raise HandsError(f"--frame should be a number from 0 to {hands.num_frames - 1} for this run, but is {frame}.")
    shown = hands.pose_of(torch.tensor([frame], device=model.device))
    if pose is not None:
        shown = read_pose(pose, shown)
    if not shown.valid.any():
        raise HandsError(f"Frame {frame} should show a hand, but none was fitted there; choose another --frame.")

    def write(name: str, content: bytes) -> None:
        write_bytes(output_dir / name, content)
        CONSOLE.print(f"Wrote {output_dir / name} ({len(content) / 1e6:.1f} MB)", soft_wrap=True)

    with torch.no_grad():
        stands = rest_pose(hands.surface) if rest else shown[0]
        look = appearance_of(model, shown, stands, voxel=voxel / 1000, level=level / 1000)
        part = look.part(stands)
        mesh = textured_mesh(part, look.color_fn, texture_size)
        if "ply" in format:
            write("hands.ply", ply_bytes(mesh))
        if "obj" in format:
            for name, content in obj_files(mesh, "hands", lit=look.lit).items():
                write(name, content)
        if "glb" in format:
            write("hands.glb", glb_bytes(mesh, "hands", lit=look.lit))
        if getattr(model, "held", None) is not None and not rest:
            posed = hands.at_frame(frame) if pose is None else hands.at_pose(shown)
            thing = object_level(model, posed, voxel=voxel / 1000)
            for kind in format:
                content = thing.export(file_type=kind)
                write(f"object.{kind}", content.encode() if isinstance(content, str) else content)
        if rigged:
            rigs, normal_map = look.rigs(shown.valid[0].tolist(), texture_size)
            write(
                "rigged.glb",
                rigged_glb_bytes(rigs, mesh.texture, lit=look.lit, normal_map=normal_map, track=played),
            )
        if sequence is not None:
            moving = hands.frames_track() if played is None else played
            poses = moving.for_hands(hands.surface.sides, hands.reference()).pose.to(model.device)
            seen = torch.nonzero(poses.valid.any(dim=-1))[:, 0].tolist()
            parts = (look.part(poses[n]) for n in seen)
            (output_dir / "sequence").mkdir(exist_ok=True)
            files = mesh_sequence(parts, mesh.texture, num_frames=len(seen), format=sequence, lit=look.lit)
            for name, content in files:
                write_bytes(output_dir / "sequence" / name, content)
            CONSOLE.print(f"Wrote {len(seen)} meshes to {output_dir / 'sequence'}", soft_wrap=True)


def read_pose(path: Path, default: HandPose) -> HandPose:
    """Reads poses of hands from an .npz, see `export`.

    Args:
        path: The file.
        default: Poses [1, H, ...] from which comes what the file lacks.

    Raises:
        HandsError: It is no such file, or an array has another shape or holds numbers that are not finite.
    """
    import zipfile

    import numpy as np
    import torch

    from nerfstudio_hands.errors import HandsError
    from nerfstudio_hands.hand_model import HandPose

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
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
        found = torch.from_numpy(arrays[name])
        if found.shape != fallback.shape[1:] or not found.isfinite().all():
            raise HandsError(
                f"{path}: expected {name} as finite numbers of shape {tuple(fallback.shape[1:])}, "
                f"found shape {tuple(found.shape)}; the run models {fallback.shape[1]} hand(s), left before right."
            )
        values[name] = found.to(fallback)[None]
    return HandPose(**values)
