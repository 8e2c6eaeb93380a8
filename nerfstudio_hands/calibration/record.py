"""The record that every reader of a calibration yields: cameras of a rig, or a camera a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.errors import HandsError

MAX_NAMED = 8
"""Cameras that a sentence names."""


@dataclass(frozen=True)
class CalibratedCamera:
    """A camera as a file has it.

    Attributes:
        name: As in the file; of a camera of one picture the picture's.
        intrinsics: K in pixels; the centre of the upper left pixel is (0.5, 0.5).
        lens: Its distortion; None where there is none.
        world_to_camera: Transform of the file's world, in the file's unit, to OpenCV axes (x right, y down, z forward);
            None where the file does not place the camera.
        size: Width and height in pixels; None where the file does not say.
    """

    name: str
    intrinsics: Float[np.ndarray, "3 3"]
    lens: Lens | None = None
    world_to_camera: Float[np.ndarray, "4 4"] | None = None
    size: tuple[int, int] | None = None

    @property
    def transform(self) -> Float[np.ndarray, "4 4"]:
        """`world_to_camera` of a camera that has a place.

        Raises:
            ValueError: It has none.
        """
        if self.world_to_camera is None:
            raise ValueError(f"camera {self.name} has no place")
        return self.world_to_camera


def transforms(cameras: Iterable[CalibratedCamera]) -> Float[np.ndarray, "C 4 4"]:
    """World-to-camera transforms of cameras that have a place."""
    return np.stack([camera.transform for camera in cameras])


@dataclass(frozen=True)
class Calibration:
    """Cameras of a file.

    Attributes:
        path: The file, or the folder of several.
        cameras: Cameras by name: of a rig with their places, of moving cameras without.
        images: Of moving cameras, the camera of each picture by the picture's path as the file has it; empty of a rig.
        unit: Metres per unit of the file; None where it does not say.
    """

    path: Path
    cameras: dict[str, CalibratedCamera]
    images: dict[str, CalibratedCamera] = field(default_factory=dict)
    unit: float | None = None

    @property
    def placed(self) -> bool:
        """Whether it says of all cameras where they stand."""
        return all(camera.world_to_camera is not None for camera in (self.images or self.cameras).values())

    def camera(self, name: str) -> CalibratedCamera:
        """The camera of a picture, a video or a name: the one of this name, of this file name, of this stem, or of the
        same number ("cam01" for "1"), in this order.

        Raises:
            HandsError: None or several fit.
        """
        known = self.images or self.cameras
        # One camera for all pictures has nobody to be mistaken for.
        if len(known) == 1:
            return next(iter(known.values()))
        for key in (str, _file_name, _stem, _number):
            wanted = key(name)
            found = [camera for other, camera in known.items() if wanted is not None and key(other) == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                raise HandsError(
                    f"{self.path}: expected one camera for '{name}', found {_listed([c.name for c in found])}: name "
                    "pictures and cameras so that one fits."
                )
        raise HandsError(
            f"{self.path}: expected a camera for '{name}', found {_listed(list(known))}: name files after the cameras "
            "of the calibration, or give the calibration of these cameras."
        )


def in_meters(calibration: Calibration, unit: float) -> Calibration:
    """The same cameras in metres.

    Args:
        calibration: In any unit.
        unit: Metres per unit of it.
    """

    def scaled(cameras: Mapping[str, CalibratedCamera]) -> dict[str, CalibratedCamera]:
        return {name: _scaled(camera, unit) for name, camera in cameras.items()}

    return replace(calibration, cameras=scaled(calibration.cameras), images=scaled(calibration.images), unit=1.0)


def _scaled(camera: CalibratedCamera, factor: float) -> CalibratedCamera:
    if camera.world_to_camera is None:
        return camera
    matrix = camera.world_to_camera.copy()
    matrix[:3, 3] *= factor
    return replace(camera, world_to_camera=matrix)


def _file_name(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _stem(name: str) -> str:
    return PurePosixPath(_file_name(name)).stem


def _number(name: str) -> int | None:
    """The last number in a name, of names that have one."""
    digits = "".join(c if c.isdecimal() and c.isascii() else " " for c in _stem(name)).split()
    return int(digits[-1]) if digits and len(digits[-1]) < 10 else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + ", .." * (len(names) > MAX_NAMED)
