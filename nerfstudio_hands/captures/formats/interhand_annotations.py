"""What InterHand2.6M's annotation files say about one capture: streamed out of gigabytes once, kept in a small file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import ijson
import numpy as np
import rich.progress
from jaxtyping import Bool, Float, Int

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.guarded_files import NestingGuard, UnreadableFile, open_regular, read_npz
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.hand_model.mano_json import mano_parameters

HAND_TYPES = ("right", "left", "interacting")
"""Which hands an image shows, as the files name it."""

# Raised whenever a kept file of an older version would be read wrongly.
VERSION = 1

FIRST_RELEASE = "all"
"""Folder of all splits' annotations in the first release; beside it lay those by people and by machine alone."""

LARGE = 20_000_000
"""Bytes; files up to here are read in a second."""

REMEDY = "download and unpack the annotations of this split again."


@dataclass
class InterHandAnnotations:
    """Annotations of one capture, in the units, axes and joint order of the files.

    Attributes:
        cameras: Names of the calibrated cameras.
        campos: Their positions, millimetres.
        camrot: World to camera rotation.
        focal: Pixels.
        princpt: Pixels, the centre of the upper left pixel being (0, 0).
        frames: Numbers of the frames with joints, ascending.
        world_coord: 42 joints, right hand first, millimetres.
        joint_valid: Which of them are annotated.
        hand_type: Index into `HAND_TYPES`, -1 where unknown.
        images: Frame number and index of the camera of every image of the capture.
        mano_pose: Axis-angle of 16 joints by side (left, right); NaN where null. Empty first axis without the file.
        mano_shape: Shape coefficients.
        mano_trans: Translation, metres.
    """

    cameras: np.ndarray
    campos: Float[np.ndarray, "C 3"]
    camrot: Float[np.ndarray, "C 3 3"]
    focal: Float[np.ndarray, "C 2"]
    princpt: Float[np.ndarray, "C 2"]
    frames: Int[np.ndarray, " F"]
    world_coord: Float[np.ndarray, "F 42 3"]
    joint_valid: Bool[np.ndarray, "F 42"]
    hand_type: Int[np.ndarray, " F"]
    images: Int[np.ndarray, "N 2"]
    mano_pose: Float[np.ndarray, "M 2 48"]
    mano_shape: Float[np.ndarray, "M 2 10"]
    mano_trans: Float[np.ndarray, "M 2 3"]


def annotation_path(root: Path, split: str, name: str) -> Path:
    """File of a split; `name` is data, camera, joint_3d or MANO_NeuralAnnot.

    The first release kept the files of all splits in `annotations/all`, with the same content.
    """
    folder = FIRST_RELEASE if is_first_release(root, split) else split
    return root / "annotations" / folder / f"InterHand2.6M_{split}_{name}.json"


def is_first_release(root: Path, split: str) -> bool:
    """Whether the annotations of a split lie where only the first release of the data set had them."""
    folder = root / "annotations"
    return not (folder / split).is_dir() and (folder / FIRST_RELEASE).is_dir()


def read_annotations(root: Path, split: str, capture: int) -> InterHandAnnotations:
    """Annotations of one capture, from the cache where the files are as they were, else streamed and kept there.

    Raises:
        HandsError: A file is absent, cut short or of another form, or the split has no such capture.
    """
    kept = _kept_file(root, split, capture)
    try:
        arrays = read_npz(kept)
        return InterHandAnnotations(**{field.name: arrays[field.name] for field in fields(InterHandAnnotations)})
    except (UnreadableFile, KeyError):
        found = _stream_annotations(root, split, str(capture))
    write_npz(kept, vars(found), expected="to write the compact annotations")
    return found


def _kept_file(root: Path, split: str, capture: int) -> Path:
    """The file in the cache that belongs to the annotation files as they are now."""
    marks = []
    for name in ("data", "camera", "joint_3d", "MANO_NeuralAnnot"):
        path = annotation_path(root.resolve(), split, name)
        status = path.stat() if path.is_file() else None
        marks.append([str(path), status and status.st_size, status and status.st_mtime_ns])
    digest = hashlib.sha256(json.dumps([VERSION, capture, marks]).encode()).hexdigest()[:16]
    return cache_folder() / f"interhand-{split}-{capture}-{digest}.npz"


