"""What does each part of `hand-object-sdf` contribute, and how do its baselines compare with the same budget?

On drawn pictures whose people, things, cameras and backgrounds no training has seen (synthetic). Trains a pose network
once, with whose encoder all others begin, heads that know true bones and no pictures, and then, each for as many steps:
our network, which corrects the mean hand, gSDF's, which does not, that with an encoder of its own for the object's
center, that with 6 features of the skeleton in place of 51 and 72, AlignSDF, Grasping Field; and, where pictures are
blurred and hidden in part, single pictures and clips of three. Where it can, a row is judged once with the wrist's
depth given, as papers do, and once predicted; surfaces are of voxels of 4.4 mm, as published. The last columns are
timed alone: a mesh of hand and object, a batch by the loader in one process, and a step of the network. A row that is
there already, made by the same options, code and machine, is taken as it is, so that several calls can make rows.

    python benchmarks/hand_object_ablations.py --output runs --steps 3000
    python benchmarks/hand_object_ablations.py --output runs --only gsdf --pose-run POSES/nerfstudio_models
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import split
from typing import Any, Optional, Tuple

import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup
from recording import Recorded, code_digest, machine, record, versions
from rich.table import Table
from trained_rows import differences, trained

from nerfstudio_hands.datamanagers.scene_datamanager import REACH

SYNTHETIC = "Synthetic: people, things, cameras and backgrounds of the held-out pictures are in no training."

WITHOUT_MEAN_HAND = ("--pipeline.model.mean-hand", "False")

TRUE_BONES = (
    *("--pipeline.model.skeleton", "truth", "--pipeline.model.image", "none"),
    *("--pipeline.datamanager.sees", "False", "--pipeline.datamanager.crops-per-image", "2"),
    *("--pipeline.datamanager.batch-size", "24", "--pipeline.datamanager.points", "320"),
)
"""No pictures are looked at: points are cheap, and hands are many."""

HARD = ("--drawn-frames", "8", "--drawn-blur", "0.7", "--drawn-occluders", "0.5")
"""Clips in which hands blur and every other one is hidden in part."""


@dataclass(frozen=True)
class Row:
    """A training.

    Attributes:
        method: What is trained.
        options: Of the method.
        data: Of the drawn pictures.
        poses: Whether its bones are those of the pose network, which may predict the wrist's depth, too.
    """

    method: str
    options: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    poses: bool = True


ROWS = {
    "heads, true bones": Row("hand-object-sdf", TRUE_BONES, poses=False),
    "heads, true bones, as gsdf": Row("hand-object-sdf", (*TRUE_BONES, *WITHOUT_MEAN_HAND), poses=False),
    "from the mean hand": Row("hand-object-sdf"),
    "gsdf": Row("hand-object-sdf", WITHOUT_MEAN_HAND),
    "own encoder for the center": Row("hand-object-sdf", ("--pipeline.model.center", "own", *WITHOUT_MEAN_HAND)),
    "6 and 6 features": Row(
        "hand-object-sdf",
        ("--pipeline.model.hand-features", "6", "--pipeline.model.object-features", "6", *WITHOUT_MEAN_HAND),
    ),
    "alignsdf": Row("hand-object-alignsdf"),
    "grasping field": Row("hand-object-grasping-field", poses=False),
    "single pictures, hard": Row("hand-object-sdf", data=HARD),
    "clips of 3, hard": Row("hand-object-sdf-video", data=HARD),
    "clips of 3 as published, hard": Row("hand-object-sdf-video", ("--pipeline.model.clip", "published"), HARD),
}

VOXEL = 2 * REACH / 128
"""Meters; published figures are of cubes of 128 voxels a side."""

COLUMNS = {
    "CD_h": "chamfer_hand_cm2",
    "FS_h@1": "f_hand_1mm",
    "FS_h@5": "f_hand_5mm",
    "CD_o": "chamfer_object_cm2",
    "FS_o@5": "f_object_5mm",
    "FS_o@10": "f_object_10mm",
    "E_h": "e_h_cm",
    "E_o": "e_o_cm",
    "no hand": "missing_hand",
    "no object": "missing_object",
}
SECONDS = {"s a mesh": "mesh_seconds", "s a batch": "loader_seconds", "s a step": "step_seconds"}
UNALIGNED = ("e_h_cm", "e_o_cm", "missing_hand", "missing_object")
"""Figures that no alignment changes."""

Figures = dict[str, float]


@dataclass
class HandObjectAblations(Recorded):
    """Trains and judges hand-object-sdf, its parts and its baselines."""

    output: Path = Path("outputs/hand_object_ablations")
    """Folder of runs, logs and meshes."""
    steps: int = 3000
    """Of each training."""
    pictures: int = 100
    """Held-out pictures that are judged."""
    only: Tuple[str, ...] = tuple(ROWS)
    """Which rows."""
    pose_run: Optional[Path] = None
    """Checkpoints of a pose network (nerfstudio_models); without, one is trained for as many steps."""
    options: str = ""
    """Of every training, as they are typed: `--options="--pipeline.datamanager.size 64"`."""
    drawn: Tuple[str, ...] = ()
    """Options of the drawn pictures, likewise."""


def row_commands(row: Row, args: HandObjectAblations, pose_run: Path | None) -> tuple[list[str], list[str]]:
    """Method and its options, and data and theirs."""
    poses = () if pose_run is None else ("--pipeline.model.pose-run", str(pose_run))
    steps = ("--max-num-iterations", str(args.steps), "--steps-per-eval-all-images", "1000000")
    method = [row.method, *steps, *poses, *row.options, *split(args.options)]
    data = ["hand-object-data", *row.data, "--max-eval-images", str(args.pictures), *args.drawn]
    return method, data


def figures_of(name: str, row: Row, args: HandObjectAblations, pose_run: Path | None) -> dict[str, Figures]:
    """What ns-eval says of a row, by where the wrist's depth is from."""
    method, data = row_commands(row, args, pose_run)
    asked = {"method": method, "data": data, "code": code_digest(), "packages": versions(), "machine": machine()}
    folder = folder_of(name)
    result = args.output / f"{folder}.json"
    if result.exists():
        different = differences(result, asked)
        if not different:
            print(f"{name}: taken from {result.name}, made by the same options, code and machine.", flush=True)
            return json.loads(result.read_text())["figures"]
        print(f"{name}: {result.name} was made with another {', '.join(different)}: trained again.", flush=True)
    config = trained_once(args.output, folder, method, data, asked)
    found = {wrist: judged(config, wrist) for wrist in (("given", "predicted") if row.poses else ("given",))}
    result.write_text(json.dumps({"run": asked, "figures": found}, indent=1))
    return found


