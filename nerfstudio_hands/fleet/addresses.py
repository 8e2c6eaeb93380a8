"""Captures and results by their address: a local folder, or a URL that `fsspec` opens (s3, gs, ssh and others).

A local folder is used where it lies. Of a URL, folders are copied whole: the receipt of a step is sent last, so that a
folder without one is no result.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_reachable


def is_url(address: str) -> bool:
    """Whether an address is anything but a path of this machine."""
    return "://" in address


def settled(address: str, base: Path) -> str:
    """An absolute path or a URL; `file://` is a path.

    Args:
        address: What the user gave.
        base: Folder that relative paths begin at.

    Raises:
        HandsError: The system cannot look it up.
    """
    if address.startswith("file://"):
        address = address.removeprefix("file://")
    if is_url(address):
        return address.rstrip("/")
    require_reachable(Path(address))
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
        paths = Path(root).glob(address.removeprefix(root)) if has_pattern(address) else [Path(address)]
        found = sorted(str(path) for path in paths if path.is_dir())
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
        files, path = fsspec.core.url_to_fs(address)
        # Others write there, too; what was listed before may have changed.
        files.invalidate_cache()
        yield files, path
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


STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "modified", "created")
"""What file systems of fsspec tell of a file's content or of its last change; the first of them counts."""


def content_digest(address: str) -> str:
    """A digest of a folder's files: paths in it, sizes, and times of last change or, at a URL, what `STAMPS` has of
    each. No file is read. Hidden files are left out, such as those of file managers.

    Raises:
        HandsError: Something there cannot be looked at.
    """
    digest = hashlib.sha256()
    for file in sorted(_remote_files(address) if is_url(address) else _local_files(address)):
        digest.update(json.dumps(file).encode())
    return digest.hexdigest()[:16]


def _local_files(folder: str) -> Iterator[tuple[str, int, int]]:
    def explain(error: OSError) -> None:
        raise HandsError(f"{error.filename}: expected a folder of a capture, found '{error.strerror}'; see to it.")

    seen = set()
    for parent, folders, names in os.walk(folder, onerror=explain, followlinks=True):
        where = os.stat(parent)
        if (where.st_dev, where.st_ino) in seen:
            # A link to a folder that it is in.
            folders.clear()
            continue
        seen.add((where.st_dev, where.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(parent, folder)
        for name in names:
            # A link to nothing is no file.
            with suppress(FileNotFoundError):
                if not name.startswith("."):
                    file = os.stat(f"{parent}/{name}")
                    yield f"{below}/{name}", file.st_size, file.st_mtime_ns


def _remote_files(address: str) -> Iterator[tuple[str, int, str]]:
    with opened(address) as (files, path):
        root = path.rstrip("/")
        for name, file in files.find(root, detail=True).items():
            below = name.removeprefix(root).lstrip("/")
            if not any(part.startswith(".") for part in below.split("/")):
                yield below, file["size"], str(next((file[stamp] for stamp in STAMPS if file.get(stamp)), ""))


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

    Two that send the same at a time leave it whole: nothing is missing there once the last file has come.

    Args:
        folder: What is sent.
        address: Where it shall lie.
        last: Name of the file that tells that the folder is whole.
    """
    with opened(address) as (files, root):
        paths = {f"{root}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}
        final = f"{root}/{last}"
        if files.exists(final):
            files.rm_file(final)
        for target in sorted(paths, key=lambda target: (target == final, target)):
            if target == final:
                for other in set(files.find(root)) - paths.keys():
                    files.rm_file(other)
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(paths[target]), target)


def move(address: str, target: str, *, first: str) -> None:
    """Moves a folder to a place where nothing is; on a URL file by file.

    Args:
        address: The folder.
        target: Its new place.
        first: Name of the file that tells that the folder is whole, which is the first to go.
    """
    if not is_url(address):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(address).rename(target)
        return
    with opened(address) as (files, root), opened(target) as (_, place):
        for name in sorted(files.find(root), key=lambda name: name != f"{root}/{first}"):
            new = place + name.removeprefix(root)
            files.makedirs(new.rpartition("/")[0], exist_ok=True)
            files.mv(name, new)


def exists(address: str) -> bool:
    """Whether there is a file or folder."""
    if not is_url(address):
        return Path(address).exists()
    with opened(address) as (files, path):
        return files.exists(path)


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
