"""Meshes and poses of held things from the files of data sets."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.files.mesh_reading import read_triangles
from nerfstudio_hands.hand_images.hand_image import HeldMesh

RIGID = 1e-3
"""Entries of a rotation times its transpose may be so far from those of the identity."""

KEPT = 64
"""Meshes that a process keeps; batches ask for theirs again and again."""

FAR = 20.0
"""Vertices farther from the origin than so many times the median are stray ones, which some of ShapeNet's meshes have
(Hasson et al., CVPR 2019, leave them out)."""


def read_held(path: Path, remedy: str) -> HeldMesh:
    """The mesh of a file, .obj or a pickled dictionary of vertices and faces; those asked for last are kept.

    Raises:
        HandsError: It is missing or broken, or holds no triangles.
    """
    return _read(path, remedy, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=KEPT)
def _read(path: Path, remedy: str, written: int) -> HeldMesh:
    """See `read_held`; a file that was written again is read again."""
    del written
    try:
        if path.suffix == ".pkl":
            found = read_array_pickle(path)
            vertices, faces = found["vertices"], found["faces"].astype(np.int64)
            if not 0 <= faces.min() <= faces.max() < len(vertices):
                raise UnreadableFile("faces of vertices that are not there")
        else:
            vertices, faces = read_triangles(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected the mesh of a held thing, found {error}; {remedy}.") from error
    except (KeyError, ValueError) as error:
        raise HandsError(f"{path}: expected vertices and faces, found no such arrays; {remedy}.") from error
    if not len(faces):
        raise HandsError(f"{path}: expected the mesh of a held thing, found no faces; {remedy}.")
    return HeldMesh(vertices.astype(np.float32), faces)


def without_strays(mesh: HeldMesh) -> HeldMesh:
    """The mesh without faces of vertices that are `FAR` from all others."""
    away = np.linalg.norm(mesh.vertices, axis=1)
    near = away < FAR * np.median(away)
    if near.all():
        return mesh
    faces = mesh.faces[near[mesh.faces].all(1)]
    used, number = np.unique(faces, return_inverse=True)
    return HeldMesh(mesh.vertices[used], number.reshape(faces.shape))


def moved(mesh: HeldMesh, transform: Float[np.ndarray, "4 4"]) -> HeldMesh:
    """The mesh with its vertices mapped."""
    vertices = mesh.vertices @ transform[:3, :3].T + transform[:3, 3]
    return HeldMesh(vertices.astype(np.float32), mesh.faces)


def checked_pose(transform: Float[np.ndarray, "R 4"], source: Path) -> Float[np.ndarray, "4 4"]:
    """A rigid motion of 3 or 4 rows as one of 4.

    Raises:
        HandsError: It is none.
    """
    whole = np.eye(4)
    whole[: len(transform)] = transform if np.isfinite(transform).all() else 0.0
    rotation = whole[:3, :3]
    off, volume = np.abs(rotation @ rotation.T - np.eye(3)).max(), np.linalg.det(rotation)
    if off > RIGID or volume < 0 or np.abs(whole[3] - [0, 0, 0, 1]).max() > RIGID:
        raise HandsError(
            f"{source}: expected a rigid motion of the held thing, found one that scales, shears or mirrors it "
            f"(R R^T is {off:.2g} from the identity, its determinant {volume:.3g}); unpack the data "
            "set again, or leave this picture out."
        )
    return whole
