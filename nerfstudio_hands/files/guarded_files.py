"""Reading of files that anybody may have made: nothing in them hangs, fills the memory or runs.

What is wrong with a file is an `UnreadableFile`; whoever asked for it says what was expected and what to do.
"""

from __future__ import annotations

import json
import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from nerfstudio_hands.errors import HandsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

MAX_FILE_BYTES = 4 * 2**30
"""Bytes that a text or an unpacked archive may have; those of a capture have far fewer."""

MAX_NESTING = 100
"""Lists and objects of JSON within each other; no format of ours has more than ten."""

MAX_INTEGER_DIGITS = 18
"""Digits of a whole number in JSON; more do not fit into 64 bits."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_DEEPER = np.zeros(256, dtype=np.int8)
_DEEPER[list(b"[{")], _DEEPER[list(b"]}")] = 1, -1


class UnreadableFile(ValueError):
    """What was found instead of a file that can be read, in a few words."""


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, unless it is something that is read for ever or never: a pipe, a device.

    Raises:
        UnreadableFile: It is not there, is none, or may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except FileNotFoundError as error:
        raise UnreadableFile("no such file") from error
    except (OSError, ValueError) as error:
        raise UnreadableFile(getattr(error, "strerror", None) or str(error)) from error
    raise UnreadableFile(next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file"))


def read_bytes(path: Path) -> bytes:
    """All of a regular file.

    Raises:
        UnreadableFile: It cannot be read, or is larger than `MAX_FILE_BYTES`.
    """
    with open_regular(path) as file:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnreadableFile(f"{size} bytes")
        try:
            return file.read()
        except OSError as error:
            raise UnreadableFile(error.strerror or str(error)) from error


def read_text(path: Path) -> str:
    """All of a text in UTF-8.

    Raises:
        UnreadableFile: It cannot be read or is no such text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(str(error)) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file; whole numbers fit into 64 bits, nothing is nested deeper than Python goes, and no
    object has a name twice.

    Raises:
        UnreadableFile: It cannot be read or is no such JSON.
    """
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """What a text in JSON says, see `read_json`.

    Raises:
        UnreadableFile: It is no such JSON.
    """
    try:
        return json.loads(text, parse_int=_integer, object_pairs_hook=once)
    except RecursionError as error:
        raise UnreadableFile("lists within lists without end") from error
    except ValueError as error:
        raise UnreadableFile(str(error)) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; its whole numbers may be too long for 64 bits.

    Raises:
        UnreadableFile: It cannot be read or is no such TOML.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UnreadableFile("lists within lists without end") from error
    except ValueError as error:
        raise UnreadableFile(str(error)) from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Names and values; of one that stands there twice nobody knows which is meant.

    Raises:
        UnreadableFile: One does.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise UnreadableFile(f"'{next(name for name in names if names.count(name) > 1)[:80]}' twice")
    return content


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive by name; pickled objects are refused.

    Raises:
        UnreadableFile: It cannot be read, is no such archive, or is broken in any part.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_FILE_BYTES:
                raise UnreadableFile(f"{unpacked} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: np.asarray(archive[name]) for name in archive.files}
        except UnreadableFile:
            raise
        # Archives break in every way there is: cut members, foreign compression, headers that claim what is not there.
        except Exception as error:
            raise UnreadableFile(str(error) or type(error).__name__) from error
    if any(array.itemsize == 0 and array.size > 1 for array in arrays.values()):
        raise UnreadableFile("an array of nothing")
    return arrays


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """A picture whose header has been read, for as long as it is used; a size beyond Pillow's limit is refused.

    Raises:
        UnreadableFile: It cannot be read, is no picture, or turns out to be broken while it is used.
    """
    with open_regular(path) as file:
        try:
            with Image.open(file) as image:
                yield image
        except HandsError:
            raise
        # Decoders of broken pictures fail in every way there is.
        except Exception as error:
            raise UnreadableFile((str(error).strip() or type(error).__name__).splitlines()[0]) from error


def finite(values: np.ndarray, *, below: float = np.inf) -> np.ndarray:
    """Which numbers are finite in single precision, in which all of them are used, and smaller than `below`."""
    with np.errstate(over="ignore"):
        return np.abs(values.astype(np.float32)) < below


class NestingGuard:
    """A JSON file that is read in pieces and refuses to go on where lists and objects are nested too deep.

    A streaming parser takes time that grows with the square of the depth. Brackets in strings count, too: they come in
    pairs or few.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._depth = file, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            UnreadableFile: They go deeper than `MAX_NESTING`.
        """
        piece = self._file.read(size)
        depths = self._depth + np.cumsum(_DEEPER[np.frombuffer(piece, np.uint8)], dtype=np.int64)
        if len(depths):
            self._depth = int(depths[-1])
            if depths.max() > MAX_NESTING:
                raise UnreadableFile("lists within lists without end")
        return piece
