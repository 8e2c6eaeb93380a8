"""Whether the calibration of a capture is read as it was meant, told by the rays of its detections."""

from __future__ import annotations

from nerfstudio_hands.calibration.conventions import AS_WRITTEN, Convention, find_convention
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.errors import HandsError


def as_calibrated(camera: CaptureCamera) -> CalibratedCamera:
    """The camera of undistorted pictures as a calibration has it: without a lens."""
    return CalibratedCamera(camera.name, camera.intrinsics, None, camera.world_to_camera, camera.size)


def convention_of_capture(capture: Capture) -> Convention:
    """The reading under which the rays of a capture's detections meet, its unit told by the hand where it is not known.

    Raises:
        HandsError: No two cameras share detections.
    """
    cameras = {camera.name: as_calibrated(camera) for camera in capture.cameras}
    return find_convention(
        Calibration(capture.root, cameras, unit=1.0 if capture.metric else None),
        capture.camera_names,
        capture.detections,  # pyright: ignore[reportArgumentType]
        sizes=[camera.size for camera in capture.cameras],
    )


def misread(capture: Capture) -> str | None:
    """A sentence on the reading of a capture's calibration under which rays of its detections meet; None where it is
    the one in use, in metres, or where there is none."""
    try:
        found = convention_of_capture(capture)
    except HandsError:
        return None
    as_it_is = found.variant in (None, AS_WRITTEN) and found.unit in (None, 1.0)
    return None if as_it_is else found.sentence
