"""Whether a camera's calibration fits its pictures, which known joints tell; some pictures are stored transposed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.transforms.projection import project

Frame = tuple[str, int]
"""Sequence and number of a frame."""

INSIDE = 0.5
"""A calibration fits its pictures if at least this share of the joints falls into them."""

LOOKED_AT = 12
"""Frames in which that is tried."""


def joints_by_camera(
    images: Mapping[tuple[Frame, str], Path],
    joints_of: Callable[[Frame], Float[np.ndarray, "*N 3"]],
    trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None,
) -> dict[str, list[tuple[Float[np.ndarray, "*N 3"], Path]]]:
    """Joints and images of each camera for `fixed_camera`: those of the frames that train, because a held-out frame
    must not change how a camera is read; of a camera without any, of all its frames.

    Args:
        images: Image of (frame, camera name).
        joints_of: Joints of a frame, metres in the capture's world.
        trains: Which frames train, told from the sequence of each; by default all.
    """
    frames = sorted({key for key, _ in images})
    may = np.ones(len(frames), dtype=bool) if trains is None else trains([sequence for sequence, _ in frames])
    is_open = dict(zip(frames, may.tolist(), strict=True))
    shown, others = defaultdict(list), defaultdict(list)
    for (key, name), path in images.items():
        (shown if is_open[key] else others)[name].append((joints_of(key), path))
    return {**others, **shown}


def fixed_camera(
    camera: CaptureCamera,
    shown: Sequence[tuple[Float[np.ndarray, "*N 3"], Path]],
    usual: tuple[int, int],
    problems: list[str],
) -> CaptureCamera | None:
    """A camera, fixed where its calibration belongs to transposed pictures; None where it fits in no way.

    Args:
        camera: As calibrated, with the size of its pictures.
        shown: Joints (metres in the capture's world, NaN where absent) and picture of each of its frames, at least one.
        usual: Size of the pictures of most cameras.
        problems: Receives a sentence where the camera is fixed or given up.
    """
    some = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, LOOKED_AT).round().astype(int))]
    points = [joints[np.isfinite(joints).all(axis=-1)] for joints, _ in some]
    if camera.size == usual and _fraction_inside(camera, points) >= INSIDE:
        return camera
    return _fixed(camera, points, [path for _, path in some], usual, problems)


def _fixed(
    camera: CaptureCamera,
    points: list[Float[np.ndarray, "_ 3"]],
    paths: list[Path],
    usual: tuple[int, int],
    problems: list[str],
) -> CaptureCamera | None:
    """The reading of a calibration under which the joints lie on the hands: on the brightest pixels, as hands are lit
    and the room is not."""
    exchange = np.eye(4)[[1, 0, 2, 3]]
    intrinsics = exchange[:3, :3] @ camera.intrinsics @ exchange[:3, :3]
    readings = {
        "as they are": camera,
        "with x and y exchanged": replace(
            camera, intrinsics=intrinsics, world_to_camera=exchange @ camera.world_to_camera
        ),
        "with x and y of focal and princpt exchanged": replace(camera, intrinsics=intrinsics),
    }
    images = [read_image(path) for path in paths]
    fitting = {
        name: np.mean([_light(reading, p, image) for p, image in zip(points, images, strict=True)])
        for name, reading in readings.items()
        if _fraction_inside(reading, points) >= INSIDE
    }
    size = f"{camera.width}x{camera.height}"
    if not fitting:
        if camera.size == usual:
            return camera  # The hands are out of its sight.
        problems.append(
            f"Camera {camera.name}: joints fall beside its {size} pictures (others have {usual[0]}x{usual[1]}), also "
            "transposed; it was left out."
        )
        return None
    best = max(fitting, key=lambda name: fitting[name])
    if readings[best] is not camera:
        problems.append(f"Camera {camera.name}: its {size} pictures fit the calibration {best}; it was read so.")
    return readings[best]


def _project(camera: CaptureCamera, points: Float[np.ndarray, "N 3"]) -> tuple[np.ndarray, Bool[np.ndarray, " N"]]:
    """Pixels of points, and which of them are in the picture."""
    pixels, depth = project(points, camera.intrinsics, camera.world_to_camera)
    return pixels, (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < camera.size).all(axis=-1)


def _fraction_inside(camera: CaptureCamera, points: list[Float[np.ndarray, "_ 3"]]) -> float:
    return float(np.concatenate([_project(camera, frame)[1] for frame in points]).mean())


def _light(camera: CaptureCamera, points: Float[np.ndarray, "N 3"], image: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean brightness at the joints, nothing for those outside."""
    pixels, inside = _project(camera, points)
    x, y = pixels[inside].astype(int).T
    return float(image[y, x].max(axis=-1).sum() / max(len(points), 1))
