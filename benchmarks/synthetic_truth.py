"""The true surfaces of a capture that `ns-hands synthesize capture-room` rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.synthesis.capture_room import perform
from nerfstudio_hands.synthesis.options import CaptureRoomOptions
from nerfstudio_hands.synthesis.subject import HandTruth

SAME = 1e-5
"""Metres by which rounding may move the hands."""

NEAR = 0.01
"""Metres from the fitted hand within which a true surface is taken for the hand's."""


@dataclass
class SyntheticTruth:
    """What was rendered, performed once more from its options.

    Attributes:
        options: Those that the surfaces depend on.
        performed: The hands of every frame, with what they hold.
    """

    options: CaptureRoomOptions
    performed: list[list[HandTruth]]

    def hands(self, frame: int) -> Mesh:
        """The rendered skin of all hands with their forearms, world metres."""
        return _joined([(hand.surface, hand.faces) for hand in self.performed[frame]])

    def held(self, frame: int) -> Mesh | None:
        """What a hand holds, world metres."""
        if self.options.object is None:
            return None
        part = self.performed[frame][0].parts[-1]
        return _joined([(part.vertices, part.faces)])


def read_truth(folder: Path) -> SyntheticTruth:
    """Truth from the folder `truth` of a capture.

    Raises:
        HandsError: There is no such file, or the same options give other hands here.
    """
    path = folder / "truth.npz"
    if not path.is_file():
        raise HandsError(f"{path}: expected the truth of a synthetic capture, found no file; check --truth.")
    with np.load(path) as file:
        sides = file["sides"].tolist()
        options = CaptureRoomOptions(
            seed=int(file["seed"]),
            hand=sides[0] if len(sides) == 1 else "both",
            frames=len(file["frames"]),
            object=str(file["object"]) if "object" in file.files else None,
        )
        stored = file["vertices"]
    _, performed = perform(options)
    found = np.stack([np.concatenate([hand.vertices for hand in hands]) for hands in performed])
    off = float(np.abs(found - stored).max())
    if off > SAME:
        raise HandsError(
            f"{path}: expected the hands that its options give here, found some {1e3 * off:.2g} mm away; synthesize "
            "the capture again, on this machine and with this version."
        )
    return SyntheticTruth(options, performed)


def near_hand(truth: Mesh, fitted: Mesh) -> Mesh:
    """The truth with the faces nearest to the fitted hand, not to its stub, as region: forearms do not count."""
    centres = truth.vertices[truth.faces].mean(dim=1)
    near = Surfaces(fitted.faces, fitted.vertices[None]).closest(centres, max_distance=NEAR)
    return Mesh(truth.vertices, truth.faces, (near.face >= 0) & fitted.region[near.face.clamp(min=0)])


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> Mesh:
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = np.concatenate([faces + start for (_, faces), start in zip(parts, starts[:-1], strict=True)])
    return Mesh(torch.from_numpy(np.concatenate([v for v, _ in parts])).float(), torch.from_numpy(faces))
