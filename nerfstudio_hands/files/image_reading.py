"""Pictures and masks in any of the forms that are about, upright, with one sentence on what is wrong with a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt16
from PIL import Image, ImageOps

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, opened_image

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow modes with at most 8 bits a channel; `convert("RGB")` would clip the others without a word."""

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L")
"""Pillow modes in which labels are stored, too."""

WHITE = {1: 255, 2: 65535}
"""The largest value of a mask by the bytes of a pixel."""

ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held."""

PHONE_FORMATS = ("JPEG", "MPO", "WEBP")
"""Formats whose EXIF stands before the pixels."""

MAX_LABELS = 8
"""A mask of so few values, 0 among them, holds labels; an outline with soft edges has more."""


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture as 8-bit RGB; an alpha channel is dropped (`read_mask` reads it).

    Raises:
        HandsError: The file is absent, truncated, no picture, or has more than 8 bits a channel.
    """
    return np.asarray(_decode(path, "RGB"))


def read_image_with_alpha(path: Path) -> UInt8[np.ndarray, "H W channels"]:
    """Read a picture as 8-bit RGB, or RGBA where its alpha channel tells something.

    Raises:
        HandsError: See `read_image`.
    """
    return np.asarray(_decode(path, "RGBA" if has_alpha(path) else "RGB"))


def read_mask(path: Path, size: tuple[int, int], *, inverted: bool = False) -> Bool[np.ndarray, "H W"]:
    """Read a mask in any of the forms that are about: white on black, the alpha channel of a picture, or labels.

    An alpha channel counts where it is not the same everywhere. A picture of few values with 0 among them holds labels,
    of which 0 is no hand; any other picture is cut halfway between black and white.

    Args:
        path: Picture file.
        size: Width and height of the picture it belongs to, in pixels.
        inverted: Whether hands are black on white.

    Raises:
        HandsError: The file cannot be read, or its size is another.
    """
    with _readable_image(path) as picture:
        lossy = picture.format == "JPEG"
        values = _mask_values(picture)
    check_size(path, (values.shape[1], values.shape[0]), size)
    levels = _levels(values)
    labels = len(levels) <= MAX_LABELS and levels[0] == 0 and not lossy
    mask = values > (0 if labels else WHITE[values.dtype.itemsize] // 2)
    return ~mask if inverted else mask


def has_alpha(path: Path) -> bool:
    """Whether a picture has an alpha channel that tells something: one that is not the same everywhere.

    Raises:
        HandsError: The file cannot be read.
    """
    with _readable_image(path) as picture:
        return _alpha(picture) is not None


def _mask_values(picture: Image.Image) -> UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]:
    """The alpha channel of a picture that tells something, else its brightness or, of a palette, its labels."""
    alpha = _alpha(picture)
    if alpha is not None:
        return alpha
    if picture.mode in SIXTEEN_BIT_MODES:
        return np.asarray(picture).astype(np.uint16)
    gray = np.asarray(picture.convert("L"))
    # Labels of a palette may be any colours; their numbers tell them apart.
    indices = np.asarray(picture) if picture.mode == "P" else gray
    return indices if len(_levels(indices)) <= MAX_LABELS and len(_levels(gray)) > 2 else gray


def _levels(values: UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]) -> Int[np.ndarray, " L"]:
    """The values that occur, ascending."""
    return np.flatnonzero(np.bincount(values.ravel()))


def _alpha(picture: Image.Image) -> UInt8[np.ndarray, "H W"] | None:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return None
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return alpha if alpha.min() < alpha.max() else None


def read_object_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Read a mask of a held object: 255 where it is seen, 0 elsewhere. Other values would be labels of something else.

    Args:
        path: Picture file of one channel.
        size: Width and height of the picture it belongs to, in pixels.

    Raises:
        HandsError: The file cannot be read, its size is another, or it has other values.
    """
    mask = np.asarray(_decode(path, "L"))
    check_size(path, (mask.shape[1], mask.shape[0]), size)
    others = np.setdiff1d(mask, (0, 255))
    if len(others):
        found = ", ".join(map(str, others[:4])) + ", .." * (len(others) > 4)
        raise HandsError(
            f"{path}: expected 255 where the object is seen and 0 elsewhere, found the values {found}: write one mask "
            "of the object alone as a PNG."
        )
    return mask > 0


def image_size(path: Path) -> tuple[int, int]:
    """Width and height from a picture's header; a PNG without its end mark is decoded to find out whether it is whole.

    Raises:
        HandsError: The file is absent, truncated or no picture.
    """
    with _readable_image(path, header=True) as picture:
        size = picture.size
        if picture.format == "PNG" and not _has_png_end(path):
            picture.convert("RGB")
    return size


def is_upright(path: Path) -> bool:
    """Whether a picture's pixels lie as its camera was held; the readers here turn one whose pixels do not.

    Raises:
        HandsError: See `image_size`.
    """
    try:
        with opened_image(path) as picture:
            return _is_upright(picture)
    except UnreadableFile as error:
        raise _unreadable(path, error) from error


def _has_png_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-12, 2)
        return b"IEND" in file.read()


def check_size(path: Path, found: tuple[int, int], expected: tuple[int, int]) -> None:
    """Raise HandsError unless a picture has the size of the other pictures of its camera."""
    if found != expected:
        raise HandsError(
            f"{path}: expected {expected[0]}x{expected[1]} pixels as in the other pictures of this camera, found "
            f"{found[0]}x{found[1]}: give images and masks of one camera the same size, the one it was calibrated at."
        )


def _decode(path: Path, mode: str) -> Image.Image:
    with _readable_image(path) as picture:
        if picture.mode not in EIGHT_BIT_MODES:
            raise HandsError(
                f"{path}: expected 8 bits a channel, found mode '{picture.mode}': convert it to an 8-bit PNG."
            )
        # Pillow promotes 1-bit to 0/255, and a palette to its colours, so every mode lands on one scale.
        return picture.convert(mode)


@contextmanager
def _readable_image(path: Path, *, header: bool = False) -> Iterator[Image.Image]:
    """A picture, whose faults become one sentence; of one whose header is asked for alone, pixels are not looked at."""
    try:
        with opened_image(path) as picture:
            if picture.format == "PNG" and not header:
                _require_png_as_written(path)
            yield _upright(picture)
    except UnreadableFile as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: UnreadableFile) -> HandsError:
    return HandsError(
        f"{path}: expected a complete picture, found {_quoted(error)}: copy the file again, or remove it to go without "
        "it."
    )


def _require_png_as_written(path: Path) -> None:
    """Raise UnreadableFile where pixels are not those that were written; Pillow takes what it can decode.

    By the checksums of the chunks that have pixels and palette, of those that are there to their end (PNG, 5.3).
    """
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            kind, content = head[4:], file.read(int.from_bytes(head[:4], "big"))
            checksum = file.read(4)
            is_whole = len(checksum) < 4 or zlib.crc32(kind + content) == int.from_bytes(checksum, "big")
            if kind in (b"IDAT", b"PLTE") and not is_whole:
                raise UnreadableFile("pixels that are not those that were written")


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as its camera was held, which phones note beside pixels that they leave lying."""
    if _is_upright(picture):
        return picture
    turned = ImageOps.exif_transpose(picture)
    turned.format = picture.format
    return turned


def _is_upright(picture: Image.Image) -> bool:
    # Of other formats Pillow would decode the picture to find out.
    return picture.format not in PHONE_FORMATS or picture.getexif().get(ORIENTATION, 1) == 1


def _quoted(error: UnreadableFile) -> str:
    return str(error) if str(error) == "no such file" else f"'{error}'"
