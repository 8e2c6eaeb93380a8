"""Where Gaussians lie on a surface before anything is learned."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial import KDTree

from nerfstudio_hands.fields.surface_splats import evenly_spread
from nerfstudio_hands.hand_model import default_hand


@pytest.mark.parametrize("count", [1, 7, 4000])
def test_each_face_has_what_its_area_is_worth(count: int):
    area = torch.tensor([3.0, 0.0, 1.0, 0.01, 2.0])
    face, barycentric = evenly_spread(area, count)
    wanted = count * area / area.sum()
    assert (torch.bincount(face, minlength=5) - wanted).abs().max() <= 1
    assert (barycentric > 0).all() and torch.allclose(barycentric.sum(dim=1), torch.ones(count))
    assert len(torch.cat([face[:, None], barycentric], dim=1).unique(dim=0)) == count


def test_no_place_of_a_hand_is_left_bare():
    hand = default_hand("right")
    corners = hand.template[hand.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1) / 2
    spacing = float((area.sum() / 15000).sqrt())
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(area, 15000, replacement=True, generator=generator)
    somewhere = torch.rand(15000, 3, generator=generator).log()
    somewhere = somewhere / somewhere.sum(dim=1, keepdim=True)
    looked_at = torch.einsum("nk,nkc->nc", somewhere, corners[drawn])

    def farthest(face: torch.Tensor, barycentric: torch.Tensor) -> float:
        points = torch.einsum("nk,nkc->nc", barycentric, corners[face])
        return float(KDTree(points).query(looked_at)[0].max()) / spacing

    at_random = torch.rand(15000, 3, generator=generator).log()
    at_random = at_random / at_random.sum(dim=1, keepdim=True)
    again = torch.multinomial(area, 15000, replacement=True, generator=generator)
    assert farthest(*evenly_spread(area, 15000)) < 1.2 < farthest(again, at_random)
