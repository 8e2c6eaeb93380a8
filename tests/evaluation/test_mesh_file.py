"""Mesh files of every kind, also broken ones and those that name other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from helpers.shapes import ball

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_file import FORMATS, read_mesh
from nerfstudio_hands.evaluation.mesh_metrics import surface_errors


def written(path: Path, shape: trimesh.Trimesh) -> Path:
    shape.export(path)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_surface_and_smooth_normals(suffix: str, tmp_path: Path):
    path = written(tmp_path / f"ball{suffix}", trimesh.creation.icosphere(subdivisions=4, radius=50))
    found = read_mesh(path, unit="mm")
    # STL stores every corner of every triangle.
    assert len(found.vertices) == len(ball(0.05).vertices) and len(found.faces) == len(ball(0.05).faces)
    errors = surface_errors(found, ball(0.05), num_samples=1000)
    assert errors.to_truth.percentile_95 < 1e-3 and errors.normal_to_truth < 0.05


def test_seams_of_textures_are_closed(tmp_path: Path):
    # Two triangles that share an edge, each with texture coordinates of its own.
    lines = ["mtllib /etc/passwd", "v 0 0 0", "v 1 0 0", "v 1 1 0", "v 0 1 0"]
    lines += [f"vt {k / 6} 0" for k in range(6)] + ["usemtl skin", "f 1/1 2/2 3/3", "f 1/4 3/5 4/6"]
    (tmp_path / "two.obj").write_text("\n".join(lines))
    found = read_mesh(tmp_path / "two.obj")
    assert found.vertices.shape == (4, 3) and found.faces.shape == (2, 3)
    assert len(set(found.faces[0].tolist()) & set(found.faces[1].tolist())) == 2


def test_parts_of_a_scene_are_where_the_scene_puts_them(tmp_path: Path):
    scene = trimesh.Scene()
    for k in (0, 1):
        shift = trimesh.transformations.translation_matrix([0.3 * k, 0, 0])
        scene.add_geometry(trimesh.creation.icosphere(radius=0.05), transform=shift)
    scene.export(tmp_path / "pair.glb")
    found = read_mesh(tmp_path / "pair.glb")
    np.testing.assert_allclose(found.vertices.amax(0), [0.35, 0.05, 0.05], atol=2e-3)


def points(path: Path) -> None:
    trimesh.PointCloud(np.zeros((4, 3))).export(path)


BAD = {
    "none.ply": (lambda path: None, "no such file"),
    "mesh.fbx": (lambda path: path.write_bytes(b"x"), "expected a mesh in .ply, .obj, .glb, .stl, found '.fbx'"),
    "folder.obj": (Path.mkdir, "a folder"),
    "empty.ply": (lambda path: path.write_bytes(b""), "no ply that can be read"),
    "words.obj": (lambda path: path.write_text("these are words"), "expected"),
    "cut.glb": (lambda path: path.write_bytes(b"glTF\x02\x00\x00\x00\xff\xff\x00\x00"), "no glb that can be read"),
    "points.ply": (points, "expected"),
    "beyond.obj": (lambda path: path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"), "expected a mesh, found"),
    "nan.obj": (lambda path: path.write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"), "NaN or infinity"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence(name: str, tmp_path: Path):
    make, words = BAD[name]
    make(tmp_path / name)
    with pytest.raises(HandsError) as raised:
        read_mesh(tmp_path / name)
    sentence = str(raised.value)
    assert sentence.startswith(f"{tmp_path / name}: expected") and words in sentence and "\n" not in sentence
    assert sentence.endswith(".")


def test_units_are_meters(tmp_path: Path):
    path = written(tmp_path / "box.stl", trimesh.creation.box(extents=(4.0, 2.0, 1.0)))
    for unit, factor in (("m", 1.0), ("cm", 0.01), ("mm", 0.001)):
        extent = read_mesh(path, unit=unit).vertices.amax(0) * 2
        torch.testing.assert_close(extent, factor * torch.tensor([4.0, 2.0, 1.0]))
