"""Looks at the paths that a command is given; imports nothing heavy, so that a wrong one is refused at once."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import no_folder


def check_capture_folder(data: Path) -> None:
    """Raise a HandsError unless there is such a folder."""
    if not data.expanduser().is_dir():
        found = no_folder(data.expanduser(), "the path")
        raise HandsError(f"{data}: expected a folder with a capture, found {found}")


def check_hand_model(source: str) -> None:
    """Raise a HandsError unless the hand model is built in or something is at its path."""
    if source != "default" and not Path(source).exists():
        raise HandsError(
            f"--hand-model: expected 'default', a MANO .pkl or the folder of both, found nothing at {source}; check it."
        )
