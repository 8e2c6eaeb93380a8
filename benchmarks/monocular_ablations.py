"""What does each kind of supervision contribute to `hand-monocular`?

Draws pictures in FreiHAND's layout (synthetic), trains the same network for as many steps by different losses, and
judges each on people, objects and backgrounds that no training has seen:

- joints in the picture alone; joints in space as well, in the camera's frame or relative to the middle finger's base;
- directions of bones in the picture, where these joints are right, where they are noisy and say how much, and where
  they are as noisy and do not say it;
- true joints in the picture against those of a detector (MediaPipe's, where its networks are there), each with and
  without the terms of the picture itself.

All rows of a seed begin with the same weights and see the same crops in the same order. Finding joints in pictures
takes thousands of steps before anything else can be learned, and is not what is asked: encoder and heat maps begin as
those of the network that comes along (`hand-monocular`, trained with all labels), and all that says depth, pose, place,
size and shape begins anew.

    python benchmarks/monocular_ablations.py --output runs --steps 300
    python benchmarks/monocular_ablations.py --output runs --seeds 0 1 2 --only "2D" "2D + 3D norm"
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import split
from typing import Any, Tuple

import numpy as np
import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.utils.rich_utils import get_progress
from recording import Recorded, record
from rich.table import Table
from trained_rows import trained

from nerfstudio_hands.estimators.monocular.network import MonocularNetwork
from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED, load_predictor, save_predictor
from nerfstudio_hands.hand_images.formats.freihand import FreiHand

SYNTHETIC = "Synthetic: people, objects, cameras and backgrounds of the held-out pictures are in no training."
NOISE = (1.0, 12.0)
"""Pixels of 224 by which joints are moved along each axis, standard deviations; a joint draws its own, evenly on a
scale of logarithms."""
TYPICAL_NOISE = 3.0
"""Pixels of deviation at which a joint says that it is half as sure as one that is right."""


def weight(name: str, value: float) -> tuple[str, str]:
    """The option of a loss."""
    return f"--pipeline.model.{name}-loss-weight", str(value)


BONES = weight("bone-direction", 0.3)
IMAGE = ("--pipeline.model.rendered", "4")


@dataclass(frozen=True)
class Row:
    """A training.

    Attributes:
        options: Of `hand-monocular-weak`, after those of all rows.
        detections: Which joints in the picture it sees; true ones by default.
    """

    options: tuple[str, ...] = ()
    detections: str | None = None


ROWS = {
    "2D": Row(),
    "2D + 3D": Row(weight("joints-3d", 50)),
    "2D + 3D norm": Row(weight("norm-joints-3d", 50)),
    "2D + bones": Row(BONES),
    "noisy 2D": Row((), "noisy"),
    "noisy 2D + bones": Row(BONES, "noisy"),
    "noisy 2D that does not say so": Row((), "unsaid"),
    "noisy 2D that does not say so + bones": Row(BONES, "unsaid"),
    "2D + picture": Row(IMAGE),
    "detected 2D": Row((), "detected"),
    "detected 2D + picture": Row(IMAGE, "detected"),
}

ALL_ROWS = (*weight("bone-direction", 0), "--pipeline.model.rendered", "0")
"""Options of every row, before its own."""

COLUMNS = {
    "MPJPE": "mpjpe_mm",
    "about the wrist": "wrist_mpjpe_mm",
    "about the middle finger's base": "middle_mpjpe_mm",
    "aligned": "pa_mpjpe_mm",
    "root": "root_mm",
}


@dataclass
class MonocularAblations(Recorded):
    """Trains and judges hand-monocular by different losses."""

    output: Path = Path("outputs/monocular_ablations")
    """Folder of pictures, runs and logs."""
    steps: int = 300
    """Of each training."""
    training: int = 2000
    """Drawn pictures to learn from."""
    evaluation: int = 400
    """Held-out pictures that are judged."""
    only: Tuple[str, ...] = tuple(ROWS)
    """Which rows."""
    seeds: Tuple[int, ...] = (0,)
    """Of the trainings; figures are means over them."""
    options: str = (
        "--pipeline.datamanager.size 96 --pipeline.datamanager.batch-size 24 --pipeline.model.frozen-stages 3"
    )
    """Of every training, as they are typed; given as `--options="--pipeline..."`. By default trainings that two cores
    can do: crops of 96 pixels, the encoder's early stages as they begin."""


def drawn(args: MonocularAblations) -> Path:
    """Folder of the pictures, drawn when they are not there."""
    folder = args.output / f"pictures-{args.training}-{args.evaluation}"
    if not folder.exists():
        command = [str(Path(sys.executable).parent / "ns-hands"), "synthesize", "freihand", "--output", str(folder)]
        counts = ["--training", str(args.training), "--evaluation", str(args.evaluation), "--copies", "1"]
        subprocess.run([*command, *counts], check=True)
    return folder


