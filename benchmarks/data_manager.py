"""Training data of a hundred thousand pictures: memory, time to the first batch, and milliseconds a batch.

    python benchmarks/data_manager.py --pictures 100000

Crops are generated as bytes, in the file that cutting real pictures would give, so that what is measured starts where
a second run starts. Each measurement is a process of its own: `cold` begins with a file that the system has let go of,
`warm` with whatever of it is in the system's cache. The peer is nerfstudio's own way to train on more pictures than
fit into memory, in the same run: its loader with 16 new pictures a batch, decoded from jpgs of InterHand2.6M's size, of
which as many are written as `--peer-pictures` says. Everything that was generated is removed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import tyro
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.data.utils.dataloaders import CacheDataloader
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from nerfstudio_hands.datamanagers.crop_cache import IN_RIM, CropWriter
from nerfstudio_hands.datamanagers.crop_cutting import crops_path
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.datamanagers.hand_dataset import GRABCUT, TrainingPictures
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.evaluation.hand_region import HAND, NO_PART
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

WIDTH, HEIGHT = 334, 512
"""Pictures of InterHand2.6M."""

PATTERNS = 32
"""Different crops that are written over and over."""


@dataclass
class Benchmark:
    """Trains on nothing, but draws batches as training does."""

    pictures: int = 100_000
    """Crops to generate."""
    crop: tuple[int, int] = (128, 96)
    """Height and width of a crop in pixels; four bytes each."""
    cameras: int = 80
    """Pictures of one frame."""
    rays: int = 1024
    """Rays a batch."""
    batches: int = 500
    """Batches to time."""
    peer_pictures: int = 200
    """Jpgs for nerfstudio's loader."""
    peer_batches: int = 15
    """Batches of nerfstudio's loader to time."""
    folder: Path | None = None
    """Where to generate; by default a temporary folder."""


