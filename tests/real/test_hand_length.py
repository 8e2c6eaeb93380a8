"""How long hands are by their landmarks, where a rig in metres says how long they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.calibration.hand_scale import LANDMARK_SHARE, hand_length
from nerfstudio_hands.calibration.rays import meeting_points, stacked_rays
from nerfstudio_hands.calibration.record import transforms
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.misread import as_calibrated

FITTED = 0.2056
"""Metres from the wrist to the tip of the middle finger of the hands that are fitted to the rig's outlines."""


def test_landmarks_of_a_rig_in_metres_say_how_long_its_hands_are(fmhr_demo: Path):
    capture = read_capture(fmhr_demo)
    cameras = [as_calibrated(camera) for camera in capture.cameras]
    points, _ = meeting_points(stacked_rays(cameras, capture.detections), transforms(cameras))
    assert hand_length(np.reshape(points, (-1, 2, 21, 3))) == pytest.approx(LANDMARK_SHARE * FITTED, rel=0.03)