def beginning(args: MonocularAblations) -> Path:
    """File of the network that all rows begin with."""
    path = args.output / "beginning.npz"
    if not path.exists():
        torch.manual_seed(0)
        known = load_predictor(SHIPPED)
        network = MonocularNetwork(backbone=known.network.encoder.name)
        for part in ("encoder", "neck", "maps", "scales"):
            getattr(network, part).load_state_dict(getattr(known.network, part).state_dict())
        known.network = network
        save_predictor(path, known, {"steps": 0})
    return path


def detections(kind: str, folder: Path) -> Path:
    """File of joints in the training's pictures: noisy ones, the same without what they say of it, or detected ones."""
    path = folder.parent / f"{folder.name}-{kind}.json"
    if not path.exists():
        source = FreiHand(folder, "train")
        pixels, confidence = detected(source) if kind == "detected" else noisy(source)
        if kind == "unsaid":
            confidence = np.ones_like(confidence)
        path.write_text(json.dumps([pixels.tolist(), confidence.tolist()]))
    return path


def noisy(source: FreiHand) -> tuple[np.ndarray, np.ndarray]:
    """True joints that were moved, and how sure of themselves they are."""
    rng = np.random.default_rng(0)
    pixels = np.stack([source.labels(index).pixels for index in range(len(source))])
    deviation = np.exp(rng.uniform(*np.log(NOISE), pixels.shape[:2]))
    moved = pixels + rng.normal(size=pixels.shape) * deviation[..., None]
    return moved, 1 / (1 + (deviation / TYPICAL_NOISE) ** 2)


def detected(source: FreiHand) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the best hand that MediaPipe's detector finds; those of a picture without any have confidence 0."""
    from nerfstudio_hands.estimators.hand_detector import HandDetector

    detector = HandDetector(max_hands=1)
    pixels, confidence = np.zeros((len(source), 21, 2)), np.zeros((len(source), 21))
    with get_progress("Detecting hands") as progress:
        for index in progress.track(range(len(source))):
            for hand in detector.detect(source.read(index).rgb)[:1]:
                pixels[index], confidence[index] = hand.pixels, 1.0
    return pixels, confidence


def trained_row(name: str, row: Row, seed: int, folder: Path, args: MonocularAblations) -> Path:
    """config.yml of a row's training."""
    fixed = ["--max-num-iterations", str(args.steps), "--steps-per-eval-all-images", "1000000"]
    seen = []
    if row.detections is not None:
        seen = ["--pipeline.datamanager.detections", str(detections(row.detections, folder))]
    method = ["hand-monocular-weak", *fixed, "--machine.seed", str(seed), *ALL_ROWS, *row.options, *seen]
    method += ["--pipeline.model.begin-with", str(beginning(args)), *split(args.options)]
    run = f"{name}-{seed}".replace(" ", "_").replace("+", "and")
    return trained(args.output, run, method, ["freihand-data", "--data", str(folder)])


def table_of(rows: dict[str, list[dict[str, float]]], args: MonocularAblations) -> Table:
    """One line a row, means over seeds, and how far these lie apart."""
    table = Table(
        title=f"SYNTHETIC: {args.training} pictures, {args.steps} steps; {args.evaluation} held-out pictures, "
        f"{len(args.seeds)} training(s) each; mm"
    )
    for column in ("", *COLUMNS):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    for name, found in rows.items():
        values = [[figures[key] for figures in found] for key in COLUMNS.values()]
        table.add_row(name, *(_cell(part) for part in values))
    return table


def _cell(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"


def main(args: MonocularAblations) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    if unknown := [name for name in args.only if name not in ROWS]:
        sys.exit(f"error: --only: expected some of {', '.join(ROWS)}, found {', '.join(unknown)}; correct it.")
    folder = drawn(args)
    rows: dict[str, list[dict[str, float]]] = {}
    for name in args.only:
        for seed in args.seeds:
            try:
                config = trained_row(name, ROWS[name], seed, folder, args)
            except subprocess.CalledProcessError as error:
                sys.exit(f"error: {name}: its training ended with status {error.returncode}; see {args.output}.")
            pipeline: Any = eval_setup(config, test_mode="test")[1]
            rows.setdefault(name, []).append(pipeline.get_average_eval_image_metrics())
            (args.output / "figures.json").write_text(json.dumps(rows, indent=1))
    figures = {
        name: {key: float(np.mean([one[key] for one in found])) for key in COLUMNS.values()}
        for name, found in rows.items()
    }
    record(__file__, args, [table_of(rows, args)], notes=[SYNTHETIC], figures=figures)


if __name__ == "__main__":
    main(tyro.cli(MonocularAblations))
