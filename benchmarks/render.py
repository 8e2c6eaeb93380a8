"""Frames a second of a trained avatar with a new pose in every picture, at InterHand2.6M's height of 512 pixels.

The width follows from the capture's own pictures and stands in the table: 334 with InterHand2.6M's. The hand fills what
the picture shows of it in the capture. Beside it, picture by picture in turns, so that what else the machine does hits
all of them: the same avatar without what makes it fast, drawn from samples along its rays as in training, and with a
colour for every one of these.

    python benchmarks/render.py --load-config outputs/.../config.yml
"""

from __future__ import annotations

import cProfile
import math
import pstats
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from captures import notes_on, title_of
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.pipelines.base_pipeline import Pipeline
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.model_components import weights
from nerfstudio_hands.program.gpu import finished

NUM_SHARES = 24
"""Functions that are shown."""

FIGURES = ("hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips_calibrated", "mask_iou")
"""Figures of held-out pictures that are shown."""


@dataclass
class Benchmark(Recorded):
    """Renders poses of the capture, one after the other, from the first camera of the training."""

    load_config: Path
    """The run's config.yml."""
    pictures: int = 20
    """Pictures to render, evenly spread over the frames of the capture."""
    height: int = 512
    """Height of the pictures in pixels."""
    shares: bool = False
    """Show where the time of a picture goes."""
    held_out: bool = False
    """Judge the held-out pictures of the run, too, as `ns-eval` does, drawn in each way."""


def camera_of(pipeline: Pipeline, height: int) -> Cameras:
    """The first camera of the training, its pictures brought to a height."""
    camera = pipeline.datamanager.train_dataset.cameras[0:1].to(pipeline.model.device)
    camera.rescale_output_resolution(height / float(camera.height[0]))
    return camera


def draw(pipeline: Pipeline, camera: Cameras, frame: int) -> tuple[dict[str, torch.Tensor], float, float]:
    """What a camera sees of a frame's pose, the seconds that it takes, and those of these for posing the hand."""
    model = pipeline.model
    start = finished(model.device)
    model.hands.set_override(model.hands.pose_of(torch.tensor([frame], device=model.device)))
    outputs = model.get_outputs_for_camera(camera)
    total = finished(model.device) - start
    start = finished(model.device)
    model.hands.at_pose(model.hands.pose_of(torch.tensor([frame], device=model.device)))
    posing = finished(model.device) - start
    model.hands.set_override(None)
    return outputs, total, posing


def frames_of(pipeline: Pipeline, pictures: int) -> list[int]:
    """Frames evenly spread over the capture."""
    return torch.linspace(0, pipeline.model.hands.num_frames - 1, pictures).round().long().tolist()


@torch.no_grad()
def measure(pipeline: Pipeline, camera: Cameras, pictures: int) -> tuple[float, float, float]:
    """Seconds a picture, seconds of these for posing the hand, and the share of the picture that the hand covers."""
    pipeline.model.eval()
    drawn = [draw(pipeline, camera, frame) for frame in frames_of(pipeline, pictures)]
    covered = [float((outputs["accumulation"] > 0.5).float().mean()) for outputs, _, _ in drawn]
    # The first picture warms things up.
    total, posing = ([row[column] for row in drawn] for column in (1, 2))
    return tuple(sum(values[1:]) / len(values[1:]) for values in (total, posing, covered))


def ways_of(pipeline: Pipeline) -> dict[str, tuple[bool, float]]:
    """Ways to draw: whether in layers, and the least weight of a sample that gets a colour."""
    ways = {"from samples": (False, weights.MIN_VISIBLE_WEIGHT), "colour of every sample": (False, -1.0)}
    in_layers = in_layers_or_not(pipeline, True) and pipeline.model.draws_layers
    return {"in layers": (True, weights.MIN_VISIBLE_WEIGHT), **ways} if in_layers else ways


def in_layers_or_not(pipeline: Pipeline, layered: bool) -> bool:
    """Switches pictures in layers on or off; whether the method has any."""
    has_any = hasattr(pipeline.model.config, "layered_images")
    if has_any:
        pipeline.model.config.layered_images = layered
    return has_any


