"""Whether hands lie on their pictures, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nerfstudio_hands.inspection.camera_report import CameraReport
from nerfstudio_hands.inspection.finger_distances import FingerOff, listed
from nerfstudio_hands.inspection.view_measures import finite_mean
from nerfstudio_hands.program.wording import counted


@dataclass(frozen=True)
class LookedAt:
    """How much of a capture was looked at.

    Attributes:
        frames: Frames whose outlines were measured.
        with_hands: Frames in which a hand was fitted; the joints of all of them are compared with their landmarks.
    """

    frames: int
    with_hands: int

    def __str__(self) -> str:
        if self.frames == self.with_hands:
            return "outlines and joints of " + ("the only frame" if self.frames == 1 else f"all {self.frames} frames")
        more = "`ns-hands check --frames` says how many"
        return f"outlines of {self.frames} of {self.with_hands} frames ({more}), joints of all"


def pictures_verdict(
    cameras: Sequence[CameraReport], frames_beside: Sequence[str], fingers: Sequence[FingerOff], looked: LookedAt
) -> str:
    """What the pictures say: in how many cameras hands lie on them, in which not, and what to do.

    Args:
        cameras: Judged.
        frames_beside: Names of the frames that are not as the others are.
        fingers: That lie beside their landmarks, the worst first.
        looked: How much was looked at.
    """
    seen = [camera for camera in cameras if camera.exposure is not None]
    shown = [(camera, camera.outline) for camera in seen if camera.outline is not None]
    if not seen:
        return "There is no picture to say whether the hands lie where they should."
    if not shown:
        overexposed = [camera.name for camera in seen if camera.is_overexposed]
        why = f" ({', '.join(overexposed)} are overexposed)" if overexposed else ""
        return (
            f"No picture shows the outline of a hand{why}: nothing but joints says where the hands are; take pictures "
            "with less light or before a darker wall, or give masks."
        )
    beside = [f"{camera.name} ({outline.fault})" for camera, outline in shown if outline.fault is not None]
    unseen = [camera for camera in seen if camera.outline is None]
    # Where no outline is seen, detections that lie elsewhere tell as much.
    lost = [f"{camera.name} ({' and '.join(camera.outliers)} detections off)" for camera in unseen if camera.outliers]
    beside, judged = [*beside, *lost], len(shown) + len(lost)
    in_all = counted(judged, "camera")
    silent = [camera.name for camera in unseen if not camera.outliers]
    end = f" Looked at: {looked}." + (f" No outline is seen in {', '.join(silent)}." if silent else "")
    frames = [f"not in frame{'s' * (len(frames_beside) > 1)} {', '.join(frames_beside)}"] if frames_beside else []
    if 2 * len(beside) >= judged:
        where = "; ".join([", ".join(beside), *frames])
        return (
            f"The hands do not lie on their pictures in {len(beside)} of {in_all}: {where}: joints, masks or "
            f"cameras may be of another take; look at the overlays of `ns-hands check`.{end}"
        )
    cameras_beside = [f"not in {', '.join(beside)}"] if beside else []
    but = "; ".join([*cameras_beside, *frames, *([listed(fingers)] if fingers else [])])
    if not but:
        pixels = finite_mean([outline.distance for _, outline in shown])
        return f"The hands lie on their pictures in {in_all} ({pixels:.1f} px off on average).{end}"
    where = f"{judged - len(beside)} of {in_all}" if beside else in_all
    remedy = "correct their joints"
    if beside:
        remedy = "calibrate such a camera again or leave it out with --exclude-cameras"
    return (
        f"The hands lie on their pictures in {where}, but {but}: see the overlays of `ns-hands check`, and "
        f"{remedy}.{end}"
    )
