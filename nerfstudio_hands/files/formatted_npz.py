"""Arrays of a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz


def format_of_npz(path: Path) -> str | None:
    """What the entry `format` of a file says; None where there is none, or no such file."""
    try:
        return str(read_npz(path).get("format"))
    except UnreadableFile:
        return None


def read_formatted_npz(path: Path, form: str, *, what: str, remedy: str) -> dict[str, np.ndarray]:
    """Reads an .npz whose entry `format` names its format; pickled objects are refused.

    Args:
        path: The file.
        form: The format that is expected.
        what: The file, for the error.
        remedy: What the error says is to be done.

    Raises:
        HandsError: It cannot be read, or is of another format.
    """
    try:
        arrays = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected {what}, found {error}: {remedy}.") from error
    found = str(arrays.get("format", "no format entry"))
    if found != form:
        raise HandsError(f"{path}: expected the format {form!r}, found {found!r}: {remedy}.")
    return arrays
