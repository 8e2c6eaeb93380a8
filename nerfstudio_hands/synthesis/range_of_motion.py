"""What the hands do: a slow opening and closing, and the range-of-motion takes of the sequences of a capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.hand_model import gestures as g
from nerfstudio_hands.hand_model.gestures import Gesture
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import mirror_rotations

UPRIGHT = Rotation.from_matrix(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]))
"""Stands the rest hand up: fingers from -x to the world's z, the back to +y, a right thumb to +x."""

TREMOR = 2.0 * np.array([1.0, 0.5, 0.3])
"""Degrees of flexion, spread and twist by which joints wander on top of gestures: no two people move alike."""

SWAY = (4.0, 0.004)
"""Degrees and meters by which a whole hand wanders."""

WANDERING = (0.15, 0.33, 0.6)
"""Waves of that, for each keyframe."""

HAND_SPACING = 0.24
"""Meters between the middles of two hands that open and close."""


@dataclass(frozen=True)
class Keyframe:
    """A gesture and how the right hand is held while making it; keyframes are evenly spaced in time."""

    gesture: Gesture
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Degrees from upright, about the forearm (positive shows the palm to the thumb's side), then the axis of knuckles
    (positive bends towards the palm), then the axis out of the back (positive leans to the thumb's side)."""
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Millimeters in the world, z up."""


@dataclass(frozen=True)
class HandMotion:
    """One hand over T frames, in the convention of `pose_hand` for its side."""

    global_orient: Float[Tensor, "T 3"]
    local_rotations: Float[Tensor, "T 15 3"]
    middle: Float[np.ndarray, "T 3"]
    """Where the middle of the hand is, meters from where hands are held."""

    def on_side(self, side: str) -> HandMotion:
        """The motion of a right hand as a hand of a side does it, the left one in the mirror."""
        if side == "right":
            return self
        middle = self.middle * np.array([-1.0, 1.0, 1.0])
        return HandMotion(mirror_rotations(self.global_orient), mirror_rotations(self.local_rotations), middle)


KeyframesBySide = dict[str, tuple[Keyframe, ...]]
"""Keyframes of each side that takes part, as a right hand would do them: a left hand does the mirror image."""

NO_OCCLUSION = (
    Keyframe(g.OPEN),
    Keyframe(g.SPREAD, (12, 0, 6)),
    Keyframe(g.FLAT, (-10, -6, 0)),
    Keyframe(g.flexed("thumb"), (-20, 0, -4)),
    Keyframe(g.flexed("index"), (-28, 4, 0), (4, 0, 4)),
    Keyframe(g.flexed("middle"), (-12, 6, 4)),
    Keyframe(g.flexed("ring"), (10, 4, 6), (-4, 0, 6)),
    Keyframe(g.flexed("pinky"), (26, 0, 2)),
    Keyframe(g.SPREAD, (34, -12, -8), (-6, 4, 0)),
    Keyframe(g.FIST, (18, 6, 0)),
    Keyframe(g.counting(1), (-8, 10, 4)),
    Keyframe(g.counting(2), (-24, 4, 0), (0, 6, 4)),
    Keyframe(g.counting(3), (-34, -4, -6)),
    Keyframe(g.counting(4), (-16, -8, 0), (6, 0, 0)),
    Keyframe(g.SPREAD, (0, 0, 8)),
    Keyframe(g.TABLE, (20, -14, 4)),
    Keyframe(g.OPEN, (70, 0, 0), (0, -4, -4)),
    Keyframe(g.GRASP, (30, 18, 8)),
    Keyframe(g.OPEN, (-60, 10, -10), (4, 4, 0)),
    Keyframe(g.OPEN, (-8, -16, 12)),
    Keyframe(g.OPEN),
)
"""Every finger by itself, spreading, a fist, counting, and the wrist turning: fingers rarely hide each other."""

OCCLUSION = (
    Keyframe(g.OPEN, (10, 0, 0)),
    Keyframe(g.FIST, (-16, 0, 0)),
    Keyframe(g.FIST, (38, 14, 8), (0, 4, 0)),
    Keyframe(g.pinch("index"), (16, 6, 0)),
    Keyframe(g.pinch("middle"), (-14, 0, 4), (-4, 0, 4)),
    Keyframe(g.pinch("ring"), (-34, 4, -4)),
    Keyframe(g.pinch("pinky"), (-10, 8, 0)),
    Keyframe(g.HOOK, (22, -8, 4), (4, 0, 0)),
    Keyframe(g.TABLE, (46, -18, 0)),
    Keyframe(g.THUMB_ACROSS, (12, -4, -8)),
    Keyframe(g.CROSSED, (-26, 0, 0), (0, 4, 4)),
    Keyframe(g.GRASP, (-52, 12, 8)),
    Keyframe(g.counting(2), (-20, 20, 0)),
    Keyframe(g.FIST, (60, 0, -8), (0, -4, 0)),
    Keyframe(g.SPREAD, (24, 10, 6)),
    Keyframe(g.OPEN),
)
"""Fists and fingers that touch or pass before each other."""

FINGER_OCCLUSIONS = (
    Keyframe(g.OPEN),
    Keyframe(g.flexed("index", "middle"), (-20, 0, 4)),
    Keyframe(g.flexed("ring", "pinky"), (24, 6, 0), (4, 0, 0)),
    Keyframe(g.flexed("index", "pinky"), (50, -8, -6)),
    Keyframe(g.flexed("middle", "ring"), (8, 10, 0)),
    Keyframe(g.pinch("index"), (-36, 0, 8), (0, 4, 4)),
    Keyframe(g.flexed("thumb", "index", "middle"), (-60, 8, 0)),
    Keyframe(g.flexed("middle", "ring", "pinky"), (-14, -10, 4)),
    Keyframe(g.pinch("ring"), (20, 14, 0), (-4, 0, -4)),
    Keyframe(g.CROSSED, (40, 0, -8)),
    Keyframe(g.flexed("thumb", "pinky"), (0, -6, 0)),
    Keyframe(g.SPREAD, (-18, 6, 6)),
)
"""Fingers bent one after the other in front of those that follow, seen from many sides."""

STEEPLE = g.all_fingers((26, 18, 12, 0), thumb=(0, 8, 10, 10, 0))
FINGERS_TOUCHING = (
    Keyframe(g.OPEN, (78, 0, 0), (-72, 0, 0)),
    Keyframe(STEEPLE, (84, 10, 0), (-70, 0, 0)),
    Keyframe(STEEPLE, (84, 14, 4), (-65, 0, 4)),
    Keyframe(g.FLAT, (86, -2, 0), (-58, 0, 0)),
    Keyframe(g.pinch("index"), (70, 0, 6), (-76, 0, 0)),
    Keyframe(g.GRASP, (80, 6, 0), (-72, 4, 6)),
    Keyframe(g.FIST, (76, 0, 0), (-66, 0, 0)),
    Keyframe(g.counting(1), (84, 12, 0), (-66, 0, -6)),
    Keyframe(g.counting(2), (60, 8, 6), (-70, 0, 0)),
    Keyframe(g.OPEN, (88, 4, 0), (-59, 0, 0)),
)
"""Two hands palm to palm, their fingers meeting tip to tip; each keyframe is done by both in the mirror."""

SEQUENCES: dict[str, KeyframesBySide] = {
    "ROM03_RT_No_Occlusion": {"right": NO_OCCLUSION},
    "ROM03_LT_No_Occlusion": {"left": NO_OCCLUSION},
    "ROM04_RT_Occlusion": {"right": OCCLUSION},
    "ROM04_LT_Occlusion": {"left": OCCLUSION},
    "ROM07_RT_Finger_Occlusions": {"right": FINGER_OCCLUSIONS},
    "ROM07_LT_Finger_Occlusions": {"left": FINGER_OCCLUSIONS},
    "ROM09_Interaction_Fingers_Touching": {"left": FINGERS_TOUCHING, "right": FINGERS_TOUCHING},
}
"""Sequences by name; names and their order of numbers are those of InterHand2.6M."""


def opening_and_closing(sides: tuple[str, ...], num_frames: int) -> dict[str, HandMotion]:
    """A slow movement: fingers up, from an open hand to one about to take hold of something, the wrist turning.

    Two hands are `HAND_SPACING` apart, thumbs inwards: the person stands on the side of the backs, at +y.
    """
    closing = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, num_frames))
    angles = g.RELAXED + closing[:, None, None] * (g.HALF_CLOSED - g.RELAXED)
    lean = np.stack([20 + 30 * closing, np.full(num_frames, 14), np.full(num_frames, -10)], axis=1)
    spin = Rotation.from_euler("zyx", lean, degrees=True)
    away = -HAND_SPACING / 2 if len(sides) == 2 else 0.0
    motion = right_motion(angles, spin, np.tile([away, 0.0, 0.0], (num_frames, 1)))
    return {side: motion.on_side(side) for side in sides}


def play(keyframes: KeyframesBySide, num_frames: int, rng: np.random.Generator) -> dict[str, HandMotion]:
    """Play a whole take in a number of frames: smooth through the keyframes, within the joint limits.

    Args:
        keyframes: What each side does.
        num_frames: T; few frames are far apart in time, the take is always played to its end.
        rng: Draws how this person wanders from the keyframes.

    Returns:
        Motions by side.
    """
    return {side: _play_right(own, num_frames, rng).on_side(side) for side, own in keyframes.items()}


def _play_right(keyframes: tuple[Keyframe, ...], num_frames: int, rng: np.random.Generator) -> HandMotion:
    time, knots = np.linspace(0, 1, num_frames), np.linspace(0, 1, len(keyframes))
    waves = [len(keyframes) * frequency for frequency in WANDERING]

    def through(values: list, wander: float) -> np.ndarray:
        # Monotone between keyframes, hence without overshooting what a keyframe asks for.
        smooth = PchipInterpolator(knots, np.array(values, dtype=float))(time)
        return smooth + wander * wandering(time, waves, smooth.shape[1:], rng)

    angles = through([k.gesture for k in keyframes], 0.0) + TREMOR * wandering(time, waves, (15, 3), rng)
    # In the world of the upright hand: z along the forearm, x along the knuckles, y out of the back.
    spin = Rotation.from_euler("ZXY", through([k.rotation for k in keyframes], SWAY[0]), degrees=True)
    return right_motion(angles, spin, 1e-3 * through([k.shift for k in keyframes], 1e3 * SWAY[1]))


def right_motion(angles: Float[np.ndarray, "T 15 3"], spin: Rotation, middle: Float[np.ndarray, "T 3"]) -> HandMotion:
    """Motion of a right hand from the angles of its joints in degrees, cut off at their limits, and its rotation from
    upright."""
    model = default_hand("right")
    low, high = np.degrees(joint_limits(model).double().numpy()).transpose(2, 0, 1)
    local = angles_to_rotations(joint_axes(model), torch.from_numpy(np.radians(np.clip(angles, low, high))).float())
    return HandMotion(torch.from_numpy((spin * UPRIGHT).as_rotvec()).float(), local, middle)


def wandering(
    times: Float[np.ndarray, "T"], frequencies: Sequence[float], shape: tuple[int, ...], rng: np.random.Generator
) -> Float[np.ndarray, "T *N"]:
    """Smooth random values of standard deviation one: slow waves of random phase."""
    waves = (wave(times, frequency, shape, rng) for frequency in frequencies)
    return np.sqrt(2 / len(frequencies)) * sum(waves)


def wave(
    times: Float[np.ndarray, "T"], frequency: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Float[np.ndarray, "T *N"]:
    """Sines of amplitude one and random phase, so many a unit of time."""
    phase = rng.uniform(0, 2 * np.pi, shape)
    return np.sin(2 * np.pi * frequency * times.reshape(-1, *(1,) * len(shape)) + phase)
