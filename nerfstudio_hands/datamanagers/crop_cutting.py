"""Cuts the crops that training reads out of a capture's images, once."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from filelock import FileLock
from jaxtyping import UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from nerfstudio_hands.datamanagers import evaluation_images, image_labels, projected_hands, training_images
from nerfstudio_hands.datamanagers.crop_cache import (
    CROP_VERSION,
    DOUBTFUL,
    IGNORED,
    IN_INNER,
    IN_MASK,
    IN_REGION,
    NEAR_HAND,
    CropCache,
    CropWriter,
    explain_disk_full,
)
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation import hand_region
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.fitting.silhouettes import segmentation
from nerfstudio_hands.hand_model import side_image
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.transforms import pixel_distances

NEXT_TO_HAND = 12
"""Pixels round the hand from which background rays are drawn: those that can meet the shell."""

IMAGES_AT_ONCE = 32
"""Images between two looks at the progress bar; so many are in memory."""

MOST_THREADS = 4
"""Threads that cut; labeling an image of 1280x1024 takes a quarter of a GB for a moment."""

NAMED = 5
"""Images without a hand that are named."""

LABELED_BY = (
    training_images, evaluation_images, projected_hands, image_labels, hand_region, pixel_distances, side_image,
    segmentation, sys.modules[__name__],
)  # fmt: skip
"""Modules whose text belongs to the key of crops: a change of how pixels are labeled makes other crops, which takes
seconds, and nobody has to remember a version."""

WORTH_SAYING = 1e9
"""Bytes from which on the size of a cache is told."""


def load_or_build_crops(
    dataset: TrainingImages, name: str, *, margin: int = NEXT_TO_HAND, indices: Sequence[int] | None = None
) -> CropCache:
    """The crops of a data set, cut with a progress bar where they are not there yet, and kept; a warning counts and
    names the images without a hand.

    A file is named after everything that its content depends on, so that other options make other files. Of several
    processes that want the same crops one cuts them, the others wait for it.

    Args:
        dataset: the images and what labels them.
        name: goes into the name of the file and into messages, "train" for instance.
        margin: pixels round the hand that a crop holds at least.
        indices: images to cut out of; by default all. Crop k is of image `indices[k]`.

    Raises:
        HandsError: a mask cannot be read, the cache cannot be written, or the disk is full.
    """
    indices = range(len(dataset)) if indices is None else indices
    margin = max(margin, NEXT_TO_HAND)
    path = crops_path(dataset, name, margin=margin, indices=indices)
    crops = _kept(path)
    if crops is None:
        lock = FileLock(path.with_suffix(".lock"))
        with explain_disk_full(path, 0):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            if not path.exists():
                writer = CropWriter(path)
                try:
                    _cut(dataset, name, writer, indices, margin)
                    writer.finish()
                finally:
                    writer.close()
                CONSOLE.print(source_summary(CropCache(path), name, path))
        finally:
            lock.release()
        crops = CropCache(path)
    warning = skipped_summary(crops, dataset, name)
    if warning:
        CONSOLE.print(warning, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
    return crops


def _kept(path: Path) -> CropCache | None:
    """The crops where they are there and whole; damaged ones are said and removed."""
    if not path.exists():
        return None
    try:
        return CropCache(path)
    except HandsError as error:
        CONSOLE.print(
            f"Cutting hands out again: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
        with explain_disk_full(path, 0):
            path.unlink(missing_ok=True)
            path.with_suffix(".bytes").unlink(missing_ok=True)
        return None


def crops_path(dataset: TrainingImages, name: str, *, margin: int, indices: Sequence[int]) -> Path:
    """The index file that belongs to these images, labels and options."""
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        for part in parts:
            if isinstance(part, Tensor):
                part = part.detach().cpu().contiguous().numpy()
            if isinstance(part, np.ndarray):
                digest.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
            elif dataclasses.is_dataclass(part):
                add(*(getattr(part, field.name) for field in dataclasses.fields(part)))
            else:
                digest.update(repr(part).encode())

    add("crops", CROP_VERSION, type(dataset).__name__, margin, list(indices))
    add(*(inspect.getsource(module) for module in LABELED_BY))
    images = dataset.image_filenames
    for index in indices:
        masks = dataset.masks[index]
        add(*_stamp(images[index]), *_stamp(masks.given), masks.inverted, masks.verdict, masks.segmented)
        add(*_stamp(masks.held_object), *_stamp(masks.truth))
    cameras = dataset.cameras[torch.tensor(indices)] if len(indices) else dataset.cameras
    # A tenth of a millimetre: what hangs on the order of additions must not make another cache.
    add(np.round(cameras.camera_to_worlds.numpy(), 4) + 0.0)
    add(cameras.fx, cameras.fy, cameras.cx, cameras.cy, cameras.width, cameras.height, cameras.metadata["frame_index"])
    avatar = dataset.metadata["hands"]
    add(avatar.surface.sides, avatar.all_pose, avatar.shape, avatar.all_displacement, *avatar.all_hands.hands)
    folders = {os.path.dirname(os.path.abspath(path)) for path in images}
    capture = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(Path(os.path.commonpath(folders)).parts[-3:])) if folders else ""
    return cache_folder() / "crops" / f"{capture}-{name}-{digest.hexdigest()[:16]}.npz"


def source_summary(crops: CropCache, name: str, path: Path) -> str:
    """One line on where the masks came from."""
    source = crops.index["source"]
    told = {MaskSource.GRABCUT: "masks by GrabCut", MaskSource.PROJECTION: "fell back to the projected hand"}
    parts = [f"{count:,} {what}" for kind, what in told.items() if (count := int((source == kind).sum()))]
    size = path.with_suffix(".bytes").stat().st_size
    if size > WORTH_SAYING:
        parts.append(f"{size / 1e9:.1f} GB in {path.with_suffix('.bytes')}")
    return f"Hands cut out of {len(crops):,} pictures ({name})" + (": " + ", ".join(parts) if parts else "")


def skipped_summary(crops: CropCache, dataset: TrainingImages, name: str) -> str:
    """One line on the images without any pixel of the hand; empty where there are none."""
    index = crops.index[crops.index["num_hand"] == 0]
    if not len(index):
        return ""
    broken = int((index["source"] == MaskSource.NO_IMAGE).sum())
    paths = [str(dataset.image_filenames[image]) for image in index["image"][:NAMED]]
    return (
        f"{len(index):,} of {len(crops):,} pictures ({name}) show no pixel of the hand and are left out"
        f"{f', {broken:,} of them black or unreadable' if broken else ''}: {', '.join(paths)}"
        f"{', ..' if len(index) > NAMED else ''}"
    )


def _cut(dataset: TrainingImages, name: str, writer: CropWriter, indices: Sequence[int], margin: int) -> None:
    def cut(index: int) -> dict:
        image = dataset.get_numpy_image(index)
        found = dataset.labels(index, image)
        pixels, top, left = crop_pixels(image, found, margin)
        frame = int(dataset.cameras.metadata["frame_index"][index])
        return {"image": index, "frame": frame, "source": found.source, "pixels": pixels, "top": top, "left": left}

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
    )
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with Progress(*columns, console=CONSOLE, transient=True) as bar, ThreadPoolExecutor(threads) as pool:
        done = len(writer.index)
        task = bar.add_task(f"Cutting out hands ({name})", total=len(indices), completed=done)
        for start in range(done, len(indices), IMAGES_AT_ONCE):
            # OpenCV and Warp work outside of Python's lock.
            for crop in pool.map(cut, indices[start : start + IMAGES_AT_ONCE]):
                writer.add(**crop)
                bar.advance(task)


def crop_pixels(
    image: UInt8[np.ndarray, "H W 3"], found: PixelLabels, margin: int
) -> tuple[UInt8[np.ndarray, "h w 4"], int, int]:
    """Hand, mask and object with a margin, as red, green, blue, flags; and where this lies in the image."""
    foreground = (found.label == PixelLabel.HAND) | (found.label == PixelLabel.OBJECT)
    ys, xs = np.nonzero(foreground | found.mask | found.region | found.ignored)
    if not len(ys):
        return np.zeros((0, 0, 4), dtype=np.uint8), 0, 0
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEXT_TO_HAND + 1,) * 2)
    background = (cv2.dilate(foreground.astype(np.uint8), ball) > 0) & (found.label == PixelLabel.BACKGROUND)
    flags = found.label | (background * NEAR_HAND) | (found.mask * IN_MASK) | (found.region * IN_REGION)
    flags |= (found.ignored * IGNORED) | (found.inner * IN_INNER)
    if found.doubtful is not None:
        flags |= found.doubtful * DOUBTFUL
    (top, bottom), (left, right) = (
        _span(int(at.min()), int(at.max()) + 1, margin, size)
        for at, size in zip((ys, xs), foreground.shape, strict=True)
    )
    box = np.s_[top:bottom, left:right]
    return np.dstack([image[box], flags[box].astype(np.uint8)]), top, left


def _span(start: int, end: int, margin: int, size: int) -> tuple[int, int]:
    """A span widened by a margin and moved into the image, so that a patch of twice the margin fits at its edge."""
    start, end = start - margin, end + margin
    shift = max(-start, 0) - max(end - size, 0)
    return max(start + shift, 0), min(end + shift, size)


def _stamp(path: Path | None) -> tuple[object, ...]:
    """What changes when a file does."""
    if path is None:
        return (None,)
    try:
        stat = os.stat(path)
    except OSError:
        return (os.path.abspath(path), None)
    return (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
