"""The unit of a calibration, told by the size of the hands that its cameras see."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ADULT_HAND_MM = 185.0
"""From the crease of the wrist to the tip of the middle finger, straight, of an adult; people differ by about 8 %."""

LANDMARK_SHARE = 0.9
"""What detectors' landmarks in pictures span of a hand's bones. Their wrist lies at the crease, where a ruler begins,
the joint behind it: of both hands of a rig in metres 0.88 to 0.91, MediaPipe's and another detector's; of drawn hands
0.915."""

MIDDLE_FINGER = (0, 9, 10, 11, 12)
"""Joints from the wrist to the tip of the middle finger."""

UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001}

SNAP = 1.25
"""A unit is taken for one of `UNITS` where hands would be larger or smaller by at most this factor."""


def hand_length(joints: Float[np.ndarray, "T 2 21 3"]) -> float:
    """Median length from wrist to the tip of the middle finger along the joints, in their unit.

    Of landmarks in pictures, placed in space, it is what a ruler says; of joints it is longer, see `LANDMARK_SHARE`.

    Returns:
        NaN where no hand has all of these joints.
    """
    chain = joints[:, :, list(MIDDLE_FINGER)]
    lengths = np.linalg.norm(np.diff(chain, axis=2), axis=-1)
    # The median of each bone, because a joint that is off makes two bones too long.
    bones = [bone[np.isfinite(bone)] for bone in lengths.reshape(-1, 4).T]
    return float(sum(np.median(bone) if bone.size else np.nan for bone in bones))


def sized(forms: Float[np.ndarray, "T C 2 21 3"], hand_length_mm: float) -> Float[np.ndarray, "T C 2 21 3"]:
    """The forms that a detector gives hands, metres, whose wrist is the joint, of hands that are so long."""
    return forms * (1e-3 * hand_length_mm / LANDMARK_SHARE / hand_length(forms.reshape(-1, 2, 21, 3)))


def unit_of(length: float, hand_length_mm: float, known: float | None) -> tuple[float, str]:
    """Metres per unit of a world in which hands are so long, and a part of a sentence on it.

    Args:
        length: Of hands, in the world's unit.
        hand_length_mm: Their true length, as a ruler says it.
        known: Metres per unit as the file has it; None where it does not say.
    """
    measured = 1e-3 * hand_length_mm / length
    candidates = ({} if known is None else {"the file's": known}) | UNITS
    for name, unit in candidates.items():
        if 1 / SNAP <= measured / unit <= SNAP:
            return unit, f"its unit is {name} (hands are {1e3 * length * unit:.0f} mm long)"
    return measured, f"its unit is {1e3 * measured:.4g} mm (hands of {hand_length_mm:.0f} mm are taken for granted)"