@torch.no_grad()
def compare(pipeline: Pipeline, camera: Cameras, args: Benchmark) -> tuple[dict[str, list[float]], float]:
    """Seconds a picture, of these for posing, and the hand's share, for each way; and the squared difference between
    the two first ones' colors, averaged over pictures."""
    pipeline.model.eval()
    found, differences, ways = {}, [], ways_of(pipeline)
    for frame in frames_of(pipeline, args.pictures):
        pictures = {}
        for way, (layered, least) in ways.items():
            weights.MIN_VISIBLE_WEIGHT, before = least, weights.MIN_VISIBLE_WEIGHT
            in_layers_or_not(pipeline, layered)
            outputs, total, posing = draw(pipeline, camera, frame)
            weights.MIN_VISIBLE_WEIGHT = before
            pictures[way] = outputs["rgb"]
            found.setdefault(way, []).append((total, posing, float((outputs["accumulation"] > 0.5).float().mean())))
        first, second = list(pictures.values())[:2]
        differences.append(float((first - second).square().mean()))
    # The first picture warms things up.
    later = {way: zip(*rows[1:], strict=True) for way, rows in found.items()}
    means = {way: [sum(column) / len(column) for column in columns] for way, columns in later.items()}
    return means, sum(differences) / len(differences)


def shares(pipeline: Pipeline, camera: Cameras) -> Table:
    """Where the time of one more picture goes: functions of this project, each with all that it calls."""
    in_layers_or_not(pipeline, True)
    draw(pipeline, camera, 0)
    profile = cProfile.Profile()
    profile.runcall(draw, pipeline, camera, pipeline.model.hands.num_frames - 1)
    table = Table(title="Where the time of a picture goes, with all that each function calls")
    for column in ("function", "calls", "ms"):
        table.add_column(column, justify="left" if column == "function" else "right")
    rows = [
        (cumulative, calls, f"{Path(file).parent.name}/{Path(file).name}: {name}")
        for (file, _, name), (_, calls, _, cumulative, _) in pstats.Stats(profile).stats.items()  # pyright: ignore[reportAttributeAccessIssue]
        if "nerfstudio_hands" in file
    ]
    for cumulative, calls, name in sorted(rows, reverse=True)[:NUM_SHARES]:
        table.add_row(name, str(calls), f"{1000 * cumulative:.0f}")
    return table


def judged(pipeline: Pipeline) -> Table:
    """Figures of the held-out pictures in layers and from samples."""
    table = Table(title="Held-out pictures")
    for column in ("", *FIGURES, "seconds"):
        table.add_column(column, justify="right" if column else "left")
    for way, (layered, least) in ways_of(pipeline).items():
        if least < 0:
            continue
        in_layers_or_not(pipeline, layered)
        start = finished(pipeline.model.device)
        figures = pipeline.get_average_eval_image_metrics()
        seconds = finished(pipeline.model.device) - start
        table.add_row(way, *(f"{figures[name]:.3f}" for name in FIGURES), f"{seconds:.0f}")
    return table


def main(args: Benchmark) -> None:
    config, pipeline = load_run(args.load_config)
    device, camera = pipeline.model.device, camera_of(pipeline, args.height)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    data = config.pipeline.datamanager.data
    size = f"{int(camera.width)}x{int(camera.height)} pixels"
    table = Table(title=f"{config.method_name} of {title_of(data)}, {size}, a new pose in every picture, {name}")
    for column in ("", "pictures/s", "ms a picture", "ms of posing", "hand"):
        table.add_column(column, justify="right")
    found, difference = compare(pipeline, camera, args)
    for way, (seconds, posing, covered) in found.items():
        table.add_row(way, f"{1 / seconds:.2f}", f"{1000 * seconds:.0f}", f"{1000 * posing:.0f}", f"{covered:.0%}")
    names = list(found)
    notes = [f"Ratio of '{way}' to '{names[0]}': {found[way][0] / found[names[0]][0]:.2f}" for way in names[1:]]
    notes.append(f"PSNR between '{names[0]}' and '{names[1]}': {-10 * math.log10(max(difference, 1e-12)):.1f} dB")
    tables = [table, *([shares(pipeline, camera)] if args.shares else [])]
    tables += [judged(pipeline)] if args.held_out else []
    record(__file__, args, tables, notes=[*notes, *notes_on(data)])


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
