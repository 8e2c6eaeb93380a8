"""What is wrong with a capture: a report per camera, from fitted hands, detections, masks and pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.inspection.hand_view import PosedCapture, observed_joints, project_points
from nerfstudio_hands.inspection.joint_verdict import JointVerdict
from nerfstudio_hands.inspection.picture_outline import OutlineQuality
from nerfstudio_hands.inspection.view_measures import (
    MaskQuality,
    ViewMeasures,
    camera_gains,
    finite_mean,
    finite_median,
)

TURNED_DEGREES = 0.3
"""A rotation correction beyond this is called a miscalibration; it moves the picture of a hand by ten pixels or so."""

TURNED_DEGREES_BY_DETECTIONS = 0.5
"""The same where nothing but a camera's own detections tells: its joints err together by up to 0.4 degrees."""

MISPLACED_METRES = 0.010
"""Detectors miss joints by 3 to 7 mm at the hand; a camera that misses every hand by more than this is off."""

OUTLIER_METRES = 0.016
"""A detected hand that misses by more than this in an otherwise good camera was seen in the wrong place."""

OVEREXPOSED = 0.5
"""Share of saturated hand pixels beyond which a camera is called overexposed."""

Quality = TypeVar("Quality", MaskQuality, OutlineQuality)

STALE_METRES = 0.015
"""Stored joints that are farther from the triangulated ones than this belong to something else."""


@dataclass
class HandErrors:
    """Median errors of one hand's joints in one camera, over the frames; NaN where it was not detected.

    Where the capture came with joints in space instead of detections, only `fitted` says anything, with those joints in
    place of the detected ones; the figures of the calibration are NaN.

    Attributes:
        as_calibrated: Triangulated joints against detections, the camera as in the file, pixels.
        corrected: The same with the fit's rotation correction, pixels.
        fitted: Joints of the fitted hand against detections, with the correction, pixels.
        as_calibrated_metres: `as_calibrated` at the depth of the hand.
        residual_metres: What no turn of the camera explains, at the depth of the hand.
    """

    as_calibrated: float
    corrected: float
    fitted: float
    as_calibrated_metres: float
    residual_metres: float


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
        mask: None without masks.
        outline: The fitted hands against the outline that the pictures show; None where they show none.
        exposure: None without pictures.
        miscalibrated: Whether it is turned, or misses every hand.
        outliers: Sides whose detections disagree with the other cameras.
        faults: What to know of this camera, in a few words each; empty for a good one.
    """

    name: str
    role: str
    rotation_degrees: float
    errors: dict[str, HandErrors]
    mask: MaskQuality | None = None
    outline: OutlineQuality | None = None
    exposure: Exposure | None = None
    miscalibrated: bool = False
    outliers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The faults; a camera is good only where its pictures confirm the hands."""
        return "; ".join(self.faults) or ("good" if self.outline is not None else "no outline seen")


@dataclass
class CaptureReport:
    """Reports on all cameras, and sentences on the capture as a whole.

    Attributes:
        cameras: In the order of the capture.
        joints: Distance of the fitted joints from those that they were fitted to.
        stored_keypoints_pixels: Median distance in pixels of the stored joints from the detections, NaN without a file.
        findings: Sentences for the user: miscalibrated cameras, unusable masks, outliers, stale joints, exposure.
    """

    cameras: list[CameraReport]
    joints: JointVerdict
    stored_keypoints_pixels: float
    findings: list[str]

    def to_json(self) -> str:
        """All figures, NaN as null."""
        return json.dumps(_without_nan(dataclasses.asdict(self)), indent=1)


