"""Seams of the atlas are found, and can be closed."""

from __future__ import annotations

import torch

from nerfstudio_hands.fields.position_encoding import SurfaceEncoding
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
    options = {"num_hands": 1, "uv_resolutions": (32, 128), "canonical_resolutions": (8,), "channels": 4}
    place = SurfaceEncoding(surface.faces, surface.uv, surface.canonical, position="uv", **options)
    before = float(place.seam_difference())
    optimizer = torch.optim.Adam(place.parameters(), lr=2e-2)
    for _ in range(200):
        optimizer.zero_grad()
        place.seam_difference().backward()
        optimizer.step()
    assert float(place.seam_difference()) < 0.02 * before
    canonical = SurfaceEncoding(surface.faces, surface.uv, surface.canonical, position="canonical", **options)
    assert canonical.seam_difference() == 0
