"""Environments that light a scene from far away: read from a file, or made up.

World up is z. For the axes of a panorama see :func:`spherical_harmonics.equirectangular_directions`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from PIL import UnidentifiedImageError
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, opened_image, read_bytes, read_json, read_npz
from nerfstudio_hands.transforms.color import srgb_to_linear
from nerfstudio_hands.transforms.spherical_harmonics import (
    equirectangular_directions,
    irradiance,
    project_environment,
    sphere_directions,
    spherical_harmonics,
)

MAX_COLUMNS = 16384
"""Columns that are read of a panorama; what claims more is broken."""

MAX_WIDTH = 2048
"""Columns to which a wider panorama is reduced: enough for a background, more than enough for nine numbers."""

PANORAMAS = (".hdr", ".png", ".jpg", ".jpeg")
TABLES = (".npz", ".json")

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of linear red, green and blue (ITU-R BT.709)."""


@dataclass
class Environment:
    """Light from far away.

    Attributes:
        name: Of the file, or of the made-up environment.
        coefficients: Linear radiance in the basis of :func:`spherical_harmonics.spherical_harmonics`, world axes.
        image: Panorama of the same radiance; none where only the coefficients are known.
    """

    name: str
    coefficients: Float[Tensor, "9 3"]
    image: Float[Tensor, "H W 3"] | None = None

    def background(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Linear radiance that is seen in unit world directions, where there is no panorama a blurred one."""
        if self.image is None:
            blurred = spherical_harmonics(3, directions) @ self.coefficients.to(directions)
            return blurred.clamp(min=0)
        x, y, z = directions.unbind(-1)
        height, width = self.image.shape[:2]
        column = (0.5 - torch.atan2(y, x) / (2 * math.pi)) * width - 0.5
        row = (0.5 - torch.asin(z.clamp(-1, 1)) / math.pi) * height - 0.5
        left, top = column.floor(), row.floor()
        rows = [(top + step).long().clamp(0, height - 1) for step in (0, 1)]
        columns = [(left + step).long() % width for step in (0, 1)]
        image = self.image.to(directions)
        above, below = (
            torch.lerp(image[near, columns[0]], image[near, columns[1]], (column - left)[..., None]) for near in rows
        )
        return torch.lerp(above, below, (row - top)[..., None])


@dataclass(frozen=True)
class SoftLamp:
    """A bright patch of the sky with soft edges.

    Attributes:
        azimuth: Degrees from +x towards +y.
        elevation: Degrees above the horizon.
        half_width: Degrees to where it is half as bright.
        radiance: In its middle, linear color.
    """

    azimuth: float
    elevation: float
    half_width: float
    radiance: tuple[float, float, float]


@dataclass(frozen=True)
class Sky:
    """A gradient from the ground by the horizon to the zenith, linear colors, and what shines in it."""

    ground: tuple[float, float, float]
    horizon: tuple[float, float, float]
    zenith: tuple[float, float, float]
    lamps: tuple[SoftLamp, ...] = ()

    def radiance(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Linear colors in unit world directions."""
        ground, horizon, zenith = (directions.new_tensor(color) for color in (self.ground, self.horizon, self.zenith))
        height = directions[..., 2:]
        colors = torch.lerp(horizon, zenith, height.clamp(min=0).sqrt())
        colors = torch.lerp(ground, colors, torch.sigmoid(height * 20))
        for lamp in self.lamps:
            azimuth, elevation = math.radians(lamp.azimuth), math.radians(lamp.elevation)
            flat = math.cos(elevation)
            middle = [flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)]
            cosine = (directions @ directions.new_tensor(middle)).clamp(-1, 1)
            away = torch.rad2deg(torch.arccos(cosine)) / lamp.half_width
            colors = colors + torch.exp2(-(away**4))[..., None] * directions.new_tensor(lamp.radiance)
        return colors


BUILT_IN = {
    "studio": Sky(
        ground=(0.05, 0.05, 0.05),
        horizon=(0.12, 0.12, 0.12),
        zenith=(0.2, 0.2, 0.2),
        lamps=(
            SoftLamp(40, 45, 22, (7.0, 6.8, 6.5)),
            SoftLamp(-70, 25, 25, (2.0, 2.1, 2.3)),
            SoftLamp(180, 35, 14, (6.0, 6.0, 6.0)),
        ),
    ),
    "window": Sky(
        ground=(0.07, 0.05, 0.035),
        horizon=(0.09, 0.075, 0.06),
        zenith=(0.12, 0.11, 0.10),
        lamps=(SoftLamp(75, 15, 30, (3.2, 3.7, 4.4)),),
    ),
    "sunset": Sky(
        ground=(0.06, 0.045, 0.04),
        horizon=(0.75, 0.38, 0.2),
        zenith=(0.12, 0.18, 0.38),
        lamps=(SoftLamp(-35, 8, 7, (60.0, 24.0, 7.0)), SoftLamp(-35, 6, 35, (1.0, 0.42, 0.16))),
    ),
    "overcast": Sky(ground=(0.2, 0.19, 0.17), horizon=(0.55, 0.58, 0.62), zenith=(1.5, 1.55, 1.6)),
}
"""Environments without a file, by name."""


