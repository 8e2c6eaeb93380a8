"""Gaussians as glTF beside the PLY of the same Gaussians."""

from __future__ import annotations

import torch
from helpers.gltf_reading import Gltf
from test_splat_ply import made_up_cloud, numbered, read

from nerfstudio_hands.export.splat_glb import splat_glb_bytes
from nerfstudio_hands.export.splat_ply import splat_ply_bytes
from nerfstudio_hands.transforms.rotations import rotation_matrix

EXTENSION = "KHR_gaussian_splatting"


def test_the_file_has_the_numbers_of_the_ply():
    """Scales are linear, opacities are not logits, and quaternions end with their scalar, as the extension asks."""
    cloud = made_up_cloud(40)
    move = torch.cat([rotation_matrix(torch.tensor([0.5, -0.8, 0.3])), torch.tensor([[0.1], [0.2], [-0.3]])], dim=1)
    file = Gltf(splat_glb_bytes(cloud, move))
    ply = read(splat_ply_bytes(cloud, move))
    (primitive,) = file.document["meshes"][0]["primitives"]
    found = {
        name.removeprefix(f"{EXTENSION}:"): torch.from_numpy(file.accessor(number).copy())
        for name, number in primitive["attributes"].items()
    }
    expected = {
        "POSITION": torch.stack([ply[axis] for axis in "xyz"], dim=1),
        "ROTATION": numbered(ply, "rot", 4)[:, [1, 2, 3, 0]],
        "SCALE": numbered(ply, "scale", 3).exp(),
        "OPACITY": ply["opacity"].sigmoid()[:, None],
        "SH_DEGREE_0_COEF_0": numbered(ply, "f_dc", 3),
        **{f"SH_DEGREE_1_COEF_{k}": numbered(ply, "f_rest", 9).view(-1, 3, 3)[..., k] for k in range(3)},
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.allclose(found[name], values, atol=1e-6), name
    assert (found["ROTATION"].norm(dim=1) - 1).abs().max() < 1e-5


def test_the_primitive_says_what_the_extension_requires():
    file = Gltf(splat_glb_bytes(made_up_cloud(5), torch.eye(3, 4)))
    (primitive,) = file.document["meshes"][0]["primitives"]
    assert primitive["mode"] == 0 and file.document["extensionsUsed"] == [EXTENSION]
    assert primitive["extensions"] == {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}}
    assert {"min", "max"} <= file.document["accessors"][primitive["attributes"]["POSITION"]].keys()
