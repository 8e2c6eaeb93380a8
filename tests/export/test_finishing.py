"""Closed wrists, and hands that stand upright."""

from __future__ import annotations

import io

import numpy as np
import torch
import trimesh
from scipy.spatial.transform import Rotation

from nerfstudio_hands.export.avatar import rigs
from nerfstudio_hands.export.finishing import close_mesh, close_rig, transformed, upright_transform
from nerfstudio_hands.export.rigged_glb import rigged_glb_bytes
from nerfstudio_hands.export.textured_mesh import glb_bytes, obj_files, ply_bytes


def opened(content: bytes, kind: str) -> trimesh.Trimesh:
    """A file as another program reads it, with what the seams of the texture cut apart joined again."""
    mesh = trimesh.load(io.BytesIO(content), file_type=kind, process=False)
    mesh = mesh.to_mesh() if isinstance(mesh, trimesh.Scene) else mesh
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def test_files_are_watertight_and_were_not(mesh) -> None:
    closed = close_mesh(mesh)
    for before, after, kind in (
        (ply_bytes(mesh), ply_bytes(closed), "ply"),
        (obj_files(mesh, "hands")["hands.obj"], obj_files(closed, "hands")["hands.obj"], "obj"),
        (glb_bytes(mesh, "hands"), glb_bytes(closed, "hands"), "glb"),
    ):
        assert not opened(before, kind).is_watertight
        found = opened(after, kind)
        assert found.is_watertight and found.is_winding_consistent and found.volume > 0
        assert len(found.split()) == 2


def test_a_cover_shows_one_colour_of_its_rim(mesh) -> None:
    closed = close_mesh(mesh)
    covers, uv = closed.faces[len(mesh.faces) :], closed.uv[len(mesh.faces) :]
    assert len(covers) and np.ptp(uv, axis=1).max() == 0
    own = mesh.uv.reshape(-1, 2)[np.isin(mesh.faces.reshape(-1), covers)]
    assert all((own == corner).all(axis=1).any() for corner in uv[:, 0])
    assert np.array_equal(closed.faces[: len(mesh.faces)], mesh.faces) and len(closed.vertices) == len(mesh.vertices)


def test_a_closed_mesh_stays_as_it_is(mesh) -> None:
    closed = close_mesh(mesh)
    assert np.array_equal(close_mesh(closed).faces, closed.faces)


def test_rigs_are_closed_and_valid(surface, validate, tmp_path) -> None:
    texture, detail = np.full((16, 16, 3), 128, np.uint8), np.full((16, 16, 3), (128, 128, 255), np.uint8)
    plain = rigs(surface, [True, True], torch.zeros(10))
    for rig in plain:
        found = close_rig(rig)
        assert not trimesh.Trimesh(rig.vertices, rig.faces, process=False).is_watertight
        assert trimesh.Trimesh(found.vertices, found.faces, process=False).is_watertight
    content = rigged_glb_bytes([close_rig(rig) for rig in plain], texture, lit=True, normal_map=detail)
    report = validate(content, tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_what_is_up_in_the_capture_is_y_in_the_file(mesh) -> None:
    """A capture whose up is -y and whose hands are a metre away, as that of cameras of computer vision."""
    turn = Rotation.align_vectors([[0.0, 0.0, 1.0]], [[0.0, -1.0, 0.0]])[0].as_matrix()
    center = np.array([0.3, -0.2, 1.0])
    world = torch.from_numpy(np.column_stack([turn, -turn @ center])).float()
    moved = transformed(mesh, upright_transform(world))
    # A point a decimetre above the middle of the hands stands a decimetre above the origin.
    above = transformed(
        type(mesh)(np.array([[0.3, -0.3, 1.0]]), mesh.faces[:0], np.array([[0.0, -1.0, 0.0]]), mesh.uv[:0],
                   mesh.texture, mesh.vertex_colors[:1]),
        upright_transform(world),
    )  # fmt: skip
    np.testing.assert_allclose(above.vertices, [[0, 0.1, 0]], atol=1e-6)
    np.testing.assert_allclose(above.normals, [[0, 1, 0]], atol=1e-6)
    # Nothing is mirrored or scaled.
    volume = [trimesh.Trimesh(m.vertices, close_mesh(m).faces, process=False).volume for m in (mesh, moved)]
    assert volume[0] > 0
    np.testing.assert_allclose(volume[1], volume[0], rtol=1e-4)
