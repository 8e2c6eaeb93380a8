"""Faults that are not the program's, in one sentence, also where nerfstudio's commands would show their insides."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path
from types import TracebackType

from nerfstudio_hands.errors import HandsError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk, or of the user's share of one, that takes no more."""


def sentence_of(error: BaseException) -> str | None:
    """What to tell of a fault of the user's, of a full disk, or of what a command of nerfstudio's demands of its
    options; None of any other."""
    if isinstance(error, HandsError):
        return str(error)
    if isinstance(error, OSError) and error.errno in FULL:
        where = error.filename or "disk"
        return str(HandsError(
            f"{where}: expected space for what is written, found '{error.strerror}': free some space, or write to "
            "another folder."
        ))  # fmt: skip
    if isinstance(error, AssertionError):
        return _demand(error)
    return None


def _demand(error: AssertionError) -> str | None:
    """What the main function of a command of nerfstudio's asserts of its options."""
    (*_, at) = traceback.extract_tb(error.__traceback__)
    if Path(at.filename).parent.name != "scripts" or at.name != "main":
        return None
    said = " ".join(str(error).split()) or f"a fault in '{at.line}'"
    program = Path(sys.argv[0]).stem
    return f"{program}: expected options that nerfstudio's command can take, found {said}: see its --help."


def patch_excepthook() -> None:
    """Has a process of nerfstudio's end with the sentence of a fault that has one, instead of a traceback."""
    shown = sys.excepthook
    if getattr(shown, "patched", False):
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = sentence_of(error)
        if sentence is None:
            shown(kind, error, trace)
        else:
            print(f"error: {sentence}", file=sys.stderr)

    show.patched = True  # pyright: ignore[reportFunctionMemberAccess]
    sys.excepthook = show
