"""Written files are opened by other libraries, which must find the same surface in the same colours."""

import dataclasses
from collections.abc import Callable

import numpy as np
import open3d
import pygltflib
import pytest
import torch
import trimesh

from nerfstudio_hands.export.avatar import visible_part
from nerfstudio_hands.export.textured_mesh import glb_bytes, obj_files, ply_bytes, split_at_seams


def same_triangles(vertices, faces, mesh) -> None:
    """The corners of all triangles agree, in order and orientation."""
    np.testing.assert_allclose(np.asarray(vertices)[np.asarray(faces)], mesh.vertices[mesh.faces], atol=1e-6)


def sampled(uv: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Nearest texel at texture coordinates with v upwards."""
    size = len(picture)
    column, row = (uv[:, 0] * size).astype(int).clip(0, size - 1), ((1 - uv[:, 1]) * size).astype(int).clip(0, size - 1)
    return picture[row, column, :3] / 255


@pytest.fixture
def expected_color(smooth_color) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: smooth_color(torch.as_tensor(np.asarray(points)).float()).numpy()


def test_ply_in_open3d_and_trimesh(mesh, expected_color, tmp_path):
    path = tmp_path / "hands.ply"
    path.write_bytes(ply_bytes(mesh))
    opened = open3d.io.read_triangle_mesh(str(path))
    same_triangles(opened.vertices, opened.triangles, mesh)
    np.testing.assert_allclose(np.asarray(opened.vertex_colors), expected_color(opened.vertices), atol=0.003)
    np.testing.assert_allclose(np.asarray(opened.vertex_normals), mesh.normals, atol=1e-6)
    again = trimesh.load(path, process=False)
    same_triangles(again.vertices, again.faces, mesh)
    np.testing.assert_array_equal(again.visual.vertex_colors[:, :3], mesh.vertex_colors)


def test_obj_in_trimesh(mesh, expected_color, tmp_path):
    for name, content in obj_files(mesh, "hands").items():
        (tmp_path / name).write_bytes(content)
    opened = trimesh.load(tmp_path / "hands.obj", process=False)
    same_triangles(opened.vertices, opened.faces, mesh)
    picture = np.asarray(opened.visual.material.image.convert("RGB"))
    np.testing.assert_array_equal(picture, mesh.texture)
    found = sampled(opened.visual.uv, picture)
    np.testing.assert_allclose(found, expected_color(opened.vertices), atol=0.03)


def test_obj_in_open3d(mesh, expected_color, tmp_path):
    for name, content in obj_files(mesh, "hands").items():
        (tmp_path / name).write_bytes(content)
    opened = open3d.io.read_triangle_mesh(str(tmp_path / "hands.obj"), enable_post_processing=False)
    same_triangles(opened.vertices, opened.triangles, mesh)
    picture = next(np.asarray(texture) for texture in opened.textures if not texture.is_empty())
    corners = np.asarray(opened.vertices)[np.asarray(opened.triangles)].reshape(-1, 3)
    # Open3D turns pictures upside down on reading, so that their first row is v = 0.
    found = sampled(np.asarray(opened.triangle_uvs), picture[::-1])
    np.testing.assert_allclose(found, expected_color(corners), atol=0.03)


def test_glb_in_trimesh(mesh, expected_color, tmp_path):
    path = tmp_path / "hands.glb"
    path.write_bytes(glb_bytes(mesh, "hands"))
    opened = trimesh.load(path, process=False).geometry["hands"]
    same_triangles(opened.vertices, opened.faces, mesh)
    picture = np.asarray(opened.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(picture, mesh.texture)
    np.testing.assert_allclose(sampled(opened.visual.uv, picture), expected_color(opened.vertices), atol=0.03)


def test_glb_v_points_down(mesh, expected_color):
    """The raw coordinates of the file, read without a library that turns them."""
    document = pygltflib.GLTF2.load_from_bytes(glb_bytes(mesh, "hands"))
    accessor = document.accessors[document.meshes[0].primitives[0].attributes.TEXCOORD_0]
    view = document.bufferViews[accessor.bufferView]
    blob = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    raw = np.frombuffer(blob, np.float32).reshape(-1, 2)
    split = split_at_seams(mesh.faces, mesh.uv)
    size = len(mesh.texture)
    found = mesh.texture[(raw[:, 1] * size).astype(int), (raw[:, 0] * size).astype(int)] / 255
    np.testing.assert_allclose(found, expected_color(mesh.vertices[split.source]), atol=0.03)


def test_glb_passes_the_validator(mesh, validate, tmp_path):
    report = validate(glb_bytes(mesh, "hands"), tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["totalTriangleCount"] == len(mesh.faces)


def test_seams_double_no_more_vertices_than_needed(mesh):
    split = split_at_seams(mesh.faces, mesh.uv)
    np.testing.assert_array_equal(split.source[split.faces], mesh.faces)
    np.testing.assert_allclose(split.uv[split.faces], mesh.uv, atol=1e-7)
    pairs = set(zip(mesh.faces.ravel().tolist(), map(tuple, mesh.uv.reshape(-1, 2).tolist()), strict=True))
    assert len(split.source) == len(pairs)


@pytest.mark.parametrize("absent", [0, 1])
def test_a_hand_without_a_pose_is_left_out(surface, pose, absent):
    valid = torch.ones(2, dtype=torch.bool)
    valid[absent] = False
    part = visible_part(surface, dataclasses.replace(pose, valid=valid), torch.zeros(10))
    there = surface.pose(pose, torch.zeros(10)).vertices
    torch.testing.assert_close(part.vertices[part.faces], there[surface.faces[part.face_ids]])
    assert (surface.face_side[part.face_ids] == 1 - absent).all()
    assert len(part.faces) == len(surface.hands[1 - absent].faces)