def outputs(args: Benchmark) -> DataparserOutputs:
    """What a data parser would give for so many pictures of a right hand."""
    surface = HandSurface((default_hand("right"),))
    rows, frames = args.pictures, -(-args.pictures // args.cameras)
    nothing, shape = torch.zeros(surface.num_vertices, 3), torch.zeros(surface.hands[0].num_shape)
    pose = HandPose.rest(1, (frames,))
    numbers = torch.arange(rows)[:, None]
    return DataparserOutputs(
        image_filenames=[Path(f"frame{row // args.cameras}/camera{row % args.cameras}.jpg") for row in range(rows)],
        cameras=Cameras(
            camera_to_worlds=torch.eye(4)[:3].repeat(rows, 1, 1),
            fx=torch.full((rows,), 1270.0),
            fy=torch.full((rows,), 1270.0),
            cx=torch.full((rows,), WIDTH / 2),
            cy=torch.full((rows,), HEIGHT / 2),
            width=torch.full((rows,), WIDTH),
            height=torch.full((rows,), HEIGHT),
            camera_type=CameraType.PERSPECTIVE,
            times=numbers / rows,
            metadata={"frame_index": numbers // args.cameras, "camera_index": numbers % args.cameras},
        ),
        scene_box=SceneBox(aabb=torch.tensor([[-0.2] * 3, [0.2] * 3])),
        metadata={
            "hands": AvatarData(
                surface=surface,
                pose=pose,
                shape=shape,
                displacement=nothing,
                all_hands=surface,
                all_pose=pose,
                all_displacement=nothing,
                world_transform=torch.eye(3, 4),
                frame_names=[str(frame) for frame in range(frames)],
                camera_names=[str(camera) for camera in range(args.cameras)],
                train_frames=torch.ones(frames, dtype=torch.bool),
            ),
            "mask_paths": [None] * rows,
            "own_masks": [None] * rows,
            "object_mask_paths": [None] * rows,
            "mask_verdicts": ["useless"] * rows,
        },
    )


def generate(args: Benchmark) -> Path:
    """Writes the crops where a data manager looks for them."""
    dataset = TrainingPictures(outputs(args))
    margin = HandDataManagerConfig().pixel_sampler.patch_size // 2
    path = crops_path(dataset, "train", margin=margin, rows=range(args.pictures))
    path.parent.mkdir(parents=True)
    height, width = args.crop
    y, x = np.mgrid[:height, :width]
    noise, patterns = np.random.default_rng(0), []
    for _ in range(PATTERNS):
        # An ellipse for a hand, the boundary round it, and a ring of background.
        away = np.hypot((y - height / 2) / (height / 2 - 20), (x - width / 2) / (width / 2 - 20)) / noise.uniform(
            0.8, 1
        )
        flags = np.where(away < 1, HAND, np.where(away < 1.1, NO_PART, np.where(away < 1.4, IN_RIM, 0)))
        color = noise.integers(0, 256, (height, width, 3))
        patterns.append(np.dstack([color, flags]).astype(np.uint8))
    writer = CropWriter(path)
    for row in track(range(args.pictures), description="Generating crops", transient=True):
        writer.add(
            row=row, frame=row // args.cameras, source=GRABCUT, pixels=patterns[row % PATTERNS], top=100, left=100
        )
    writer.finish()
    return path.with_suffix(".bytes")


def memory() -> dict[str, float]:
    """Resident memory of this process in GB: anonymous, and all with mapped files; at this moment and at its peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {key: int(status[key].split()[0]) / 1e6 for key in ("RssAnon", "VmRSS", "VmHWM")}


def measure_ours(args: Benchmark) -> dict[str, float]:
    """Time and memory of our data manager on the generated crops."""
    prepared = outputs(args)
    parser = SimpleNamespace(
        data=Path(), includes_time=False, get_dataparser_outputs=lambda split: prepared if split == "train" else none
    )
    none = DataparserOutputs([], prepared.cameras[:0], scene_box=prepared.scene_box, metadata=prepared.metadata)
    config = HandDataManagerConfig(train_num_rays_per_batch=args.rays)
    config.dataparser = SimpleNamespace(data=Path(), setup=lambda: parser)
    before, start = memory(), time.monotonic()
    data = config.setup(device="cpu", test_mode="val")
    data.next_train(0)
    first, times, busy = time.monotonic() - start, [], time.process_time()
    for step in range(args.batches):
        start = time.monotonic()
        data.next_train(step)
        times.append(time.monotonic() - start)
    return figures(first, times, time.process_time() - busy, before)


def measure_peer(args: Benchmark, folder: Path) -> dict[str, float]:
    """Time and memory of nerfstudio's loader, 16 new jpgs a batch."""
    noise = np.random.default_rng(0)
    smooth = [Image.fromarray(noise.integers(0, 256, (16, 11, 3), dtype=np.uint8)) for _ in range(4)]
    few = outputs(Benchmark(pictures=args.peer_pictures, cameras=args.cameras))
    few.image_filenames = [folder / f"{row}.jpg" for row in range(args.peer_pictures)]
    for row, path in enumerate(few.image_filenames):
        smooth[row % 4].resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=95)
    before, start = memory(), time.monotonic()
    loader = CacheDataloader(InputDataset(few), num_images_to_sample_from=16, num_times_to_repeat_images=0)
    sampler = PixelSamplerConfig().setup(num_rays_per_batch=args.rays)
    batches = iter(loader)
    sampler.sample(next(batches))
    first, times, busy = time.monotonic() - start, [], time.process_time()
    for _ in range(args.peer_batches):
        start = time.monotonic()
        sampler.sample(next(batches))
        times.append(time.monotonic() - start)
    return figures(first, times, time.process_time() - busy, before)


def figures(first: float, times: list[float], busy: float, before: dict[str, float]) -> dict[str, float]:
    """What the table shows: seconds, milliseconds, and GB before and now."""
    return {
        "first": first,
        "ms": statistics.median(times) * 1000,
        "slow": float(np.quantile(times, 0.95)) * 1000,
        "busy": busy / len(times) * 1000,
        "before": before["VmRSS"],
        **memory(),
    }


def in_its_own_process(what: str, args: Benchmark, folder: Path) -> dict[str, float]:
    """Runs one measurement of this file in a fresh interpreter."""
    options = [str(value) for value in (args.pictures, args.cameras, args.rays, args.batches)]
    options += [str(args.peer_pictures), str(args.peer_batches), str(folder)]
    printed = subprocess.run(
        [sys.executable, __file__, "--measure", what, *options],
        env={**os.environ, "NERFSTUDIO_HANDS_CACHE": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return {key: float(value) for key, value in (part.split("=") for part in printed.splitlines()[-1].split())}


def let_go(file: Path) -> None:
    """Asks the system to forget what it keeps of a file."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main(args: Benchmark) -> None:
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    os.environ["NERFSTUDIO_HANDS_CACHE"] = str(folder)
    needed, free = args.pictures * args.crop[0] * args.crop[1] * 4, shutil.disk_usage(folder).free
    try:
        if needed > 0.8 * free:
            raise SystemExit(
                f"error: {folder}: expected {needed / 1e9:.1f} GB for crops, found {free / 1e9:.1f} GB free: give a "
                "smaller --pictures or --crop, or another --folder."
            )
        file = generate(args)
        let_go(file)
        results = {
            "hand crops, cold": in_its_own_process("ours", args, folder),
            "hand crops, warm": in_its_own_process("ours", args, folder),
            f"nerfstudio, 16 of {args.peer_pictures} jpgs": in_its_own_process("peer", args, folder),
        }
        size = file.stat().st_size
    finally:
        shutil.rmtree(folder)
    table = Table(
        title=f"{args.pictures:,} crops of {args.crop[0]}x{args.crop[1]} ({size / 1e9:.1f} GB), {args.rays} rays"
    )
    for column in (
        "",
        "first batch s",
        "ms a batch",
        "95 % ms",
        "CPU ms",
        "start GB",
        "RssAnon GB",
        "RSS GB",
        "peak RSS GB",
    ):
        table.add_column(column, justify="right" if column else "left")
    for name, row in results.items():
        keys = ("first", "ms", "slow", "busy", "before", "RssAnon", "VmRSS", "VmHWM")
        table.add_row(name, *(f"{row[key]:.2f}" for key in keys))
    console = Console(width=120)
    console.print(table)
    ours, peer = results["hand crops, warm"]["ms"], list(results.values())[-1]["ms"]
    console.print(f"nerfstudio's loader over ours: {peer / ours:.0f} times the time a batch.")
    whole = args.pictures * args.crop[0] * args.crop[1] * 12 / 1e9
    console.print(f"The same crops as nerfstudio's float pictures in memory: {whole:.1f} GB.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        numbers = [int(value) for value in sys.argv[3:-1]]
        keys = ("pictures", "cameras", "rays", "batches", "peer_pictures", "peer_batches")
        asked, place = Benchmark(**dict(zip(keys, numbers, strict=True))), Path(sys.argv[-1])
        found = measure_ours(asked) if sys.argv[2] == "ours" else measure_peer(asked, place)
        print(" ".join(f"{key}={value}" for key, value in found.items()))
    else:
        main(tyro.cli(Benchmark))
