"""Ways of `ns-render` in a rig: round what stands in its middle."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nerfstudio.cameras.camera_paths import get_interpolated_camera_path, get_spiral_path
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.video.orbit import orbit_cameras
from nerfstudio_hands.video.render_paths import facing_spiral, patch_render_paths, path_around

CENTER = torch.tensor([0.3, -0.2, 0.5])
STEPS = 11


@pytest.fixture
def rig() -> Cameras:
    """Six cameras round the center, each sees it somewhere else; the focal length grows."""
    box = SceneBox(torch.stack([CENTER - 0.1, CENTER + 0.1]))
    cameras = orbit_cameras(box, num_cameras=6, width=320, height=240)
    cameras.camera_to_worlds[:, :, 3] += 0.02 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    cameras.fx, cameras.fy = (focal * torch.linspace(1, 1.5, 6)[:, None] for focal in (cameras.fx, cameras.fy))
    return cameras[torch.tensor([0, 3, 1, 4, 2, 5])]


def seen_at(cameras: Cameras) -> torch.Tensor:
    """Where cameras see the center: pixels from the middle of the picture, and metres in front of them [N, 3]."""
    pose = cameras.camera_to_worlds
    x, y, z = (pose[:, :, :3].mT @ (CENTER - pose[:, :, 3])[..., None])[..., 0].unbind(-1)
    return torch.stack([cameras.fx[:, 0] * x / -z, cameras.fy[:, 0] * y / -z, -z], dim=-1)


def test_the_path_around_keeps_its_distance_and_the_hand_in_sight(rig: Cameras) -> None:
    straight, ours = (make(rig, STEPS, order_poses=False) for make in (
        get_interpolated_camera_path, lambda *given, **options: path_around(CENTER, *given, **options)
    ))  # fmt: skip
    ends = seen_at(rig)
    # Opposite cameras: nerfstudio's way leads through the middle.
    assert seen_at(straight)[:, 2].min() < 0.3 * ends[:, 2].min()
    found = seen_at(ours)
    assert found.shape == (5 * STEPS, 3)
    assert (found.amin(dim=0) > ends.amin(dim=0) - 1e-3).all() and (found.amax(dim=0) < ends.amax(dim=0) + 1e-3).all()
    # It begins, passes and ends where the cameras are, and turns as nerfstudio does.
    for way, part in ((ours[::STEPS], rig[:-1]), (ours[STEPS - 1 :: STEPS], rig[1:])):
        torch.testing.assert_close(way.camera_to_worlds, part.camera_to_worlds, atol=1e-5, rtol=0)
        torch.testing.assert_close(way.fx, part.fx)
    torch.testing.assert_close(ours.camera_to_worlds[:, :, :3], straight.camera_to_worlds[:, :, :3], atol=1e-5, rtol=0)


def test_the_nearest_camera_comes_next_if_asked(rig: Cameras) -> None:
    ordered, theirs = (make(rig, STEPS, order_poses=True) for make in (
        lambda *given, **options: path_around(CENTER, *given, **options), get_interpolated_camera_path
    ))  # fmt: skip
    torch.testing.assert_close(ordered[::STEPS].camera_to_worlds, theirs[::STEPS].camera_to_worlds, atol=1e-5, rtol=0)


def test_the_spiral_goes_where_nerfstudios_goes_and_looks_at_the_hand(rig: Cameras) -> None:
    ours, theirs = facing_spiral(CENTER, rig[:1], steps=20, radius=0.1), get_spiral_path(rig[:1], steps=20, radius=0.1)
    torch.testing.assert_close(ours.camera_to_worlds[:, :, 3], theirs.camera_to_worlds[:, :, 3])
    assert seen_at(ours)[:, :2].abs().max() < 0.01 < seen_at(theirs)[:, :2].abs().max() / 1000
    turns = ours.camera_to_worlds[:, :, :3]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    assert (turns[:, :, 1] @ rig.camera_to_worlds[0, :, 1] > 0.8).all()


def test_ns_render_goes_this_way(monkeypatch) -> None:
    """In a copy of nerfstudio's module, because it is changed."""
    name = "nerfstudio.scripts.render"
    pipeline: Any = SimpleNamespace(
        model=SimpleNamespace(scene_box=SceneBox(torch.tensor([[0.0, 0, 0], [2, 2, 2]])))
    )
    spec = importlib.util.find_spec(name)
    render = importlib.util.module_from_spec(spec)
    monkeypatch.delitem(sys.modules, name, raising=False)
    patch_render_paths(pipeline)
    monkeypatch.setitem(sys.modules, name, render)
    spec.loader.exec_module(render)
    assert render.get_spiral_path is get_spiral_path
    assert render.get_interpolated_camera_path is get_interpolated_camera_path
    patch_render_paths(pipeline)
    assert render.get_spiral_path.func is facing_spiral and render.get_interpolated_camera_path.func is path_around
    assert render.get_spiral_path.args[0].tolist() == [1.0, 1.0, 1.0]
