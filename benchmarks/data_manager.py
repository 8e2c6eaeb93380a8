"""Training data of a hundred thousand pictures: memory, time to the first batch, and milliseconds a batch.

    python benchmarks/data_manager.py --pictures 100000

Crops are generated as bytes, in the file that cutting real pictures would give, so that what is measured starts where
a second run starts. Each measurement is a process of its own: `cold` begins with a file that the system has let go of,
`warm` with whatever of it is in the system's cache. What comes before a second run, cutting the hands out, is measured
too, on jpgs of InterHand2.6M's size of which as many are written as `--peer-images` says, and spread over the batches
of one training (`--training-steps`); it makes masks besides, which nerfstudio's data managers do not.

The peers are nerfstudio's own data managers on the same jpgs, in the same run: with 16 new pictures a batch, its way to
train on more than fits into memory, which decodes them in every batch; and, for as many as fit, with all pictures in
memory, in this process and in another one (`ParallelDataManager`, nerfacto's default). A batch is rays and colours in
all of them. Everything that was generated is removed.
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
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import tyro
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.datamanagers.base_datamanager import DataManager, VanillaDataManagerConfig
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from PIL import Image
from recording import Recorded, record
from rich.progress import track
from rich.table import Table

from nerfstudio_hands.datamanagers.crop_cache import NEAR_HAND, CropWriter
from nerfstudio_hands.datamanagers.crop_cutting import crops_path, load_or_build_crops
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.labels import PixelLabel

WIDTH, HEIGHT = 334, 512
"""Pictures of InterHand2.6M."""

EYE = (-0.09, 0.0, 1.0)
"""Where the cameras stand, metres: one before the middle of the resting hand."""

PATTERNS = 32
"""Different crops that are written over and over."""


COLUMNS = (
    "", "first batch s", "ms a batch", "95 % ms", "CPU ms", "start GB", "RssAnon GB", "RSS GB", "peak RSS GB"
)  # fmt: skip

PEERS = {
    "nerfstudio, 16 new jpgs a batch": (
        VanillaDataManagerConfig,
        {"train_num_images_to_sample_from": 16, "train_num_times_to_repeat_images": 0},
    ),
    "nerfstudio, all jpgs in memory": (VanillaDataManagerConfig, {}),
    "nerfstudio, all in another process": (ParallelDataManagerConfig, {}),
}
"""What of nerfstudio is measured, in the order of the table."""


@dataclass
class Benchmark(Recorded):
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
    peer_images: int = 200
    """Jpgs for nerfstudio's data managers, and to cut hands out of."""
    peer_batches: int = 30
    """Batches of each of nerfstudio's data managers to time."""
    training_steps: int = 20_000
    """Batches of the training over which cutting is spread."""
    folder: Path | None = None
    """Where to generate; by default a temporary folder."""


