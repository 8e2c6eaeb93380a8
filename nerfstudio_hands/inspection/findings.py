"""What there is to say of a capture as a whole: a sentence a kind of fault."""

from __future__ import annotations

import numpy as np

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.inspection.camera_report import CameraReport
from nerfstudio_hands.inspection.finger_distances import listed
from nerfstudio_hands.inspection.joint_verdict import JointVerdict

STALE_METERS = 0.015
"""Stored joints that are farther from the triangulated ones than this belong to something else."""


def findings_on(
    capture: Capture,
    fit: HandFit,
    cameras: list[CameraReport],
    joints: JointVerdict,
    stored_pixels: float,
    stored_meters: float,
    frames_beside: list[str],
) -> list[str]:
    """Sentences for the user.

    Args:
        capture: What was read.
        fit: The hands.
        cameras: Judged.
        joints: The verdict on the fitted joints.
        stored_pixels: Median distance of the stored joints from the detections, NaN without any.
        stored_meters: The same from the triangulated joints.
        frames_beside: Names of the frames in which the hands lie beside their pictures, while others are well.
    """
    doubts = fit.report.get("doubts", [])
    findings = [*capture.problems, *doubts]
    if joints.fault is not None and not any("joints are" in doubt for doubt in doubts):
        findings.append(joints.sentence)
    turned = [f"{c.name} ({_worst_error(c)})" for c in cameras if c.miscalibrated]
    if turned:
        findings.append(f"Miscalibrated cameras (median pixels as calibrated -> corrected): {', '.join(turned)}.")
    masks = [
        f"{c.name} {c.mask.fault.removeprefix('mask ')} (covers {c.mask.coverage:.0%})"
        for c in cameras
        if c.mask is not None and c.mask.fault is not None
    ]
    if masks:
        findings.append(f"Masks not to be trusted: {'; '.join(masks)}.")
    strangers = [
        c.name
        for c in cameras
        if c.mask is not None and c.mask.is_elsewhere and c.outline is not None and c.outline.fault is None
    ]
    if strangers:
        findings.append(
            f"Masks that show a hand beside that of their pictures: {', '.join(strangers)}; they may be of another "
            "frame or camera: compare their names, or take them away, and hands are cut out of the pictures."
        )
    beside = [f"{c.name} ({c.outline.fault})" for c in cameras if c.outline is not None and c.outline.fault is not None]
    if beside:
        findings.append(
            f"Hands that are not where their pictures show them: {', '.join(beside)}; training learns what is seen "
            "there as the hand's color. Look at the overlays."
        )
    if frames_beside:
        findings.append(
            f"Frames in which most pictures show the hands elsewhere: {', '.join(frames_beside)}; a hand may leave its "
            "pictures there, or joints and pictures are not of the same frame. Cameras are judged without them; look "
            "at the overlays."
        )
    fingers = sorted((one for c in cameras for one in c.fingers), key=lambda one: -one.share)
    if fingers:
        findings.append(
            f"Fingers that are not where their landmarks are: {listed(fingers)}. The fit or the landmarks are wrong "
            "there; look at the overlays."
        )
    unseen = [c.name for c in cameras if c.exposure is not None and c.outline is None]
    if unseen:
        findings.append(
            f"No outline of a hand is seen in {', '.join(unseen)}: nothing but joints says where the hands are there."
        )
    outliers = [f"{c.name} {side}" for c in cameras for side in c.outliers]
    if outliers:
        findings.append(f"Detections that disagree with the other cameras: {', '.join(outliers)}.")
    if stored_meters > STALE_METERS:
        findings.append(
            f"The stored joints (.xyz) are stale: they miss the detections by a median of {stored_pixels:.0f} px "
            f"and the triangulated joints by {stored_meters * 1000:.0f} mm; they are not used."
        )
    overexposed = [
        f"{c.name} ({c.exposure.saturated:.0%})"
        for c in cameras
        if c.exposure is not None and c.is_overexposed
    ]
    if overexposed:
        findings.append(
            f"Overexposed (share of the hand at the limit): {', '.join(overexposed)}; what is white all over teaches "
            "no color and shows no outline before a bright wall: take the pictures with less light."
        )
    gains = [c.exposure.gain for c in cameras if c.exposure is not None and np.isfinite(c.exposure.gain)]
    if gains and max(gains) > 1.5 * min(gains):
        findings.append(
            f"Exposure differs between cameras by a factor of {max(gains) / min(gains):.1f} in linear light."
        )
    return findings


def _worst_error(report: CameraReport) -> str:
    known = [e for side, e in report.errors.items() if np.isfinite(e.corrected) and side not in report.outliers]
    worst = max(known, key=lambda errors: errors.as_calibrated, default=None)
    return "by outlines" if worst is None else f"{worst.as_calibrated:.0f} -> {worst.corrected:.0f}"
