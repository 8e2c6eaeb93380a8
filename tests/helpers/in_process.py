"""Commands without a process of their own, whose imports take longer than a short training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nerfstudio.scripts import train
from nerfstudio.utils import writer

from nerfstudio_hands.cli import main


def ns_train(*arguments: str | Path) -> None:
    """Does what `ns-train` does with these arguments.

    Raises:
        SystemExit: With what the command's process would print and end with.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "EVENT_WRITERS", [])
        _run(train.entrypoint, "ns-train", arguments)


def ns_hands(*arguments: str | Path) -> None:
    """Does what `ns-hands` does with these arguments.

    Raises:
        SystemExit: With what the command's process would print and end with.
    """
    _run(main.main, "ns-hands", arguments)


def _run(entry: Callable[[], None], name: str, arguments: tuple[str | Path, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *map(str, arguments)])
        entry()
