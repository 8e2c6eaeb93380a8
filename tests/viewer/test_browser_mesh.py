"""The hand that a browser draws by itself: where the picture has it, in the model's colors, and instead of pictures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.fake_viewer import FakeServer, seen, viewer_rays
from helpers.gltf_reading import Gltf
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.transforms.color import srgb_to_linear
from nerfstudio_hands.viewer import pose_controls
from nerfstudio_hands.viewer.first_view import VIEWER_SCALE, give_way
from nerfstudio_hands.viewer.pose_controls import FAST_NAME, FAST_SECONDS, PoseControls


@pytest.fixture
def learned() -> dict[str, float]:
    return {"red": 0.25}


@pytest.fixture
def controls(
    hands: PosedHands, server: FakeServer, learned: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PoseControls:
    """Of a hand whose green is where a point lies, and whose blue is how its normal points."""
    monkeypatch.chdir(tmp_path)

    def color(points, face, barycentric, normal):
        red = torch.full_like(points[:, 0], learned["red"])
        return torch.stack([red, points[:, 1] + 0.5, normal[:, 2] / 2 + 0.5], 1)

    def source() -> ExportSource:
        return ExportSource(hands, lambda pose: color)

    controls = PoseControls(hands, ["10", "20", "30"], SceneBox(torch.tensor([[-0.1] * 3, [0.1] * 3])), source)
    controls.install(server)  # pyright: ignore[reportArgumentType]
    return controls


def test_a_browser_gets_the_hand_as_it_is_posed_in_its_colors(
    hands: PosedHands, controls: PoseControls, server: FakeServer
) -> None:
    server.handles["Thumb flexion"][1].use(60.0)
    server.handles["Fast"][0].use(True)
    scale, content = server.meshes[FAST_NAME]
    read, faces = Gltf(content).attributes(0)
    vertices = seen(hands, viewer_rays()).numpy()
    assert scale == VIEWER_SCALE and len(faces) == 4 * len(hands.surface.faces)
    np.testing.assert_allclose(read["POSITION"][: len(vertices)], vertices, atol=1e-6)
    # Points in between lie on the faces, and each small face looks the way that the large one does.
    corners = vertices[hands.surface.faces.numpy()]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    small = read["POSITION"][faces]
    across = np.cross(small[:, 1] - small[:, 0], small[:, 2] - small[:, 0])
    assert np.linalg.norm(across, axis=1).sum() == pytest.approx(area, rel=1e-5)
    assert ((across * read["NORMAL"][faces[:, 0]]).sum(1) > 0).mean() > 0.97
    expected = np.stack(
        [np.full(len(read["POSITION"]), 0.25), read["POSITION"][:, 1] + 0.5, read["NORMAL"][:, 2] / 2 + 0.5], 1
    )
    np.testing.assert_allclose(read["COLOR_0"], srgb_to_linear(torch.from_numpy(expected)), atol=1e-5)
    assert Gltf(content).document["extensionsUsed"] == ["KHR_materials_unlit"]
    # It follows the fingers, and goes.
    server.handles["Thumb flexion"][1].use(20.0)
    moved, _ = Gltf(server.meshes[FAST_NAME][1]).attributes(0)
    assert abs(moved["POSITION"] - read["POSITION"]).max() > 0.005
    server.handles["Fast"][0].use(False)
    assert not server.meshes and not controls.stands_in()


def test_pictures_are_not_rendered_meanwhile_and_what_is_learned_comes(
    controls: PoseControls, server: FakeServer, learned: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = {"rgb": torch.ones(2, 3, 3)}
    machine = SimpleNamespace(_render_img=lambda state: rendered, _calculate_image_res=lambda aspect: (4, 6))
    give_way(machine, controls.stands_in)  # pyright: ignore[reportArgumentType]
    viewer = SimpleNamespace(step=7, train_lock=None, last_move_time=0.0, _trigger_rerender=lambda: None)
    controls._viewer = viewer  # pyright: ignore[reportAttributeAccessIssue]
    state = SimpleNamespace(aspect=1.5)
    assert machine._render_img(state) is rendered
    server.handles["Fast"][0].use(True)
    assert machine._render_img(state)["rgb"].shape == (4, 6, 3) and not machine._render_img(state)["rgb"].any()
    learned["red"] = 0.75
    before = server.meshes[FAST_NAME][1]
    now = pose_controls.time.monotonic
    monkeypatch.setattr(pose_controls.time, "monotonic", lambda: now() + 10 * FAST_SECONDS)
    assert controls.stands_in() and server.meshes[FAST_NAME][1] is before  # Nothing has been learned.
    viewer.step = 8
    assert controls.stands_in()
    read, _ = Gltf(server.meshes[FAST_NAME][1]).attributes(0)
    assert read["COLOR_0"][:, 0] == pytest.approx(float(srgb_to_linear(torch.tensor(0.75))), abs=1e-5)


def test_hands_without_colors_have_no_such_switch(hands: PosedHands, server: FakeServer, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    controls = PoseControls(hands, ["10", "20", "30"], SceneBox(torch.zeros(2, 3)))
    controls.install(server)  # pyright: ignore[reportArgumentType]
    assert "Fast" not in server.handles
