"""The true surfaces of a capture that `ns-hands synthesize capture-room` rendered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from trimesh.util import append_faces

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.synthesis.capture_room import subject_in_motion
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, posed_surfaces
from nerfstudio_hands.synthesis.options import CaptureRoomOptions, SubjectOptions
from nerfstudio_hands.synthesis.scene import PosedMesh
from nerfstudio_hands.synthesis.subject import Subject

SAME = 1e-5
"""Metres by which rounding may move the hands."""

NEAR = 0.01
"""Metres from the fitted hand within which a true surface is taken for the hand's."""


@dataclass
class SyntheticTruth:
    """What was rendered, made once more from its options.

    Attributes:
        options: Those that the surfaces depend on.
        subject: The person.
        motion: The hands in every frame.
    """

    options: CaptureRoomOptions
    subject: Subject
    motion: MotionSequence

    def hands(self, frame: int) -> Mesh:
        """The rendered skin of all hands with their forearms, world meters."""
        return _joined(self._surfaces("skin", frame))

    def held(self, frame: int) -> Mesh | None:
        """What a hand holds, world meters."""
        return None if self.options.object is None else _joined(self._surfaces("object", frame))

    def _surfaces(self, kind: str, frame: int) -> list[PosedMesh]:
        return [posed for posed in posed_surfaces(self.subject, self.motion, frame) if posed[0].kind == kind]


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
            subject=_subject_options(folder / "options.json"),
        )
        stored = file["vertices"]
    subject, motion = subject_in_motion(options)
    found = motion.vertices[:, motion.is_there].reshape(stored.shape)
    off = float(np.abs(found - stored).max())
    if off > SAME:
        raise HandsError(
            f"{path}: expected the hands that its options give here, found some {1e3 * off:.2g} mm away; synthesize "
            "the capture again, on this machine and with this version."
        )
    return SyntheticTruth(options, subject, motion)


def _subject_options(path: Path) -> SubjectOptions:
    """What sets the subject apart, which a capture says where something does."""
    return SubjectOptions(**json.loads(path.read_text())["subject"]) if path.is_file() else SubjectOptions()


def near_hand(truth: Mesh, fitted: Mesh) -> Mesh:
    """The truth with the faces nearest to the fitted hand, not to its stub, as region: forearms do not count."""
    centers = truth.vertices[truth.faces].mean(dim=1)
    near = Surfaces(fitted.faces, fitted.vertices[None]).closest(centers, max_distance=NEAR)
    return Mesh(truth.vertices, truth.faces, (near.face >= 0) & fitted.region[near.face.clamp(min=0)])


def _joined(parts: list[PosedMesh]) -> Mesh:
    vertices, faces = append_faces([vertices for _, vertices in parts], [mesh.faces for mesh, _ in parts])
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces))
