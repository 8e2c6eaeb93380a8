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
    texture_size: int = 1024,
    rigged: bool = False,
) -> None:
    """Write the hands of a trained avatar as meshes with a texture baked from it.

    The meshes lie in the capture's world, in metres. PLY holds colours per vertex, OBJ and GLB a texture.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the files; files of the same name are replaced.
        frame: Frame of the capture whose pose is shown, counted from 0.
        pose: A pose of one's own instead: an .npz with local_rotations [H, 15, 3] (axis-angle, MANO's joint order) and,
            if wanted, global_orient [H, 3], translation [H, 3] and valid [H]; what it lacks is taken from the frame.
            H counts the modelled hands, left before right.
        format: Files to write.
        texture_size: Texels along each side of the texture, a power of two.
        rigged: Write rigged.glb as well: the hands at rest with 16 joints each and skin weights.
    """
    from nerfstudio_hands.cli.trained_run import check_config, load_run
    from nerfstudio_hands.errors import HandsError
    from nerfstudio_hands.export.bake import check_texture_size

    check_texture_size(texture_size)
    check_config(load_config)

    import torch
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.cli.output_folder import prepare_output_folder, write_bytes
    from nerfstudio_hands.export.avatar import rigs, textured_mesh, visible_part
    from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes
    from nerfstudio_hands.export.surface_color import surface_color_fn
    from nerfstudio_hands.export.textured_mesh import glb_bytes, obj_files, ply_bytes

    config, pipeline = load_run(load_config)
    output_dir = prepare_output_folder(output_dir, keep_out_of=Path(config.pipeline.datamanager.dataparser.data))
    model = pipeline.model
    if not 0 <= frame < model.hands.num_frames:
        raise HandsError(
            f"--frame should be a number from 0 to {model.hands.num_frames - 1} for this run, but is {frame}."
        )
    shown = model.hands.pose_of(torch.tensor([frame], device=model.device))
    if pose is not None:
        shown = read_pose(pose, shown)
    if not shown.valid.any():
        raise HandsError(f"Frame {frame} should show a hand, but none was fitted there; choose another --frame.")

    with torch.no_grad():
        surface, shape, displacement = model.hands.surface, model.hands.shape, model.hands.displacement
        part = visible_part(surface, shown[0], shape, displacement)
        mesh = textured_mesh(part, surface_color_fn(model, shown), texture_size)
        files: dict[str, bytes] = {}
        if "ply" in format:
            files["hands.ply"] = ply_bytes(mesh)
        if "obj" in format:
            files |= obj_files(mesh, "hands")
        if "glb" in format:
            files["hands.glb"] = glb_bytes(mesh, "hands")
        if rigged:
            files["rigged.glb"] = rigged_glb_bytes(
                rigs(surface, shown.valid[0].tolist(), shape, displacement), mesh.texture
            )
    for name, content in files.items():
        write_bytes(output_dir / name, content)
        CONSOLE.print(f"Wrote {output_dir / name} ({len(content) / 1e6:.1f} MB)", soft_wrap=True)


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
