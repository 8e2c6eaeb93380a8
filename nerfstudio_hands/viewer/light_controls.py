"""Controls in nerfstudio's web viewer that put a mesh into another light."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import viser
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.light.environment import BUILT_IN, load_environment
from nerfstudio_hands.viewer.first_view import rerender

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

CAPTURED = "capture"


class LightControls(ViewerElement, ViewerControl):
    """A picker of environments, a field for the name of a file, and a slider that turns the light about the vertical.

    Args:
        relight: takes the environment, None for the light of the capture, and its turn in radians.
    """

    def __init__(self, relight: Callable[..., None]):
        super().__init__(name="Light")
        self._relight = relight
        self._viewer: Viewer | None = None

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        self._viewer = viewer

    def install(self, viser_server: viser.ViserServer) -> None:
        """Adds the controls to the folder that nerfstudio has opened for this element."""
        self._create_gui_handle(viser_server)

    def _create_gui_handle(self, viser_server: viser.ViserServer) -> None:
        gui = viser_server.gui
        light = gui.add_dropdown("Light", (CAPTURED, *BUILT_IN), hint="The capture's own, or another")
        file = gui.add_text("Light file", "", hint="Panorama (.hdr, .png, .jpg) or coefficients (.npz, .json)")
        turn = gui.add_slider("Turn light", 0, 360, 5, 0, hint="Degrees about the vertical")

        def change(_: object) -> None:
            source = file.value.strip() or light.value
            try:
                environment = None if source == CAPTURED else load_environment(source)
            except HandsError as error:
                CONSOLE.print(f"[bold yellow]{error}", soft_wrap=True)
                return
            self._relight(environment, math.radians(turn.value))
            rerender(self._viewer)

        for handle in (light, file, turn):
            handle.on_update(change)
