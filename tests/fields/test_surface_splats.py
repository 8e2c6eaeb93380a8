"""Where Gaussians lie on a surface before anything is learned."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial import KDTree

from nerfstudio_hands.fields.surface_splats import DENSEST, SPARSEST, SurfaceSplats, evenly_spread
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


def on_a_hand(count: int) -> tuple[SurfaceSplats, torch.Tensor]:
    """Splats all over a hand, and its faces."""
    hand = default_hand("right")
    allowed = torch.ones(len(hand.faces), dtype=torch.bool)
    return SurfaceSplats(hand.template, hand.faces, allowed, count=count, shell=0.005), hand.faces


@pytest.mark.parametrize("count", [300, 6000])
def test_splats_are_denser_where_they_are_pulled_about(count: int):
    splats, faces = on_a_hand(count)
    middles = splats.corners.mean(dim=1)[:, 0]
    half = middles > middles.median()
    before = half[splats.face].float().mean()
    splats.color.data[:, 0] = middles[splats.face]
    splats.watch(torch.where(half[splats.face], 9.0, 1.0))
    source = splats.deal_out(faces)
    assert half[splats.face].float().mean() > before + 0.07
    # What is learned is that of a splat nearby.
    assert (splats.color[:, 0] - middles[splats.face]).abs().max() < 0.03
    assert torch.equal(splats.color[:, 0], middles[on_a_hand(count)[0].face][source])
    # Spacing is what density says: splats cover the hand as before.
    area = splats.area.sum()
    assert splats.spacing.square().sum() == pytest.approx(float(area), rel=0.1)
    assert DENSEST / SPARSEST >= float((splats.spacing.max() / splats.spacing.min()) ** 2) > 2
    assert splats.error.max() == 0


def test_splats_that_nothing_pulls_stay_evenly_spread():
    splats, faces = on_a_hand(2000)
    face, spacing = splats.face.clone(), splats.spacing.clone()
    splats.deal_out(faces)
    assert torch.equal(splats.face, face) and torch.allclose(splats.spacing, spacing)


def test_files_of_evenly_spread_splats_are_read():
    splats, faces = on_a_hand(500)
    spacing = splats.spacing.clone()
    earlier = {**splats.state_dict(), "spacing": spacing[0]}
    del earlier["error"]
    splats.watch(torch.rand(500))
    splats.deal_out(faces)
    splats.load_state_dict(earlier)
    assert torch.equal(splats.spacing, spacing) and splats.error.max() == 0
