"""Pictures of lenses that distort, without the distortion: kept in the cache, since captures are never written to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from nerfstudio_hands.calibration.lens import undistort, undistorted_camera
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.image_reading import image_size, read_image_with_alpha


def undistorted_image(path: Path, camera: CalibratedCamera, *, labels: bool = False) -> Path:
    """The picture as a pinhole camera would have taken it: the file itself where its lens does not distort.

    Args:
        path: Picture.
        camera: Its camera.
        labels: Whether it is a mask.

    Raises:
        HandsError: It cannot be read, or the cache cannot be written.
    """
    if camera.lens is None or not camera.lens.distorts:
        return path
    status = path.stat()
    made_of = (str(path.resolve()), status.st_size, status.st_mtime_ns, camera.lens, camera.intrinsics.tolist())
    kept = cache_folder() / "undistorted" / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:24]}.png"
    if not _is_whole(kept):
        image = read_image_with_alpha(path)
        new = undistorted_camera(camera.intrinsics, camera.lens, (image.shape[1], image.shape[0]))
        _write(kept, undistort(image, camera.intrinsics, camera.lens, new, labels=labels))
    return kept


def _is_whole(path: Path) -> bool:
    """Whether a picture is there to its end."""
    try:
        return path.is_file() and bool(image_size(path))
    except HandsError:
        return False


def _write(path: Path, image: np.ndarray) -> None:
    code = cv2.COLOR_RGBA2BGRA if image.shape[-1] == 4 else cv2.COLOR_RGB2BGR
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, code), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(encoded.tobytes())
    except OSError as error:
        raise HandsError(
            f"{path}: expected to keep an undistorted picture there, found '{error.strerror or error}': set "
            "NERFSTUDIO_HANDS_CACHE to a folder with space."
        ) from error
