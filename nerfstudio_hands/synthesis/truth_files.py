"""What is true of a rendered capture, as files: who was rendered, what the hands did, and the skin as a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from trimesh.util import append_faces

from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.held_object import object_arrays
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence
from nerfstudio_hands.synthesis.physique import person_arrays
from nerfstudio_hands.synthesis.subject import Subject
from nerfstudio_hands.transforms.color import GAMMA


def write_subject(folder: Path, subject: Subject, seed: int, **more: np.ndarray) -> None:
    """Write `subject.npz`: seed, sides, shape, faces of both sides, and what `person_arrays` and `object_arrays` say.

    Args:
        folder: `truth` of the capture.
        subject: Who was rendered.
        seed: Of what.
        more: Further arrays by name.
    """
    np.savez_compressed(
        folder / "subject.npz",
        seed=seed,
        sides=np.array(SIDES),
        shape=subject.shape.double().numpy(),
        **more,  # pyright: ignore[reportArgumentType]
        **{f"faces_{side}": default_hand(side).faces.numpy().astype(np.int32) for side in SIDES},  # pyright: ignore[reportArgumentType]
        **person_arrays([hand.own for hand in subject.hands.values()]),
        **(object_arrays(subject.held) if subject.held else {}),
    )


def write_sequence(folder: Path, sequence: MotionSequence, **more: np.ndarray) -> None:
    """Write `<name>.npz`: poses, joints and vertices of each frame, meters, and of an object its poses.

    Args:
        folder: `truth` of the capture.
        sequence: What the hands do.
        more: Further arrays by name.
    """
    names = ["frames", "is_there", "global_orient", "local_rotations", "translation", "keypoints", "vertices"]
    names += [] if sequence.object_to_world is None else ["object_to_world"]
    arrays = {name: getattr(sequence, name) for name in names}
    np.savez_compressed(folder / f"{sequence.name}.npz", **arrays, **more)  # pyright: ignore[reportArgumentType]


def write_skin(path: Path, subject: Subject, surfaces: Sequence[Float[np.ndarray, "_ 3"]]) -> None:
    """Write the rendered skin, forearms included, at one subdivision: every vertex lies on the rendered surface.

    Args:
        path: A .ply file.
        subject: Whose skin.
        surfaces: Its fine vertices a hand, world meters.
    """
    vertices, faces, albedo = [], [], []
    for hand, surface in zip(subject.hands.values(), surfaces, strict=True):
        faces.append(hand.tessellation.faces[1])
        count = int(faces[-1].max()) + 1
        vertices.append(surface[:count])
        albedo.append(hand.skin.material.albedo[:count])
    write_mesh(path, *append_faces(vertices, faces), np.concatenate(albedo))


def write_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray, albedo: Float[np.ndarray, "N 3"]) -> None:
    """Write a mesh as .ply whose colors are the linear albedo as pixel values store it."""
    colors: UInt8[np.ndarray, "N 3"] = np.round(255 * albedo ** (1 / GAMMA)).astype(np.uint8)
    mesh = trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False)
    path.write_bytes(mesh.export(file_type="ply"))  # pyright: ignore[reportArgumentType]
