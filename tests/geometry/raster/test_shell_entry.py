"""Where drawing says that rays come near a surface, beside where marching finds it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.raster.shell_entry import MAX_MITER, shell_entry
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.transforms.projection import pixel_rays

SHELL = 0.005
WIDTH, HEIGHT = 120, 100


def bent_hand(bend: float) -> Surfaces:
    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (1,))
    pose.local_rotations = pose.local_rotations + bend * torch.rand(
        pose.local_rotations.shape, generator=torch.Generator().manual_seed(2)
    )
    posed = surface.pose(pose, torch.zeros(10))
    return Surfaces(surface.faces, posed.vertices - posed.vertices.mean(1), closing_faces=surface.closing_faces)


def rays_from(place: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Rays of a picture from a place toward the origin."""
    center = torch.tensor(place)
    forward = -torch.nn.functional.normalize(center, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.1, 0.9, 0.3]), forward), dim=0)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ center
    intrinsics = torch.tensor([[260.0, 0, WIDTH / 2], [0, 260.0, HEIGHT / 2], [0, 0, 1]])
    return pixel_rays(intrinsics, matrix, WIDTH, HEIGHT)


@pytest.mark.parametrize("bend", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("place", [(0.0, 0.4, 0.1), (0.35, 0.1, -0.2), (-0.2, -0.1, 0.1)])
def test_what_marching_finds_lies_behind_what_is_drawn(bend: float, place: tuple[float, float, float]) -> None:
    surfaces = bent_hand(bend)
    origins, directions = rays_from(place)
    offset = torch.full((surfaces.vertices.shape[1],), SHELL)
    entry = shell_entry(surfaces, offset, origins, directions)
    assert entry is not None
    unit = torch.nn.functional.normalize(directions, dim=-1).view(-1, 3)
    samples = surfaces.march(origins.reshape(-1, 3), unit, shell=SHELL, num_samples=32)
    drawn = entry.depth.view(-1)
    assert 0.1 < len(samples.ray) / len(drawn) < 0.9
    begin = samples.depth[:, 0] - samples.width[:, 0] / 2
    # A ray that cuts a rounded corner of the shell off, by a fiftieth of its width, is seen by marching alone.
    late = (drawn[samples.ray] - begin).clamp(min=0)
    assert (late > SHELL / 50).float().mean() < 2e-3
    assert late.isinf().float().mean() < 1e-3
    # And little is drawn that is not there.
    assert drawn.isfinite().sum() < 1.1 * len(samples.ray)
    early = begin - drawn[samples.ray]
    assert early.median() < MAX_MITER * SHELL / 2


def test_what_cannot_be_drawn_is_left_to_marching() -> None:
    surfaces = bent_hand(0.3)
    offset = torch.full((surfaces.vertices.shape[1],), SHELL)
    origins, directions = rays_from((0.0, 0.4, 0.1))
    bent = directions + 0.2 * directions.flip(0) * torch.linspace(-1, 1, WIDTH)[None, :, None].square()
    assert shell_entry(surfaces, offset, origins, bent) is None
    beside = surfaces.vertices[0, 100] + torch.tensor([0.0, 0.002, 0.0])
    assert shell_entry(surfaces, offset, beside.expand(origins.shape), directions) is None
    assert shell_entry(surfaces, offset, origins[:1, :1], directions[:1, :1]) is None
