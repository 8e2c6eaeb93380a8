"""What makes a fit doubtful that went through all the same, in sentences that name the cameras."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor

from nerfstudio_hands.fitting.joints.triangulate import ROTATION_PRIOR_DEGREES, Triangulation

FAR_JOINTS_MM = 12.0
"""Millimetres between fitted and triangulated joints beyond which these are no hand: a detector is right to about 6."""


def outlying_cameras(found: Triangulation, names: Sequence[str]) -> list[str]:
    """Cameras of three or more whose detections disagree with the others in every hand and frame."""
    detected, agreeing = _detected_and_agreeing(found)
    if detected.sum() < 3:
        return []
    return [name for name, seen, agrees in zip(names, detected, agreeing, strict=True) if seen and not agrees]


def doubts(found: Triangulation, names: Sequence[str], joint_distance_mm: float) -> list[str]:
    """Sentences on what may be wrong with cameras or detections; none for a good capture.

    Args:
        found: What the cameras that took part made of the joints.
        names: Names of these cameras.
        joint_distance_mm: Mean distance of the fitted from the triangulated joints.
    """
    sentences = []
    outlying = outlying_cameras(found, names)
    _, agreeing = _detected_and_agreeing(found)
    kept = [name for name, agrees in zip(names, agreeing, strict=True) if agrees]
    turned = [
        f"{name} ({degrees:.1f} degrees)"
        for name, degrees in zip(names, found.rotation.norm(dim=-1).rad2deg().tolist(), strict=True)
        if degrees > ROTATION_PRIOR_DEGREES
    ]
    if outlying:
        sentences.append(
            f"Detections of {_listed('camera', outlying)} disagree with the other cameras in every frame: check "
            "calibration and detections, or leave it out with --exclude-cameras."
        )
    if len(kept) == 2:
        sentences.append(
            f"Only cameras {' and '.join(kept)} agree on the hands: two cannot check each other, and if one is wrong "
            "the hands are in the wrong place; add a third."
        )
    if turned:
        sentences.append(f"Far off its calibration and turned by the fit: {', '.join(turned)}; calibrate again.")
    if joint_distance_mm > FAR_JOINTS_MM:
        sentences.append(
            f"Fitted joints are {joint_distance_mm:.0f} mm from the detected ones (a good capture: under "
            f"{FAR_JOINTS_MM:.0f}): what was detected is no hand, or {_listed('camera', kept or list(names))} are not "
            "calibrated as said; look at `ns-hands check`."
        )
    return sentences


def _detected_and_agreeing(found: Triangulation) -> tuple[Bool[Tensor, " C"], Bool[Tensor, " C"]]:
    """Cameras that detected a hand that was triangulated, and those that agree on one with the others."""
    return (found.errors.isfinite().any(-1).any(-1).any(0), found.hand_inlier.bool().any(-1).any(0))


def _listed(what: str, names: list[str]) -> str:
    return f"{what}{'s' * (len(names) > 1)} {', '.join(names[:6])}{', ..' * (len(names) > 6)}"
