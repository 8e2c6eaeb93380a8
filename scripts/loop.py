"""The moving picture of README from a finished run: a hand of the avatar that bends its fingers. A render only.

    python scripts/loop.py outputs/capture/hand-uvnerf/run/config.yml

`docs/images/avatar.webp`, a loop in which fingers bend one after the other and stretch again.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.video.camera_paths import at_size, still_path
from nerfstudio_hands.viewer.finger_angles import angle_ranges, bend_hand

LOOP = Path(__file__).resolve().parents[1] / "docs" / "images" / "avatar.webp"
FLEXIONS = ("Thumb flexion", "Index flexion", "Middle flexion", "Ring flexion", "Pinky flexion")
FPS = 12
MARGIN = 8


def bent(surface: HandSurface, pose: HandPose, progress: float) -> HandPose:
    """The pose at a moment of the loop, each finger a little later than its neighbor."""
    for hand, model in enumerate(surface.hands):
        ranges = angle_ranges(model)
        angles = {}
        for number, name in enumerate(FLEXIONS):
            phase = 2 * math.pi * (progress - 0.08 * number)
            low, high = ranges[name]
            angles[name] = low + (high - low) * (0.08 + 0.3 * (1 - math.cos(phase)))
        pose = bend_hand(model, pose, hand, angles)
    return pose


def main(config: tyro.conf.Positional[Path], camera: str | None = None, size: int = 480, seconds: float = 3.0) -> None:
    """Write the loop.

    Args:
        config: The run's config.yml.
        camera: Camera of the capture to look from; by default the first one that training saw.
        size: Longest side of the whole picture in pixels, of which the hands are cut out.
        seconds: Length.
    """
    _, pipeline, _, _ = eval_setup(config, test_mode="inference")
    model = pipeline.model
    hands = model.hands
    manager = pipeline.datamanager
    cameras = [manager.train_dataset.cameras, manager.eval_dataset.cameras]
    view = at_size(still_path(cameras, model.camera_names, camera, 1), size)
    start = hands.pose_of(torch.tensor([int(hands.train_frames[0])]))
    count = round(seconds * FPS)
    images = []
    for number in range(count):
        hands.set_override(bent(hands.surface, start, number / count))
        rgb = model.get_outputs_for_camera(view)["rgb"]
        images.append((rgb.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8))
    rows, columns = np.nonzero(np.max(images, axis=(0, -1)) > 12)
    top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
    frames = [Image.fromarray(image[top : rows.max() + MARGIN, left : columns.max() + MARGIN]) for image in images]
    shown = {"duration": round(1000 / FPS), "loop": 0, "quality": 80, "method": 6}
    frames[0].save(LOOP, save_all=True, append_images=frames[1:], **shown)
    print(f"{LOOP}: {len(frames)} pictures of {frames[0].width}x{frames[0].height}, {LOOP.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    tyro.cli(main)