def outputs(args: Benchmark) -> DataparserOutputs:
    """What a data parser would give for so many pictures of a right hand."""
    surface = HandSurface((default_hand("right"),))
    rows, frames = args.pictures, -(-args.pictures // args.cameras)
    nothing, shape = torch.zeros(surface.num_vertices, 3), torch.zeros(surface.hands[0].num_shape)
    pose = HandPose.rest(1, (frames,))
    numbers = torch.arange(rows)[:, None]
    camera_to_world = torch.eye(4)[:3]
    camera_to_world[:, 3] = torch.tensor(EYE)
    return DataparserOutputs(
        image_filenames=[Path(f"frame{row // args.cameras}/camera{row % args.cameras}.jpg") for row in range(rows)],
        cameras=Cameras(
            camera_to_worlds=camera_to_world.repeat(rows, 1, 1),
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
            "masks": [ImageMasks() for _ in range(rows)],
        },
    )


def generate(args: Benchmark) -> Path:
    """Writes the crops where a data manager looks for them."""
    dataset = TrainingImages(outputs(args))
    margin = HandDataManagerConfig().pixel_sampler.patch_size // 2
    path = crops_path(dataset, "train", margin=margin, indices=range(args.pictures))
    path.parent.mkdir(parents=True)
    height, width = args.crop
    y, x = np.mgrid[:height, :width]
    noise, patterns = np.random.default_rng(0), []
    for _ in range(PATTERNS):
        # An ellipse for a hand, the boundary round it, and a ring of background.
        away = np.hypot((y - height / 2) / (height / 2 - 20), (x - width / 2) / (width / 2 - 20)) / noise.uniform(
            0.8, 1
        )
        flags = np.where(
            away < 1, PixelLabel.HAND, np.where(away < 1.1, PixelLabel.IGNORE, np.where(away < 1.4, NEAR_HAND, 0))
        )
        color = noise.integers(0, 256, (height, width, 3))
        patterns.append(np.dstack([color, flags]).astype(np.uint8))
    writer = CropWriter(path)
    for image in track(range(args.pictures), description="Generating crops", transient=True):
        writer.add(
            image=image,
            frame=image // args.cameras,
            source=MaskSource.GRABCUT,
            pixels=patterns[image % PATTERNS],
            top=100,
            left=100,
        )
    writer.finish()
    return path.with_suffix(".bytes")


def memory(process: int | str = "self") -> dict[str, float]:
    """Resident memory of a process in GB: anonymous, and all with mapped files; at this moment and at its peak."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return {key: int(status[key].split()[0]) / 1e6 for key in ("RssAnon", "VmRSS", "VmHWM")}


def measure_ours(args: Benchmark, folder: Path) -> dict[str, float]:
    """Time and memory of our data manager on the generated crops."""
    return measured(HandDataManagerConfig(train_num_rays_per_batch=args.rays), outputs(args), args.batches)


def measure_peer(args: Benchmark, folder: Path, name: str) -> dict[str, float]:
    """Time and memory of one of nerfstudio's data managers on jpgs."""
    kind, options = PEERS[name]
    config = kind(train_num_rays_per_batch=args.rays, eval_num_rays_per_batch=args.rays, **options)
    return measured(config, written_images(args, folder), args.peer_batches)


def measure_cutting(args: Benchmark, folder: Path) -> dict[str, float]:
    """Milliseconds that cutting the hand out of a jpg takes, decoding, labels and GrabCut included."""
    pictures = TrainingImages(written_images(args, folder))
    # The first picture compiles kernels.
    load_or_build_crops(pictures, "warm-up", indices=[0])
    start = time.monotonic()
    load_or_build_crops(pictures, "train")
    return {"ms": (time.monotonic() - start) / len(pictures) * 1000}


def measured(config: VanillaDataManagerConfig, prepared: DataparserOutputs, batches: int) -> dict[str, float]:
    """Time and memory of a data manager from its start on."""
    # nerfstudio's data managers want a picture to evaluate, ours none.
    count = 0 if isinstance(config, HandDataManagerConfig) else 1
    held_out = DataparserOutputs(
        prepared.image_filenames[:count],
        prepared.cameras[:count],
        scene_box=prepared.scene_box,
        metadata=prepared.metadata,
    )
    parser = SimpleNamespace(
        data=Path(),
        includes_time=False,
        begin_run=lambda: None,
        get_dataparser_outputs=lambda split: prepared if split == "train" else held_out,
    )
    config.dataparser = SimpleNamespace(data=Path(), setup=lambda: parser)
    before, start = memory(), time.monotonic()
    data: DataManager = config.setup(device="cpu", test_mode="val")
    data.next_train(0)
    first, times, busy = time.monotonic() - start, [], time.process_time()
    for step in range(batches):
        start = time.monotonic()
        data.next_train(step)
        times.append(time.monotonic() - start)
    found = figures(first, times, time.process_time() - busy, before)
    for process in getattr(data, "data_procs", ()):
        helper = memory(process.pid)
        found = {key: value + helper.get(key, 0.0) for key, value in found.items()}
        process.terminate()
    return found


def written_images(args: Benchmark, folder: Path) -> DataparserOutputs:
    """As many jpgs as peers are given, and what a data parser would say of them."""
    noise = np.random.default_rng(0)
    smooth = [Image.fromarray(noise.integers(0, 256, (16, 11, 3), dtype=np.uint8)) for _ in range(4)]
    few = outputs(Benchmark(pictures=args.peer_images, cameras=args.cameras))
    few.image_filenames = [folder / f"{row}.jpg" for row in range(args.peer_images)]
    for row, path in enumerate(few.image_filenames):
        if not path.exists():
            smooth[row % 4].resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=95)
    return few


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
    options += [str(args.peer_images), str(args.peer_batches), str(folder)]
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
            **{peer: in_its_own_process(peer, args, folder) for peer in PEERS},
        }
        cutting = in_its_own_process("cutting", args, folder)["ms"]
        size = file.stat().st_size
    finally:
        shutil.rmtree(folder)
    title = f"GENERATED: {args.pictures:,} crops of {args.crop[0]}x{args.crop[1]} ({size / 1e9:.1f} GB)"
    table = Table(title=f"{title}, {args.peer_images} jpgs of {WIDTH}x{HEIGHT}; {args.rays} rays a batch")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column else "left")
    for name, row in results.items():
        keys = ("first", "ms", "slow", "busy", "before", "RssAnon", "VmRSS", "VmHWM")
        table.add_row(name, *(f"{row[key]:.2f}" for key in keys))
    record(__file__, args, [table], notes=sentences(args, results, cutting), figures=results)


def sentences(args: Benchmark, results: dict[str, dict[str, float]], cutting: float) -> list[str]:
    """What follows from the table, with what it leaves out."""
    ours = results["hand crops, warm"]["ms"]
    per_batch = cutting * args.pictures / args.training_steps
    ratios = ", ".join(f"{name} {results[name]['ms'] / ours:.2g}" for name in PEERS)
    crops = args.pictures * args.crop[0] * args.crop[1] * 12 / 1e9
    return [
        f"A batch takes so many times as long as one of crops that are cut already: {ratios}.",
        f"Cutting comes before: {cutting:.1f} ms a picture, {cutting * args.pictures / 3.6e6:.1f} hours for "
        f"{args.pictures:,} pictures, once for all trainings. Spread over the {args.training_steps:,} batches of one, "
        f"that is {per_batch:.1f} ms a batch more, {ours + per_batch:.1f} ms in all. It also makes the masks.",
        f"All {args.pictures:,} pictures in memory, as nerfstudio keeps them, are "
        f"{args.pictures * WIDTH * HEIGHT * 12 / 1e9:.0f} GB; cut to the crops they would be {crops:.1f} GB.",
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        numbers = [int(value) for value in sys.argv[3:-1]]
        keys = ("pictures", "cameras", "rays", "batches", "peer_images", "peer_batches")
        asked, place = Benchmark(**dict(zip(keys, numbers, strict=True))), Path(sys.argv[-1])
        what = sys.argv[2]
        measure = {"ours": measure_ours, "cutting": measure_cutting}.get(what, partial(measure_peer, name=what))
        found = measure(asked, place)
        print(" ".join(f"{key}={value}" for key, value in found.items()))
    else:
        main(tyro.cli(Benchmark))
