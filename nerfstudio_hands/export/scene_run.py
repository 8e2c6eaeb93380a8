"""Pictures one by one with the surfaces of hands and what they hold that a network says of them."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import trimesh
from jaxtyping import Float, UInt8

from nerfstudio_hands.export.hand_finder import FoundHands, HandFinder
from nerfstudio_hands.export.predicted_hands import TILE
from nerfstudio_hands.export.seen_surface import FROM_BEHIND, FROM_THE_RIGHT, SeenSurface, turntable
from nerfstudio_hands.export.tally import Tally
from nerfstudio_hands.model_components.scene_meshes import SCENE_COLORS, SceneMesh, SceneMeshes, scene_colors
from nerfstudio_hands.model_components.scene_prediction import PredictedSurfaces, ScenePredictor
from nerfstudio_hands.preparation.sources import Source


@dataclass(frozen=True)
class SceneImage:
    """A picture's hands and what they hold.

    Attributes:
        name: Of the picture.
        scenes: Predicted, one a hand.
        overlay: What was found, drawn.
    """

    name: str
    scenes: list[PredictedSurfaces]
    overlay: UInt8[np.ndarray, "H W 3"]

    def meshes(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents of a file a surface (ply), or a hand with what it holds (glb); none of any other kind."""
        for scene in self.scenes:
            parts = _surfaces(scene)
            if kind == "ply":
                for part, mesh in parts.items():
                    yield f"{self.name}_{scene.side}_{part}.ply", mesh.export(file_type="ply")  # pyright: ignore
            elif kind == "glb" and parts:
                yield f"{self.name}_{scene.side}.glb", trimesh.Scene(parts).export(file_type="glb")  # pyright: ignore

    def turntable(self) -> bytes:
        """Each hand with what it holds from all around, an animated WebP; nothing where no hand has a surface."""
        surfaces = (seen_scene(scene.meshes) for scene in self.scenes)
        return turntable([surface for surface in surfaces if surface is not None])


class SceneRun:
    """Predicts surfaces of a source's pictures and keeps account of them.

    Args:
        predictor: Says surfaces.
        finder: Finds hands.
    """

    def __init__(self, predictor: ScenePredictor, finder: HandFinder) -> None:
        self.predictor, self.finder = predictor, finder
        self.tally = Tally()
        self._account: dict[str, Any] = {}

    def pictures(self, source: Source, folder: Path) -> Iterator[SceneImage]:
        """The pictures in which a hand is seen.

        Args:
            source: Pictures.
            folder: Where detections are kept, so that an interrupted search goes on.
        """
        length = self.predictor.clip if source.is_video else 1
        before: dict[str, deque] = defaultdict(lambda: deque(maxlen=length))
        for found in self.finder.hands(source, folder):
            name, rgb = found.picture.name, found.picture.image
            start = monotonic()
            scenes = [self._scene(found, side, before[side]) for side in found.boxes]
            self.tally.add(len(scenes), monotonic() - start)
            hands = [_parameters(scene) for scene in scenes]
            self._account[name] = {**found.camera(), "hands": hands}
            if scenes:
                yield SceneImage(name, scenes, overlay(rgb, found.intrinsics, scenes))

    def _scene(self, found: FoundHands, side: str, clip: deque) -> PredictedSurfaces:
        """What one hand of a picture holds; a clip that is too short begins with its first picture again."""
        clip.append((found.picture.image, found.boxes[side]))
        pictures = [clip[0]] * (self.predictor.clip - len(clip)) + list(clip)
        images, boxes = zip(*pictures, strict=True)
        return self.predictor.predict(images, found.intrinsics, side, boxes)

    def account(self) -> str:
        """All that was found, as JSON."""
        return json.dumps({"frame": "OpenCV camera axes, meters", "pictures": self._account}, indent=1)


def overlay(
    picture: UInt8[np.ndarray, "H W 3"], intrinsics: Float[np.ndarray, "3 3"], scenes: list[PredictedSurfaces]
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, the surfaces drawn into it, and each hand with what it holds from its right and from behind, next
    to each other."""
    height, width = picture.shape[:2]
    factor = min(1.0, TILE / max(height, width))
    small = cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    scaled = np.diag([small.shape[1] / width, small.shape[0] / height, 1.0]) @ intrinsics
    drawn, views = small, []
    for scene in sorted(scenes, key=lambda scene: -scene.joints[9, 2]):
        surface = seen_scene(scene.meshes)
        if surface is not None:
            drawn = surface.over(drawn, scaled)
            views += [surface.from_around(turn, small.shape[0]) for turn in (FROM_THE_RIGHT, FROM_BEHIND)]
    return np.concatenate([small, drawn, *views], 1)


def seen_scene(meshes: SceneMeshes) -> SeenSurface | None:
    """Hand and object as one surface; None where there is neither."""
    mesh, of_object = meshes.both()
    if not len(mesh.vertices):
        return None
    vertices, faces, of_object = mesh.vertices.cpu(), mesh.faces.cpu(), of_object.cpu()
    return SeenSurface(
        vertices, faces, lambda places: scene_colors(SceneMesh(places, faces), of_object, SCENE_COLORS)
    )


def _parameters(scene: PredictedSurfaces) -> dict[str, Any]:
    """What is known of a hand and what it holds beside the surfaces."""
    return {
        "side": scene.side,
        "joints": scene.joints.tolist(),
        "object_center": scene.center.tolist(),
        "has_hand_surface": scene.meshes.hand is not None,
        "has_object_surface": scene.meshes.object is not None,
    }


def _surfaces(scene: PredictedSurfaces) -> dict[str, trimesh.Trimesh]:
    """Hand and object in glTF's axes (x right, y up, z towards the viewer), meters."""
    parts = {"hand": scene.meshes.hand, "object": scene.meshes.object}
    colors = dict(zip(parts, (255 * SCENE_COLORS).byte().numpy(), strict=True))
    return {
        name: trimesh.Trimesh(
            mesh.vertices.cpu().numpy() * [1.0, -1.0, -1.0],
            mesh.faces.cpu().numpy(),
            vertex_colors=np.tile(colors[name], (len(mesh.vertices), 1)),
            process=False,
        )
        for name, mesh in parts.items()
        if mesh is not None
    }
