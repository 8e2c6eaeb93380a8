"""K of a camera that nobody calibrated: of its angle of view, or of what a picture's EXIF says of the lens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ExifTags

from nerfstudio_hands.calibration.checked import pinhole_matrix
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.files.guarded_files import opened_image

FULL_FRAME_MM = 36.0
"""Longer side of the film for which EXIF gives focal lengths (CIPA DC-008, tag 41989)."""


def camera_of_view(name: str, size: tuple[int, int], degrees: float) -> CalibratedCamera:
    """A camera without distortion that looks through the middle of its picture.

    Args:
        name: Of the camera.
        size: Width and height in pixels.
        degrees: Angle of view along the longer side.
    """
    focal = max(size) / 2 / float(np.tan(np.radians(degrees) / 2))
    return CalibratedCamera(name, pinhole_matrix((focal, focal), (size[0] / 2, size[1] / 2)), None, None, size)


def exif_view_degrees(path: Path) -> float | None:
    """Angle of view along the longer side that a picture's EXIF says; None where it says none.

    Raises:
        UnreadableFile: The picture cannot be read.
    """
    with opened_image(path) as picture:
        focal = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    try:
        focal = float(focal or 0)
    except (TypeError, ValueError):
        return None
    return float(np.degrees(2 * np.arctan(FULL_FRAME_MM / 2 / focal))) if 1 <= focal <= 2000 else None
