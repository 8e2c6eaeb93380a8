"""Meshes to be judged, from files that any tool may have written."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_bytes

FORMATS = (".ply", ".obj", ".glb", ".stl")

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""By name of a unit."""


def read_mesh(path: Path, *, unit: str = "m") -> Mesh:
    """Reads the triangles of a mesh file; all parts of a scene become one mesh.

    Vertices in the same place become one: textures and STL split them, and normals are to be smooth across such seams.
    No other file is read, whatever this one names.

    Args:
        path: A .ply, .obj, .glb or .stl file.
        unit: Of its coordinates, a key of `METRES`.

    Raises:
        HandsError: It is no such file, holds no triangles, or its numbers are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise HandsError(
            f"{path}: expected a mesh in {', '.join(FORMATS)}, found '{suffix}': export it as one of these."
        )
    try:
        shape = _parsed(read_bytes(path), suffix[1:])
        vertices, faces = np.asarray(shape.vertices, dtype=np.float64), np.asarray(shape.faces, dtype=np.int64)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected a mesh, found {error}: check the path, or export the mesh again."
        ) from error
    if not len(faces):
        raise HandsError(f"{path}: expected triangles, found {len(vertices)} points without any: export the surface.")
    return Mesh(torch.from_numpy(vertices * METRES[unit]).float(), torch.from_numpy(faces))


def _parsed(content: bytes, kind: str) -> trimesh.Trimesh:
    try:
        shape = trimesh.load(BytesIO(content), file_type=kind, force="mesh", process=False, skip_materials=True)
        faces = np.asarray(shape.faces)  # pyright: ignore[reportAttributeAccessIssue]
        if len(faces) and not 0 <= faces.min() <= faces.max() < len(shape.vertices):  # pyright: ignore[reportAttributeAccessIssue]
            raise UnreadableFile("faces of vertices that are not there")
        if not np.isfinite(shape.vertices).all():  # pyright: ignore[reportAttributeAccessIssue]
            raise UnreadableFile("coordinates that are NaN or infinity")
        shape.merge_vertices(merge_tex=True, merge_norm=True)  # pyright: ignore[reportAttributeAccessIssue]
        return shape  # pyright: ignore[reportReturnType]
    except UnreadableFile:
        raise
    # Readers of broken meshes fail in every way there is.
    except Exception as error:
        raise UnreadableFile(f"no {kind} that can be read ('{str(error).strip() or type(error).__name__}')") from error
