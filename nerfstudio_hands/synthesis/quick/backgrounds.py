"""What is behind hands: noise, planes, clutter, bodies and faces, or pictures of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from nerfstudio_hands.errors import HandsError

WOOD = np.array([0.62, 0.44, 0.29], np.float32)
SKIN = np.array([0.87, 0.66, 0.54], np.float32)
"""Pixel values."""

FEATURES = np.array([0.55, 0.4, 0.4], np.float32)
"""Of eyes and mouth, relative to the skin."""

Picture = Float32[np.ndarray, "h w 3"]
"""Pixel values, 0 to 1."""

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

TEST_SHARE = 5
"""Every so many-th picture of a folder is kept for testing."""


def background_files(folder: Path, *, for_testing: bool) -> list[str]:
    """Paths of the pictures of a folder and those below it, apart for learning and for testing.

    Raises:
        HandsError: If there are fewer than `TEST_SHARE`.
    """
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if len(found) < TEST_SHARE:
        raise HandsError(
            f"{folder}: expected at least {TEST_SHARE} pictures ({', '.join(ENDINGS)}) as backgrounds, found "
            f"{len(found)}; give another folder, or none for made-up backgrounds."
        )
    return [path for k, path in enumerate(found) if (k % TEST_SHARE == 0) == for_testing]


def file_background(path: str, size: int, rng: np.random.Generator) -> Picture:
    """A square of a picture, sometimes mirrored.

    Raises:
        HandsError: If it is no picture.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise HandsError(f"{path}: expected a picture as a background, found a file that cannot be read; remove it.")
    side = int(min(image.shape[:2]) * rng.uniform(0.4, 1.0))
    top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
    cut = cv2.resize(image[top : top + side, left : left + side, ::-1], (size, size), interpolation=cv2.INTER_AREA)
    return np.float32(cut[:, :: rng.choice([-1, 1])]) / 255


def made_background(size: int, rng: np.random.Generator) -> Picture:
    """A background of a random kind, more or less out of focus."""
    base = BASES[rng.choice(len(BASES), p=BASE_SHARES)](size, rng)
    if rng.random() < 0.55:
        _clutter(base, rng)
    if rng.random() < 0.3:
        _body(base, rng)
    if rng.random() < 0.75:
        noise = many_frequencies(size, rng, rough=rng.uniform(0.7, 1.3), gray=rng.random() < 0.8)
        base += noise * rng.uniform(0.01, 0.06)
    if rng.random() < 0.6:
        base = cv2.GaussianBlur(base, (0, 0), float(np.exp(rng.uniform(np.log(0.4), np.log(size / 25)))))
    return np.clip(base, 0, 1).astype(np.float32, copy=False)


def many_frequencies(size: int, rng: np.random.Generator, *, rough: float, gray: bool = False) -> Picture:
    """Noise of many frequencies with a deviation of about one; the rougher the more of the fine ones."""
    channels = 1 if gray else 3
    total, cells, weight, power = np.zeros((size, size, channels), np.float32), 2, 1.0, 0.0
    while cells <= size:
        octave = rng.standard_normal((cells + 1, cells + 1, channels), np.float32)
        octave = cv2.resize(octave, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, channels)
        total += np.float32(weight) * octave
        power += weight**2
        cells, weight = cells * 2, weight * 0.5 ** (2 - rough)
    return total / np.float32(np.sqrt(power))


def _plain(size: int, rng: np.random.Generator) -> Picture:
    """A wall: one color, brighter on one side."""
    return _slope(size, rng, 0.25) * _color(rng)


def _slope(size: int, rng: np.random.Generator, most: float) -> Picture:
    across = np.linspace(-1, 1, size, dtype=np.float32)
    angle, amount = rng.uniform(0, 2 * np.pi), rng.uniform(0, most)
    plane = np.cos(angle) * across[None, :, None] + np.sin(angle) * across[:, None, None]
    return (1 + amount * plane).astype(np.float32)


def _blotched(size: int, rng: np.random.Generator) -> Picture:
    """Noise between natural and white, from one color to another; a few times of all colors."""
    rough, strength = rng.uniform(0.5, 1.6), np.float32(rng.uniform(0.08, 0.3))
    if rng.random() < 0.15:
        return _color(rng) + strength * many_frequencies(size, rng, rough=rough)
    noise = strength * many_frequencies(size, rng, rough=rough, gray=True)
    first, second = _color(rng), _color(rng)
    return first + noise * (0.3 + second) + np.maximum(noise, 0) * (second - first)


def _heaped(size: int, rng: np.random.Generator) -> Picture:
    """Things behind each other: noise cut into steps, each of one color."""
    levels = int(rng.integers(3, 9))
    noise = many_frequencies(size, rng, rough=rng.uniform(-0.4, 0.6), gray=True)[..., 0]
    step = np.clip((noise * 1.2 + levels / 2), 0, levels - 1).astype(int)
    colors = np.stack([_color(rng) for _ in range(levels)])
    return colors[step] * (1 + np.float32(0.1) * many_frequencies(size, rng, rough=0.8, gray=True))


