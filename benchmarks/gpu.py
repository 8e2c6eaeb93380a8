"""Does all of it run on a GPU, right and fast? Made to be run once, in under ten minutes, by whoever has one.

    python benchmarks/gpu.py                      # on a GPU
    python benchmarks/gpu.py --device cpu --quick # sees that this script works; no figure of it means anything
    python benchmarks/gpu.py --device cpu --store # writes anew what a processor finds, with which GPUs are compared

Kernels and the first losses of every method are compared with what a processor found, which is stored beside this file;
then `hand-uvnerf` is trained to its plateau, pictures are drawn, and twenty steps are profiled. The result is one table
after the other in one file. It has never run on a GPU.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from captures import notes_on, title_of
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from recording import Recorded, record
from render import camera_of, measure
from rich.table import Table
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import choose_cameras
from nerfstudio_hands.dataparsers.registrations import hands_data
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.fitting import FitOptions, cache_path, fit_capture
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.light.transfer import light_transfer
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.raster.rasterize import rasterize
from nerfstudio_hands.geometry.self_intersection import intersecting_faces
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.program.gpu import finished
from nerfstudio_hands.transforms.projection import pixel_rays

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "synthetic-hand" / "1"
STORED = Path(__file__).with_name("gpu_reference.npz")
"""What kernels and losses are on a processor, and the fit that the losses begin with."""

FIRST_STEPS = 3
"""Of which losses are compared; later ones drift apart, whatever the processor."""

CLOSE = {"kernel": (1e-4, 1e-5, 0.01), "loss": (2e-2, 1e-5, 0.0)}
"""Relative and absolute difference up to which a value is as stored, and the part of them that may be off: a ray beside
an edge meets one face here and another there. The absolute one grows with values beyond 10, of which small ones may be
sums."""

METHODS = sorted(
    entry.name for entry in entry_points(group="nerfstudio.method_configs") if entry.name.startswith("hand-")
)
DRAWN = 20
"""Pictures that are drawn for each figure."""


@dataclass
class Benchmark(Recorded):
    """Checks, times and profiles everything on one device."""

    device: Literal["cuda", "cpu"] = "cuda"
    """Where."""
    data: Path = SHIPPED
    """Capture that is trained on; the comparison always takes the shipped one."""
    steps: int = 2500
    """Steps of the training."""
    look_every: int = 100
    """Steps from one look at held-out pixels to the next."""
    height: int = 512
    """Height of drawn pictures, pixels."""
    quick: bool = False
    """As little of everything as shows that it works."""
    store: bool = False
    """Write what is found on this device to the stored file, and end."""


class SameRandomNumbers(TorchFunctionMode):
    """Has random numbers drawn on the processor, so that all devices get the same."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.rand, torch.randn, torch.randint, torch.randperm):
            device = kwargs.pop("device", None)
            return func(*args, **kwargs).to(device or "cpu")
        if func in (torch.rand_like, torch.randn_like):
            return func(args[0].cpu(), *args[1:], **kwargs).to(args[0].device)
        return func(*args, **kwargs)


def kernel_values(device: str) -> dict[str, np.ndarray]:
    """What each kernel finds of a hand that bends its fingers, at places that are the same everywhere."""
    generator = torch.Generator().manual_seed(0)

    def around(count: int) -> Tensor:
        return torch.rand(count, 3, generator=generator) * 0.24 - 0.12

    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (1,))
    pose.local_rotations[..., 2] = 0.4
    vertices = surface.pose(pose, torch.zeros(surface.hands[0].num_shape)).vertices
    vertices = (vertices - vertices.mean(dim=1, keepdim=True)).to(device)
    faces = surface.faces.to(device)
    surfaces = Surfaces(faces, vertices, closing_faces=surface.closing_faces)
    points, origins = around(512).to(device), (around(256) + torch.tensor([0.0, 0.4, 0.0])).to(device)
    toward = torch.nn.functional.normalize(around(256).to(device) - origins, dim=1)
    near, hits = surfaces.closest(points), surfaces.cast(origins, toward)
    samples = surfaces.march(origins, toward, shell=0.005, num_samples=8)
    camera = torch.tensor([[120.0, 0.0, 32.0], [0.0, 120.0, 24.0], [0.0, 0.0, 1.0]], device=device)
    to_camera = torch.eye(4, device=device)
    to_camera[2, 3] = 0.4
    seen = rasterize(surfaces, camera, to_camera, 64, 48)
    drawn, gradient = _splats(device, generator, pixel_rays(camera, to_camera, 64, 48))
    light = light_transfer(surfaces, vertex_normals(vertices, faces))
    found = {
        "closest: signed distance": near.signed_distance,
        "closest: point": near.point,
        "inside": surfaces.inside(points),
        "cast: depth": hits.depth,
        "march: rays that meet the shell": samples.ray,
        "march: depth": samples.depth,
        "rasterize: depth": seen.z_depth,
        "light transfer": light,
        "splats: picture": drawn,
        "splats: gradient of the places": gradient,
        "self-intersection": intersecting_faces(
            torch.cat([vertices[0], vertices[0] + 0.01]), torch.cat([faces, faces + vertices.shape[1]])
        ),
    }
    return {f"kernel, {name}": value.detach().cpu().float().numpy() for name, value in found.items()}


