"""Points round a hand and what it holds, with their distances from both: what networks of signed distance learn from.

gSDF (Chen et al., CVPR 2023) prepares such points as files, of four hundred gigabytes for ObMan; here they are drawn
while pictures are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_images.hand_image import HandLabels, HandObjectImages
from nerfstudio_hands.hand_images.held_meshes import HeldDistances
from nerfstudio_hands.transforms.rigid import apply_rigid

SPREADS = (0.0085, 0.0027)
"""Standard deviations of the offsets from the surface of either half of the points, meters: those of gSDF's files for a
hand and an object that fill a sphere of 0.12 m."""

FAR_SHARE = 0.06
"""Share of points anywhere in the cube."""


@dataclass(frozen=True)
class QueryPoints:
    """N points, in the frame of the labels, meters.

    Attributes:
        points: Where they are.
        distances: From the hand and from what it holds, positive outside; NaN where there is none, or where the thing's
            mesh has no inside.
        of_object: Whether a point was drawn round the object and not round the hand.
    """

    points: Float32[np.ndarray, "N 3"]
    distances: Float32[np.ndarray, "N 2"]
    of_object: Bool[np.ndarray, " N"]


class QueryPointDraw:
    """Draws points for a source's pictures.

    Args:
        source: Of pictures.
        count: Points of a picture, half of them round the hand; all where it holds nothing.
        reach: Half the edge of the cube round the wrist in which they are, meters.
    """

    def __init__(self, source: HandObjectImages, count: int, reach: float) -> None:
        self.source, self.count, self.reach = source, count, reach
        # A picture has the same distances whatever was asked before, so that trainings can be gone on from.
        self._from_object = HeldDistances(source.held_mesh, grids=False)

    def __getstate__(self) -> dict:
        """Without what each process can make again."""
        return {"source": self.source, "count": self.count, "reach": self.reach}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["source"], state["count"], state["reach"])

    def __call__(self, labels: Sequence[HandLabels], rng: np.random.Generator) -> list[QueryPoints]:
        """Points of each of some pictures.

        Args:
            labels: Of the right hands in them.
            rng: Draws the points.

        Raises:
            HandsError: The source knows no surface of such a hand.
        """
        drawn = [self._drawn(one, rng) for one in labels]
        vertices = np.stack([one.vertices for one in labels])  # pyright: ignore[reportCallIssue, reportArgumentType]
        hands = Surfaces(self._hand_faces, torch.from_numpy(vertices))
        # All hands at once: building and asking one alone takes longer than its points.
        which = torch.arange(len(labels)).repeat_interleave(self.count)
        points = torch.from_numpy(np.concatenate([points for points, _ in drawn]))
        # By the winding number: fingers may touch, and cross, each other.
        from_hands = hands.solid_distance(points, which).view(len(labels), self.count).numpy()
        from_objects = self._to_objects(labels, [points for points, _ in drawn])
        return [
            QueryPoints(points, np.stack([from_hand, from_object], 1), of_object)
            for (points, of_object), from_hand, from_object in zip(drawn, from_hands, from_objects, strict=True)
        ]

    def _drawn(self, labels: HandLabels, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points of a picture, and whether each was drawn round the object."""
        if labels.vertices is None or labels.joints is None:
            raise HandsError(
                f"{self.source.name}: expected the hand's vertices and joints, found a picture without; give the hand "
                "model's files (MANO), or leave such pictures out."
            )
        wrist = labels.joints[0]
        count = self.count // 2 if labels.held else self.count
        near_hand = self._drawn_near(labels.vertices, self._hand_faces.numpy(), count, wrist, rng)
        of_object = np.arange(self.count) >= count
        if labels.held is None:
            return near_hand, of_object
        held_object, to_camera = self.source.held_mesh(labels.held.name), labels.held.to_camera
        own_wrist = apply_rigid(np.linalg.inv(to_camera), wrist[None].astype(np.float64))[0].astype(np.float32)
        near_object = self._drawn_near(held_object.vertices, held_object.faces, self.count - count, own_wrist, rng)
        near_object = apply_rigid(to_camera, near_object.astype(np.float64)).astype(np.float32)
        return np.concatenate([near_hand, near_object]), of_object

    def _to_objects(
        self, labels: Sequence[HandLabels], points: Sequence[Float32[np.ndarray, "N 3"]]
    ) -> list[Float32[np.ndarray, " N"]]:
        """Distances of each picture's points from what it holds; a thing is asked once for all of its pictures."""
        found = [np.full(len(own), np.nan, np.float32) for own in points]
        pictures_of: dict[str, list[int]] = {}
        for index, one in enumerate(labels):
            if one.held is not None:
                pictures_of.setdefault(one.held.name, []).append(index)
        for name, pictures in pictures_of.items():
            own = [
                apply_rigid(np.linalg.inv(labels[index].held.to_camera), points[index].astype(np.float64))  # pyright: ignore[reportOptionalMemberAccess]
                for index in pictures
            ]
            distances = self._from_object.distances(name, np.concatenate(own))
            for index, part in zip(pictures, np.split(distances, len(pictures)), strict=True):
                found[index] = part
        return found

    @cached_property
    def _hand_faces(self) -> Int[Tensor, "F 3"]:
        return _closed(self.source.hand_faces())

    def _drawn_near(
        self,
        vertices: Float32[np.ndarray, "V 3"],
        faces: Int[np.ndarray, "F 3"],
        count: int,
        wrist: Float32[np.ndarray, " 3"],
        rng: np.random.Generator,
    ) -> Float32[np.ndarray, "N 3"]:
        """Points near a surface, and a few anywhere within reach of the wrist."""
        corners = vertices[faces]
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        chosen = corners[rng.choice(len(faces), count, p=areas / areas.sum())]
        weights = rng.dirichlet([1.0, 1.0, 1.0], count)
        spread = np.where(np.arange(count) % 2, *SPREADS)[:, None]
        points = (weights[..., None] * chosen).sum(1) + spread * rng.standard_normal((count, 3))
        far = rng.random(count) < FAR_SHARE
        points[far] = wrist + self.reach * rng.uniform(-1, 1, (int(far.sum()), 3))
        return np.clip(points, wrist - self.reach, wrist + self.reach).astype(np.float32)


def _closed(faces: Int[np.ndarray, "F 3"]) -> Int[Tensor, "G 3"]:
    own = torch.from_numpy(np.ascontiguousarray(faces)).long()
    return torch.cat([own, closing_faces(own)])
