"""Seams of the atlas are found, and can be closed."""

from __future__ import annotations

import torch

from nerfstudio_hands.fields.hand_field import HandField
from nerfstudio_hands.fields.seams import seam_edges
from nerfstudio_hands.hand_model import HandSurface, default_hand


def test_a_seam_of_two_triangles():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    whole = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])[faces]
    assert len(seam_edges(faces, whole)[0]) == 0
    moved = whole.clone()
    moved[1] += 0.5
    face, corner = seam_edges(faces, moved)
    assert face.tolist() == [[0, 1]]
    # The same vertex first on both sides: 1, then 2.
    assert faces[face[..., None], corner].tolist() == [[[1, 2], [1, 2]]]


def test_seams_of_the_hand_join_the_same_vertices_at_other_places_of_the_atlas():
    surface = HandSurface((default_hand("left"), default_hand("right")))
    face, corner = seam_edges(surface.faces, surface.uv)
    assert len(face) > 20
    vertices = surface.faces[face[..., None], corner]
    assert torch.equal(vertices[:, 0], vertices[:, 1])
    uv = surface.uv[face[..., None], corner]
    assert ((uv[:, 0] - uv[:, 1]).abs().amax(dim=(1, 2)) > 1e-5).all()


def test_the_difference_across_seams_can_be_learned_away():
    surface = HandSurface((default_hand("right"),))
    torch.manual_seed(0)
    options = {"canonical_resolutions": (8,), "channels": 4, "hidden_dim": 16, "implementation": "torch"}
    field = HandField(
        surface.faces, surface.uv, surface.canonical,
        num_hands=1, pose_dim=0, position="uv", uv_resolutions=(32, 128), **options,
    )  # fmt: skip
    before = float(field.seam_difference())
    optimizer = torch.optim.Adam(field.parameters(), lr=2e-2)
    for _ in range(200):
        optimizer.zero_grad()
        field.seam_difference().backward()
        optimizer.step()
    assert float(field.seam_difference()) < 0.02 * before
    canonical = HandField(
        surface.faces, surface.uv, surface.canonical,
        num_hands=1, pose_dim=0, position="canonical", uv_resolutions=(32,), **options,
    )  # fmt: skip
    assert canonical.seam_difference() == 0
