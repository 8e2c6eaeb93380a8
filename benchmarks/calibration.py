"""How well a moving hand places the cameras that see it: synthetic rigs, intrinsics known.

    python benchmarks/calibration.py

Joints are those of a synthetic hand that plays a range of motion while it is carried about; cameras stand on an arc at
0.7 to 1.1 m. Places are compared after similarity alignment. Figures do not depend on the machine's load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
import torch
import tyro
from recording import Recorded, record
from rich.table import Table
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.from_hands import calibrate_by_hands
from nerfstudio_hands.calibration.hand_scale import hand_length
from nerfstudio_hands.calibration.record import CalibratedCamera, transforms
from nerfstudio_hands.hand_model import pose_hand
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.range_of_motion import SEQUENCES, play
from nerfstudio_hands.synthesis.rig import look_at, pinhole
from nerfstudio_hands.transforms.projection import project

SIZE, FOCAL, REACH = (1280, 1024), 1100.0, 0.12


@dataclass
class CalibrationByHands(Recorded):
    """Degrees and shares of distance by which cameras are off that a hand has placed."""

    cameras: Tuple[int, ...] = (2, 3, 4, 8)
    """Cameras of the rigs."""
    frames: int = 60
    """Instants."""
    noise: float = 2.5
    """Standard deviation of landmarks in pixels, each coordinate."""
    outliers: float = 0.03
    """Share of landmarks that lie 150 pixels off (standard deviation)."""
    rigs: int = 5
    """Random rigs and takes of each number of cameras."""


def main(args: CalibrationByHands) -> None:
    table = Table(title=f"Cameras placed by a moving hand, {args.frames} frames")
    for column in ("cameras", "degrees, median", "degrees, worst", "% of distance, median", "worst", "scale %, worst"):
        table.add_column(column, justify="right")
    for count in args.cameras:
        found = [measure(args, count, seed) for seed in range(args.rigs)]
        degrees, off = (np.concatenate([one[i] for one in found]) for i in range(2))
        scale = max(abs(one[2] - 1) for one in found)
        numbers = (np.median(degrees), degrees.max(), 100 * np.median(off), 100 * off.max(), 100 * scale)
        table.add_row(str(count), *(f"{number:.2f}" for number in numbers))
    record(__file__, args, [table], notes=["Synthetic: joints of the hand model, its own length given as the scale."])


def measure(args: CalibrationByHands, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Degrees and shares of the distance to the hand of each camera, and the factor that is left of the scale."""
    rng = np.random.default_rng([seed, count])
    rig, joints = made_up_rig(count, rng), moving_joints(args.frames, rng)
    intrinsics = np.stack([camera.intrinsics for camera in rig])
    pixels, _ = project(joints[:, None], intrinsics[:, None, None], transforms(rig)[:, None, None])
    pixels = pixels + rng.normal(0, args.noise, pixels.shape)
    wrong = rng.random(pixels.shape[:-1]) < args.outliers
    pixels[wrong] += rng.normal(0, 150, (int(wrong.sum()), 2))
    found = calibrate_by_hands(rig, pixels, hand_length_mm=1e3 * hand_length(joints)).cameras
    return faults(found, rig)


def faults(found: list[CalibratedCamera], true: list[CalibratedCamera]) -> tuple[np.ndarray, np.ndarray, float]:
    one, other = (np.linalg.inv(transforms(cameras)) for cameras in (found, true))
    # The rotation by the cameras' axes: centers of two cameras do not tell it.
    turn = Rotation.from_matrix(other[:, :3, :3] @ one[:, :3, :3].transpose(0, 2, 1)).mean()
    off = turn * Rotation.from_matrix(one[:, :3, :3]) * Rotation.from_matrix(other[:, :3, :3]).inv()
    centers, wanted = turn.apply(one[:, :3, 3]), other[:, :3, 3]
    centers, middle = centers - centers.mean(0), wanted.mean(0)
    scale = float(((wanted - middle) * centers).sum() / (centers**2).sum())
    distance = np.linalg.norm(scale * centers + middle - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return np.degrees(off.magnitude()), distance, scale


def made_up_rig(count: int, rng: np.random.Generator) -> list[CalibratedCamera]:
    cameras = []
    for index in range(count):
        angle = 1.8 * np.pi * index / max(count, 5)
        eye = rng.uniform(0.7, 1.1) * np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.2, 0.8)])
        k = pinhole((FOCAL, FOCAL), np.array([640.0, 512.0]))
        place = look_at(eye, np.zeros(3), roll=float(rng.uniform(-0.3, 0.3)))
        cameras.append(CalibratedCamera(str(index), k, None, place, SIZE))
    return cameras


def moving_joints(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Joints [T 2 21 3] of a right hand, metres; the left one is absent."""
    motion = play(SEQUENCES["ROM03_RT_No_Occlusion"], frames, rng)["right"]
    hand = default_hand("right")
    still = torch.zeros(frames, 3)
    posed = pose_hand(hand, motion.global_orient, motion.local_rotations, still, torch.zeros(hand.num_shape))
    keypoints = posed.keypoints.double().numpy()
    time = np.linspace(0, 2 * np.pi, frames)[:, None]
    way = REACH * np.concatenate([np.sin(2 * time), np.sin(3 * time + 1), np.cos(time)], axis=1)
    joints = np.full((frames, 2, 21, 3), np.nan)
    joints[:, 1] = keypoints - keypoints.mean(axis=1, keepdims=True) + way[:, None]
    return joints


if __name__ == "__main__":
    main(tyro.cli(CalibrationByHands))
