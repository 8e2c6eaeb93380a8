"""A calibration in a form of one's own, converted once to calibration.toml, which `ns-hands prepare` reads.

This one is that of TemugeB/handpose3d: of every camera `c0.dat` with K and five distortion numbers of OpenCV, and
`rot_trans_c0.dat` with the rotation and translation from the world to the camera; what comes after those is not used.

    python examples/06_calibration_of_ones_own.py --folder STEREO/camera_parameters --videos STEREO/cam0.mp4 STEREO/cam1.mp4 --output calib.toml
    ns-hands prepare --videos STEREO/cam0.mp4 STEREO/cam1.mp4 --calibration calib.toml --output CAPTURE
    ns-hands check CAPTURE
    ns-train hand-uvnerf --data CAPTURE
"""  # noqa: E501

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from nerfstudio_hands.calibration.checked import checked_camera, opencv_intrinsics, opencv_lens, rigid
from nerfstudio_hands.calibration.formats.anipose import anipose_text
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.files.video_reading import read_video


def numbers_of(path: Path, count: int) -> np.ndarray:
    """The first numbers of a file, past its headings."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.strip().endswith(":")]
    return np.array(" ".join(line for line in lines if not line.startswith("#")).split()[:count], dtype=float)


def camera(folder: Path, index: int, video: Path) -> CalibratedCamera:
    """A camera, named after its video."""
    lens, pose = folder / f"c{index}.dat", folder / f"rot_trans_c{index}.dat"
    values, placed = numbers_of(lens, 14), numbers_of(pose, 12)
    height, width = next(read_video(video)).image.shape[:2]
    return checked_camera(
        lens,
        video.stem,
        opencv_intrinsics(values[:9].reshape(3, 3)),
        lens=opencv_lens(lens, "distortion", values[9:].tolist()),
        world_to_camera=rigid(placed[:9].reshape(3, 3), placed[9:]),
        size=(width, height),
    )


def main(folder: Path, videos: tuple[Path, ...], output: Path) -> None:
    """Convert the calibration of a rig.

    Args:
        folder: Of the .dat files.
        videos: Of the cameras, in their order.
        output: File to write.
    """
    cameras = [camera(folder, index, video) for index, video in enumerate(videos)]
    output.write_text(anipose_text(cameras, unit=None))
    print(f"{output}: {len(cameras)} cameras; the unit of {folder} is left open, and told by the hand.")


if __name__ == "__main__":
    tyro.cli(main)