def trained_once(folder: Path, name: str, method: list[str], data: list[str], asked: dict[str, Any]) -> Path:
    """config.yml of a training, which is not made again where it came to its end, and was stopped while it was judged.
    """
    config, done = folder / "runs" / name / method[0] / "run" / "config.yml", folder / f".{name}.trained.json"
    if not (config.exists() and done.exists() and not differences(done, asked)):
        config = trained(folder, name, method, data)
        done.write_text(json.dumps({"run": asked}))
    return config


def folder_of(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def judged(config: Path, wrist: str) -> Figures:
    """What ns-eval says of a run whose wrists' depth is given or predicted, and seconds."""

    def with_wrist(found):
        found.pipeline.model.wrist = wrist
        found.pipeline.model.voxel = VOXEL
        return found

    pipeline: Any = eval_setup(config, test_mode="test", update_config_callback=with_wrist)[1]
    folder = config.parent / f"pictures-{wrist}"
    figures = pipeline.get_average_eval_image_metrics(output_path=folder)
    return figures | seconds_of(pipeline)


def seconds_of(pipeline, count: int = 4) -> Figures:
    """Of a mesh of hand and object, of a batch by the loader, and of a step of the network; means of some."""
    manager, model = pipeline.datamanager, pipeline.model
    batches = manager.batches_of("train", None)
    start = time.perf_counter()
    drawn = [{name: value.to(pipeline.device) for name, value in batches[step].items()} for step in range(count)]
    loaded = time.perf_counter()
    model.train()
    for batch in drawn:
        outputs = model.predict(batch)
        torch.stack(list(model.get_loss_dict(outputs, batch).values())).sum().backward()
    stepped = time.perf_counter()
    model.eval()
    with torch.no_grad():
        scene = model.predict(drawn[0])["scene"]
        begun = time.perf_counter()
        for index in range(min(count, len(scene.joints))):
            model.meshes(scene, index)
    meshed = (time.perf_counter() - begun) / min(count, len(scene.joints))
    return dict(zip(SECONDS.values(), (meshed, (loaded - start) / count, (stepped - loaded) / count), strict=True))


def cells(figures: Mapping[str, float], suffix: str = "") -> list[str]:
    """Those of a line of the table; what is aligned differently stands in a line of its own."""
    found = []
    for key in COLUMNS.values():
        name = key if key in UNALIGNED else key + suffix
        value = figures.get(name) if not suffix or key not in UNALIGNED else None
        found.append("" if value is None else f"{value:.0f}" if key.startswith("missing") else f"{value:.3f}")
    times = [figures.get(key) if not suffix else None for key in SECONDS.values()]
    return found + ["" if value is None else f"{value:.2f}" for value in times]


def table_of(rows: Mapping[tuple[str, str], Mapping[str, float]], pictures: int) -> Table:
    """One line a row as it is, one after the alignment of the hand, and the floor of each kind of pictures.

    Args:
        rows: Figures by name and by where the wrist's depth is from.
        pictures: Of each row.
    """
    table = Table(title=f"SYNTHETIC: {pictures} held-out pictures; CD in cm2, E in cm")
    for column in ("", "wrist", *COLUMNS, *SECONDS):
        table.add_column(column, justify="left" if column in ("", "wrist") else "right", no_wrap=not column)
    floors: dict[tuple[str, ...], list[str]] = {}
    for (name, wrist), figures in rows.items():
        table.add_row(name, wrist, *cells(figures))
        table.add_row(f"{name}, ICP", wrist, *cells(figures, "_icp"))
        floors.setdefault(ROWS[name].data, cells(figures, "_floor"))
    for data, floor in floors.items():
        table.add_row("truth, sampled twice" + (", hard" if data else ""), "", *floor)
    return table


def main(args: HandObjectAblations) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    chosen = {name: row for name, row in ROWS.items() if name in args.only}
    if len(chosen) < len(set(args.only)):
        sys.exit(f"error: --only: expected some of {', '.join(ROWS)}, found {', '.join(args.only)}; correct it.")
    pose_run = args.pose_run
    if pose_run is None and any(row.options[: len(TRUE_BONES)] != TRUE_BONES for row in chosen.values()):
        method, data = row_commands(Row("hand-object-pose", poses=False), args, None)
        pose_run = trained(args.output, "poses", method, data).parent / "nerfstudio_models"
    rows: dict[tuple[str, str], Figures] = {}
    for name, row in chosen.items():
        try:
            found = figures_of(name, row, args, pose_run)
        except subprocess.CalledProcessError as error:
            sys.exit(f"error: {name}: the training ended with status {error.returncode}; see its log in {args.output}.")
        rows |= {(name, wrist): figures for wrist, figures in found.items()}
    figures = {", ".join(key): value for key, value in rows.items()}
    record(__file__, args, [table_of(rows, args.pictures)], notes=[SYNTHETIC], figures=figures)


if __name__ == "__main__":
    main(tyro.cli(HandObjectAblations))
