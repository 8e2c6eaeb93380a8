"""What the distance of fitted joints from those that they were fitted to says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nerfstudio_hands.fitting.doubts import FAR_JOINTS_MM

USUAL_MM = 10.0
"""Fits of rendered captures end at 1 to 2 mm; with a detector on photographs, whose landmarks lie on the skin and miss
by some millimetres, at 6 to 10."""


@dataclass
class JointVerdict:
    """The mean distance in millimetres, NaN where the fit does not tell, and what it means."""

    distance_mm: float

    @property
    def grade(self) -> Literal["good", "doubtful", "wrong", "unknown"]:
        """ "doubtful" is more than a detector on photographs gives, "wrong" what no hand in its place gives."""
        if math.isnan(self.distance_mm):
            return "unknown"
        return "good" if self.distance_mm <= USUAL_MM else "doubtful" if self.distance_mm <= FAR_JOINTS_MM else "wrong"

    @property
    def meaning(self) -> str:
        """The grade in words, with what to do."""
        return {
            "good": "good; rendered captures give 1 to 2 mm, a detector on photographs 6 to 10",
            "doubtful": "doubtful, a detector on photographs gives 6 to 10; look whether joints lie on the hand",
            "wrong": "something is wrong: joints of another hand, frame or unit, or cameras that are not as said",
            "unknown": "not known",
        }[self.grade]
