"""What a process finds round it, where that may be missing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nerfstudio_hands.errors import HandsError


def require_working_folder() -> None:
    """See that the folder that relative paths begin at is there.

    Raises:
        HandsError: It was deleted.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise HandsError(
            "working folder: expected the folder that this shell is in, found that it was deleted: change to another "
            "one."
        ) from error


def user_cache() -> Path:
    """`~/.cache`, or a folder of the user's among the temporary ones where there is neither a home nor a user name, as
    in some containers."""
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-of-user-{os.getuid()}"
