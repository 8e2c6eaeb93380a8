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
