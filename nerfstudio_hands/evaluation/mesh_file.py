"""Meshes to be judged, from files that any tool may have written."""

from __future__ import annotations

from pathlib import Path

import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.files.mesh_reading import read_triangles

FORMATS = (".ply", ".obj", ".glb", ".stl")

METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""By name of a unit."""


def read_mesh(path: Path, *, unit: str = "m") -> Mesh:
    """Reads the triangles of a mesh file; all parts of a scene become one mesh.

    Vertices in the same place become one: textures and STL split them, and normals are to be smooth across such seams.
    No other file is read, whatever this one names.

    Args:
        path: A .ply, .obj, .glb or .stl file.
        unit: Of its coordinates, a key of `METERS`.

    Raises:
        HandsError: It is no such file, holds no triangles, or its numbers are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise HandsError(
            f"{path}: expected a mesh in {', '.join(FORMATS)}, found '{suffix}': export it as one of these."
        )
    try:
        vertices, faces = read_triangles(path)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected a mesh, found {error}: check the path, or export the mesh again."
        ) from error
    if not len(faces):
        raise HandsError(f"{path}: expected triangles, found {len(vertices)} points without any: export the surface.")
    return Mesh(torch.from_numpy(vertices * METERS[unit]).float(), torch.from_numpy(faces))

