"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, *, suffix: str = ".partial") -> Iterator[Path]:
    """Gives a name beside `path` to write to; the file takes the name `path` when the block ends without an error.

    An interruption or a full disk leaves what was there before, and nothing else.

    Args:
        path: The file; its folder has to be there.
        suffix: Of the name meanwhile, for writers that go by it.
    """
    # Not made by `tempfile`, whose files nobody else may read: runs and caches are shared.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, see `written_whole`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def disk_fault(error: OSError | RuntimeError) -> str:
    """What kept a file, torch's too, from being written; any other fault is raised again."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if any(sign in str(error) for sign in ("PytorchStreamWriter", "inline_container", "unexpected pos")):
        return "writing failed, as on a full disk"
    raise error
