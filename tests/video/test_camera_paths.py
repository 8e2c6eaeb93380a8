"""Cameras of videos, and the drawn mesh."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.video.camera_paths import at_size, read_camera_path, spiral_path, still_path
from nerfstudio_hands.video.mesh_image import mesh_image
from nerfstudio_hands.video.orbit import orbit_cameras


def elevations(cameras: Cameras, center: torch.Tensor) -> torch.Tensor:
    """Degrees above the horizon, of cameras that are checked to look at the centre."""
    away = cameras.camera_to_worlds[:, :, 3] - center
    torch.testing.assert_close(cameras.camera_to_worlds[:, :, 2], torch.nn.functional.normalize(away, dim=-1))
    return torch.asin(away[:, 2] / away.norm(dim=-1)).rad2deg()


def test_a_circle_keeps_its_elevation_and_a_spiral_rises() -> None:
    box = SceneBox(torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.1, 0.4]]))
    center = torch.tensor([0.1, 0.05, 0.2])
    options = {"num_cameras": 5, "width": 40, "height": 30}
    torch.testing.assert_close(elevations(orbit_cameras(box, **options), center), torch.full((5,), 20.0))
    rising = elevations(orbit_cameras(box, **options, elevation=-10.0, rise=40.0), center)
    torch.testing.assert_close(rising, torch.tensor([-10.0, 0.0, 10.0, 20.0, 30.0]), atol=1e-4, rtol=0)


def test_a_spiral_sees_all_that_moves() -> None:
    points = torch.randn(300, 3, generator=torch.manual_seed(0))
    points = torch.nn.functional.normalize(points, dim=-1) * 0.2 + torch.tensor([0.5, 0.0, 0.1])
    cameras = at_size(spiral_path(points, 8), 120)
    assert (int(cameras.width[0]), int(cameras.height[0])) == (120, 90)
    for row in range(8):
        pixels = project(cameras[row : row + 1], points)
        assert pixels.amin() > 0 and (pixels.amax(dim=0) < torch.tensor([120.0, 90.0])).all()


def project(camera: Cameras, points: torch.Tensor) -> torch.Tensor:
    pose = camera.camera_to_worlds[0]
    local = (points - pose[:, 3]) @ pose[:, :3]
    x = camera.fx[0] * local[:, 0] / -local[:, 2] + camera.cx[0]
    y = -camera.fy[0] * local[:, 1] / -local[:, 2] + camera.cy[0]
    return torch.stack([x, y], dim=-1)


def test_cameras_of_the_capture_are_found_by_name() -> None:
    rows = orbit_cameras(SceneBox(torch.tensor([[-0.1] * 3, [0.1] * 3])), num_cameras=4, width=64, height=48)
    rows.metadata = {"camera_index": torch.tensor([[2], [2], [0], [2]]), "frame_index": torch.arange(4)[:, None]}
    names = ["a", "b", "c"]
    for name, row in ((None, 0), ("c", 0), ("a", 2)):
        path = still_path([rows[:3], rows[3:]], names, name, 5)
        assert len(path) == 5 and not path.metadata
        assert torch.equal(path.camera_to_worlds, rows.camera_to_worlds[row].expand(5, 3, 4))
    with pytest.raises(HandsError, match="--camera: expected one of a, c, found 'b'"):
        still_path([rows[:3], rows[3:]], names, "b", 5)


def test_what_is_no_camera_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="expected a camera path, found no such file"):
        read_camera_path(tmp_path / "none.json")
    for content in ("no json", json.dumps([1]), json.dumps({"render_height": 4, "render_width": 4, "camera_path": []})):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(HandsError, match="as the viewer's Render tab saves it"):
            read_camera_path(tmp_path / "bad.json")


ODD_CAMERAS = [
    ({}, {"fov": 0}, "fields of view"),
    ({}, {"fov": 180}, "fields of view"),
    ({}, {"fov": -50}, "fields of view"),
    ({}, {"fov": math.nan}, "fields of view"),
    ({}, {"camera_to_world": [0.0] * 16}, "no rotation and place"),
    ({}, {"camera_to_world": [math.nan] * 16}, "no rotation and place"),
    ({}, {"camera_to_world": np.diag([-1.0, 1, 1, 1]).ravel().tolist()}, "no rotation and place"),
    ({}, {"render_time": 5.0}, "render_time"),
    ({}, {"render_time": math.nan}, "render_time"),
    ({"render_height": 0}, {}, "without pixels"),
    ({"render_width": -4}, {}, "without pixels"),
    ({"camera_type": "banana"}, {}, "'banana' instead of perspective"),
]


@pytest.mark.parametrize(("path", "camera", "found"), ODD_CAMERAS)
def test_cameras_that_are_none_are_named(path: dict, camera: dict, found: str, tmp_path: Path) -> None:
    def written(path: dict, camera: dict) -> Path:
        cameras = [{"camera_to_world": np.eye(4).ravel().tolist(), "fov": 50, "render_time": 0.5, **camera}]
        content = {"camera_type": "perspective", "render_height": 4, "render_width": 4, "camera_path": cameras}
        (tmp_path / "path.json").write_text(json.dumps({**content, **path}))
        return tmp_path / "path.json"

    assert len(read_camera_path(written({}, {}))) == 1
    with pytest.raises(HandsError, match=f"path.json: expected a camera path .*{found}"):
        read_camera_path(written(path, camera))


def test_pictures_of_one_row_are_none() -> None:
    flat = orbit_cameras(SceneBox(torch.tensor([[-0.1] * 3, [0.1] * 3])), num_cameras=1, width=4000, height=10)
    with pytest.raises(HandsError, match="two rows and columns at least, found cameras of 4000x10 drawn at 64"):
        at_size(flat, 64)


def test_the_drawn_mesh_covers_what_its_vertices_span() -> None:
    surface = HandSurface([default_hand("left")])
    vertices = surface.pose(HandPose.rest(1, (1,)), torch.zeros(10)).vertices[0]
    box = SceneBox(torch.stack([vertices.amin(dim=0), vertices.amax(dim=0)]))
    cameras = orbit_cameras(box, num_cameras=3, width=96, height=64)
    for row in range(3):
        picture = mesh_image(surface, vertices, cameras[row : row + 1])
        assert picture.shape == (64, 96, 3)
        rows, columns = picture.max(axis=-1).nonzero()
        pixels = project(cameras[row : row + 1], vertices)
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        expected = torch.cat([pixels.amin(dim=0), pixels.amax(dim=0)])
        assert (found - expected).abs().max() < 1.5
        # What faces the camera is bright, what turns away is not.
        assert picture.max() > 200 and picture[rows, columns].min() < 100