def report_capture(
    capture: Capture,
    fit: HandFit,
    posed: PosedCapture,
    measures: dict[tuple[int, str], ViewMeasures],
    fit_cameras: Sequence[str],
    left_out: Sequence[str] = (),
) -> CaptureReport:
    """Judge every camera of a capture.

    Args:
        capture: All cameras, also those without pictures.
        fit: The hands.
        posed: The posed fit (`pose_capture`).
        measures: Measured views by (index of the frame, camera).
        fit_cameras: Cameras that took part in the fit.
        left_out: Cameras that neither train nor are held out.
    """

    def role_of(name: str) -> str:
        if name not in capture.cameras_with_images:
            return "no pictures"
        return "fit" if name in fit_cameras else "left out" if name in left_out else "held out"

    cameras = []
    for name in capture.camera_names:
        role = role_of(name)
        degrees, errors = _hand_errors(capture, fit, posed, name)
        views = [view for (_, camera), view in measures.items() if camera == name]
        report = CameraReport(name, role, degrees, errors)
        report.mask = _mean(MaskQuality, [view.mask for view in views])
        report.outline = _mean(OutlineQuality, [view.outline and view.outline.quality for view in views])
        if views:
            report.exposure = Exposure(
                finite_mean([v.median for v in views]), finite_mean([v.saturated for v in views]), float("nan")
            )
        cameras.append(report)
    _fill_gains(cameras, measures)
    for report in cameras:
        _judge(report, expects_masks=bool(capture.masks))
    stored_pixels, stored_metres = _stored_disagreement(capture, fit)
    joints = JointVerdict(float(fit.report.get("joint_distance_mm", "nan")))
    findings = _findings(capture, fit, cameras, joints, stored_pixels, stored_metres)
    return CaptureReport(cameras, joints, stored_pixels, findings)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _hand_errors(capture: Capture, fit: HandFit, posed: PosedCapture, name: str) -> tuple[float, dict[str, HandErrors]]:
    """Degrees by which a camera is turned (NaN where unknown), and the errors of each hand in it."""
    camera = capture.camera(name)
    corrected = fit.corrected(camera)
    detections = observed_joints(capture, name)
    if capture.detections is None:
        unknown = float("nan")
        degrees = float(np.rad2deg(np.linalg.norm(fit.camera_rotation.get(name, unknown))))
        return degrees, {
            side: HandErrors(
                as_calibrated=unknown,
                corrected=unknown,
                fitted=_median_length(project_points(corrected, posed.keypoints[:, index]) - detections[:, index]),
                as_calibrated_metres=unknown,
                residual_metres=unknown,
            )
            for index, side in enumerate(SIDES)
        }
    triangulated = np.asarray(fit.keypoints_3d, dtype=np.float64)
    depth = triangulated @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]
    offsets = detections - project_points(corrected, triangulated)
    shift = np.zeros(2)
    if name in fit.camera_rotation:
        degrees = float(np.rad2deg(np.linalg.norm(fit.camera_rotation[name])))
    else:
        shift = _shift_asked_for(offsets)
        degrees = float(np.rad2deg(np.arctan(np.linalg.norm(shift) / camera.intrinsics[0, 0])))
        shift = shift if degrees > TURNED_DEGREES_BY_DETECTIONS else np.zeros(2)

    errors = {}
    for index, side in enumerate(SIDES):
        seen = detections[:, index]
        metres_per_pixel = finite_median(depth[:, index]) / camera.intrinsics[0, 0]
        as_calibrated = _median_length(project_points(camera, triangulated[:, index]) - seen)
        errors[side] = HandErrors(
            as_calibrated=as_calibrated,
            corrected=_median_length(offsets[:, index]),
            fitted=_median_length(project_points(corrected, posed.keypoints[:, index]) - seen),
            as_calibrated_metres=as_calibrated * metres_per_pixel,
            residual_metres=_median_length(offsets[:, index] - shift) * metres_per_pixel,
        )
    return degrees, errors


def _shift_asked_for(offsets: Float[np.ndarray, "T 2 21 2"]) -> Float[np.ndarray, " 2"]:
    """Pixels by which detections lie beside the joints, as a camera turned about its centre would show them.

    Of two hands the smaller shift counts: a turn moves both, a wrong detection only its own.
    """
    shifts = [np.array([finite_median(offsets[:, side, :, axis]) for axis in (0, 1)]) for side in range(2)]
    known = [shift for shift in shifts if np.isfinite(shift).all()]
    return min(known, key=np.linalg.norm, default=np.full(2, np.nan))


def _median_length(offsets: Float[np.ndarray, "*batch 2"]) -> float:
    return finite_median(np.linalg.norm(offsets, axis=-1))