def _stream_annotations(root: Path, split: str, capture: str) -> InterHandAnnotations:
    path = annotation_path(root, split, "camera")
    with _readable(path):
        calibrations = dict(_stream(path, lambda file: ijson.kvitems(file, "", use_float=True)))
        if capture not in calibrations:
            raise HandsError(
                f"{path}: expected capture {capture}, found only {', '.join(calibrations) or 'none'}: name one, "
                "or download the annotations that belong to the images."
            )
        calibration = _calibration(path, capture, calibrations[capture])

    path = annotation_path(root, split, "joint_3d")
    with _readable(path):
        entries = _stream(path, lambda file: ijson.kvitems(file, capture, use_float=True))
        joints = {int(frame): entry for frame, entry in entries if entry is not None}
        frames = sorted(joints)
        world_coord = [_numbers(path, f"{capture}/{f}", joints[f], "world_coord", (42, 3)) for f in frames]
        joint_valid = [_numbers(path, f"{capture}/{f}", joints[f], "joint_valid", (42,)) for f in frames]

    path = annotation_path(root, split, "data")
    with _readable(path):
        images, hand_type = _images(path, capture, calibration["cameras"].tolist(), frames)
    path = annotation_path(root, split, "MANO_NeuralAnnot")
    with _readable(path):
        mano = _mano(path, capture, frames)
    return InterHandAnnotations(
        **calibration,
        frames=np.array(frames, dtype=np.int64),
        world_coord=np.array(world_coord, dtype=np.float32).reshape(-1, 42, 3),
        joint_valid=np.array(joint_valid).reshape(-1, 42) > 0,
        hand_type=hand_type,
        images=images,
        **mano,
    )


def _calibration(path: Path, capture: str, tables: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Names of the cameras that have a calibration, and their numbers by key."""
    cameras = sorted(name for name, position in tables["campos"].items() if position is not None)
    shapes = {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}
    numbers = {
        key: np.array([_numbers(path, f"{capture}/{key}", tables[key], name, shape) for name in cameras])
        for key, shape in shapes.items()
    }
    return {"cameras": np.array(cameras, dtype=np.str_), **numbers}


def _images(
    path: Path, capture: str, cameras: list[str], frames: list[int]
) -> tuple[Int[np.ndarray, "N 2"], Int[np.ndarray, " F"]]:
    """Images of the capture (frame, index of the camera) and the hand type of each of the frames."""
    index = {name: position for position, name in enumerate(cameras)}
    frame_of: dict[int, int] = {}
    images = []
    for image in _stream(path, lambda file: ijson.items(file, "images.item", use_float=True)):
        if str(image["capture"]) == capture:
            frame_of[image["id"]] = int(image["frame_idx"])
            images.append((int(image["frame_idx"]), index.get(str(image["camera"]), -1)))
    types: dict[int, str] = {}
    for annotation in _stream(path, lambda file: ijson.items(file, "annotations.item", use_float=True)):
        frame = frame_of.get(annotation["image_id"])
        if frame is not None and annotation.get("hand_type_valid", 1):
            types[frame] = annotation["hand_type"]
    hand_type = [HAND_TYPES.index(types[frame]) if types.get(frame) in HAND_TYPES else -1 for frame in frames]
    return np.array(images, dtype=np.int64).reshape(-1, 2), np.array(hand_type, dtype=np.int64)


def _mano(path: Path, capture: str, frames: list[int]) -> dict[str, np.ndarray]:
    """Parameters by name; empty where the file is absent, which is no fault."""
    there = bool(frames) and path.is_file()
    rows = {frame: row for row, frame in enumerate(frames if there else [])}
    entries = _stream(path, lambda file: ijson.kvitems(file, capture, use_float=True)) if there else ()
    return {f"mano_{key}": table for key, table in mano_parameters(path, entries, rows, remedy=REMEDY).items()}


def _numbers(path: Path, place: str, entry: Any, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of `shape` under a key; null numbers become NaN."""
    try:
        return np.array(entry[key], dtype=np.float64).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = "no such key" if isinstance(error, KeyError) else f"'{error}'"
        raise HandsError(
            f"{path}: expected {' x '.join(map(str, shape))} numbers under {place}/{key}, found {found}: {REMEDY}"
        ) from error


def _stream(path: Path, parse: Callable[[IO[bytes]], Iterator]) -> Iterator:
    """What `parse` yields from a file, with a progress bar if that takes seconds."""
    with open_regular(path) as file:
        size = path.stat().st_size
        watched = rich.progress.wrap_file(
            cast(BinaryIO, file), size, description=f"Reading {path.name}", transient=True, disable=size < LARGE
        )
        with watched as pieces:
            yield from parse(cast("IO[bytes]", NestingGuard(pieces)))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says what is wrong with a file in one sentence."""
    try:
        yield
    except HandsError:
        raise
    except (UnreadableFile, OSError) as error:
        raise HandsError(f"{path}: expected annotations, found {error}: {REMEDY}") from error
    except ijson.JSONError as error:
        size, found = path.stat().st_size, str(error).splitlines()[0].strip()
        raise HandsError(
            f"{path}: expected complete JSON, found {size} bytes that are cut short or broken ('{found}'): {REMEDY}"
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        found = f"{type(error).__name__} {error}"[:200]
        raise HandsError(
            f"{path}: expected the keys of InterHand2.6M, found another form ({found}): {REMEDY}"
        ) from error
