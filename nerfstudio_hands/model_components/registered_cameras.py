"""Held-out cameras turned onto their own pictures, for figures that do not count a camera's error as the avatar's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from torch import Tensor

from nerfstudio_hands.datamanagers.batch import ImageBatch
from nerfstudio_hands.evaluation.camera_turn import hand_pair, turn_onto_images
from nerfstudio_hands.evaluation.image_metrics import (
    Judged,
    Prediction,
    calibrated_psnr,
    predict,
    reduced,
    reduced_image,
)
from nerfstudio_hands.transforms.pixel_distances import longest_side
from nerfstudio_hands.transforms.rotations import rotation_matrix

PICTURES = 6
"""Of a camera that its turn is taken from, evenly spread: a turn is three numbers."""
LONGEST_HAND = 256
"""Pixels of the hand's longer side in the reduced pictures that it is taken from; they show a fiftieth of a degree."""
LEAST_GAIN = 0.05
"""Decibels by which a turn must better these pictures, or the camera stays as it is."""

TRAINING_CAMERA = "pose"
"""The protocol of `splits.EVAL_PROTOCOLS` in which no camera is held out."""

Render = Callable[[Cameras], dict[str, Tensor]]
"""What a model shows in a camera."""


@dataclass(frozen=True)
class _Reduced:
    """A held-out picture, small enough to be drawn quickly, and the camera that sees it so.

    Attributes:
        camera: One.
        judged: What a prediction is held against.
        mask: Where the picture's mask shows something.
    """

    camera: Cameras
    judged: Judged
    mask: Bool[np.ndarray, "H W"]

    def drawn(self, render: Render, turn: Float[Tensor, " 3"] | None = None) -> Prediction:
        """What a model shows of it, once the camera is turned."""
        outputs = render(self.camera if turn is None else turned_camera(self.camera, turn))
        return predict(outputs["radiance"], outputs["accumulation"][..., 0], self.judged)

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """K, pixels."""
        return self.camera.get_intrinsics_matrices()[0].double().cpu().numpy()


@dataclass(frozen=True)
class RegisteredCameras:
    """The cameras of a capture, and how held-out ones of them were turned.

    Attributes:
        names: Of all cameras.
        turns: Rotation vectors, radians, in OpenCV axes, by the held-out camera's index; None where it is not turned.
    """

    names: Sequence[str]
    turns: dict[int, Float[Tensor, " 3"] | None]

    def turned(self, camera: Cameras) -> Cameras | None:
        """A camera after its turn; None where it stays as it is."""
        turn = self.turns.get(_index(camera))
        return None if turn is None else turned_camera(camera, turn)

    def name(self, camera: Cameras) -> str:
        """A camera's name in the capture."""
        return self.names[_index(camera)]

    def degrees(self, camera: Cameras) -> list[float]:
        """Its rotation vector in degrees; zeros where it stays as it is."""
        turn = self.turns.get(_index(camera))
        return [0.0, 0.0, 0.0] if turn is None else turn.rad2deg().tolist()

    def angles(self) -> dict[str, float]:
        """Degrees by which each held-out camera was turned."""
        return {
            self.names[index]: 0.0 if turn is None else float(turn.norm().rad2deg())
            for index, turn in self.turns.items()
        }

    def sentence(self) -> str:
        """The same for people."""
        turned = ", ".join(f"{name} by {degrees:.2f}°" for name, degrees in self.angles().items())
        return f"Held-out cameras turned onto their pictures, for figures called registered: {turned or 'none'}."


def register_cameras(loader: FixedIndicesEvalDataloader, render: Render) -> RegisteredCameras:
    """Turns each held-out camera onto pictures of its own; one turn for all of its frames.

    Training cameras in which held-out frames are evaluated stay: fit and training have corrected them.

    Args:
        loader: What is evaluated.
        render: What the model shows in a camera.
    """
    metadata, rows = loader.input_dataset.metadata, {}
    for row in loader.image_indices:
        if metadata["protocols"] is None or metadata["protocols"][row] != TRAINING_CAMERA:
            rows.setdefault(_index(loader.cameras[row : row + 1]), []).append(row)
    turns = {}
    for index, mine in rows.items():
        chosen = np.unique(np.linspace(0, len(mine) - 1, PICTURES).round().astype(int))
        turns[index] = camera_turn([loader.get_camera(mine[k]) for k in chosen], render)  # pyright: ignore[reportArgumentType]
    return RegisteredCameras(metadata["hands"].camera_names, turns)


def camera_turn(views: Sequence[tuple[Cameras, ImageBatch]], render: Render) -> Float[Tensor, " 3"] | None:
    """How a camera is turned to lay what a model shows on its pictures; nothing of the model changes.

    Args:
        views: Pictures of one camera, each with the camera.
        render: What the model shows in a camera.

    Returns:
        Rotation vector, radians, in OpenCV axes, of at most `LIMIT_DEGREES`; None where no turn makes the pictures
        better, all of them together.
    """
    pictures = [_reduced(camera, batch) for camera, batch in views if batch["hand_region"].any()]
    pictures = [picture for picture in pictures if picture.judged.region.any()]
    before = [picture.drawn(render) for picture in pictures]
    pairs = [
        hand_pair(prediction, picture.judged, picture.mask, picture.intrinsics)
        for picture, prediction in zip(pictures, before, strict=True)
    ]
    turn = torch.from_numpy(turn_onto_images(pairs)) if pairs else torch.zeros(3)
    if not turn.any():
        return None
    gains = [
        calibrated_psnr(picture.drawn(render, turn), picture.judged) - calibrated_psnr(prediction, picture.judged)
        for picture, prediction in zip(pictures, before, strict=True)
    ]
    return turn if statistics.fmean(gains) > LEAST_GAIN else None


def turned_camera(camera: Cameras, turn: Float[Tensor, " 3"]) -> Cameras:
    """One camera, turned about its center.

    Args:
        camera: In nerfstudio's axes, which are OpenGL's.
        turn: Rotation vector in OpenCV's: `X_cam' = R(turn) @ X_cam`.
    """
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=turn.dtype).diag()
    back = (flip @ rotation_matrix(turn).T @ flip).to(camera.camera_to_worlds)
    pose = camera.camera_to_worlds.clone()
    pose[..., :3] = pose[..., :3] @ back
    return _with(camera, camera_to_worlds=pose)


def _index(camera: Cameras) -> int:
    return int(camera.metadata["camera_index"])


def _reduced(camera: Cameras, batch: ImageBatch) -> _Reduced:
    truth, mask, region, ignored = (
        batch[key].to(camera.device) for key in ("image", "hand_mask", "hand_region", "hand_ignored")
    )
    judged = Judged(truth, region[..., 0].bool(), ~ignored[..., 0].bool())
    scale = min(1.0, LONGEST_HAND / longest_side(judged.region.cpu().numpy()))
    small = reduced(judged, scale)
    height, width = small.region.shape
    shown = reduced_image(mask.float(), (height, width))[..., 0] > 0.5
    across, down = width / truth.shape[1], height / truth.shape[0]
    resized = _with(
        camera,
        fx=camera.fx * across,
        fy=camera.fy * down,
        cx=camera.cx * across,
        cy=camera.cy * down,
        width=torch.full_like(camera.width, width),
        height=torch.full_like(camera.height, height),
    )
    return _Reduced(resized, small, shown.cpu().numpy())


def _with(camera: Cameras, **changed: Tensor) -> Cameras:
    names = ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "camera_type", "times", "metadata")
    return Cameras(**{name: getattr(camera, name) for name in names} | changed)  # pyright: ignore[reportArgumentType]
