"""Where a browser looks from, of methods whose batch is pictures: from the camera of the picture that was chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import viser
from jaxtyping import Float
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement

from nerfstudio_hands.viewer.first_view import keep_recognizable, move_camera, shrink_to_fit

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

@dataclass(frozen=True)
class SampleCamera:
    """The camera of a picture in the viewer's world.

    Attributes:
        index: Among the training's that the viewer shows, or among the held-out ones.
        center: Meters.
        ahead: A point straight ahead of it, meters.
        focal: Focal length, heights of the picture.
    """

    index: int
    center: Float[np.ndarray, " 3"]
    ahead: Float[np.ndarray, " 3"]
    focal: float


class SampleView(ViewerElement, ViewerControl):
    """Moves browsers to the camera of the chosen picture: at first, when another one is chosen, and by a button.

    Args:
        sample_camera: Gives that camera.
    """

    def __init__(self, sample_camera: Callable[[], SampleCamera]) -> None:
        super().__init__(name="Picture")
        self._sample_camera = sample_camera
        self._viewer: Viewer | None = None
        self._opened = False

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        self._viewer = viewer

        @viewer.viser_server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            machine = viewer.render_statemachines[client.client_id]
            keep_recognizable(machine)
            shrink_to_fit(machine)
            self._move(client)
            if not self._opened:
                # Their pictures would stand before the hand.
                self._opened = True
                viewer.set_camera_visibility(False)
                viewer.toggle_cameravis_button()

    def install(self, viser_server: viser.ViserServer) -> None:
        """Adds the button to the folder that nerfstudio has opened for this element."""
        self._create_gui_handle(viser_server)

    def _create_gui_handle(self, viser_server: viser.ViserServer) -> None:
        button = viser_server.gui.add_button(
            "Look as its camera did", icon=viser.Icon.CAMERA, hint="The hand lies before its picture then"
        )
        button.on_click(lambda _: self.look())

    def look(self) -> None:
        """Moves all browsers."""
        if self._viewer is not None:
            # Else the training camera that was clicked last says which picture is looked at.
            self._viewer.current_camera_idx = self._sample_camera().index
            for client in self._viewer.viser_server.get_clients().values():
                self._move(client)

    def _move(self, client: viser.ClientHandle) -> None:
        camera = self._sample_camera()
        move_camera(client, camera.center, camera.ahead, 2 * math.atan(0.5 / camera.focal))
