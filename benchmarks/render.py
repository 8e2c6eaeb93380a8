"""Frames a second of a trained avatar with a new pose in every picture, at InterHand2.6M's height of 512 pixels.

The width follows from the capture's own pictures and stands in the table: 334 with InterHand2.6M's. The hand fills what
the picture shows of it in the capture. Beside it, in the same run: the same avatar without what makes it fast, every
sample of every ray given a colour.

    python benchmarks/render.py --load-config outputs/.../config.yml
"""

from __future__ import annotations

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


@dataclass
class Benchmark(Recorded):
    """Renders poses of the capture, one after the other, from the first camera of the training."""

    load_config: Path
    """The run's config.yml."""
    pictures: int = 20
    """Pictures to render, evenly spread over the frames of the capture."""
    height: int = 512
    """Height of the pictures in pixels."""


def camera_of(pipeline: Pipeline, height: int) -> Cameras:
    """The first camera of the training, its pictures brought to a height."""
    camera = pipeline.datamanager.train_dataset.cameras[0:1].to(pipeline.model.device)
    camera.rescale_output_resolution(height / float(camera.height[0]))
    return camera


@torch.no_grad()
def measure(pipeline: Pipeline, camera: Cameras, pictures: int) -> tuple[float, float, float]:
    """Seconds a picture, seconds of these for posing the hand, and the share of the picture that the hand covers."""
    model = pipeline.model.eval()
    frames = torch.linspace(0, model.hands.num_frames - 1, pictures).round().long()
    total, posing, covered = [], [], []
    for frame in frames.tolist():
        start = finished(model.device)
        model.hands.set_override(model.hands.pose_of(torch.tensor([frame], device=model.device)))
        accumulation = model.get_outputs_for_camera(camera)["accumulation"]
        covered.append(float((accumulation > 0.5).float().mean()))
        total.append(finished(model.device) - start)
        start = finished(model.device)
        model.hands.at_pose(model.hands.pose_of(torch.tensor([frame], device=model.device)))
        posing.append(finished(model.device) - start)
    model.hands.set_override(None)
    # The first picture warms things up.
    return tuple(sum(values[1:]) / len(values[1:]) for values in (total, posing, covered))


def main(args: Benchmark) -> None:
    config, pipeline = load_run(args.load_config)
    device, camera = pipeline.model.device, camera_of(pipeline, args.height)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    data = config.pipeline.datamanager.data
    size = f"{int(camera.width)}x{int(camera.height)} pixels"
    table = Table(title=f"{config.method_name} of {title_of(data)}, {size}, a new pose in every picture, {name}")
    for column in ("", "pictures/s", "ms a picture", "ms of posing", "hand"):
        table.add_column(column, justify="right")
    seconds = {}
    for label, least in (("ours", weights.MIN_VISIBLE_WEIGHT), ("colour of every sample", -1.0)):
        weights.MIN_VISIBLE_WEIGHT = least
        seconds[label], posing, covered = measure(pipeline, camera, args.pictures)
        milliseconds = f"{1000 * seconds[label]:.0f}"
        table.add_row(label, f"{1 / seconds[label]:.2f}", milliseconds, f"{1000 * posing:.0f}", f"{covered:.0%}")
    ratio = f"Ratio to colouring every sample: {seconds['colour of every sample'] / seconds['ours']:.2f}"
    record(__file__, args, [table], notes=[ratio, *notes_on(data)])


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
