"""Files that say of some cameras that they look elsewhere than they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.options import CalibrationOptions
from nerfstudio_hands.synthesis.rig import RigCamera

SMALLEST = 0.5
"""Part of the angle that was asked for by which every wrong camera is turned at least."""


def check_calibration(options: CalibrationOptions, num_cameras: int) -> None:
    """Refuse more wrong cameras than there are.

    Raises:
        HandsError: There are not so many.
    """
    if options.degrees > 0 and options.cameras > num_cameras:
        raise HandsError(
            f"--calibration.cameras: expected at most the {num_cameras} cameras that there are, found "
            f"{options.cameras}: give fewer."
        )


def written_cameras(cameras: list[RigCamera], options: CalibrationOptions, seed: int) -> list[RigCamera]:
    """Cameras as the files have them: some turned about where they stand, by up to the angle that was asked for.

    Args:
        cameras: As they are.
        options: How many are turned, and by how much.
        seed: Draws which, and about which axes.
    """
    if options.degrees == 0:
        return cameras
    rng = np.random.default_rng([seed, 12])
    written = list(cameras)
    for number in rng.permutation(len(cameras))[: options.cameras]:
        axis = rng.standard_normal(3)
        angle = np.radians(options.degrees) * rng.uniform(SMALLEST, 1)
        written[number] = replace(
            cameras[number],
            world_to_camera=_turned(cameras[number].world_to_camera, angle * axis / np.linalg.norm(axis)),
        )
    return written


def _turned(world_to_camera: Float[np.ndarray, "4 4"], turn: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The same place, looking elsewhere; `turn` is axis-angle in the camera's frame."""
    rotation = np.eye(4)
    rotation[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    return rotation @ world_to_camera
