"""What a command does before it imports what it needs, which takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import (
    quieten_imports,
    require_capture_folder,
    require_reachable,
    require_working_folder,
)

INPUTS = {
    "load_config": "the config.yml of a run",
    "track": "a pose track",
    "pose": "a pose",
    "camera_path": "a camera path",
}
"""Options that name a file to read."""
LIGHT = ("batch",)
"""Commands that have others do the work."""


def announced(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """The command with a line before it, and with a look at what it is to read.

    Raises:
        HandsError: Something of that is not there, as the returned function finds.
    """

    @wraps(command)
    def announce_and_run(**options: Any) -> None:
        require_working_folder()
        require_reachable(options)
        _require_inputs(options)
        quieten_imports()
        if name not in LIGHT:
            print(f"ns-hands {name}: loading PyTorch and nerfstudio ..", file=sys.stderr, flush=True)
        command(**options)

    return announce_and_run


def _require_inputs(options: dict[str, Any]) -> None:
    if isinstance(options.get("data"), Path):
        require_capture_folder(options["data"])
    for name, expected in INPUTS.items():
        path = options.get(name)
        if path is not None and not path.expanduser().exists():
            raise HandsError(f"{path}: expected {expected}, found nothing; check --{name.replace('_', '-')}.")
