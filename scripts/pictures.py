"""The pictures of README and docs from a finished run: renders only, no photograph.

    python scripts/pictures.py outputs/capture/hand-uvnerf/run/config.yml
    python scripts/pictures.py outputs/capture/hand-splat/run/config.yml --name hand_splat.png

In `docs/images/`: the avatar from held-out cameras, its normals, and the same hands in another pose.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.models.posed_hand_model import PosedHandModel
from nerfstudio_hands.viewer.finger_angles import angle_ranges, bend_hand

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MARGIN = 12
HEIGHT = 300
BENDS = {"Index flexion": 0.75, "Middle flexion": 0.35, "Pinky flexion": 0.6, "Thumb flexion": 0.5}
"""Shares of the range through which fingers are bent in the last row."""


def render(model: PosedHandModel, camera, name: str = "rgb") -> np.ndarray:
    """A rendering with the background black."""
    outputs = model.get_outputs_for_camera(camera)
    picture = outputs[name] if name == "rgb" else outputs[name] * outputs["accumulation"]
    return (picture.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def row(pictures: list[np.ndarray], box: list[tuple[slice, slice]]) -> np.ndarray:
    """Pictures cut to their boxes, brought to one height, side by side."""
    cut = []
    for picture, part in zip(pictures, box, strict=True):
        image = Image.fromarray(picture[part])
        cut.append(np.asarray(image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.LANCZOS)))
    return np.concatenate(cut, axis=1)


def main(config: tyro.conf.Positional[Path], name: str = "avatar.png") -> None:
    """Write the pictures.

    Args:
        config: The run's config.yml.
        name: Of the file.
    """
    _, pipeline, _, _ = eval_setup(config, test_mode="test")
    model = pipeline.model
    cameras = [camera for camera, _ in pipeline.datamanager.fixed_indices_eval_dataloader]
    shown = [render(model, camera) for camera in cameras]
    boxes = []
    for picture in shown:
        rows, columns = np.nonzero(picture.max(-1) > 8)
        top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
        boxes.append((slice(top, rows.max() + MARGIN), slice(left, columns.max() + MARGIN)))
    normals = [render(model, camera, "normals") for camera in cameras]

    pose = model.hands.pose_of(torch.tensor([0]))
    for hand, surface in enumerate(model.hands.surface.hands):
        ranges = angle_ranges(surface)
        angles = {name: ranges[name][0] + share * (ranges[name][1] - ranges[name][0]) for name, share in BENDS.items()}
        pose = bend_hand(surface, pose, hand, angles)
    model.hands.set_override(pose)
    bent = [render(model, camera) for camera in cameras]

    IMAGES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([row(p, boxes) for p in (shown, normals, bent)])).save(IMAGES / name)
    print(IMAGES / name)


if __name__ == "__main__":
    tyro.cli(main)
