"""What cameras and files do to a picture: focus, motion, exposure, color, noise, few pixels, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

THIRD = np.full(3, 1 / 3, np.float32)


def taken(light: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of some light.

    Args:
        light: Squares of pixel values, from 0, about 1 where white.
        rng: Draws what camera it is.
    """
    image = _blurred(light, rng)
    balance = np.float32(np.exp(rng.normal(0, 0.06, 3) + rng.normal(0, 0.2)))
    image = np.sqrt(np.maximum(image * balance, 0))
    # A shoulder instead of a hard edge at white, as cameras have it.
    image = np.where(image > 0.8, 1 - 0.2 * np.exp(-(image - 0.8) / 0.2), image)
    image = _toned(image, rng)
    size = len(image)
    if rng.random() < 0.3:
        small = int(size * rng.uniform(0.3, 0.9))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    image = _noisy(image, rng)
    image = _compressed(image, rng)
    if len(image) != size:
        way = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=way)
    return image


def _blurred(light: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> Float32[np.ndarray, "h w 3"]:
    kind = rng.random()
    size = len(light)
    if kind < 0.35:
        return cv2.GaussianBlur(light, (0, 0), float(rng.gamma(2.0, 0.25) + 0.25) * size / 160)
    if kind < 0.5:
        length = int(rng.integers(2, max(3, size // 20)))
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
        angle = rng.uniform(0, np.pi)
        offset = np.int32(np.round(length * 0.7 * np.array([np.cos(angle), np.sin(angle)])))
        middle = np.array([length, length])
        cv2.line(kernel, (middle - offset).tolist(), (middle + offset).tolist(), (1.0,), 1, cv2.LINE_AA)
        return cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return light


def _toned(image: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> Float32[np.ndarray, "h w 3"]:
    """Contrast about the middle, saturation, now and then none."""
    gray = (image @ THIRD)[..., None]
    saturation = 0.0 if rng.random() < 0.03 else np.exp(rng.normal(0, 0.2))
    image = gray + np.float32(saturation) * (image - gray)
    return np.float32(0.5) + np.float32(np.exp(rng.normal(0, 0.12))) * (image - np.float32(0.5))


def _noisy(image: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> Float32[np.ndarray, "h w 3"]:
    """Noise that grows in the dark of pixel values, alike in all channels or not."""
    amount = np.float32(rng.gamma(1.1, 0.009))
    noise = rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.4:
        noise = (noise @ THIRD)[..., None] * np.float32(1.7)
    return np.clip(image + amount * noise * (1.3 - image), 0, 1)


def _compressed(image: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    rounded = (255 * image + np.float32(0.5)).astype(np.uint8)
    if rng.random() < 0.2:
        return rounded
    quality = int(rng.integers(25, 98))
    _, data = cv2.imencode(".jpg", rounded, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)
