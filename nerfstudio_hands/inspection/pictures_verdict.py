"""Whether hands lie on their pictures, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from nerfstudio_hands.inspection.camera_report import CameraReport
from nerfstudio_hands.inspection.view_measures import finite_mean


def pictures_verdict(cameras: Sequence[CameraReport], frames_beside: Sequence[str]) -> str:
    """The sentence: in how many cameras, in which not, and what to do.

    Args:
        cameras: Judged.
        frames_beside: Names of the frames that are not as the others are.
    """
    looked_at = [camera for camera in cameras if camera.exposure is not None]
    shown = [(camera, camera.outline) for camera in looked_at if camera.outline is not None]
    if not looked_at:
        return "There is no picture to say whether the hands lie where they should."
    if not shown:
        overexposed = [camera.name for camera in looked_at if camera.is_overexposed]
        why = f" ({', '.join(overexposed)} are overexposed)" if overexposed else ""
        return (
            f"No picture shows the outline of a hand{why}: nothing but joints says where the hands are; take pictures "
            "with less light or before a darker wall, or give masks."
        )
    beside = [f"{camera.name} ({outline.fault})" for camera, outline in shown if outline.fault is not None]
    unseen = [camera for camera in looked_at if camera.outline is None]
    # Where no outline is seen, detections that lie elsewhere tell as much.
    lost = [f"{camera.name} ({' and '.join(camera.outliers)} detections off)" for camera in unseen if camera.outliers]
    beside, judged = [*beside, *lost], len(shown) + len(lost)
    silent = [camera.name for camera in unseen if not camera.outliers]
    frames = f"; not in frames {', '.join(frames_beside)}" if frames_beside else ""
    end = f" No outline is seen in {', '.join(silent)}." if silent else ""
    if not beside and not frames:
        pixels = finite_mean([outline.distance for _, outline in shown])
        return f"The hands lie on their pictures in {_counted(judged)} ({pixels:.1f} px off on average).{end}"
    if 2 * len(beside) >= judged:
        return (
            f"The hands do not lie on their pictures in {len(beside)} of {_counted(judged)}: {', '.join(beside)}"
            f"{frames}: joints, masks or cameras may be of another take; look at the overlays of `ns-hands check`.{end}"
        )
    where = f"{judged - len(beside)} of {_counted(judged)}, but not in {', '.join(beside)}"
    remedy = "correct their joints"
    if beside:
        remedy = "calibrate such a camera again or leave it out with --exclude-cameras"
    where = where if beside else _counted(judged)
    return (
        f"The hands lie on their pictures in {where}{frames}: see the overlays of `ns-hands check`, and {remedy}.{end}"
    )


def _counted(cameras: int) -> str:
    return f"{cameras} camera{'s' * (cameras != 1)}"