def _grained(size: int, rng: np.random.Generator) -> Picture:
    """Wood or woven cloth: noise drawn out along one direction, turned."""
    wide = int(size * 1.5)
    stretched = rng.standard_normal((wide // int(rng.integers(1, 5)), int(rng.integers(3, 12))), np.float32)
    grain = cv2.resize(stretched, (wide, wide), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((wide / 2, wide / 2), rng.uniform(0, 360), rng.uniform(0.9, 1.4))
    grain = cv2.warpAffine(grain, turn, (wide, wide), borderMode=cv2.BORDER_REFLECT)
    start = (wide - size) // 2
    grain = grain[start : start + size, start : start + size, None]
    tone = _color(rng) if rng.random() < 0.4 else WOOD * np.float32(rng.uniform(0.4, 1.5))
    return tone * (1 + np.float32(rng.uniform(0.03, 0.18)) * grain) * _slope(size, rng, 0.3)


def _tiled(size: int, rng: np.random.Generator) -> Picture:
    """Keys, tiles, checks or lines of print in perspective."""
    cells = int(rng.integers(4, 22))
    values = rng.random((cells, cells, 1), np.float32) * np.float32(rng.uniform(0.0, 1.0))
    if rng.random() < 0.3:
        values = (np.indices((cells, cells)).sum(0)[..., None] % 2).astype(np.float32)
    first, second = _color(rng), _color(rng)
    grid = cv2.resize(first + (second - first) * values, (size, size), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.6:
        edge = np.linspace(0, size, cells + 1).astype(int)
        thick = int(rng.integers(1, 4))
        gap = tuple(map(float, _color(rng)))
        for at in edge:
            cv2.line(grid, (int(at), 0), (int(at), size), gap, thick)
            cv2.line(grid, (0, int(at)), (size, int(at)), gap, thick)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    moved = (corners + rng.uniform(-0.45, 0.1, (4, 2)) * size * np.sign(size / 2 - corners)).astype(np.float32)
    warp = cv2.getPerspectiveTransform(corners, moved)
    return cv2.warpPerspective(grid, warp, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def _room(size: int, rng: np.random.Generator) -> Picture:
    """A wall over a floor or table, with a boundary that runs through the picture."""
    upper = BASES[rng.integers(4)](size, rng)
    lower = BASES[rng.integers(4)](size, rng)
    across = np.linspace(-1, 1, size, dtype=np.float32)
    line = rng.uniform(-0.6, 0.6) + rng.normal(0, 0.25) * across[None] - across[:, None]
    share = np.clip(0.5 + line * np.float32(size / 4), 0, 1)[..., None]
    return lower + share * (upper - lower)


def _color(rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    """Pixel values; often nearly gray, sometimes near those of skin."""
    value = rng.beta(1.1, 1.1)
    if rng.random() < 0.15:
        return SKIN * np.float32(0.3 + 0.75 * value)
    tint = rng.normal(0, 1, 3) * rng.choice([0.03, 0.1, 0.3], p=[0.55, 0.33, 0.12])
    return np.clip(value * (1 + tint), 0.01, 1).astype(np.float32)


def _clutter(picture: Picture, rng: np.random.Generator) -> None:
    """Polygons, disks and lines, each of one color, drawn over a picture."""
    size = len(picture)
    for _ in range(int(rng.geometric(0.16))):
        color = tuple(map(float, _color(rng)))
        middle, reach = rng.uniform(-0.1, 1.1, 2) * size, size * float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
        kind = rng.integers(4)
        if kind == 0:
            turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
            points = middle + reach * np.stack([np.cos(turn), np.sin(turn)], 1) * rng.uniform(0.4, 1, 2)
            cv2.fillPoly(picture, [(points * 16).astype(np.int32)], color, cv2.LINE_AA, 4)
        elif kind == 1:
            corners = cv2.boxPoints((tuple(middle), tuple(reach * rng.uniform(0.2, 1.6, 2)), rng.uniform(0, 90)))
            cv2.fillPoly(picture, [(corners * 16).astype(np.int32)], color, cv2.LINE_AA, 4)
        elif kind == 2:
            axes = _whole(reach * rng.uniform(0.3, 1, 2))
            cv2.ellipse(picture, _whole(middle), axes, rng.uniform(0, 180), 0, 360, color, -1)
        else:
            end = middle + rng.normal(0, 1, 2) * size
            cv2.line(picture, _whole(middle), _whole(end), color, int(rng.integers(1, 7)))


def _body(picture: Picture, rng: np.random.Generator) -> None:
    """Somebody behind the hand: clothes, a neck and a face of about the colors of skin, softly shaded."""
    size = len(picture)
    skin = SKIN * np.float32(rng.uniform(0.35, 1.1)) ** np.array([0.8, 1.0, 1.15], np.float32)
    at, scale = rng.uniform([0.0, -0.1], [1.0, 0.9]) * size, size * rng.uniform(0.2, 0.7)
    shade = np.ones((size, size, 1), np.float32) + 0.12 * many_frequencies(size, rng, rough=0.3, gray=True)

    def fill(center: tuple[float, float], axes: tuple[float, float], color: np.ndarray) -> None:
        mask = np.zeros((size, size), np.uint8)
        place, sizes = _whole(at + scale * np.array(center)), _whole(scale * np.array(axes))
        cv2.ellipse(mask, place, sizes, rng.normal(0, 6), 0, 360, (255,), -1)
        chosen = mask > 0
        picture[chosen] = (color * shade)[chosen]

    fill((0.0, 1.75), (1.1, 1.1), _color(rng))
    fill((0.0, 0.55), (0.22, 0.4), 0.9 * skin)
    fill((0.0, -0.08), (0.43, 0.58), _color(rng) * np.float32(0.4))
    fill((0.0, 0.0), (0.37, 0.52), skin)
    for x, y, wide, high in ((-0.14, -0.08, 0.06, 0.025), (0.14, -0.08, 0.06, 0.025), (0, 0.25, 0.11, 0.03)):
        fill((x, y), (wide, high), skin * FEATURES)


def _whole(numbers: np.ndarray) -> tuple[int, int]:
    return int(numbers[0]), int(numbers[1])


BASES: tuple[Callable[[int, np.random.Generator], Picture], ...] = (_plain, _blotched, _grained, _heaped, _tiled, _room)
BASE_SHARES = (0.2, 0.15, 0.17, 0.16, 0.12, 0.2)
"""What a background begins with, and how often."""
