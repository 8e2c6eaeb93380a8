"""Browsers look from the camera of the picture that was chosen, and see it unstretched."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import torch

from nerfstudio_hands.models.image_model import _crop_behind
from nerfstudio_hands.viewer.first_view import VIEWER_SCALE
from nerfstudio_hands.viewer.sample_view import SampleCamera, SampleView


class Client:
    client_id = 0

    def __init__(self) -> None:
        self.camera = SimpleNamespace()

    def atomic(self):
        from contextlib import nullcontext

        return nullcontext()


def test_a_chosen_picture_is_looked_at_by_its_camera_and_no_clicked_one(monkeypatch) -> None:
    chosen = [SampleCamera(0, np.zeros(3), np.array([0.0, 1.0, 0.0]), 2.0)]
    connected, client = [], Client()
    server = SimpleNamespace(on_client_connect=connected.append, get_clients=lambda: {0: client})
    shown = []
    viewer = SimpleNamespace(
        viser_server=server,
        render_statemachines={0: SimpleNamespace(_calculate_image_res=None, _render_img=None)},
        current_camera_idx=3,
        set_camera_visibility=shown.append,
        toggle_cameravis_button=lambda: shown.append("button"),
    )
    view = SampleView(lambda: chosen[0])
    view.look()
    view._setup(viewer)
    connected[0](client)
    connected[0](client)
    assert shown == [False, "button"]
    assert client.camera.fov == 2 * math.atan(0.25)
    chosen[0] = SampleCamera(7, np.array([0.7, 0.0, 0.35]), np.array([0.7, 1.0, 0.35]), 1.0)
    view.look()
    assert viewer.current_camera_idx == 7
    np.testing.assert_array_equal(client.camera.position, VIEWER_SCALE * chosen[0].center)
    np.testing.assert_array_equal(client.camera.look_at, VIEWER_SCALE * chosen[0].ahead)


def test_a_wide_page_shows_the_whole_crop_in_its_middle() -> None:
    image = torch.arange(8 * 8).reshape(1, 1, 8, 8).expand(1, 3, 8, 8).to(torch.uint8)
    batch = {"image": image, "focal": torch.tensor([1.5])}
    k = torch.tensor([[12.0, 0, 8], [0, 12, 4], [0, 0, 1]])
    behind = _crop_behind(batch, k, 16, 8)
    torch.testing.assert_close(behind[:, 4:12], image[0].permute(1, 2, 0) / 255)
    assert (behind[:, :4] == 1).all() and (behind[:, 12:] == 1).all()
