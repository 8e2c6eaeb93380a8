"""`calibration.toml` of anipose, FreeMoCap and Pose2Sim, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nerfstudio_hands.calibration.checked import (
    checked_camera,
    image_wh,
    numbers,
    opencv_intrinsics,
    opencv_lens,
    rigid,
    rotation_of,
)
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_toml
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

CAMERA_KEYS = {"name", "size", "distortions", "rotation", "translation"}
"""What a camera's table has beside its matrix."""

UNIT_KEY = "metres_per_unit"
"""Key of ours in the table `metadata`; other programs leave it alone."""


def read_anipose(path: Path) -> Calibration:
    """Read cameras of a rig: a table each with `name`, `size`, `matrix`, `distortions`, `rotation` (Rodrigues, world to
    camera), `translation`, and `fisheye` where the lens is one.

    Raises:
        HandsError: The file does not follow the format.
    """
    try:
        content = read_toml(path)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected a calibration.toml as anipose writes it, found '{str(error)[:120]}': export the "
            "calibration again."
        ) from error
    tables = {key: table for key, table in content.items() if isinstance(table, dict) and "matrix" in table}
    if not tables:
        raise HandsError(
            f"{path}: expected a table with matrix, distortions, rotation and translation for each camera, found "
            f"{', '.join(list(content)[:6]) or 'an empty file'}: give a calibration.toml as anipose writes it."
        )
    halves = [
        key
        for key, table in content.items()
        if key != "metadata" and isinstance(table, dict) and key not in tables and CAMERA_KEYS & set(table)
    ]
    if halves:
        raise HandsError(
            f"{path}: expected matrix, distortions, rotation and translation in the table of each camera, found no "
            f"matrix in {halves[0]}: export the calibration again, the file may be cut."
        )
    cameras = [_camera(path, key, table) for key, table in tables.items()]
    if len({camera.name for camera in cameras}) < len(cameras):
        raise HandsError(f"{path}: expected a name of its own for each camera, found one twice: rename a camera.")
    return Calibration(path, {camera.name: camera for camera in cameras}, unit=_unit(path, content.get("metadata")))


def _unit(path: Path, metadata: Any) -> float | None:
    if not isinstance(metadata, dict) or UNIT_KEY not in metadata:
        return None
    unit = float(numbers(path, UNIT_KEY, metadata[UNIT_KEY], ()))
    if unit <= 0:
        raise HandsError(f"{path}: expected a positive number under {UNIT_KEY}, found {unit:g}: correct it.")
    return unit


def _camera(path: Path, key: str, table: dict[str, Any]) -> CalibratedCamera:
    name = str(table.get("name", key))
    size = table.get("size")
    places = [key in table for key in ("rotation", "translation")]
    if any(places) and not all(places):
        raise HandsError(f"{path}: expected rotation and translation of camera {name}, found one: add the other.")
    transform = None
    if all(places):
        rotation = rotation_of(path, f"rotation of camera {name}", table["rotation"])
        transform = rigid(rotation, numbers(path, f"translation of camera {name}", table["translation"], (3,)))
    return checked_camera(
        path,
        name,
        opencv_intrinsics(numbers(path, f"matrix of camera {name}", table["matrix"], (3, 3))),
        lens=opencv_lens(
            path, f"distortions of camera {name}", table.get("distortions", []), fisheye=table.get("fisheye") is True
        ),
        world_to_camera=transform,
        size=None if not isinstance(size, list) or len(size) != 2 else image_wh(path, f"size of {name}", *size),
    )


def anipose_text(cameras: Iterable[CalibratedCamera], *, unit: float | None, error: float | None = None) -> str:
    """A calibration.toml that anipose, Pose2Sim and `read_anipose` read.

    Args:
        cameras: Of a rig; each has a size and, if it is placed, a transform.
        unit: Metres per unit of the transforms; None where it is not known.
        error: Residual in pixels, for people.
    """
    text = "".join(_table(index, camera) for index, camera in enumerate(cameras))
    metadata = {"adjusted": True, "error": error, UNIT_KEY: unit}
    lines = [f"{key} = {json.dumps(value)}" for key, value in metadata.items() if value is not None]
    return text + "\n".join(["[metadata]", *lines, ""])


def _table(index: int, camera: CalibratedCamera) -> str:
    matrix = camera.intrinsics.copy()
    matrix[:2, 2] -= PIXEL_CENTER
    lens = camera.lens
    entries: dict[str, Any] = {"name": camera.name}
    if camera.size is not None:
        entries["size"] = list(camera.size)
    entries["matrix"] = matrix.tolist()
    entries["distortions"] = [0.0] * 5 if lens is None else list(lens.coefficients)
    if camera.world_to_camera is not None:
        entries["rotation"] = cv2.Rodrigues(np.ascontiguousarray(camera.world_to_camera[:3, :3]))[0].ravel().tolist()
        entries["translation"] = camera.world_to_camera[:3, 3].tolist()
    entries["fisheye"] = lens is not None and lens.model == "fisheye"
    # Numbers, texts, lists and truth values are written alike in TOML and JSON.
    return "\n".join([f"[cam_{index}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items()), "", ""])
