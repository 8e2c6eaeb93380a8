"""What detectors take for the joints of a hand: places at the skin, carried by the bones, and now and then far off."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.hand_model.joints import JOINT_NAMES, MANO_JOINT_NAMES, SIDES, TIP_JOINTS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.anatomy import read_anatomy
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence
from nerfstudio_hands.synthesis.options import LandmarkOptions

LENGTHS = (0.75, 1.25)
"""Factors between which the bias of a single joint lies."""

SIDEWAYS = 0.3
"""Standard deviation by which its direction differs from the one out of the back, for a vector of length one."""

OUTLIER_REACH = (0.02, 0.06)
"""Meters by which outliers are off: as far as the next finger or the next joint."""

CARRIERS = tuple(MANO_JOINT_NAMES.index(name.replace("_4", "_3")) for name in JOINT_NAMES)
"""For each of the 21 joints the bone that carries it, among MANO's; fingertips go with the last bones."""


def landmark_offsets(options: LandmarkOptions, seed: int) -> Float[np.ndarray, "21 3"]:
    """From the joints of a right hand at rest to what is taken for them, meters.

    Joints are seen at the skin, above the bone; fingertips in the middle of the nail rather than at its end.

    Args:
        options: How far.
        seed: Another seed is another person.
    """
    anatomy = read_anatomy(default_hand("right"))
    rng = np.random.default_rng([seed, 10])
    direction = anatomy.back + SIDEWAYS * rng.standard_normal((21, 3))
    direction[list(TIP_JOINTS)] -= anatomy.along[list(TIP_JOINTS)]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return 1e-3 * options.bias * rng.uniform(*LENGTHS, (21, 1)) * direction


def seen_joints(motion: MotionSequence, options: LandmarkOptions, seed: int) -> Float[np.ndarray, "T 2 21 3"]:
    """Places that a detector takes for the joints, the same on the hand in every frame; world meters.

    Args:
        motion: The true hands.
        options: How far they lie off the joints.
        seed: See `landmark_offsets`.
    """
    right = landmark_offsets(options, seed)
    offsets = np.stack([right * ([-1.0, 1.0, 1.0] if side == "left" else [1.0, 1.0, 1.0]) for side in SIDES])
    rotations = motion.bone_to_world[:, :, list(CARRIERS), :3, :3]
    return motion.keypoints + np.einsum("tsjrc,sjc->tsjr", rotations, offsets)


def mislaid(
    points: Float[np.ndarray, "*N 3"], options: LandmarkOptions, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "*N 3"], Bool[np.ndarray, "*N"]]:
    """Landmarks with scatter, some of them outliers, and which those are.

    Args:
        points: World meters.
        options: How much scatter and how many outliers.
        rng: Draws them.
    """
    is_outlier = rng.random(points.shape[:-1]) < options.outliers
    direction = rng.standard_normal(points.shape)
    shift = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    shift *= is_outlier[..., None] * rng.uniform(*OUTLIER_REACH, (*points.shape[:-1], 1))
    return points + shift + 1e-3 * options.scatter * rng.standard_normal(points.shape), is_outlier
