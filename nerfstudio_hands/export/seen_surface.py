"""Surfaces of predictions drawn over a picture, and from all around."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.model_components.drawn_hand import drawn_hand

OPACITY = 0.8
"""Of surfaces that are drawn over a picture."""

TURNING, FRAMES = 320, 48
"""Pixels of a side of what turns, and pictures of a turn, which takes four seconds."""

FROM_THE_RIGHT = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
FROM_BEHIND = np.diag([-1.0, 1.0, -1.0])
"""Turns of what is before the camera, after which it is seen from elsewhere."""


@dataclass(frozen=True)
class SeenSurface:
    """A surface before a camera, OpenCV axes, meters.

    Attributes:
        vertices: Places.
        faces: Facing outwards.
        colors_at: Colors of the vertices, 0 to 1, from where these are: light stays where the camera is.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    colors_at: Callable[[Float[Tensor, "V 3"]], Float[Tensor, "V 3"]]

    def over(
        self, picture: UInt8[np.ndarray, "H W 3"], intrinsics: Float[np.ndarray, "3 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Drawn into a picture of this K, which shines through a little."""
        return self._drawn(self.vertices, picture, intrinsics)

    def from_around(self, turn: Float[np.ndarray, "3 3"], size: int) -> UInt8[np.ndarray, "S S 3"]:
        """Turned about its middle, on white."""
        apart = self.vertices - self.vertices.mean(0)
        # However it is turned, from four times as far away as it reaches it stays in the picture.
        reach = float(apart.norm(dim=-1).max())
        focal = 0.48 * size * 15**0.5
        around = np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
        turned = apart @ torch.from_numpy(turn).to(apart).T + apart.new_tensor([0.0, 0.0, 4 * reach])
        return self._drawn(turned, np.full((size, size, 3), 255, np.uint8), around)

    def _drawn(self, vertices: Float[Tensor, "V 3"], picture: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        matrix = torch.from_numpy(intrinsics).float()
        drawn = drawn_hand(vertices, self.faces, self.colors_at(vertices), matrix, (width, height))
        behind = torch.from_numpy(picture).float() / 255
        # A little of the picture shines through, so that one sees whether edges meet.
        blended = OPACITY * drawn.over(behind) + (1 - OPACITY) * behind
        return (255 * blended.clamp(0, 1)).round().byte().numpy()


def turntable(surfaces: Sequence[SeenSurface]) -> bytes:
    """Surfaces from all around, next to each other, as an animated WebP; nothing where there is none."""
    if not surfaces:
        return b""
    turns = Rotation.from_rotvec(np.arange(FRAMES)[:, None] * [0.0, 2 * np.pi / FRAMES, 0.0]).as_matrix()
    rows = [np.concatenate([surface.from_around(turn, TURNING) for surface in surfaces], 1) for turn in turns]
    pictures, file = [Image.fromarray(row) for row in rows], io.BytesIO()
    pictures[0].save(
        file, "WEBP", save_all=True, append_images=pictures[1:], duration=round(4000 / FRAMES), loop=0, quality=75
    )
    return file.getvalue()
