"""`ns-hands`: the commands that nerfstudio has no place for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import tyro

from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.check import check
from nerfstudio_hands.cli.export import export
from nerfstudio_hands.cli.fetch_weights import fetch_weights
from nerfstudio_hands.cli.fit import fit
from nerfstudio_hands.cli.synthesize import synthesize
from nerfstudio_hands.cli.train_pose_network import train_pose_network
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.cli.view import view
from nerfstudio_hands.environment import require_capture_folder, require_working_folder
from nerfstudio_hands.errors import HandsError

COMMANDS = {
    "check": check,
    "fit": fit,
    "export": export,
    "turntable": turntable,
    "animate": animate,
    "view": view,
    "synthesize": synthesize,
    "fetch-weights": fetch_weights,
    "train-pose-network": train_pose_network,
}

INPUTS = {
    "load_config": "the config.yml of a run",
    "track": "a pose track",
    "pose": "a pose",
    "camera_path": "a camera path",
}
"""Options that name a file to read."""


def main() -> None:
    """Runs a command; a fault of the user's is one sentence on the error stream and exit status 1."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {name: _announced(name, command) for name, command in COMMANDS.items()},
            prog="ns-hands",
            description="Hand avatars from calibrated pictures: what surrounds `ns-train hand-uvnerf`.",
        )
    except HandsError as error:
        sys.exit(f"error: {error}")


def _announced(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """The command with a line before it: what it imports takes seconds, in which nothing else would be said."""

    @wraps(command)
    def announce_and_run(**options: Any) -> None:
        require_working_folder()
        _require_inputs(options)
        print(f"ns-hands {name}: loading PyTorch and nerfstudio ..", file=sys.stderr, flush=True)
        command(**options)

    return announce_and_run


def _require_inputs(options: dict[str, Any]) -> None:
    """What a command reads is there, which is known before anything is loaded."""
    if isinstance(options.get("data"), Path):
        require_capture_folder(options["data"].expanduser())
    for name, expected in INPUTS.items():
        path = options.get(name)
        if path is not None and not path.expanduser().exists():
            raise HandsError(f"{path}: expected {expected}, found nothing; check --{name.replace('_', '-')}.")


if __name__ == "__main__":
    main()
