"""What is wrong with a capture: a report per camera, from fitted hands, detections, masks and pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.inspection.camera_report import (
    TURNED_DEGREES_BY_DETECTIONS,
    CameraReport,
    Exposure,
    HandErrors,
    judge,
)
from nerfstudio_hands.inspection.findings import findings_on
from nerfstudio_hands.inspection.finger_distances import FingerOff
from nerfstudio_hands.inspection.hand_view import observed_joints, project_points
from nerfstudio_hands.inspection.image_outline import OutlineQuality
from nerfstudio_hands.inspection.joint_verdict import JointVerdict
from nerfstudio_hands.inspection.pictures_verdict import LookedAt, pictures_verdict
from nerfstudio_hands.inspection.view_measures import (
    MaskQuality,
    ViewMeasures,
    camera_gains,
    finite_mean,
    finite_median,
)

Quality = TypeVar("Quality", MaskQuality, OutlineQuality)


@dataclass
class CaptureReport:
    """Reports on all cameras, and sentences on the capture as a whole.

    Attributes:
        cameras: In the order of the capture.
        joints: Distance of the fitted joints from those that they were fitted to.
        stored_keypoints_pixels: Median distance in pixels of the stored joints from the detections, NaN without a file.
        findings: Sentences for the user: miscalibrated cameras, unusable masks, outliers, stale joints, exposure.
        frames_beside: Frames that most cameras show elsewhere than the hands lie, while most are well; cameras are
            judged without them.
        looked_at: How much of the capture was looked at.
    """

    cameras: list[CameraReport]
    joints: JointVerdict
    stored_keypoints_pixels: float
    findings: list[str]
    frames_beside: list[str]
    looked_at: LookedAt

    @property
    def fingers(self) -> list[FingerOff]:
        """Those of all cameras that lie beside their landmarks, the worst first."""
        return sorted((one for camera in self.cameras for one in camera.fingers), key=lambda one: -one.share)

    @property
    def verdict(self) -> str:
        """Whether the hands lie on their pictures, and where not, and how much was looked at."""
        said = pictures_verdict(self.cameras, self.frames_beside, self.fingers, self.looked_at)
        joints = f" Their joints are {self.joints.grade}: {self.joints.distance_mm:.1f} mm from the given ones."
        return said if self.joints.fault is None else said + joints

    def to_json(self) -> str:
        """All figures, NaN as null."""
        return json.dumps(_without_nan(dataclasses.asdict(self)), indent=1)


def report_capture(
    capture: Capture,
    fit: HandFit,
    keypoints: Float[np.ndarray, "T 2 21 3"],
    measures: dict[tuple[int, str], ViewMeasures],
    fit_cameras: Sequence[str],
    off: Sequence[FingerOff],
    left_out: Sequence[str] = (),
) -> CaptureReport:
    """Judge every camera of a capture.

    Args:
        capture: All cameras, also those without pictures.
        fit: The hands.
        keypoints: Joints of the fitted hands in all frames (`fitted_joints`).
        measures: Measured views by (index of the frame, camera).
        fit_cameras: Cameras that took part in the fit.
        off: Fingers that lie beside their landmarks (`fingers_off`).
        left_out: Cameras that neither train nor are held out.
    """

    def role_of(name: str) -> str:
        if name not in capture.cameras_with_images:
            return "no pictures"
        return "fit" if name in fit_cameras else "left out" if name in left_out else "held out"

    cameras, beside = [], _frames_beside(measures)
    for name in capture.camera_names:
        role = role_of(name)
        degrees, errors = _hand_errors(capture, fit, keypoints, name)
        own = {t: view for (t, camera), view in measures.items() if camera == name}
        views = [view for t, view in own.items() if t not in beside] or list(own.values())
        report = CameraReport(name, role, degrees, errors, math.expm1(fit.camera_zoom.get(name, 0.0)))
        report.mask = _mean(MaskQuality, [view.mask for view in views])
        report.outline = _mean(OutlineQuality, [view.outline and view.outline.quality for view in views])
        if views:
            report.exposure = Exposure(
                finite_mean([v.median for v in views]), finite_mean([v.saturated for v in views]), float("nan")
            )
        cameras.append(report)
    _fill_gains(cameras, measures)
    shown = [report for report in cameras if report.exposure is not None]
    for report in cameras:
        report.fingers = [one for one in off if one.camera == report.name]
    joints = JointVerdict(
        float(fit.report.get("joint_distance_mm", "nan")), confirmed=_confirmed(shown) and not beside and not off
    )
    for report in cameras:
        judge(report, joints, expects_masks=bool(capture.masks))
    stored_pixels, stored_meters = _stored_disagreement(capture, fit)
    frames = [capture.frames[t] for t in beside]
    findings = findings_on(capture, fit, cameras, joints, stored_pixels, stored_meters, frames)
    looked_at = LookedAt(len({t for t, _ in measures}), int(fit.pose.valid.any(dim=1).sum()))
    return CaptureReport(cameras, joints, stored_pixels, findings, frames, looked_at)


def _confirmed(cameras: Sequence[CameraReport]) -> bool:
    """Whether pictures show the hands where they lie, and none elsewhere."""
    outlines = [camera.outline for camera in cameras if camera.outline is not None]
    return bool(outlines) and all(outline.fault is None for outline in outlines)


def _frames_beside(measures: dict[tuple[int, str], ViewMeasures]) -> list[int]:
    """Frames in which most of two views and more lie beside the hands; none where these are most frames."""
    faults: dict[int, list[bool]] = {}
    for (t, _), view in measures.items():
        if view.outline is not None:
            faults.setdefault(t, []).append(view.outline.quality.fault is not None)
    beside = [t for t, found in faults.items() if len(found) > 1 and 2 * sum(found) > len(found)]
    return beside if 2 * len(beside) <= len(faults) else []


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _hand_errors(
    capture: Capture, fit: HandFit, keypoints: Float[np.ndarray, "T 2 21 3"], name: str
) -> tuple[float, dict[str, HandErrors]]:
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
                fitted=_median_length(project_points(corrected, keypoints[:, index]) - detections[:, index]),
                as_calibrated_meters=unknown,
                residual_meters=unknown,
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
        meters_per_pixel = finite_median(depth[:, index]) / camera.intrinsics[0, 0]
        as_calibrated = _median_length(project_points(camera, triangulated[:, index]) - seen)
        errors[side] = HandErrors(
            as_calibrated=as_calibrated,
            corrected=_median_length(offsets[:, index]),
            fitted=_median_length(project_points(corrected, keypoints[:, index]) - seen),
            as_calibrated_meters=as_calibrated * meters_per_pixel,
            residual_meters=_median_length(offsets[:, index] - shift) * meters_per_pixel,
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
