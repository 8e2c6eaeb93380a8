"""An exported mesh from several sides, clay above and its texture below, drawn by other libraries than ours.

ns-hands export --load-config CONFIG --output-dir mesh --format obj
python scripts/mesh_sides.py --mesh mesh/avatar.obj --output docs/images/hand_mesh_sides.jpg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open3d as o3d
import trimesh
import tyro
from PIL import Image

FIELD_OF_VIEW = 30
"""Degrees."""

CLOSENESS = 0.85
"""Distance of the camera over that from which the sphere round the bounding box would be seen whole."""

SUPERSAMPLING = 2
"""Pixels drawn for the side of one."""


def main(mesh: Path, output: Path, *, sides: int = 6, elevation: float = 15.0, size: int = 320) -> None:
    """Draws a mesh from all round.

    Args:
        mesh: OBJ or GLB with a texture; y is up.
        output: Picture to write.
        sides: From how many sides.
        elevation: Of the camera above the horizon, degrees.
        size: Side of each view in pixels.
    """
    shape = trimesh.load(mesh, force="mesh")
    shape.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))  # the sides turn round z
    material = shape.visual.material
    texture = getattr(material, "baseColorTexture", None) or material.image
    texels = np.asarray(texture.convert("RGB"), dtype=np.float32) / 255
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        *map(o3d.core.Tensor, (np.asarray(shape.vertices, "float32"), np.asarray(shape.faces, "uint32")))
    )
    middle, radius = shape.bounds.mean(axis=0), np.linalg.norm(shape.extents) / 2
    away = CLOSENESS * radius / np.sin(np.radians(FIELD_OF_VIEW / 2))
    fine = SUPERSAMPLING * size
    views = []
    for angle in np.linspace(0, 2 * np.pi, sides, endpoint=False):
        up = np.radians(elevation)
        eye = middle + away * np.array([np.cos(up) * np.cos(angle), np.cos(up) * np.sin(angle), np.sin(up)])
        rays = scene.create_rays_pinhole(FIELD_OF_VIEW, middle, eye, [0, 0, 1], fine, fine)
        hits = scene.cast_rays(rays)
        seen = np.isfinite(hits["t_hit"].numpy())
        corners = shape.faces[hits["primitive_ids"].numpy()[seen]]
        u, v = hits["primitive_uvs"].numpy()[seen].T
        weights = np.stack([1 - u - v, u, v], axis=1)[..., None]
        normals = (shape.vertex_normals[corners] * weights).sum(axis=1)
        towards = rays.numpy()[seen][:, 3:]
        facing = np.abs((normals * towards).sum(axis=1)) / np.linalg.norm(towards, axis=1)
        uv = (shape.visual.uv[corners] * weights).sum(axis=1) * [texels.shape[1], texels.shape[0]]
        column = np.clip(uv[:, 0].astype(int), 0, texels.shape[1] - 1)
        row = np.clip(texels.shape[0] - 1 - uv[:, 1].astype(int), 0, texels.shape[0] - 1)
        clay, colored = np.ones((fine, fine, 3)), np.ones((fine, fine, 3))
        clay[seen], colored[seen] = (0.15 + 0.75 * facing)[:, None], texels[row, column]
        views.append(np.concatenate([clay, colored]))
    sheet = Image.fromarray((np.concatenate(views, axis=1) * 255).astype(np.uint8))
    sheet.reduce(SUPERSAMPLING).save(output, quality=90)


if __name__ == "__main__":
    tyro.cli(main)
