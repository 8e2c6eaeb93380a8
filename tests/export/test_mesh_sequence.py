"""Sequences of mesh files, opened by trimesh frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.export.avatar import visible_part
from nerfstudio_hands.export.bake import bake_texture
from nerfstudio_hands.export.mesh_sequence import mesh_sequence, rest_pose
from nerfstudio_hands.hand_model import HandPose

SHAPE = torch.zeros(10)


@pytest.fixture(scope="module")
def texture(surface) -> np.ndarray:
    """Colours of the canonical place, which no pose changes."""
    low, high = surface.canonical.amin(dim=0), surface.canonical.amax(dim=0)
    places = (surface.canonical - low) / (high - low)
    return bake_texture(surface.faces, surface.uv, places, lambda points, *_: points, 512).numpy()


@pytest.fixture(scope="module")
def poses() -> HandPose:
    """Both hands, then the right one, none, both."""
    pose = HandPose.rest(2, (4,))
    pose.local_rotations = 0.3 * torch.randn(4, 2, 15, 3, generator=torch.Generator().manual_seed(0))
    pose.translation[:, 1, 0] = 0.3
    pose.valid = torch.tensor([[True, True], [False, True], [False, False], [True, True]])
    return pose


def written(folder, surface, poses, texture, **options) -> list[str]:
    frames = (visible_part(surface, poses[frame], SHAPE) for frame in range(4))
    names = []
    for name, content in mesh_sequence(frames, texture, num_frames=4, **options):
        (folder / name).write_bytes(content)
        names.append(name)
    return names


def expected_corners(surface, pose) -> np.ndarray:
    keep = pose.valid[surface.face_side]
    return surface.pose(pose, SHAPE).vertices[surface.faces[keep]].numpy()


def canonical_color(surface, pose) -> np.ndarray:
    low, high = surface.canonical.amin(dim=0), surface.canonical.amax(dim=0)
    return ((surface.canonical - low) / (high - low))[surface.faces[pose.valid[surface.face_side]]].numpy()


def test_obj_frames_share_one_texture(surface, poses, texture, tmp_path):
    names = written(tmp_path, surface, poses, texture, lit=True)
    assert names == ["hands.mtl", "hands.png", "frame_0000.obj", "frame_0001.obj", "frame_0003.obj"]
    for frame in (0, 1, 3):
        mesh = trimesh.load(tmp_path / f"frame_{frame:04}.obj", process=False)
        np.testing.assert_allclose(mesh.vertices[mesh.faces], expected_corners(surface, poses[frame]), atol=1e-6)
        picture = np.asarray(mesh.visual.material.image.convert("RGB"))
        np.testing.assert_array_equal(picture, texture)
        colors = mesh.visual.material.to_pbr().baseColorTexture
        assert colors.size == (512, 512)
        u, v = mesh.visual.uv[mesh.faces].reshape(-1, 2).T
        found = picture[((1 - v) * 512).astype(int).clip(0, 511), (u * 512).astype(int).clip(0, 511)] / 255
        np.testing.assert_allclose(found, canonical_color(surface, poses[frame]).reshape(-1, 3), atol=0.03)


def test_ply_frames_have_the_textures_colours(surface, poses, texture, tmp_path):
    assert written(tmp_path, surface, poses, texture, format="ply") == [f"frame_000{k}.ply" for k in (0, 1, 3)]
    mesh = trimesh.load(tmp_path / "frame_0001.ply", process=False)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], expected_corners(surface, poses[1]), atol=1e-6)
    found = mesh.visual.vertex_colors[:, :3][mesh.faces] / 255
    np.testing.assert_allclose(found, canonical_color(surface, poses[1]), atol=0.03)


def test_frames_are_made_one_at_a_time(surface, poses, texture):
    made = []

    def frames():
        for frame in range(4):
            made.append(frame)
            yield visible_part(surface, poses[frame], SHAPE)

    files = mesh_sequence(frames(), texture, num_frames=4, format="ply")
    next(files)
    assert made == [0]
    files.close()


def test_long_sequences_sort_by_name(surface, poses, texture):
    files = mesh_sequence([visible_part(surface, poses[0], SHAPE)], texture, num_frames=20_000, format="ply")
    assert next(files)[0] == "frame_00000.ply"


def test_rest_pose_is_the_canonical_hand(surface):
    posed = surface.pose(rest_pose(surface), SHAPE).vertices
    torch.testing.assert_close(posed, surface.canonical, atol=1e-6, rtol=0)


def test_lit_material(surface, poses, texture):
    def material(lit: bool) -> str:
        frames = [visible_part(surface, poses[0], SHAPE)]
        return dict(mesh_sequence(frames, texture, num_frames=1, lit=lit))["hands.mtl"].decode()

    assert "illum 2" in material(True) and "illum 0" in material(False)
