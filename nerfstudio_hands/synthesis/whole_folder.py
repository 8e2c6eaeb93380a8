"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerfstudio_hands.errors import HandsError


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the name `output` in the end, so that an interruption leaves nothing.

    Raises:
        HandsError: The folder exists or cannot be written.
    """
    if output.exists():
        raise HandsError(
            f"{output}: expected a folder that does not exist yet, found one: give another --output or remove it."
        )
    partial = output.with_name(f".{output.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        partial.rename(output)
    except OSError as error:
        raise HandsError(
            f"{output}: expected a place to write a capture, found '{error.strerror or error}': give another --output."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
