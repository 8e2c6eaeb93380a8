"""What the distance of fitted joints from those that they were fitted to says, on the scale of all verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nerfstudio_hands.fitting.doubts import FAR_JOINTS_MM

Grade = Literal["unknown", "good", "doubtful", "wrong"]
"""The scale of `ns-hands check`. No camera is good (`CameraReport.verdict`) where the joints are not."""

USUAL_MM = 10.0
"""Fits of rendered captures end at 1 to 2 mm; with a detector on photographs, whose landmarks lie on the skin and miss
by some millimetres, at 6 to 10."""


@dataclass
class JointVerdict:
    """How far joints lie from those that they were fitted to, and what it means.

    Attributes:
        distance_mm: Mean distance in millimetres, NaN where the fit does not tell.
        confirmed: Whether the pictures show the hands where they lie: what is left then is their depth, and a distance
            that would be doubtful by itself is good.
    """

    distance_mm: float
    confirmed: bool = False

    @property
    def grade(self) -> Grade:
        """ "doubtful" is more than a detector on photographs gives, "wrong" what no hand in its place gives."""
        if math.isnan(self.distance_mm):
            return "unknown"
        if self.distance_mm <= (FAR_JOINTS_MM if self.confirmed else USUAL_MM):
            return "good"
        return "doubtful" if self.confirmed or self.distance_mm <= FAR_JOINTS_MM else "wrong"

    @property
    def fault(self) -> str | None:
        """What a camera has to say of them; None where they are good, or not known."""
        return f"joints {self.distance_mm:.0f} mm off" if self.grade in ("doubtful", "wrong") else None

    @property
    def sentence(self) -> str:
        """The distance, and what it means."""
        return f"Fitted joints lie {self.distance_mm:.1f} mm from the given ones: {self.meaning}."

    @property
    def meaning(self) -> str:
        """The grade in words, with what to do."""
        seen = ", and the pictures show the hands where they are" if self.distance_mm > USUAL_MM else ""
        return {
            "good": f"good; rendered captures give 1 to 2 mm, a detector on photographs 6 to 10{seen}",
            "doubtful": "doubtful, a detector on photographs gives 6 to 10; look whether joints lie on the hand",
            "wrong": "something is wrong: joints of another hand, frame or unit, or cameras that are not as said",
            "unknown": "not known",
        }[self.grade]
