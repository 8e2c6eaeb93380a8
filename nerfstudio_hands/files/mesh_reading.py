"""Triangles of mesh files that any tool may have written."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float64, Int64

from nerfstudio_hands.files.guarded_files import UnreadableFile, read_bytes


def read_triangles(path: Path) -> tuple[Float64[np.ndarray, "V 3"], Int64[np.ndarray, "F 3"]]:
    """Vertices and faces of a mesh; all parts of a scene become one mesh, and faces of more corners are cut.

    Vertices in the same place become one: textures and STL split them. No other file is read, whatever this one names.

    Args:
        path: A .ply, .obj, .glb or .stl file; its ending says which.

    Raises:
        UnreadableFile: It cannot be read, is broken, or its numbers are not finite.
    """
    content, kind = read_bytes(path), path.suffix.lower()[1:]
    try:
        shape = trimesh.load(BytesIO(content), file_type=kind, force="mesh", process=False, skip_materials=True)
        faces = np.asarray(shape.faces)  # pyright: ignore[reportAttributeAccessIssue]
        if len(faces) and not 0 <= faces.min() <= faces.max() < len(shape.vertices):  # pyright: ignore[reportAttributeAccessIssue]
            raise UnreadableFile("faces of vertices that are not there")
        if not np.isfinite(shape.vertices).all():  # pyright: ignore[reportAttributeAccessIssue]
            raise UnreadableFile("coordinates that are NaN or infinity")
        shape.merge_vertices(merge_tex=True, merge_norm=True)  # pyright: ignore[reportAttributeAccessIssue]
        vertices, faces = shape.vertices, shape.faces  # pyright: ignore[reportAttributeAccessIssue]
        return np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    except UnreadableFile:
        raise
    # Readers of broken meshes fail in every way there is.
    except Exception as error:
        raise UnreadableFile(f"no {kind} that can be read ('{str(error).strip() or type(error).__name__}')") from error
