"""Meshes from coarse to fine."""

from __future__ import annotations

import torch
import trimesh

from nerfstudio_hands.estimators.hierarchy import build_hierarchy
from nerfstudio_hands.hand_model import default_hand


def test_linear_functions_go_up_as_they_are():
    """Between levels of a flat grid a linear function is exact wherever the coarse grid reaches."""
    grid = trimesh.creation.box().subdivide().subdivide().subdivide().subdivide()
    vertices = torch.from_numpy(grid.vertices).float()
    hierarchy = build_hierarchy(vertices, torch.from_numpy(grid.faces))
    function = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    for up, size in zip(hierarchy.upsamplings, hierarchy.sizes[:-1], strict=True):
        torch.testing.assert_close(up.weights.sum(1), torch.ones(len(up.weights)), atol=1e-5, rtol=0)
        assert up.corners.max() < size
    # Decimation of a box keeps its corners and its faces flat, so positions themselves are linear in the levels.
    last = hierarchy.upsamplings[-1].matrix(hierarchy.sizes[-2])
    coarse, *_ = torch.linalg.lstsq(last, vertices)
    values = last @ (coarse @ function.T)
    torch.testing.assert_close(values, vertices @ function.T, atol=2e-3, rtol=0)


def test_levels_of_the_hand():
    hand = default_hand("right")
    hierarchy = build_hierarchy(hand.template, hand.faces)
    again = build_hierarchy(hand.template, hand.faces)
    assert hierarchy.sizes == again.sizes
    assert hierarchy.sizes[-1] == hand.num_vertices
    assert all(fine > 3 * coarse for coarse, fine in zip(hierarchy.sizes[:-1], hierarchy.sizes[1:], strict=True))
    for edges, size in zip(hierarchy.edges, hierarchy.sizes, strict=True):
        assert torch.equal(edges.unique(), torch.arange(size))
    for up, other in zip(hierarchy.upsamplings, again.upsamplings, strict=True):
        assert torch.equal(up.corners, other.corners)
    # The best any values at the next coarser level can do, for the positions themselves, is a millimetre.
    matrix = hierarchy.upsamplings[-1].matrix(hierarchy.sizes[-2])
    coarse, *_ = torch.linalg.lstsq(matrix, hand.template)
    assert (matrix @ coarse - hand.template).norm(dim=-1).mean() < 1e-3
