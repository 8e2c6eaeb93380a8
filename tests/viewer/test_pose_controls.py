"""The viewer's sliders without a browser, and what they may not touch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.fake_viewer import FakeServer, frame_rays, posed_frame, seen, viewer_rays
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement
from torch import nn

from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.viewer import first_view
from nerfstudio_hands.viewer.first_view import VIEWER_SCALE, keep_recognizable, keep_up_to_date
from nerfstudio_hands.viewer.pose_controls import PoseControls


def test_sliders_show_the_frame_and_follow_it(hands: PosedHands, controls: PoseControls, server: FakeServer) -> None:
    left, right = server.handles["Index flexion"]
    first = right.value
    assert left.value == 0.0 and first > 5.0
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 0))
    server.handles["Frame"][0].use(2)
    assert right.value > first + 20.0
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 2))
    assert "30" in server.handles["markdown"][0].content


def test_slider_bends_reset_returns(hands: PosedHands, controls: PoseControls, server: FakeServer) -> None:
    server.handles["Frame"][0].use(1)
    slider = server.handles["Ring flexion"][0]
    slider.use(120.0)
    bent = seen(hands, viewer_rays())
    moved = (bent - posed_frame(hands, 1)).norm(dim=-1)
    assert moved.max() > 0.02
    num_left = hands.surface.hands[0].num_vertices
    assert moved[num_left:].max() < 1e-6
    assert (moved[:num_left] > 1e-4).float().mean() < 0.35
    server.handles["Reset pose"][0].use()
    assert slider.value == 0.0
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 1))


def test_training_and_evaluation_do_not_see_it(hands: PosedHands, controls: PoseControls, server: FakeServer) -> None:
    state = {name: value.clone() for name, value in hands.state_dict().items()}
    server.handles["Index flexion"][1].use(200.0)
    bent = seen(hands, viewer_rays())
    for frame in (0, 2):
        torch.testing.assert_close(seen(hands, frame_rays(frame)), posed_frame(hands, frame))
    hands.train()
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 0))
    hands.eval()
    torch.testing.assert_close(seen(hands, viewer_rays()), bent)
    assert state.keys() == hands.state_dict().keys()
    for name, value in hands.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_an_interrupted_render_leaves_no_foreign_surface(
    hands: PosedHands, controls: PoseControls, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.for_rays(frame_rays(0))
    surfaces = hands.for_rays(frame_rays(0)).surfaces
    update = surfaces.update

    def interrupted(vertices: torch.Tensor) -> None:
        update(vertices)
        raise InterruptedError

    monkeypatch.setattr(surfaces, "update", interrupted)
    with pytest.raises(InterruptedError):
        hands.for_rays(frame_rays(2))
    torch.testing.assert_close(seen(hands, frame_rays(0)), posed_frame(hands, 0))


def test_mesh_overlay_follows_the_sliders(hands: PosedHands, controls: PoseControls, server: FakeServer) -> None:
    overlay = server.handles["Show mesh"][0]
    server.handles["Thumb flexion"][1].use(60.0)
    assert not server.meshes
    overlay.use(True)
    (drawn,) = server.meshes.values()
    # The mesh lies where the picture shows the hand, in the viewer's units.
    torch.testing.assert_close(torch.from_numpy(drawn), seen(hands, viewer_rays()) * VISER_NERFSTUDIO_SCALE_RATIO)
    server.handles["Thumb flexion"][1].use(20.0)
    (moved,) = server.meshes.values()
    assert abs(moved - drawn).max() > 0.05
    overlay.use(False)
    server.handles["Thumb flexion"][1].use(30.0)
    assert not server.meshes


def test_nerfstudio_finds_the_controls_and_no_state(controls: PoseControls) -> None:
    model = nn.Module()
    model.pose_controls = controls
    for kind in (ViewerElement, ViewerControl):
        assert parse_object(model, kind, "Custom Elements") == [("Custom Elements/pose_controls", controls)]
    assert not model.state_dict() and not list(model.parameters())


def test_a_hand_absent_from_a_frame_has_sliders_at_rest(hands: PosedHands) -> None:
    hands.valid[0, 1] = False
    hands.local_rotations[0, 1] = torch.nan
    controls, server = PoseControls(hands, ["10", "20", "30"], SceneBox(torch.zeros(2, 3))), FakeServer()
    controls.install(server)
    assert server.handles["Index flexion"][1].value == 0.0
    server.handles["Wrist twist"][1].use(30.0)
    server.handles["Wrist twist"][0].use(30.0)
    assert hands.for_rays(viewer_rays()).surfaces.vertices.isfinite().all()


def test_scale_is_the_viewers() -> None:
    assert VIEWER_SCALE == VISER_NERFSTUDIO_SCALE_RATIO


@pytest.mark.parametrize(("offered", "max_res", "expected"), [(30, 512, 120), (200, 512, 200), (30, 64, 64)])
def test_images_stay_recognisable(offered: int, max_res: int, expected: int) -> None:
    machine = SimpleNamespace(
        _calculate_image_res=lambda aspect: (offered, int(offered * aspect)),
        viewer=SimpleNamespace(control_panel=SimpleNamespace(max_res=max_res)),
    )
    keep_recognizable(machine)
    assert machine._calculate_image_res(1.5) == (expected, int(expected * 1.5))


def test_a_slow_training_shows_its_step_and_what_it_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """nerfstudio, whose estimate says that a picture is worth more steps than there will be."""
    now, told, pictures = [0.0], [], []

    class Viewer(SimpleNamespace):
        def update_scene(self, step: int, num_rays_per_batch: int | None = None) -> None:
            if step > self.last_step + 1e6:
                self.last_step = step
                pictures.append(step)

        def update_step(self, step: int) -> None:
            told.append(step)

    monkeypatch.setattr(first_view.time, "monotonic", lambda: now[0])
    viewer = Viewer(last_step=0)
    keep_up_to_date(viewer)
    for step in range(60):
        now[0] += 0.5
        viewer.update_scene(step, 256)
    assert told == list(range(2, 60, 3))
    assert pictures == [20, 41]
