"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerfstudio_hands.errors import HandsError


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the name `output` in the end, so that an interruption leaves nothing.

    Its name is nobody else's: what the user has beside the output stays.

    Raises:
        HandsError: The folder exists or cannot be written.
    """
    check_new_folder(output)
    partial = output.with_name(f".{output.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(output, error) from error
    try:
        yield partial
        partial.rename(output)
    except OSError as error:
        raise _unwritable(output, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new_folder(output: Path) -> None:
    """Raise a HandsError if there is something of this name."""
    if output.exists():
        raise HandsError(
            f"{output}: expected a folder that does not exist yet, found one: give another --output or remove it."
        )


def _unwritable(output: Path, error: OSError) -> HandsError:
    return HandsError(
        f"{output}: expected a place to write a capture, found '{error.strerror or error}': give another --output."
    )
