"""How well a moving hand places the cameras that see it: synthetic rigs, intrinsics known.

    python benchmarks/calibration.py
    python benchmarks/calibration.py --no-bones --name no-bones
    python benchmarks/calibration.py --videos cam0.mp4 cam1.mp4 --landmarks found --calibration calib.toml --name stereo

Joints are those of a synthetic hand that plays a range of motion while it is carried about; cameras stand on an arc at
0.7 to 1.1 m. Places are compared after similarity alignment. The last line compares places by landmarks (`ns-hands
detect`) of real films of two cameras with those of a calibration. Figures do not depend on the machine's load.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple
from unittest import mock

import numpy as np
import torch
import tyro
from recording import Recorded, record
from rich.table import Table
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration import from_hands
from nerfstudio_hands.calibration.from_hands import calibrate_by_hands
from nerfstudio_hands.calibration.hand_scale import ADULT_HAND_MM, hand_length
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import CalibratedCamera, transforms
from nerfstudio_hands.hand_model import pose_hand
from nerfstudio_hands.hand_model.joints import BONES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.preparation.calibrate import by_hands, first_sizes, known_cameras
from nerfstudio_hands.preparation.sources import video_sources
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
    bones: bool = True
    """Adjust cameras and hands with bones that keep their lengths."""
    videos: Tuple[Path, ...] = ()
    """Films of a real pair of cameras, to be compared instead."""
    landmarks: Optional[Path] = None
    """Of the films, as `ns-hands detect` wrote them."""
    calibration: Optional[Path] = None
    """Of the films' cameras; its intrinsics are taken for granted."""


def main(args: CalibrationByHands) -> None:
    if args.videos:
        compare(args)
        return
    table = Table(title=f"Cameras placed by a moving hand, {args.frames} frames")
    for column in ("cameras", "degrees, median", "degrees, worst", "% of distance, median", "worst", "scale %, worst"):
        table.add_column(column, justify="right")
    for count in args.cameras:
        with bones_kept(args.bones):
            found = [measure(args, count, seed) for seed in range(args.rigs)]
        degrees, off = (np.concatenate([one[i] for one in found]) for i in range(2))
        scale = max(abs(one[2] - 1) for one in found)
        numbers = (np.median(degrees), degrees.max(), 100 * np.median(off), 100 * off.max(), 100 * scale)
        table.add_row(str(count), *(f"{number:.2f}" for number in numbers))
    record(__file__, args, [table], notes=["Synthetic: joints of the hand model, its own length given as the scale."])


def bones_kept(kept: bool) -> AbstractContextManager:
    """Whether the lengths of bones say something."""
    return mock.patch.object(from_hands, "MIN_WHOLE", from_hands.MIN_WHOLE if kept else 10**9)


def compare(args: CalibrationByHands) -> None:
    """Places of a real pair by its landmarks, with and without bones of one length, and those of a calibration."""
    sources = video_sources(list(args.videos))
    known = known_cameras(sources, first_sizes(sources), args.calibration, None)
    given = read_calibration(args.calibration).cameras  # pyright: ignore[reportArgumentType]
    first, second = (given[source.name].transform for source in sources)
    table = Table(title="Two real cameras placed by a hand of 185 mm")
    columns = ("bones of one length", "degrees from the calibration", "mm, its unit", "px, landmarks", "bones vary, %")
    for column in columns:
        table.add_column(column, justify="right")
    for kept in (True, False):
        with bones_kept(kept):
            found = by_hands(sources, args.landmarks, known, ADULT_HAND_MM)  # pyright: ignore[reportArgumentType]
        relative, wanted = found.cameras[1].transform, second @ np.linalg.inv(first)
        off = Rotation.from_matrix(relative[:3, :3] @ wanted[:3, :3].T).magnitude()
        unit = 1e3 * np.linalg.norm(relative[:3, 3]) / np.linalg.norm(wanted[:3, 3])
        pixels = ", ".join(f"{value:.1f}" for value in found.pixels)
        ends = found.joints.reshape(-1, 21, 3)[:, np.array(BONES)]
        lengths = np.log(np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1))
        varies = 148 * np.nanmedian(abs(lengths - np.nanmedian(lengths, axis=0)))
        cells = (f"{np.degrees(off):.1f}", f"{unit:.1f}", pixels, f"{varies:.0f}")
        table.add_row("yes" if kept else "no", *cells)
    record(__file__, args, [table], notes=["Real films; the calibration is somebody's own, its errors are not known."])


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
