"""Template with a fitted texture, refined mesh, mesh drawn by a network, radiance field: figures of held-out cameras.

Every row is `ns-train` with its default length and `ns-eval`, printed before they run. A second table tells what the
joint stage of the networks, in which the mesh learns with them, gains in pictures and does to the mesh.

    python benchmarks/mesh_and_field.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Optional, Tuple

import numpy as np
import torch
import tyro
from captures import EvaluatedImages, cell, notes_on, present, title_of
from nerfstudio.pipelines.base_pipeline import Pipeline
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image
from recording import Recorded, record
from rich.table import Table
from trained_rows import train_and_evaluate

from nerfstudio_hands.geometry.regularizers import laplacian_energy, normal_consistency
from nerfstudio_hands.geometry.self_intersection import intersecting_faces
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh_neural
from nerfstudio_hands.models.hand_mesh_neural import HandMeshNeuralModel

CAMERAS = ["--pipeline.model.refine-cameras", "True"]
ROWS = {
    "template, fitted texture": ["hand-mesh", "--pipeline.model.displace-from", "1"],
    "hand-mesh": ["hand-mesh"],
    "hand-mesh, cameras refined": ["hand-mesh", *CAMERAS],
    "hand-mesh-neural, mlp, cameras refined": ["hand-mesh-neural", *CAMERAS],
    "hand-mesh-neural, unet, cameras refined": ["hand-mesh-neural", "--pipeline.model.shader", "unet", *CAMERAS],
    "hand-uvnerf": ["hand-uvnerf"],
}
COLUMNS = (
    "hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips_calibrated", "psnr", "lpips", "mask_iou",
    "hand_coverage", "train_seconds", "eval_seconds",
)  # fmt: skip
JOINT_COLUMNS = ("hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips_calibrated", "mask_iou")

SECONDS = (
    "Seconds are those of ns-train and of ns-eval, start-up included; fit and crops, which rows share, are in none."
)

SHEET_WIDTH = 1920
"""Pixels across the sheet of pictures."""


@dataclass
class MeshAndField(Recorded):
    """Trains every row on the same capture and evaluates what was held out."""

    data: Path
    """Capture in a layout that we read."""
    eval_cameras: Optional[Tuple[str, ...]] = None
    """Cameras to hold out; by default every seventh."""
    rows: Tuple[str, ...] = tuple(ROWS)
    """Rows of the table."""
    steps: Optional[int] = None
    """Training steps of each; by default the method's own."""
    output: Optional[Path] = None
    """Folder for runs, pictures and figures; by default a temporary one."""


def main(args: MeshAndField) -> None:
    folder = args.output or Path(mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    data = ["--data", str(args.data), "hands-data"]
    data += ["--eval-cameras", *args.eval_cameras] if args.eval_cameras else []
    config = hand_mesh_neural.config
    last_step = (args.steps or config.max_num_iterations) - 1
    last_on_fixed_mesh = round(config.pipeline.model.shader_schedule.end * (last_step + 1)) - 1
    length = [] if args.steps is None else ["--max-num-iterations", str(args.steps)]
    keeping = ["--steps-per-save", str(last_on_fixed_mesh), "--save-only-latest-checkpoint", "False"]
    rows, stages = {}, {}
    for row in args.rows:
        name, method = file_name(row), ROWS[row]
        has_stages = method[0] == config.method_name
        found = train_and_evaluate(folder, name, [*method, *length, *(keeping if has_stages else [])], data)
        rows[row] = found
        for said, step in (("before", last_on_fixed_mesh), ("after", last_step)) if has_stages else ():
            pipeline = pipeline_at(folder / "runs" / name / method[0] / "run" / "config.yml", step)
            figures = found if step == last_step else pipeline.get_average_eval_image_metrics()
            stages[f"{row}: {said}"] = (figures, mesh_figures(pipeline.model))
    evaluated = EvaluatedImages.of_folder(folder / f"{file_name(args.rows[0])}-pictures")
    notes = [evaluated.sentence(args.eval_cameras), SECONDS, *notes_on(args.data)]
    record(__file__, args, tables(args, rows, stages), notes=notes, figures=rows)
    write_sheet(folder, [file_name(row) for row in args.rows])
    print(f"Runs, pictures (together: comparison.jpg) and figures: {folder}")


def tables(args: MeshAndField, rows: dict[str, dict[str, float]], stages: dict[str, tuple]) -> list[Table]:
    """Figures of every row, and of what learns in stages before and after the last of them."""
    length = "default length" if args.steps is None else f"{args.steps} steps"
    every, joint = (Table(title=f"{title_of(args.data)}, {length}: {t}") for t in ("held out", "the joint stage"))
    columns, joint_columns = (present(wanted, rows.values()) for wanted in (COLUMNS, JOINT_COLUMNS))
    for column in ("", *columns):
        every.add_column(column, overflow="fold")
    for column in ("", *joint_columns, "displaced mm", "bending mm2", "1 - cos of normals", "crossing faces"):
        joint.add_column(column, overflow="fold")
    for row, found in rows.items():
        every.add_row(row, *(cell(key, found.get(key)) for key in columns))
    for row, (figures, of_mesh) in stages.items():
        joint.add_row(row, *(cell(key, figures.get(key)) for key in joint_columns), *of_mesh)
    return [every, joint] if stages else [every]


def file_name(row: str) -> str:
    return row.replace(",", "").replace(" ", "-")


def write_sheet(folder: Path, names: list[str]) -> None:
    """Every held-out picture beside what each row made of it, colours calibrated, cut round the hands."""
    lines = []
    for region in sorted((folder / f"{names[0]}-pictures").glob("eval_region_*.png")):
        inside = np.asarray(Image.open(region))[..., 0] > 0
        box = tuple(slice(*(np.flatnonzero(inside.any(axis=axis))[[0, -1]] + (0, 1))) for axis in (1, 0))
        # Truth, calibrated and raw prediction stand side by side.
        panels = [
            np.split(
                np.asarray(Image.open(folder / f"{name}-pictures" / region.name.replace("region", "img"))), 3, axis=1
            )
            for name in names
        ]
        line = Image.fromarray(np.concatenate([panels[0][0][box], *(panel[1][box] for panel in panels)], axis=1))
        lines.append(np.asarray(line.resize((SHEET_WIDTH, round(line.height * SHEET_WIDTH / line.width)))))
    Image.fromarray(np.concatenate(lines)).save(folder / "comparison.jpg", quality=90)


def pipeline_at(config: Path, step: int) -> Pipeline:
    """The pipeline of a run as it was after a step."""

    def choose(config):
        config.load_step = step
        return config

    return eval_setup(config, test_mode="test", update_config_callback=choose)[1]


@torch.no_grad()
def mesh_figures(model: HandMeshNeuralModel) -> list[str]:
    """Mean displacement, its bending, disagreement of normals, and how many faces cross in the first frame."""
    model.displace()
    hands, topology = model.hands, model.mesh.topology
    offset, faces = hands.offset * 1000, hands.surface.faces
    posed = hands.vertices(hands.pose_of(torch.tensor([0], device=model.device)))[0]
    return [
        f"{offset.norm(dim=-1).mean():.2f}",
        f"{laplacian_energy(offset, topology.laplacian):.5f}",
        f"{normal_consistency(posed, faces, topology.edges):.5f}",
        f"{len(intersecting_faces(posed, faces))}",
    ]


if __name__ == "__main__":
    main(tyro.cli(MeshAndField))
