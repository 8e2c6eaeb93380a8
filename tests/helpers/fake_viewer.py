"""As much of nerfstudio's viewer as the controls use, and the rays that it sends."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Callable

import torch
from nerfstudio.cameras.rays import RayBundle

from nerfstudio_hands.model_components.posed_hands import PosedHands


class FakeHandle:
    """A control that a test can move as a person would."""

    def __init__(self, label: str, value: Any = None):
        self.label, self.value, self.content, self.visible = label, value, label, True
        self._actions: list[Callable] = []

    def on_update(self, action: Callable) -> None:
        self._actions.append(action)

    on_click = on_update

    def use(self, value: Any = None) -> None:
        self.value = value
        for action in self._actions:
            action(SimpleNamespace(client=object()))

    def __enter__(self) -> FakeHandle:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FakeServer:
    """As much of a viser server as the controls use."""

    def __init__(self) -> None:
        self.gui, self.scene = self, self
        self.clients = {0: object()}
        self.handles: dict[str, list[FakeHandle]] = {}
        self.meshes: dict[str, Any] = {}

    def _add(self, label: str, value: Any = None) -> FakeHandle:
        handle = FakeHandle(label, value)
        self.handles.setdefault(label, []).append(handle)
        return handle

    def add_slider(self, label: str, lower: float, upper: float, step: float, value: float, *, hint: str) -> FakeHandle:
        assert lower <= value <= upper
        return self._add(label, value)

    def add_checkbox(self, label: str, value: bool, *, hint: str) -> FakeHandle:
        return self._add(label, value)

    def add_dropdown(self, label: str, options: Sequence[str], value: str | None = None, *, hint: str) -> FakeHandle:
        handle = self._add(label, options[0] if value is None else value)
        handle.options = options
        return handle

    def add_text(self, label: str, value: str, *, hint: str) -> FakeHandle:
        return self._add(label, value)

    def add_button(self, label: str, *, icon: object, hint: str) -> FakeHandle:
        return self._add(label)

    def add_markdown(self, content: str) -> FakeHandle:
        return self._add("markdown", content)

    def add_folder(self, label: str, *, expand_by_default: bool) -> FakeHandle:
        return self._add(label)

    def get_clients(self) -> dict[int, object]:
        return self.clients

    def on_client_connect(self, action: Callable) -> None:
        self._add("connect").on_update(action)

    def add_mesh_simple(self, name: str, vertices: Any, faces: Any, **_: object) -> SimpleNamespace:
        self.meshes[name] = vertices
        return SimpleNamespace(remove=lambda: self.meshes.pop(name))

    def add_glb(self, name: str, glb_data: bytes, *, scale: float) -> SimpleNamespace:
        self.meshes[name] = scale, glb_data
        return SimpleNamespace(remove=lambda: self.meshes.pop(name))


def viewer_rays() -> RayBundle:
    """Rays as nerfstudio's viewer sends them: a time, and no frame."""
    return RayBundle(
        origins=torch.zeros(4, 3),
        directions=torch.ones(4, 3),
        pixel_area=torch.ones(4, 1),
        times=torch.zeros(4, 1),
        metadata={"cam_idx": 0},
    )


def frame_rays(frame: int) -> RayBundle:
    """Rays of a data set's camera."""
    rays = viewer_rays()
    rays.metadata = {"frame_index": torch.full((4, 1), frame)}
    return rays


def seen(hands: PosedHands, rays: RayBundle) -> torch.Tensor:
    posed = hands.for_rays(rays)
    return posed.surfaces.vertices[posed.ray_surface[0]].detach().clone()


def posed_frame(hands: PosedHands, frame: int) -> torch.Tensor:
    return hands.vertices(hands.pose_of(torch.tensor([frame])))[0].detach()
