"""A few hands that hold things: labels that fit each other, pictures of nothing, drawn in no time."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from jaxtyping import Int

from nerfstudio_hands.hand_images.clips import clip_rows
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HandObjectImages, HeldLabels, HeldMesh
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand

INTRINSICS = np.array([[150.0, 0, 47.0], [0, 150.0, 50.0], [0, 0, 1]])
SIZE = 96


class MadeUpGrasps:
    """Sequences of some frames each; a thing a sequence, every other one in a left hand if these are wanted."""

    hand_model = "default"
    name = "made up"

    def __init__(
        self, sequences: int, frames: int = 1, *, left: bool = False, seed: int = 0, shaped: bool = True
    ) -> None:
        self.sequences, self.frames, self.left, self.seed, self.shaped = sequences, frames, left, seed, shaped

    def __len__(self) -> int:
        return self.sequences * self.frames

    def labels(self, index: int) -> HandLabels:
        sequence, frame = divmod(index, self.frames)
        rng = np.random.default_rng([self.seed, sequence])
        side = "left" if self.left and sequence % 2 else "right"
        turns = rng.normal(0, 0.25, (16, 3)) + [0, 0, 0.02 * frame]
        shape = torch.from_numpy(rng.normal(0, 0.5, 10) * self.shaped).float()
        model = default_hand(side)
        rotations = torch.from_numpy(turns).float()
        rotations[0] = torch.tensor([1.2, 0.4, -0.3]) + 0.3 * rotations[0]
        place = torch.tensor([[0.02, -0.01, 0.4 + 0.01 * frame]])
        posed = pose_hand(model, rotations[:1], rotations[None, 1:], place, shape)
        joints = posed.keypoints[0].numpy()
        to_camera = np.eye(4)
        to_camera[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        to_camera[:3, 0] *= np.linalg.det(to_camera[:3, :3])
        # The thing's middle is near the middle finger's first joint.
        center = self.held_mesh(self._object(sequence)).center
        to_camera[:3, 3] = joints[9] + 0.02 - to_camera[:3, :3] @ center
        return labels_of_joints(
            side,
            joints,
            INTRINSICS,
            vertices=posed.vertices[0].numpy(),
            rotations=rotations.numpy(),
            shape=shape.numpy(),
            held=HeldLabels(self._object(sequence), to_camera),
        )

    def read(self, index: int) -> HandImage:
        labels, rng = self.labels(index), np.random.default_rng(index)
        rgb = np.full((SIZE, SIZE, 3), rng.integers(40, 200, 3), np.uint8)
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        column, row = labels.pixels.mean(0)
        mask = (x - column) ** 2 + (y - row) ** 2 < 20**2
        rgb[mask] = 220
        return HandImage(rgb, labels, mask)

    def held_mesh(self, name: str) -> HeldMesh:
        number = int(name.rpartition("-")[2])
        shape = trimesh.creation.icosphere(3, 0.03).apply_scale([1, 1 + 0.1 * (number % 5), 1.5])
        vertices = np.asarray(shape.vertices, np.float32) + np.float32([0.01, 0, 0])
        return HeldMesh(vertices, np.asarray(shape.faces))

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        return default_hand("right").faces.numpy()

    def clip(self, index: int, length: int) -> list[int]:
        first = index - index % self.frames
        return clip_rows(range(first, first + self.frames), index - first, length)

    def _object(self, sequence: int) -> str:
        return f"ball-{2 * sequence + self.seed}"


def placed(source: HandObjectImages, labels: HandLabels) -> np.ndarray:
    """Vertices of the held thing in the camera's frame."""
    to_camera = labels.held.to_camera
    return source.held_mesh(labels.held.name).vertices @ to_camera[:3, :3].T + to_camera[:3, 3]
