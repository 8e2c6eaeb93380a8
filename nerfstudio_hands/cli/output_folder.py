"""Where commands put what they make: never into a capture, never half a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfstudio_hands.errors import HandsError


def prepare_output_folder(folder: Path, *, keep_out_of: Path) -> Path:
    """Make a folder for output and see that it can be written, before any time is spent.

    Args:
        folder: The folder wanted.
        keep_out_of: The capture; nothing is written there.

    Raises:
        HandsError: It lies in the capture, is a file, or cannot be written.
    """
    folder = folder.expanduser()
    if folder.resolve().is_relative_to(keep_out_of.resolve()):
        raise HandsError(
            f"{folder}: expected an output folder outside of the capture, found one inside {keep_out_of}: "
            "give another --output."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that an interruption or a full disk leaves no half file.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def write_picture(path: Path, picture: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB picture in the format that the suffix names; see `write_bytes`."""
    import cv2

    _, encoded = cv2.imencode(path.suffix, picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_bytes(path, encoded.tobytes())


def _unwritable(path: Path, error: OSError) -> HandsError:
    return HandsError(
        f"{path}: expected a place to write output, found '{error.strerror or error}': "
        "free some space or give another --output."
    )
