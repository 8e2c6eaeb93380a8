"""`read_calibration`: a file or folder of a calibration in any format that is about, recognised by its content."""

from __future__ import annotations

import re
from pathlib import Path

from nerfstudio_hands.calibration.formats.anipose import read_anipose
from nerfstudio_hands.calibration.formats.colmap import is_colmap, read_colmap
from nerfstudio_hands.calibration.formats.opencv_storage import (
    is_easymocap,
    is_opencv_camera,
    read_easymocap,
    read_opencv_cameras,
    read_storage,
)
from nerfstudio_hands.calibration.formats.param_npz import read_room_calibration
from nerfstudio_hands.calibration.formats.transforms_json import read_transforms_json
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, open_regular

EXPECTED = (
    "transforms.json of nerfstudio, a reconstruction of COLMAP, calibration.toml of anipose, intri.yml and extri.yml "
    "of EasyMocap, a YAML, XML or JSON file of OpenCV, or param.npz"
)

STORAGE_SUFFIXES = (".yml", ".yaml", ".xml", ".json")

ZIP, YAML = b"PK\x03\x04", b"%YAML"
TABLE = re.compile(rb"(\s*(#[^\n]*)?\n)*\s*\[\s*[\w\"'. -]+\]\s*\n")
"""How a file of TOML begins that has nothing but tables."""


def read_calibration(path: Path) -> Calibration:
    """Read the cameras of a file or folder, whatever program wrote it.

    Args:
        path: A file, or a folder with one calibration in it; for COLMAP the folder of the project or of the model.

    Raises:
        HandsError: It is no calibration, or a broken one; the sentence says what was expected and found.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _read_folder(path)
    begin = _begin(path)
    if not begin.strip():
        raise HandsError(f"{path}: expected {EXPECTED}, found an empty file: export the calibration again.")
    if path.name in ("cameras.bin", "images.bin", "cameras.txt", "images.txt"):
        return _read_folder(path.parent)
    if begin.startswith(ZIP):
        return _room(path)
    if path.suffix.lower() == ".toml" or TABLE.match(begin):
        return read_anipose(path)
    if begin.lstrip()[:1] in (b"{", b"<") or begin.startswith(YAML) or path.suffix.lower() in STORAGE_SUFFIXES:
        return _read_storage(path)
    raise HandsError(
        f"{path}: expected {EXPECTED}, found something else ('{begin[:24].decode('ascii', 'replace')}'): export the "
        "calibration in one of these formats."
    )


def _begin(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(4096)
    except (UnreadableFile, OSError) as error:
        raise HandsError(
            f"{path}: expected a calibration, found '{error}': give the file that your calibration wrote."
        ) from error


def _room(path: Path) -> Calibration:
    room = read_room_calibration(path)
    cameras = {
        name: CalibratedCamera(name, intrinsics, None, room.world_to_camera[name])
        for name, intrinsics in room.intrinsics.items()
    }
    return Calibration(path, cameras, unit=1.0)


def _read_storage(path: Path) -> Calibration:
    content = read_storage(path)
    if "frames" in content or "camera_angle_x" in content:
        return read_transforms_json(path, content)
    if is_easymocap(content):
        if not (path.parent / "intri.yml").is_file():
            raise HandsError(
                f"{path}: expected EasyMocap's intri.yml beside extri.yml, found no such file: give the folder of both."
            )
        return read_easymocap(path.parent)
    if is_opencv_camera(content):
        return Calibration(path, read_opencv_cameras(path, content))
    raise HandsError(
        f"{path}: expected {EXPECTED}, found the names {', '.join(list(content)[:6]) or 'of nothing'}: export the "
        "calibration in one of these formats."
    )


def _read_folder(folder: Path) -> Calibration:
    """The one calibration in a folder; of several kinds the sentence asks which."""
    found = {str(path): path for path in _models_of_colmap(folder)}
    for name in ("transforms.json", "param.npz", "camera/param.npz", "intri.yml"):
        if (folder / name).is_file():
            found[name] = folder / name
    found |= {path.name: path for path in sorted(folder.glob("*.toml"))}
    if len(found) == 1:
        (path,) = found.values()
        return read_colmap(path) if path.is_dir() else read_calibration(path)
    if found:
        raise HandsError(
            f"{folder}: expected one calibration, found {', '.join(list(found)[:6])}: give the one that you mean."
        )
    return _folder_of_opencv(folder)


def _models_of_colmap(folder: Path) -> list[Path]:
    """The folder, or those below it where COLMAP writes; of several models the first, which is the largest."""
    for candidate in (folder, folder / "sparse", folder / "sparse/0", folder / "colmap/sparse/0"):
        if is_colmap(candidate):
            return [candidate]
    return []


def _folder_of_opencv(folder: Path) -> Calibration:
    """A file a camera."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in STORAGE_SUFFIXES and path.is_file()]
    cameras: dict[str, CalibratedCamera] = {}
    for path in files:
        content = read_storage(path)
        for name, camera in (read_opencv_cameras(path, content) if is_opencv_camera(content) else {}).items():
            if cameras.setdefault(name, camera) is not camera:
                raise HandsError(f"{path}: expected camera {name} in one file, found it in another, too: remove one.")
    if not cameras:
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:6]) or "an empty folder"
        raise HandsError(f"{folder}: expected {EXPECTED}, found {there}: give the file of the calibration.")
    return Calibration(folder, cameras)
