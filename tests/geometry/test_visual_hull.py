"""A ball seen from several sides: the hull holds it, and little more."""

import math

import numpy as np
import torch

from nerfstudio_hands.geometry.visual_hull import box_grid, carve
from nerfstudio_hands.synthesis.rig import look_at

CENTRE, RADIUS, SIZE = torch.tensor([0.1, -0.2, 0.4]), 0.05, 160
BOX = torch.stack([CENTRE + torch.tensor([-0.09, -0.12, -0.10]), CENTRE + torch.tensor([0.12, 0.10, 0.09])])


def _rig(count: int):
    k = torch.tensor([[300.0, 0, SIZE / 2 + 3], [0, 310.0, SIZE / 2 - 2], [0, 0, 1]])
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    poses = [look_at(CENTRE.numpy() + 0.5 * d, CENTRE.numpy()) for d in directions]
    return k.expand(count, 3, 3), torch.from_numpy(np.stack(poses)).float()


def _ball(k, pose) -> torch.Tensor:
    """A ray meets the ball where its angle to the middle is below asin(r / d)."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    rays = torch.nn.functional.normalize(torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(k).T, dim=-1)
    middle = pose[:3, :3] @ CENTRE + pose[:3, 3]
    return rays @ middle >= middle.norm() * math.sqrt(1 - (RADIUS / float(middle.norm())) ** 2)


def test_the_hull_of_a_ball_is_the_ball():
    intrinsics, poses = _rig(14)
    seen = [_ball(k, pose) for k, pose in zip(intrinsics, poses, strict=True)]
    points = box_grid(BOX, 50)
    kept = carve(points, seen, [torch.zeros_like(s) for s in seen], intrinsics, poses)
    inside = (points - CENTRE).norm(dim=1) < RADIUS - 2e-3
    assert kept[inside].all()
    assert (points[kept].mean(0) - CENTRE).norm() < 2e-3
    assert 1.0 <= kept.sum() * (BOX[1] - BOX[0]).prod() / 50**3 / (4 / 3 * math.pi * RADIUS**3) < 1.25


def test_what_hides_a_part_does_not_cut_it_off():
    intrinsics, poses = _rig(14)
    seen = [_ball(k, pose) for k, pose in zip(intrinsics, poses, strict=True)]
    hidden = [torch.zeros_like(s) for s in seen]
    for camera in range(4):
        hidden[camera][:, : SIZE // 2] = seen[camera][:, : SIZE // 2]
        seen[camera] = seen[camera] & ~hidden[camera]
    points = box_grid(BOX, 40)
    kept = carve(points, seen, hidden, intrinsics, poses)
    assert (points[kept].mean(0) - CENTRE).norm() < 3e-3
    # Without knowing of it, four halves would be missing.
    cut = carve(points, seen, [torch.zeros_like(s) for s in seen], intrinsics, poses)
    assert cut.sum() < 0.6 * kept.sum()


def test_nothing_seen_and_nobody_looking_leave_nothing():
    intrinsics, poses = _rig(3)
    empty = [torch.zeros(SIZE, SIZE, dtype=torch.bool)] * 3
    assert not carve(box_grid(BOX, 8), empty, empty, intrinsics, poses).any()
    full = [torch.ones(SIZE, SIZE, dtype=torch.bool)] * 3
    assert not carve(box_grid(BOX + 50, 8), full, full, intrinsics, poses).any()
    assert carve(box_grid(0.5 * (BOX + CENTRE), 8), full, full, intrinsics, poses).all()


def test_what_one_camera_of_three_looks_at_is_not_left():
    intrinsics, poses = _rig(3)
    full = [torch.ones(SIZE, SIZE, dtype=torch.bool)] * 3
    points = box_grid(0.5 * (BOX + CENTRE), 8)
    # Turned by half a turn about its own upright axis, a camera looks the other way.
    away = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    two_look = torch.stack([poses[0], poses[1], away @ poses[2]])
    assert carve(points, full, full, intrinsics, two_look).all()
    one_looks = torch.stack([poses[0], away @ poses[1], away @ poses[2]])
    assert not carve(points, full, full, intrinsics, one_looks).any()
