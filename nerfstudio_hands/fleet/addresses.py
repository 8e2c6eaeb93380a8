"""Captures and results by their address: a local folder, or a URL that `fsspec` opens (s3, gs, ssh and others).

A local folder is used where it lies. Of a URL, folders are copied whole: the receipt of a step is sent last, so that a
folder without one is no result.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError


def is_url(address: str) -> bool:
    """Whether an address is anything but a path of this machine."""
    return "://" in address


def settled(address: str, base: Path) -> str:
    """An absolute path or a URL; `file://` is a path.

    Args:
        address: What the user gave.
        base: Folder that relative paths begin at.
    """
    if address.startswith("file://"):
        address = address.removeprefix("file://")
    if is_url(address):
        return address.rstrip("/")
    return str((base / Path(address).expanduser()).absolute())


def join(address: str, *parts: str) -> str:
    """The address of something below a folder."""
    return "/".join((address, *parts))


def matches(address: str) -> list[str]:
    """Folders that an address with `*`, `?` or `[...]` names, in order; the address itself where it has none of them.

    Raises:
        HandsError: No such folder, or an address that cannot be opened.
    """
    if not is_url(address):
        # The root is no part of a pattern.
        root = Path(address).anchor
        found = sorted(str(path) for path in Path(root).glob(address.removeprefix(root)) if path.is_dir())
    else:
        scheme = address.partition("://")[0]
        with opened(address) as (files, path):
            names = files.glob(path) if has_pattern(address) else [path]
            found = [f"{scheme}://{name.lstrip('/')}" for name in sorted(names) if files.isdir(name)]
    if not found:
        raise HandsError(f"{address}: expected a folder with a capture, found none; correct the address.")
    return found


def has_pattern(address: str) -> bool:
    """Whether an address stands for several."""
    return any(sign in address for sign in "*?[")


@contextmanager
def opened(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL, and the path in it.

    Raises:
        HandsError: There is no such address, what opens it is not installed, or it fails while it is used.
    """
    import fsspec

    try:
        yield fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise HandsError(
            f"{address}: expected an address that this Python can open, found that a package is missing ({error})."
        ) from error
    except HandsError:
        raise
    except OSError as error:
        raise HandsError(f"{address}: {_expected(error)}") from error
    # Clients of object stores raise exceptions of their own for a wrong key, bucket or network.
    except Exception as error:
        raise HandsError(
            f"{address}: expected an address that can be read and written, found "
            f"'{' '.join(str(error).split()) or type(error).__name__}'; correct it, or what gives access to it."
        ) from error


def _expected(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "expected space for a copy, found a full disk; free some, or give another --scratch."
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"expected an address that can be read and written, found '{reason}'; correct it."


def folder_bytes(address: str) -> int:
    """Bytes of all files below a URL."""
    with opened(address) as (files, path):
        return int(files.du(path))


def fetch(address: str, folder: Path) -> None:
    """Copies what lies at a URL into a new folder, which appears when it is whole."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with opened(address) as (files, path):
        partial.mkdir(parents=True)
        root = path.rstrip("/")
        for name in files.find(root):
            target = partial / name.removeprefix(root).lstrip("/")
            if not target.resolve().is_relative_to(partial.resolve()):
                raise HandsError(f"{address}: expected files below it, found one named {name}; rename it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(name, str(target))
        partial.rename(folder)


def send(folder: Path, address: str, *, last: str) -> None:
    """Copies a folder to a URL, one of its files last; what an earlier try left there is replaced.

    Args:
        folder: What is sent.
        address: Where it shall lie.
        last: Name of the file that tells that the folder is whole.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with opened(address) as (files, root):
        if files.exists(root):
            files.rm(root, recursive=True)
        for path in sorted(paths, key=lambda path: path == folder / last):
            target = f"{root}/{path.relative_to(folder).as_posix()}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(path), target)


def read_file(address: str) -> bytes | None:
    """The bytes of a small file; None where there is none."""
    if not is_url(address):
        try:
            return Path(address).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    with opened(address) as (files, path):
        return files.cat_file(path) if files.isfile(path) else None


def names(address: str, pattern: str) -> list[str]:
    """Names of the files right in a folder that a pattern takes, in order; none where there is no folder."""
    if not is_url(address):
        return sorted(path.name for path in Path(address).glob(pattern))
    with opened(address) as (files, path):
        return sorted(name.rpartition("/")[2] for name in files.glob(f"{path}/{pattern}"))


def write_file(address: str, content: bytes) -> None:
    """Writes a small file, whole."""
    if not is_url(address):
        from nerfstudio_hands.files.atomic import written_whole

        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
        return
    with opened(address) as (files, path):
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, content)


@lru_cache(maxsize=4096)
def short_digest(text: str) -> str:
    """A name for an address or a key that every file system takes."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
