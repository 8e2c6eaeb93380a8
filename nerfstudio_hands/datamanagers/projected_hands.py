"""The fitted hands of a capture as its cameras see them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from nerfstudio.cameras.cameras import Cameras

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.raster.visibility import Raster
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.hand_model.side_image import NO_SIDE, side_image

FRAMES_KEPT = 4
"""Posed surfaces that are kept at once."""


@dataclass
class Projection:
    """The hands in one image.

    Attributes:
        sides: Side of the nearest hand at each pixel, `NO_SIDE` where none projects.
        whole: Pixels that a modeled hand covers to their edges.
        forearm: Pixels of what ends a hand behind its wrist.
        pixels: How many pixels a metre spans at the depth of the hands; 0 where none is seen.
    """

    sides: Int[np.ndarray, "H W"]
    whole: Bool[np.ndarray, "H W"]
    forearm: Bool[np.ndarray, "H W"]
    pixels: float

    @property
    def seen(self) -> Bool[np.ndarray, "H W"]:
        """Where a hand projects."""
        return self.sides != NO_SIDE

    def behind(self, held: Bool[np.ndarray, "H W"]) -> Projection:
        """The hands where they are not behind what they hold."""
        return Projection(np.where(held, NO_SIDE, self.sides), self.whole & ~held, self.forearm & ~held, self.pixels)


class ProjectedHands:
    """Projects the hands of each image's frame; may be called from several threads.

    Args:
        avatar: The hands and their poses.
        cameras: One an image, with its `frame_index`.
    """

    def __init__(self, avatar: AvatarData, cameras: Cameras):
        self._avatar, self._cameras = avatar, cameras
        self.modeled = [SIDES.index(side) for side in avatar.surface.sides]
        self._surfaces: OrderedDict[int, Surfaces] = OrderedDict()
        self._posing = threading.Lock()

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of an image."""
        return int(self._cameras.width[index]), int(self._cameras.height[index])

    def project(self, index: int) -> Projection:
        """The hands in an image."""
        hands, surfaces = self._avatar.all_hands, self.posed(self._frame(index))
        drawn, twice = (self.draw(index, surfaces, scale) for scale in (1, 2))
        sides, parts = (side_image(d.face, hands.face_side, hands.face_is_hand) for d in (drawn, twice))
        width, height = self.size(index)
        met = drawn.face >= 0
        return Projection(
            sides=sides,
            whole=np.isin(parts.reshape(height, 2, width, 2), self.modeled).all(axis=(1, 3)),  # pyright: ignore[reportArgumentType]
            forearm=met.numpy() & (sides == NO_SIDE),
            pixels=float(self._cameras.fx[index] / drawn.z_depth[met].median()) if met.any() else 0.0,
        )

    def stubs(self, index: int) -> Bool[np.ndarray, "H W"]:
        """Where the ends of the hands behind their wrists project, also where a hand hides them."""
        hands = self._avatar.all_hands
        faces = torch.cat([hands.faces[~hands.face_is_hand], hands.closing_faces])
        vertices = self.posed(self._frame(index)).vertices
        return (self.draw(index, Surfaces(faces, vertices)).face >= 0).numpy()

    def draw(self, index: int, surfaces: Surfaces, scale: int = 1) -> Raster:
        """Surfaces as the camera of an image sees them, at a multiple of its size."""
        camera = self._cameras[index]
        camera_to_world = torch.eye(4)
        camera_to_world[:3] = camera.camera_to_worlds
        camera_to_world[:, 1:3] *= -1
        width, height = self.size(index)
        return rasterize(
            surfaces,
            torch.diag(torch.tensor([scale, scale, 1.0])) @ camera.get_intrinsics_matrices(),
            torch.linalg.inv(camera_to_world),
            width * scale,
            height * scale,
        )

    def posed(self, frame: int) -> Surfaces:
        """Surface of all hands in one frame; the last few are kept, since images of a frame follow each other."""
        avatar = self._avatar
        with self._posing:
            if frame not in self._surfaces:
                vertices, closing = avatar.all_vertices([frame]), avatar.all_hands.closing_faces
                self._surfaces[frame] = Surfaces(avatar.all_hands.faces, vertices, closing_faces=closing)
                if len(self._surfaces) > FRAMES_KEPT:
                    self._surfaces.popitem(last=False)
            return self._surfaces[frame]

    def _frame(self, index: int) -> int:
        return int(self._cameras.metadata["frame_index"][index])
