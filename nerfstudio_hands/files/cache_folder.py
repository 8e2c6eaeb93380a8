"""Where what takes long to make is kept, away from captures, which may be read-only."""

from __future__ import annotations

import os
from pathlib import Path

from nerfstudio_hands.program.environment import user_cache


def cache_folder() -> Path:
    """`$NERFSTUDIO_HANDS_CACHE`, or `~/.cache/nerfstudio_hands`."""
    named = os.environ.get("NERFSTUDIO_HANDS_CACHE")
    return Path(named) if named else user_cache() / "nerfstudio_hands"
