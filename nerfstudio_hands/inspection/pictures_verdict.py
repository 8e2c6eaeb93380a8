"""Whether hands lie on their pictures, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from nerfstudio_hands.inspection.camera_report import OVEREXPOSED, CameraReport
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
        overexposed = [c.name for c in looked_at if c.exposure is not None and c.exposure.saturated > OVEREXPOSED]
        why = f" ({', '.join(overexposed)} are overexposed)" if overexposed else ""
        return (
            f"No picture shows the outline of a hand{why}: nothing but joints says where the hands are; take pictures "
            "with less light or before a darker wall, or give masks."
        )
    beside = [f"{camera.name} ({outline.fault})" for camera, outline in shown if outline.fault is not None]
    frames = f"; not in frames {', '.join(frames_beside)}" if frames_beside else ""
    unseen = [camera.name for camera in looked_at if camera.outline is None]
    silent = f" {', '.join(unseen)} show no outline." if unseen else ""
    if not beside and not frames:
        pixels = finite_mean([outline.distance for _, outline in shown])
        return f"The hands lie on their pictures in {_counted(shown)} ({pixels:.1f} px off on average).{silent}"
    if 2 * len(beside) > len(shown):
        return (
            f"The hands do not lie on their pictures in {len(beside)} of {_counted(shown)}: {', '.join(beside)}"
            f"{frames}: joints, masks or cameras may be of another take; look at the overlays of `ns-hands check`."
            f"{silent}"
        )
    where = f"{len(shown) - len(beside)} of " * bool(beside) + _counted(shown)
    where += f", but not in {', '.join(beside)}" if beside else ""
    remedy = "see the overlays of `ns-hands check`, and calibrate such a camera again or leave it out with "
    remedy = f"{remedy}--exclude-cameras" if beside else "see the overlays of `ns-hands check`; correct their joints"
    return f"The hands lie on their pictures in {where}{frames}: {remedy}.{silent}"


def _counted(shown: Sequence[object]) -> str:
    return f"{len(shown)} camera{'s' * (len(shown) != 1)}"
