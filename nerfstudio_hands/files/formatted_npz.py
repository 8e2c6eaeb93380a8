"""Arrays of a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz


def read_formatted_npz(path: Path, *forms: str, what: str, remedy: str) -> dict[str, np.ndarray]:
    """Reads an .npz whose entry `format` names its format; pickled objects are refused.

    Args:
        path: The file.
        forms: Formats of which one is expected.
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
    if found not in forms:
        expected = " or ".join(map(repr, forms))
        raise HandsError(f"{path}: expected the format {expected}, found {found!r}: {remedy}.")
    return arrays
