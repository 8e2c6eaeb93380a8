"""A fitted capture, looked at: each view once, then the report on all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.inspection.capture_report import CaptureReport, report_capture
from nerfstudio_hands.inspection.finger_distances import fingers_off
from nerfstudio_hands.inspection.hand_view import HandView, fitted_joints, observe, pose_capture
from nerfstudio_hands.inspection.view_measures import ViewMeasures, measure_view
from nerfstudio_hands.program.progress import track

VIEWS, LEAST_FRAMES = 48, 3
"""Pictures whose outlines are measured where nobody says how many, a fifth of a second each, and frames at least."""

MOST_OFF = 3
"""Frames that are looked at beside these, because their fingers lie farthest from their landmarks."""


def look_at(
    capture: Capture,
    fit: HandFit,
    surface: HandSurface,
    split: Split,
    frames: int | None = None,
    *,
    look: Callable[[tuple[int, str], HandView, ViewMeasures], None] = lambda key, view, measures: None,
) -> CaptureReport:
    """Measures the pictures of some frames, evenly spread over those that have a hand, and judges the cameras. Frames
    whose fingers lie farthest from their landmarks are looked at, too.

    Args:
        capture: The capture.
        fit: Its hands.
        surface: The hand model over `fit.sides`.
        split: What of it trains and is held out.
        frames: How many frames are looked at; joints are compared in all. By default as many as have `VIEWS` pictures.
        look: Called with the index of the frame and the camera, and what was seen there.

    Raises:
        HandsError: A picture or its mask cannot be read.
    """
    there = np.flatnonzero(fit.pose.valid.any(dim=1).numpy())
    names = sorted((*split.train_cameras, *split.eval_cameras), key=capture.camera_index)
    count = max(LEAST_FRAMES, VIEWS // max(len(names), 1)) if frames is None else frames
    chosen = there[np.unique(np.linspace(0, len(there) - 1, min(count, len(there))).round().astype(int))].tolist()
    keypoints = fitted_joints(fit, surface)
    off = fingers_off(capture, fit, keypoints, [name for name in names if name in capture.cameras_with_images])
    worst = list(dict.fromkeys(capture.frames.index(one.frame) for one in off))[:MOST_OFF]
    chosen = sorted({*chosen, *worst})
    posed = pose_capture(fit, surface, chosen, keypoints)
    keys = [(t, name) for t in chosen for name in names if (capture.frames[t], name) in capture.images]
    measures = {}
    for key in track(keys, "Looking at views"):
        view = observe(capture, fit, posed, *key)
        measures[key] = measure_view(view, len(surface.faces))
        look(key, view, measures[key])
    left_out = [name for name in capture.camera_names if name not in names]
    return report_capture(capture, fit, keypoints, measures, split.train_cameras, off, left_out)
