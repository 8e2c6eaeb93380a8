"""Gestures of a hand as joint angles: what a person is told to do in a range-of-motion take."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.hand_model.joints import MANO_FINGERS

Gesture = Float[np.ndarray, "15 3"]
"""Flexion, spread and twist in degrees of joints 1-15 in MANO order, see `hand_model.joint_limits`."""

Finger = tuple[float, float, float, float]
"""Bend of the three joints from the palm outwards, and spread of the first, towards the thumb; degrees."""

Thumb = tuple[float, float, float, float, float]
"""Bend of the three joints, spread of the first away from the palm, and its twist; degrees."""

STRAIGHT: Finger = (0.0, 0.0, 0.0, 0.0)
CURLED: dict[str, Finger] = {
    "index": (60.0, 80.0, 37.0, -2.0),
    "middle": (64.0, 84.0, 35.0, 0.0),
    "ring": (64.0, 82.0, 37.0, 1.0),
    "pinky": (57.0, 74.0, 36.0, 4.0),
}
"""As far as each finger closes before its tip would enter the palm."""

EASY_THUMB: Thumb = (0.0, 0.0, 0.0, 0.0, 0.0)
THUMBS_OVER: dict[str, Thumb] = {
    "index": (14.0, 23.0, 51.0, 8.0, 1.0),
    "middle": (22.0, 12.0, 60.0, 16.0, -5.0),
    "ring": (36.0, 14.0, 48.0, 28.0, -6.0),
    "pinky": (38.0, 28.0, 30.0, 38.0, -2.0),
}
"""The thumb laid on curled fingers, of which the first is named; found by search for a touch without overlap."""

THUMB_IN_PALM: Thumb = (30.0, 36.0, 40.0, 18.0, 16.0)


def gesture(
    *,
    thumb: Thumb = EASY_THUMB,
    index: Finger = STRAIGHT,
    middle: Finger = STRAIGHT,
    ring: Finger = STRAIGHT,
    pinky: Finger = STRAIGHT,
) -> Gesture:
    """Angles of all joints from those of each finger; what is not named rests."""
    angles = np.zeros((15, 3))
    named = {"thumb": thumb, "index": index, "middle": middle, "ring": ring, "pinky": pinky}
    for finger, (first, second, third, *turn) in named.items():
        row = 3 * MANO_FINGERS.index(finger)
        angles[row : row + 3, 0] = first, second, third
        angles[row, 1 : 1 + len(turn)] = turn
    return angles


def all_fingers(finger: Finger, *, thumb: Thumb = EASY_THUMB) -> Gesture:
    """The four fingers alike."""
    return gesture(thumb=thumb, index=finger, middle=finger, ring=finger, pinky=finger)


def flexed(*fingers: str) -> Gesture:
    """The named fingers bent, the others nearly straight."""
    bent: dict[str, tuple[float, ...]] = {finger: (52.0, 78.0, 46.0, 0.0) for finger in fingers}
    if "thumb" in bent:
        bent["thumb"] = (24.0, 34.0, 44.0, 8.0, 6.0)
    return gesture(**bent)  # pyright: ignore[reportArgumentType]


def counting(number: int) -> Gesture:
    """One (the index finger) to four fingers up, the thumb holding the rest."""
    order = ("index", "middle", "ring", "pinky")
    spread = np.linspace(6, -6, number) if number > 1 else [0.0]
    up = {finger: (0.0, 0.0, 0.0, float(s)) for finger, s in zip(order, spread, strict=False)}
    down = {finger: CURLED[finger] for finger in order[number:]}
    return gesture(thumb=THUMBS_OVER[order[number]] if number < 4 else THUMB_IN_PALM, **up, **down)


OPEN = gesture()
FLAT = gesture(
    thumb=(0.0, 0.0, 0.0, -10.0, 0.0),
    index=(-6.0, -8.0, -4.0, -4.0),
    middle=(-6.0, -8.0, -4.0, 0.0),
    ring=(-6.0, -8.0, -4.0, 2.0),
    pinky=(-6.0, -8.0, -4.0, 5.0),
)
SPREAD = gesture(
    thumb=(-14.0, -8.0, -8.0, 26.0, 0.0),
    index=(-4.0, -4.0, 0.0, 13.0),
    middle=(-4.0, -4.0, 0.0, 2.0),
    ring=(-4.0, -4.0, 0.0, -9.0),
    pinky=(-4.0, -4.0, 0.0, -20.0),
)
FIST = gesture(thumb=THUMBS_OVER["index"], **CURLED)
HOOK = all_fingers((4.0, 84.0, 60.0, 0.0))
TABLE = all_fingers((72.0, 4.0, 4.0, 0.0), thumb=(4.0, 0.0, 0.0, 14.0, 0.0))
GRASP = all_fingers((34.0, 42.0, 26.0, 0.0), thumb=(10.0, 14.0, 18.0, 34.0, 10.0))
THUMB_ACROSS = gesture(thumb=THUMB_IN_PALM)
CROSSED = gesture(
    index=(14.0, 16.0, 8.0, -12.0),
    middle=(2.0, 4.0, 2.0, 10.0),
    ring=CURLED["ring"],
    pinky=CURLED["pinky"],
    thumb=THUMBS_OVER["ring"],
)
RELAXED: Gesture = np.array([
    (-0.119, 2.998, 0.000), (1.998, 0.086, -0.048), (0.000, 0.000, 0.000),
    (3.996, -0.175, 0.000), (5.990, -0.302, 0.181), (3.992, -0.246, -0.027),
    (3.905, -6.057, 0.209), (9.995, -0.199, 0.243), (5.997, -0.169, -0.048),
    (6.970, -2.098, 0.122), (8.992, -0.194, 0.338), (5.996, -0.158, -0.146),
    (3.389, 7.247, 0.000), (3.764, -1.290, -0.413), (7.925, -1.078, 0.158),
])  # fmt: skip
"""An open hand at ease: the fingers bend more and more towards the little finger. Index, middle, pinky, ring, thumb."""

HALF_CLOSED: Gesture = np.array([
    (16.457, 1.397, -0.108), (25.969, 1.117, -0.618), (14.976, 0.854, -0.024),
    (23.477, -1.031, 0.000), (32.943, -1.661, 0.998), (20.461, -1.260, -0.141),
    (24.917, -4.807, 0.982), (33.983, -0.677, 0.826), (22.490, -0.632, -0.179),
    (27.240, -0.881, 0.119), (35.217, -0.762, 1.325), (22.486, -0.591, -0.546),
    (6.281, -0.732, -0.105), (16.467, -5.642, -1.808), (27.244, -3.707, 0.544),
])  # fmt: skip
"""A hand about to take hold of something."""


def pinch(finger: str) -> Gesture:
    """The tip of the thumb near the tip of a finger."""
    bends: dict[str, Finger] = {
        "index": (46.0, 48.0, 28.0, 0.0),
        "middle": (52.0, 50.0, 30.0, 0.0),
        "ring": (58.0, 52.0, 32.0, 2.0),
        "pinky": (62.0, 52.0, 32.0, 8.0),
    }
    reach: dict[str, Thumb] = {
        "index": (11.0, 0.0, 60.0, 12.0, 8.0),
        "middle": (4.0, 29.0, 45.0, 15.0, 12.0),
        "ring": (2.0, 50.0, 42.0, 31.0, 7.0),
        "pinky": (16.0, 50.0, 46.0, 39.0, 8.0),
    }
    return gesture(thumb=reach[finger], **{finger: bends[finger]})
