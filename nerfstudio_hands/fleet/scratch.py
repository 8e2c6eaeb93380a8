"""A worker's scratch: captures fetched from URLs, and what is half made."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.addresses import fetch, folder_bytes, short_digest

SPARE_BYTES = 2**28
"""What must be free for a step to begin; one that needs more ends by its own command's sentence."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[IO[str] | None]:
    """Holds a lock that ends with its process; None where it is not to be had and not waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        with path.open("a+") as file:
            try:
                fcntl.flock(file, kind)
            except BlockingIOError:
                yield None
                return
            if _is_named(file, path):
                yield file
                return
        # Whoever held it before has removed it meanwhile, and the next one would not find ours.


def _is_named(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def require_space(folder: Path, needed: int = SPARE_BYTES) -> None:
    """See that a folder's disk has room.

    Raises:
        HandsError: It has less than needed, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise HandsError(
            f"{folder}: expected a folder for scratch, found '{error.strerror or error}'; give another --scratch."
        ) from error
    if free < needed:
        raise HandsError(
            f"{folder}: expected {needed / 2**20:,.0f} MB of free disk, found {free / 2**20:,.0f} MB; free some, or "
            "give another --scratch."
        )


@contextmanager
def work_folder(base: Path, name: str) -> Iterator[Path]:
    """A new folder of this process' own, gone afterwards; those of processes that were killed go, too.

    Raises:
        HandsError: The disk is full.
    """
    require_space(base)
    remove_abandoned(base)
    folder = base / f"{name}-{uuid.uuid4().hex}"
    lock = folder.with_suffix(".lock")
    with locked(lock):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def remove_abandoned(base: Path) -> None:
    """Removes folders of work whose process is gone."""
    for lock in base.glob("*.lock"):
        with locked(lock, wait=False) as held:
            if held is not None:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


@contextmanager
def fetched_capture(address: str, content: str, scratch: Path) -> Iterator[Path]:
    """A capture's copy on this machine, which stays there while it is used and until the room is needed.

    Its path is the same on every machine with the same scratch, because a run's configuration names it.

    Args:
        address: URL of the capture.
        content: Digest of its files; of other content there is another copy.
        scratch: Folder for copies.

    Raises:
        HandsError: The address cannot be read, or there is no room for it.
    """
    folder = scratch / "captures" / short_digest(f"{address} {content}")
    lock = folder.with_suffix(".lock")
    with locked(lock):
        if not folder.is_dir():
            needed = folder_bytes(address) + SPARE_BYTES
            _make_room(folder.parent, needed)
            require_space(folder.parent, needed)
            fetch(address, folder)
        os.utime(folder)
    with locked(lock, shared=True):
        if not folder.is_dir():
            raise HandsError(f"{folder}: expected the copy of {address}, found it removed; try again with --retry.")
        yield folder


def _make_room(folder: Path, needed: int) -> None:
    """Removes copies that nobody uses, the oldest first, until there is room."""
    if not folder.is_dir():
        return
    for old in sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime):
        if shutil.disk_usage(folder).free >= needed:
            return
        with locked(old.with_suffix(".lock"), wait=False) as held:
            if held is not None:
                shutil.rmtree(old, ignore_errors=True)