def load_environment(source: str | Path) -> Environment:
    """An environment by its name in `BUILT_IN`, or from a file.

    Files: a panorama twice as wide as high, `.hdr` (linear radiance) or `.png`, `.jpg` (sRGB); or `.npz`, `.json` with
    an array `coefficients` of shape (9, 3).

    Raises:
        HandsError: It is neither, or the file's content cannot be light.
    """
    if str(source) in BUILT_IN:
        return built_in_environment(str(source))
    path = Path(source).expanduser()
    if not path.is_file():
        raise HandsError(
            f"{source}: expected one of {', '.join(BUILT_IN)} or an environment's file, found no such file; check the "
            "name."
        )
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return Environment(path.stem, _read_coefficients(path))
    if suffix not in PANORAMAS:
        raise HandsError(
            f"{path}: expected an environment as {', '.join(PANORAMAS + TABLES)}, found {suffix or 'no suffix'}; "
            "convert it to .hdr."
        )
    image = _read_panorama(path)
    return Environment(path.stem, project_environment(image), image)


def built_in_environment(name: str, *, height: int = 256) -> Environment:
    """A made-up environment, of such brightness that a white matt ball in it is nowhere overexposed.

    Args:
        name: A key of `BUILT_IN`.
        height: Rows of its panorama.
    """
    image = BUILT_IN[name].radiance(equirectangular_directions(height, 2 * height))
    coefficients = project_environment(image)
    gain = 1 / irradiance(coefficients, sphere_directions(1024)).max()
    return Environment(name, gain * coefficients, gain * image)


def match_brightness(environment: Environment, reference: Float[Tensor, "9 3"]) -> Environment:
    """The environment scaled so that as much light comes from all sides together as in a reference.

    What inverse rendering recovers of albedo and light is known up to a scale only, which the captured light carries.

    Args:
        environment: The new light.
        reference: Coefficients of the captured light.
    """
    weights = environment.coefficients.new_tensor(LUMINANCE)
    gain = (reference[0].to(weights) @ weights) / (environment.coefficients[0] @ weights)
    image = None if environment.image is None else gain * environment.image
    return Environment(environment.name, gain * environment.coefficients, image)


def _claimed_size(path: Path, encoded: bytes) -> tuple[int, int]:
    """Width and height as the header of a Radiance picture claims them, else of what Pillow knows; zeros of the rest,
    in which OpenCV looks for itself."""
    found = re.search(rb"-Y (\d{1,9}) \+X (\d{1,9})", encoded[:4096])
    if encoded.startswith(b"#?") and found:
        return int(found[2]), int(found[1])
    try:
        with opened_image(path) as image:
            return image.size
    except UnreadableFile as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            return 0, 0
        raise


def _decoded_panorama(path: Path) -> np.ndarray:
    """The picture as it is stored; what claims to be too large is not decoded."""
    try:
        encoded = read_bytes(path)
        size = _claimed_size(path, encoded)
        if max(size) > MAX_COLUMNS:
            raise HandsError(
                f"{path}: expected a panorama of at most {MAX_COLUMNS} columns, found {size[0]} x {size[1]} pixels; "
                "scale it down."
            )
        found = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (UnreadableFile, cv2.error):
        found = None
    if found is None:
        raise HandsError(f"{path}: expected a picture, found something that cannot be read as one; check the file.")
    return found


def _read_panorama(path: Path) -> Float[Tensor, "H W 3"]:
    found = _decoded_panorama(path)
    height, width = found.shape[:2]
    if width != 2 * height:
        raise HandsError(
            f"{path}: expected a panorama of all directions, twice as wide as high, found {width} x {height} pixels; "
            "give an equirectangular picture."
        )
    largest = np.iinfo(found.dtype).max if np.issubdtype(found.dtype, np.integer) else None
    image = found[..., ::-1].astype(np.float32)
    if not np.isfinite(image).all() or image.min() < 0 or image.max() == 0:
        raise HandsError(
            f"{path}: expected radiances that are finite and not negative, some of them above zero, found others; "
            "save the panorama again."
        )
    if largest is not None:
        image = srgb_to_linear(torch.from_numpy(image / largest)).numpy()
    if width > MAX_WIDTH:
        image = cv2.resize(image, (MAX_WIDTH, MAX_WIDTH // 2), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.ascontiguousarray(image))


def _read_coefficients(path: Path) -> Float[Tensor, "9 3"]:
    try:
        if path.suffix.lower() == ".npz":
            values = np.asarray(read_npz(path)["coefficients"], dtype=np.float32)
        else:
            values = np.asarray(read_json(path)["coefficients"], dtype=np.float32)
    except (UnreadableFile, ValueError, KeyError, TypeError, OverflowError) as error:
        raise HandsError(
            f"{path}: expected 'coefficients', nine spherical harmonics of red, green and blue, found something else "
            f"({type(error).__name__} {error}); check the file."
        ) from error
    if values.shape != (9, 3):
        raise HandsError(
            f"{path}: expected coefficients of shape (9, 3), nine spherical harmonics of red, green and blue, found "
            f"shape {values.shape}; transpose or complete them."
        )
    if not np.isfinite(values).all() or (values[0] < 0).any() or not values[0].any():
        raise HandsError(
            f"{path}: expected finite coefficients, the first of each color not negative and one above zero, found "
            "others; check the file."
        )
    return torch.from_numpy(values)