def _splats(device: str, generator: torch.Generator, rays: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    count = 200
    means = (torch.rand(count, 3, generator=generator) * 0.16 - 0.08).to(device).requires_grad_()
    axes = (torch.randn(count, 3, 3, generator=generator) * 0.004).to(device)
    opacities, features = (torch.rand(count, n, generator=generator).to(device) for n in (1, 3))
    picture, coverage = draw_splats(Splats(means, axes, opacities[:, 0]), features, *rays)
    (picture.square().sum() + coverage.sum()).backward()
    return torch.cat([picture, coverage], dim=-1), means.grad  # pyright: ignore[reportReturnType]


@contextmanager
def fits_kept(fit: Path | None) -> Iterator[Path]:
    """A cache of its own in which the shipped capture has this fit, or, without one, the fit that is made now."""
    before = os.environ.get("NERFSTUDIO_HANDS_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NERFSTUDIO_HANDS_CACHE"] = folder
        capture = read_capture(SHIPPED, layout="auto")
        cameras, _ = choose_cameras(capture, cameras=None, exclude=(), held_out=None)
        path = cache_path(capture, FitOptions(cameras))
        path.parent.mkdir(parents=True, exist_ok=True)
        if fit is not None:
            shutil.copy(fit, path)
        else:
            fit_capture(capture, FitOptions(cameras)).save(path)
        try:
            yield path
        finally:
            os.environ.pop("NERFSTUDIO_HANDS_CACHE")
            if before is not None:
                os.environ["NERFSTUDIO_HANDS_CACHE"] = before


def config_of(method: str, device: str) -> Any:
    """The method's configuration on a device."""
    (entry,) = entry_points(group="nerfstudio.method_configs", name=method)
    config = deepcopy(entry.load().config)
    config.machine.device_type, config.vis = device, "tensorboard"
    return config


def small(method: str, device: str) -> Any:
    """The method as it is compared: small, and the same on all devices."""
    config = config_of(method, device)
    data, model = config.pipeline.datamanager, config.pipeline.model
    config.max_num_iterations = 100
    if not hasattr(data, "dataparser"):
        data.batch_size, data.detailed, data.detailed_every = 8, 4, 1
        return config
    if hasattr(data, "batch_size"):
        data.batch_size, data.workers, data.size = 4, 0, 64
        data.dataparser = replace(data.dataparser, drawn=12, drawn_size=64, drawn_people=1, max_eval_images=1)
        data.points = min(getattr(data, "points", 0), 64)
        if hasattr(data, "clip"):
            data.batch_size, data.crops_per_image = max(1, 4 // data.clip), 1
        if hasattr(model, "skeleton") and model.skeleton == "network":
            model.skeleton = "labels"
        return config
    config.data = data.data = SHIPPED
    data.dataparser = replace(hands_data.config, data=SHIPPED, resolution_scale=0.5, max_resolution=640)
    data.train_num_rays_per_batch = 256
    for name, value in {"subdivisions": 2, "texture_size": 64, "displace_from": 0.0, "splats_per_hand": 2000}.items():
        if hasattr(model, name):
            setattr(model, name, value)
    return config


@contextmanager
def trainer_of(config: Any) -> Iterator[Any]:
    """A trainer before its first step, its run in a folder that goes when it is done."""
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir, config.experiment_name, config.timestamp = Path(folder), "gpu", "now"
        torch.manual_seed(0)
        np.random.seed(0)
        trainer = config.setup(local_rank=0, world_size=1)
        config.save_config()
        trainer.setup()
        yield trainer


def step(trainer: Any, number: int) -> dict[str, Tensor]:
    """A training step, and its losses."""
    trainer.pipeline.train()
    for callback in trainer.callbacks:
        callback.run_callback_at_location(number, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
    return trainer.train_iteration(number)[1]


def first_losses(method: str, device: str) -> dict[str, np.ndarray]:
    """The losses of a training's first steps, each [FIRST_STEPS].

    Convolutions have all of float32's digits meanwhile: with TF32's ten bits networks of images are some percent off
    after a step.
    """
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with exact, SameRandomNumbers(), trainer_of(small(method, device)) as trainer:
        found = []
        for number in range(FIRST_STEPS):
            torch.manual_seed(number)
            found.append({name: float(value.detach()) for name, value in step(trainer, number).items()})
    names = sorted(found[0])
    return {f"loss, {method}: {name}": np.array([losses[name] for losses in found], np.float32) for name in names}


def compared(found: dict[str, np.ndarray], stored: Any) -> tuple[Table, bool]:
    """How far values are from those that are stored, and whether all are near enough."""
    table = Table(title="What is found here beside what a processor found")
    for column in ("", "values", "largest difference", "beyond tolerance", ""):
        table.add_column(column, justify="right" if column else "left")
    sound = True
    for name, value in found.items():
        relative, absolute, may_be_off = CLOSE[name.split(",")[0]]
        known = stored[name]
        if known.shape == value.shape:
            differs = np.abs(np.where(value == known, 0, value - known))
            largest = np.abs(known[np.isfinite(known)]).max(initial=10.0)
            off = ~(differs <= absolute * largest / 10 + relative * np.abs(known))
            # One number is the sum of its kind: where several are compared, some may lie beside an edge.
            good = off.mean() <= may_be_off if value.size else True
            cells = (f"{differs.max(initial=0):.3g}", f"{off.mean() if value.size else 0:.2%}")
        else:
            good, cells = False, (f"{known.shape} stored", "all")
        sound &= bool(good)
        table.add_row(name, str(value.size), *cells, "as stored" if good else "OFF")
    return table, sound


def trained(trainer: Any, args: Benchmark) -> tuple[Table, str]:
    """Trains, and says after how many seconds the figure of held-out pixels was within 0.5 dB of where it ended."""
    device, rows, seconds = trainer.pipeline.device, [], 0.0
    table = Table(title=f"hand-uvnerf of {title_of(args.data)}, {args.steps} steps")
    for column in ("steps", "seconds of training", "held-out pixels, dB"):
        table.add_column(column, justify="right")
    for number in range(args.steps):
        start = finished(device)
        step(trainer, number)
        seconds += finished(device) - start
        if (number + 1) % args.look_every == 0 or number + 1 == args.steps:
            psnr = float(np.mean([trainer.pipeline.held_out_psnr(number) for _ in range(4)]))
            rows.append((number + 1, seconds, psnr))
            table.add_row(str(number + 1), f"{seconds:.1f}", f"{psnr:.2f}")
    plateau = float(np.mean([row[2] for row in rows[-3:]]))
    reached = next((row for row in rows if row[2] >= plateau - 0.5), rows[-1])
    rays = trainer.config.pipeline.datamanager.train_num_rays_per_batch * args.steps / seconds
    return table, (
        f"Within 0.5 dB of the plateau of {plateau:.2f} dB after {reached[1]:.1f} s and {reached[0]} steps; "
        f"{rays:,.0f} rays a second, each step waited for."
    )


def drawn(trainer: Any, args: Benchmark, *chunks: int) -> Table:
    """Pictures a second with a new pose in each, waited for, by the rays that are rendered at once."""
    pipeline = trainer.pipeline
    table = Table(title=f"Pictures, {args.height} pixels high, a new pose in each")
    for column in ("method", "rays at once", "pictures/s", "ms a picture", "ms of posing", "hand"):
        table.add_column(column, justify="right")
    model, camera = pipeline.model, camera_of(pipeline, args.height)
    for rays in chunks:
        model.config.eval_num_rays_per_chunk = rays
        seconds, posing, covered = measure(pipeline, camera, 3 if args.quick else DRAWN)
        figures = (f"{1 / seconds:.1f}", f"{1e3 * seconds:.1f}", f"{1e3 * posing:.1f}", f"{covered:.0%}")
        table.add_row(trainer.config.method_name, f"{rays:,}", *figures)
    return table


def profiled(trainer: Any, args: Benchmark) -> Table:
    """What twenty steps spend their time on."""
    steps = 2 if args.quick else 20
    on_gpu = args.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    first = trainer.config.max_num_iterations - steps
    start = finished(trainer.pipeline.device)
    with profile(activities=activities) as profiler:
        for number in range(first, first + steps):
            step(trainer, number)
        seconds = finished(trainer.pipeline.device) - start
    table = Table(title=f"{steps} steps of {trainer.config.method_name}, {1e3 * seconds / steps:.1f} ms each, profiled")
    for column in ("", "calls a step", "ms a step, CPU", "ms a step, GPU"):
        table.add_column(column, justify="right" if column else "left")
    by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = sorted(profiler.key_averages(), key=lambda row: getattr(row, by), reverse=True)
    waits = [row for row in rows[40:] if "Synchronize" in row.key or "Memcpy" in row.key]
    for row in [*rows[:40], *waits]:
        milliseconds = (row.self_cpu_time_total / 1e3 / steps, row.self_device_time_total / 1e3 / steps)
        table.add_row(row.key[:80], f"{row.count / steps:.1f}", *(f"{value:.3f}" for value in milliseconds))
    return table


def check(device: str, stored: Any) -> tuple[Table, bool]:
    """Kernels and losses beside those that are stored."""
    with tempfile.TemporaryDirectory() as folder:
        fit = Path(folder) / "fit.npz"
        fit.write_bytes(stored["fit"].tobytes())
        with fits_kept(fit):
            return compared(all_values(device), stored)


def all_values(device: str) -> dict[str, np.ndarray]:
    """Of kernels, and of every method's losses."""
    found = kernel_values(device)
    for method in METHODS:
        found |= first_losses(method, device)
    return found


def store(device: str) -> None:
    """Writes what is found here to the file that others are compared with."""
    with fits_kept(None) as fit:
        values = {"fit": np.frombuffer(fit.read_bytes(), np.uint8), **all_values(device)}
    write_npz(STORED, values, expected="a place for what is compared with", remedy="check the disk")
    print(f"{len(np.load(STORED).files)} values written to {STORED.name}, {STORED.stat().st_size / 1e3:.0f} kB")


def main(args: Benchmark) -> int:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: --device cuda: expected a GPU, found none that torch can use; give --device cpu.")
    if args.store:
        store(args.device)
        return 0
    if args.quick:
        args = replace(args, steps=6, look_every=2, height=64)
    begin = time.perf_counter()
    comparison, sound = check(args.device, np.load(STORED))
    config = config_of("hand-uvnerf", args.device)
    config.max_num_iterations = args.steps
    data = config.pipeline.datamanager
    config.data = data.data = args.data
    if args.quick:
        data.train_num_rays_per_batch = data.eval_num_rays_per_batch = 128
        data.dataparser = replace(hands_data.config, data=args.data, resolution_scale=0.25)
    tables = [comparison]
    with trainer_of(config) as trainer:
        curve, sentence = trained(trainer, args)
        tables += [curve, drawn(trainer, args, 2**14, 2**18), profiled(trainer, args)]
    splats = small("hand-splat", args.device)
    splats.pipeline.model.splats_per_hand = 500 if args.quick else 15_000
    with trainer_of(splats) as trainer:
        for number in range(FIRST_STEPS):
            step(trainer, number)
        # Gaussians are drawn, whatever the number of rays.
        tables.append(drawn(trainer, args, 2**18))
    notes = [
        sentence,
        f"{'All values are as stored.' if sound else 'SOME VALUES ARE NOT AS STORED.'} "
        f"{time.perf_counter() - begin:.0f} s in all, on {args.device}.",
        *(
            ["Quick: as little of everything as shows that the script works; no figure here means anything."]
            * args.quick
        ),
        *notes_on(args.data),
    ]
    record(__file__, args, tables, notes=notes)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Benchmark)))
