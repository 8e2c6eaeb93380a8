"""A learned texture, baked into a picture file and into vertex colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.export.avatar import textured_mesh, visible_part
from nerfstudio_hands.export.bake import bake_texture, surface_points_of_texels
from nerfstudio_hands.export.textured_mesh import glb_bytes, obj_files, ply_bytes
from nerfstudio_hands.model_components.albedo_colors import albedo_colors


@pytest.fixture(scope="module")
def albedo() -> torch.Tensor:
    """Red grows with u, green with v, blue is a half; the first row is v = 1."""
    centers = (torch.arange(256) + 0.5) / 256
    v, u = torch.meshgrid(1 - centers, centers, indexing="ij")
    return torch.stack([u, v, torch.full_like(u, 0.5)], dim=-1)


def test_at_its_own_size_the_texture_is_the_albedo(surface, albedo):
    color = albedo_colors(albedo, surface.uv, linear=False)
    texture = bake_texture(surface.faces, surface.uv, surface.canonical, color, 256).float() / 255
    inside = surface_points_of_texels(surface.uv, 256, padding=1e-3)[0] >= 0
    assert inside.float().mean() > 0.3
    assert (texture - albedo)[inside].abs().max() < 0.003


def test_linear_albedo_is_encoded(surface, albedo):
    color = albedo_colors(albedo, surface.uv, linear=True)
    texture = bake_texture(surface.faces, surface.uv, surface.canonical, color, 64)
    # 188 is the sRGB code of half the light.
    assert (texture[..., 2] == 188).all()


def test_other_sizes_and_vertex_colours_in_trimesh(surface, pose, albedo, tmp_path):
    part = visible_part(surface, pose, torch.zeros(10))
    mesh = textured_mesh(part, albedo_colors(albedo, surface.uv, linear=False), 512)
    for name, content in obj_files(mesh, "hands", lit=True).items():
        (tmp_path / name).write_bytes(content)
    opened = trimesh.load(tmp_path / "hands.obj", process=False)
    picture = np.asarray(opened.visual.material.image.convert("RGB")) / 255
    u, v = opened.visual.uv.T
    found = picture[((1 - v) * 512).astype(int).clip(0, 511), (u * 512).astype(int).clip(0, 511)]
    # A texel of padding may lie up to its diagonal off.
    np.testing.assert_allclose(found[:, :2], opened.visual.uv, atol=0.006)
    assert "illum 2" in (tmp_path / "hands.mtl").read_text()

    (tmp_path / "hands.ply").write_bytes(ply_bytes(mesh))
    colors = trimesh.load(tmp_path / "hands.ply", process=False).visual.vertex_colors / 255
    at_seams = [surface.uv.numpy()[surface.faces.numpy() == vertex] for vertex in range(0, surface.num_vertices, 50)]
    for color, places in zip(colors[::50, :2], at_seams, strict=True):
        assert np.abs(places - color).max(axis=1).min() < 0.006


def test_lit_glb_has_no_unlit_extension(surface, pose, albedo, validate, tmp_path):
    part = visible_part(surface, pose, torch.zeros(10))
    mesh = textured_mesh(part, albedo_colors(albedo, surface.uv, linear=True), 64)
    report = validate(glb_bytes(mesh, "hands", lit=True), tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert "KHR_materials_unlit" not in report["info"].get("extensionsUsed", [])
    assert "KHR_materials_unlit" in validate(glb_bytes(mesh, "hands"), tmp_path)["info"]["extensionsUsed"]
