"""Where commands put what they make: never into a capture, never half a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import write_whole

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8


def check_can_be_made(folder: Path, option: str) -> None:
    """Refuse a folder that can neither be used nor made, without making it.

    Args:
        folder: The folder wanted.
        option: The option that named it.

    Raises:
        HandsError: It is a file, lies below one, or in a folder that cannot be written.
    """
    there = folder.expanduser().absolute()
    while not (there.exists() or there.is_symlink()):
        there = there.parent
    if not there.is_dir():
        raise HandsError(f"{option}: expected a folder for {folder}, found a file at {there}: give another {option}.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise HandsError(f"{option}: expected a folder that can be written, found {there}: give another {option}.")


def check_new_video(output: Path, *, overwrite: bool) -> None:
    """Refuse a video file that must not or cannot be written, before any time is spent.

    Raises:
        HandsError: It does not end in .mp4, is there already, or its folder cannot be made.
    """
    if output.suffix != ".mp4":
        raise HandsError(
            f"{output}: expected a video file that ends in .mp4, found '{output.suffix}': rename --output."
        )
    check_can_be_made(output.parent, "--output")
    if output.expanduser().exists() and not (overwrite and output.expanduser().is_file()):
        raise HandsError(
            f"{output}: expected a new video file, found one there: give another --output, or --overwrite to replace a "
            "file."
        )


def check_new_npz(output: Path) -> Path:
    """Refuse a file of arrays that must not or cannot be written, before any time is spent.

    Returns:
        The path without ~.

    Raises:
        HandsError: It does not end in .npz, is there already, or its folder cannot be made.
    """
    output = output.expanduser()
    if output.exists():
        raise HandsError(f"{output}: expected a new file, found one that is there already: give another --output.")
    if output.suffix != ".npz":
        raise HandsError(f"{output}: expected a name that ends in .npz, found '{output.suffix}': rename --output.")
    check_can_be_made(output.parent, "--output")
    return output


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
    try:
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_image(path: Path, picture: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB picture in the format that the suffix names; see `write_bytes`."""
    import cv2

    _, encoded = cv2.imencode(path.suffix, picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_bytes(path, encoded.tobytes())


def _unwritable(path: Path, error: OSError) -> HandsError:
    return HandsError(
        f"{path}: expected a place to write output, found '{error.strerror or error}': "
        "free some space or give another --output."
    )
