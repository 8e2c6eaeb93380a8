"""What is known of one camera of a capture, and the verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nerfstudio_hands.inspection.finger_distances import FingerOff
from nerfstudio_hands.inspection.image_outline import OutlineQuality
from nerfstudio_hands.inspection.joint_verdict import JointVerdict
from nerfstudio_hands.inspection.view_measures import MaskQuality

TURNED_DEGREES = 0.3
"""A rotation correction beyond this is called a miscalibration; it moves the picture of a hand by ten pixels or so."""

ZOOMED = 0.01
"""A focal length that is off by more than this share is called a miscalibration, too."""

TURNED_DEGREES_BY_DETECTIONS = 0.5
"""The same where nothing but a camera's own detections tells: its joints err together by up to 0.4 degrees."""

MISPLACED_METERS = 0.010
"""Detectors miss joints by 3 to 7 mm at the hand; a camera that misses every hand by more than this is off."""

OUTLIER_METERS = 0.016
"""A detected hand that misses by more than this in an otherwise good camera was seen in the wrong place."""

OVEREXPOSED = 0.5
"""Share of saturated hand pixels beyond which a camera is called overexposed."""


@dataclass
class HandErrors:
    """Median errors of one hand's joints in one camera, over the frames; NaN where it was not detected.

    Where the capture came with joints in space instead of detections, only `fitted` says anything, with those joints in
    place of the detected ones; the figures of the calibration are NaN.

    Attributes:
        as_calibrated: Triangulated joints against detections, the camera as in the file, pixels.
        corrected: The same with the fit's rotation correction, pixels.
        fitted: Joints of the fitted hand against detections, with the correction, pixels.
        as_calibrated_meters: `as_calibrated` at the depth of the hand.
        residual_meters: What no turn of the camera explains, at the depth of the hand.
    """

    as_calibrated: float
    corrected: float
    fitted: float
    as_calibrated_meters: float
    residual_meters: float


@dataclass
class Exposure:
    """Brightness of the hand in a camera.

    Attributes:
        median: Median of the brightest channel over hand pixels, 0 to 255.
        saturated: Share of hand pixels with a channel at the limit.
        gain: Linear light in which it shows the same places of the hand, the median camera being 1; NaN where it
            shares none.
    """

    median: float
    saturated: float
    gain: float


@dataclass
class CameraReport:
    """The verdict on a camera and what it rests on.

    Attributes:
        name: Name of the camera.
        role: "fit" (took part), "held out", "left out" (by the options) or "no pictures".
        rotation_degrees: Size of the correction that the fit found; for a held-out camera, the correction that its
            detections ask for; NaN where neither is known.
        errors: By side.
        zoom: By which share the fit made its focal length longer than calibrated.
        mask: None without masks.
        outline: The fitted hands against the outline that the pictures show; None where they show none.
        exposure: None without pictures.
        fingers: That lie beside their landmarks, the worst first; none of a side whose detections are outliers.
        miscalibrated: Whether it is turned, has another focal length, or misses every hand.
        outliers: Sides whose detections disagree with the other cameras.
        faults: What to know of this camera, in a few words each; empty for a good one.
    """

    name: str
    role: str
    rotation_degrees: float
    errors: dict[str, HandErrors]
    zoom: float = 0.0
    mask: MaskQuality | None = None
    outline: OutlineQuality | None = None
    exposure: Exposure | None = None
    fingers: list[FingerOff] = field(default_factory=list)
    miscalibrated: bool = False
    outliers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def is_overexposed(self) -> bool:
        """Whether too much of the hand is at the limit of its pictures."""
        return self.exposure is not None and self.exposure.saturated > OVEREXPOSED

    @property
    def verdict(self) -> str:
        """The faults; a camera is good only where its pictures confirm the hands, and the joints are good."""
        return "; ".join(self.faults) or ("good" if self.outline is not None else "no outline seen")


def judge(report: CameraReport, joints: JointVerdict, *, expects_masks: bool) -> None:
    """Fill in the verdict from the figures."""
    if report.role in ("no pictures", "left out"):
        report.faults = [report.role]
        return
    detected = {
        side: errors
        for side, errors in report.errors.items()
        if np.isfinite(errors.corrected) or np.isfinite(errors.fitted)
    }
    report.outliers = [side for side, errors in detected.items() if errors.residual_meters > OUTLIER_METERS]
    kept = [errors.as_calibrated_meters for side, errors in detected.items() if side not in report.outliers]
    kept = [meters for meters in kept if np.isfinite(meters)]
    took_part = report.role == "fit"
    turned = report.rotation_degrees > (TURNED_DEGREES if took_part else TURNED_DEGREES_BY_DETECTIONS)
    misplaced = bool(kept) and min(kept) > MISPLACED_METERS
    zoomed = abs(report.zoom) > ZOOMED
    report.miscalibrated = bool(turned or zoomed or misplaced)

    if turned:
        report.faults.append(f"turned {report.rotation_degrees:.1f}°" + " (corrected)" * took_part)
    if zoomed:
        report.faults.append(f"focal length {report.zoom:+.1%} (corrected)")
    if misplaced and not turned:
        report.faults.append("misses every hand")
    report.faults += [f"{side} detections off" for side in report.outliers]
    if not detected:
        report.faults.append("no hand detected")
    if report.mask is None and expects_masks:
        report.faults.append("no mask")
    elif report.mask is not None and report.mask.fault is not None:
        report.faults.append(report.mask.fault)
    if report.outline is not None and report.outline.fault is not None:
        report.faults.append(report.outline.fault)
    report.fingers = [one for one in report.fingers if one.part.split()[0] not in report.outliers]
    if report.fingers:
        report.faults.append(_fingers_fault(report.fingers))
    if report.is_overexposed:
        report.faults.append("overexposed")
    if not report.faults and joints.fault is not None:
        report.faults.append(joints.fault)


def _fingers_fault(fingers: Sequence[FingerOff]) -> str:
    worst = fingers[0]
    others = f" ({len(fingers) - 1} more)" if len(fingers) > 1 else ""
    return f"{worst.part} {worst.pixels:.0f} px off its landmarks in frame {worst.frame}{others}"
