"""Where memory does not suffice, one sentence that says what to lower; where it does, what is freed can be kept."""

from __future__ import annotations

import ctypes
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "Failed to allocate")
"""What the RuntimeErrors of torch (CUDA, then CPU on Windows and Linux) and Warp say where memory does not suffice."""


MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> None:
    """Has glibc keep large arrays' memory for the next ones, which else is given back to the system at once and asked
    for anew, page by page: a tenth of the time of a step of a network on pictures. Elsewhere nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, 64 * 2**20)):
            mallopt(parameter, value)


@contextmanager
def explain_out_of_memory(doing: str, remedy: str) -> Iterator[None]:
    """Turns lack of memory into one sentence.

    Args:
        doing: what needs the memory.
        remedy: what to lower.

    Raises:
        SystemExit: memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in SIGNS):
            raise
        # What the frames of the failed step hold is needed for keeping the state.
        traceback.clear_frames(error.__traceback__)
        wanted = re.search(r"allocate ([\d.]+) ?([KMGTP]iB|bytes)", str(error))
        found = "no more" if wanted is None else f"no further {_size(*wanted.groups())}"
        raise SystemExit(f"error: {doing}: expected enough memory, found {found}: {remedy}.") from error


def now(value: int | None) -> str:
    """What an option is at present, in brackets; nothing where it is left open."""
    return "" if value is None else f" (now {value})"


def _size(number: str, unit: str) -> str:
    return f"{float(number) / 2**30:.2f} GiB" if unit == "bytes" else f"{number} {unit}"