def _mean(kind: type[Quality], found: Sequence[Quality | None]) -> Quality | None:
    """Means over the views that tell anything."""
    known = [quality for quality in found if quality is not None]
    if not known:
        return None
    columns = [column.name for column in dataclasses.fields(kind)]
    return kind(*(finite_mean([getattr(quality, column) for quality in known]) for column in columns))


def _fill_gains(cameras: list[CameraReport], measures: dict[tuple[int, str], ViewMeasures]) -> None:
    frames = sorted({frame for frame, _ in measures})
    shown = [report for report in cameras if report.exposure is not None]
    if not shown:
        return
    unseen = np.full_like(next(iter(measures.values())).face_brightness, np.nan)
    table = [
        np.concatenate([measures[f, r.name].face_brightness if (f, r.name) in measures else unseen for f in frames])
        for r in shown
    ]
    for report, gain in zip(shown, camera_gains(np.stack(table)), strict=True):
        report.exposure.gain = float(gain)


def _judge(report: CameraReport, *, expects_masks: bool) -> None:
    """Fill in the verdict from the figures."""
    if report.role in ("no pictures", "left out"):
        report.faults = [report.role]
        return
    detected = {
        side: errors
        for side, errors in report.errors.items()
        if np.isfinite(errors.corrected) or np.isfinite(errors.fitted)
    }
    report.outliers = [side for side, errors in detected.items() if errors.residual_metres > OUTLIER_METRES]
    kept = [errors.as_calibrated_metres for side, errors in detected.items() if side not in report.outliers]
    kept = [metres for metres in kept if np.isfinite(metres)]
    took_part = report.role == "fit"
    turned = report.rotation_degrees > (TURNED_DEGREES if took_part else TURNED_DEGREES_BY_DETECTIONS)
    misplaced = bool(kept) and min(kept) > MISPLACED_METRES
    report.miscalibrated = bool(turned or misplaced)

    if turned:
        report.faults.append(f"turned {report.rotation_degrees:.1f}°" + " (corrected)" * took_part)
    elif misplaced:
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
    if report.exposure is not None and report.exposure.saturated > OVEREXPOSED:
        report.faults.append("overexposed")


def _stored_disagreement(capture: Capture, fit: HandFit) -> tuple[float, float]:
    """Median pixels from the detections and median metres from the triangulated joints, of the stored joints."""
    if capture.stored_keypoints is None or capture.detections is None:
        return float("nan"), float("nan")
    errors = [
        np.linalg.norm(
            project_points(camera, capture.stored_keypoints) - capture.detections[:, index],
            axis=-1,
        )
        for index, camera in enumerate(capture.cameras)
    ]
    return finite_median(errors), finite_median(np.linalg.norm(capture.stored_keypoints - fit.keypoints_3d, axis=-1))


def _findings(
    capture: Capture,
    fit: HandFit,
    cameras: list[CameraReport],
    joints: JointVerdict,
    stored_pixels: float,
    stored_metres: float,
) -> list[str]:
    doubts = fit.report.get("doubts", [])
    findings = [*capture.problems, *doubts]
    if joints.grade in ("doubtful", "wrong") and not any("joints are" in doubt for doubt in doubts):
        findings.append(f"Fitted joints lie {joints.distance_mm:.1f} mm from the given ones: {joints.meaning}.")
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
    beside = [f"{c.name} ({c.outline.fault})" for c in cameras if c.outline is not None and c.outline.fault is not None]
    if beside:
        findings.append(
            f"Hands that are not where their pictures show them: {', '.join(beside)}; training learns what is seen "
            "there as the hand's color. Look at the overlays."
        )
    unseen = [c.name for c in cameras if c.exposure is not None and c.outline is None]
    if unseen:
        findings.append(
            f"No outline of a hand is seen in {', '.join(unseen)}: nothing but joints says where the hands are there."
        )
    outliers = [f"{c.name} {side}" for c in cameras for side in c.outliers]
    if outliers:
        findings.append(f"Detections that disagree with the other cameras: {', '.join(outliers)}.")
    if stored_metres > STALE_METRES:
        findings.append(
            f"The stored joints (.xyz) are stale: they miss the detections by a median of {stored_pixels:.0f} px "
            f"and the triangulated joints by {stored_metres * 1000:.0f} mm; they are not used."
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
