"""A fitted capture, looked at: each view once, then the report on all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.inspection.capture_report import CaptureReport, report_capture
from nerfstudio_hands.inspection.hand_view import HandView, observe, pose_capture
from nerfstudio_hands.inspection.view_measures import ViewMeasures, measure_view
from nerfstudio_hands.program.progress import track

FRAMES = 3
"""Frames that are looked at where nobody says how many."""


def look_at(
    capture: Capture,
    fit: HandFit,
    surface: HandSurface,
    split: Split,
    frames: int = FRAMES,
    *,
    look: Callable[[tuple[int, str], HandView, ViewMeasures], None] = lambda key, view, measures: None,
) -> CaptureReport:
    """Measures the pictures of some frames, evenly spread over those that have a hand, and judges the cameras.

    Args:
        capture: The capture.
        fit: Its hands.
        surface: The hand model over `fit.sides`.
        split: What of it trains and is held out.
        frames: How many frames are looked at; joints are compared in all.
        look: Called with the index of the frame and the camera, and what was seen there.

    Raises:
        HandsError: A picture or its mask cannot be read.
    """
    there = np.flatnonzero(fit.pose.valid.any(dim=1).numpy())
    chosen = there[np.unique(np.linspace(0, len(there) - 1, frames).round().astype(int))].tolist()
    posed = pose_capture(fit, surface, chosen)
    names = sorted((*split.train_cameras, *split.eval_cameras), key=capture.camera_index)
    keys = [(t, name) for t in chosen for name in names if (capture.frames[t], name) in capture.images]
    measures = {}
    for key in track(keys, "Looking at views"):
        view = observe(capture, fit, posed, *key)
        measures[key] = measure_view(view, len(surface.faces))
        look(key, view, measures[key])
    left_out = [name for name in capture.camera_names if name not in names]
    return report_capture(capture, fit, posed, measures, split.train_cameras, left_out)
