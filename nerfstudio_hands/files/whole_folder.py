"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError

Pieces = Generator[None, None, None]
"""Writes files, and yields after each piece of work."""


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


def made_whole(write: Callable[..., Pieces]) -> Callable[..., Path]:
    """Makes, of a generator that writes files, a function that writes all of them.

    Where the generator takes a folder that is there, the function takes one that is not, `output`; it appears whole or
    not at all. The function also takes `progress`, which receives the number of pieces done, and returns the folder. It
    raises a HandsError where that exists or cannot be written, and what the generator raises.
    """

    def make(output: Path, *what: Any, progress: Callable[[int], None] = lambda done: None, **more: Any) -> Path:
        output = Path(output).expanduser()
        with whole_folder(output) as folder, closing(write(folder, *what, **more)) as pieces:
            for done, _ in enumerate(pieces, start=1):
                progress(done)
        return output

    make.__doc__ = write.__doc__
    return make


def check_new_folder(output: Path) -> None:
    """Raise a HandsError if there is something of this name."""
    if output.exists():
        raise HandsError(
            f"{output}: expected a folder that does not exist yet, found one: give another --output or remove it."
        )


def _unwritable(output: Path, error: OSError) -> HandsError:
    found = error.strerror or error
    return HandsError(
        f"{output}: expected a place to write a capture, found '{found}': free some space or give another --output."
    )
