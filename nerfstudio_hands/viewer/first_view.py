"""What a browser that opens the viewer sees first, and how large nerfstudio renders it on a slow machine."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import viser
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor

if TYPE_CHECKING:
    from nerfstudio.viewer.render_state_machine import RenderStateMachine
    from nerfstudio.viewer.utils import CameraState
    from nerfstudio.viewer.viewer import Viewer

VIEWER_SCALE = 10.0
"""The viewer's units in a metre: nerfstudio's VISER_NERFSTUDIO_SCALE_RATIO, whose module imports half of nerfstudio."""

FIELD_OF_VIEW = math.radians(35.0)
"""Vertical; the viewer's own 75 degrees distort what fills the picture."""

STALEST_IMAGE = 10.0
"""Seconds of training after which a picture is due."""

NEVER = 10**9
"""Steps, more than any training has."""

FEWEST_ROWS = 120
"""Rows that show a hand. A picture of so many takes a tenth of a second on one core."""


def view_of_hands(scene_box: SceneBox, cameras: Cameras) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
    """A view of the hands from the side of the first camera.

    Args:
        scene_box: box round the hands, metres.
        cameras: training cameras in the same world.

    Returns:
        Camera center and the point to look at, metres, for a camera of the vertical angle `FIELD_OF_VIEW`.
    """
    lower, upper = scene_box.aabb.cpu()
    center = (lower + upper) / 2
    toward = torch.nn.functional.normalize(cameras.camera_to_worlds[0, :, 3].cpu() - center, dim=0)
    # The box has a margin, so its longest side, though not its diagonal, is as much as the picture must show.
    distance = float((upper - lower).max()) / 2 / math.tan(FIELD_OF_VIEW / 2)
    return center + distance * toward, center


def set_first_view(client: viser.ClientHandle, scene_box: SceneBox, cameras: Cameras) -> None:
    """Moves a browser's camera to where it sees the hands."""
    center, ahead = view_of_hands(scene_box, cameras)
    move_camera(client, center.double().numpy(), ahead.double().numpy(), FIELD_OF_VIEW)


def move_camera(
    client: viser.ClientHandle, center: Float[np.ndarray, " 3"], ahead: Float[np.ndarray, " 3"], angle: float
) -> None:
    """Moves a browser's camera.

    Args:
        client: The browser.
        center: Where it is to stand, meters.
        ahead: What it is to look at, meters.
        angle: Vertical angle of view, radians.
    """
    with client.atomic():
        client.camera.fov = angle
        client.camera.position = VIEWER_SCALE * center
        client.camera.look_at = VIEWER_SCALE * ahead


def keep_recognizable(machine: RenderStateMachine) -> None:
    """Keeps the pictures that nerfstudio renders while something moves from falling below `FEWEST_ROWS`.

    nerfstudio renders as many pixels as it expects to manage in a thirtieth of a second, counting the wait for the
    training step in progress. On a CPU that wait alone is longer, so it ends at 30 rows however fast the model is.
    """
    calculate = machine._calculate_image_res

    def at_least(aspect_ratio: float) -> tuple[int, int]:
        height, width = calculate(aspect_ratio)
        rows = min(FEWEST_ROWS, machine.viewer.control_panel.max_res)
        return (height, width) if height >= rows else (rows, int(rows * aspect_ratio))

    machine._calculate_image_res = at_least


def rerender(viewer: Viewer | None) -> None:
    """Has the viewer, where there is one, draw its pictures anew."""
    if viewer is not None:
        with contextlib.suppress(KeyError):  # A browser that leaves at this moment.
            viewer._trigger_rerender()


def keep_up_to_date(viewer: Viewer) -> None:
    """Shows the step once a second, and at least every `STALEST_IMAGE` seconds what has been learned.

    nerfstudio shows both when as many steps have passed as one picture is worth by its estimate. That counts the wait
    for the training step in progress as rendering, so that on a CPU hundreds of seconds pass and the page says step 0.
    """
    update = viewer.update_scene
    shown = told = time.monotonic()

    def update_scene(step: int, num_rays_per_batch: int | None = None) -> None:
        nonlocal shown, told
        if time.monotonic() - shown > STALEST_IMAGE:
            viewer.last_step = step - NEVER
        before = viewer.last_step
        update(step, num_rays_per_batch)
        if viewer.last_step != before:
            shown = time.monotonic()
        if time.monotonic() - told > 1.0:
            viewer.update_step(step)
            told = time.monotonic()

    viewer.update_scene = update_scene


def shrink_to_fit(machine: RenderStateMachine) -> None:
    """Lets nerfstudio's viewer go on with smaller pictures where one does not fit into memory; else its thread ends."""
    from nerfstudio.utils.rich_utils import CONSOLE
    from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException

    render = machine._render_img

    def attempt(camera_state: CameraState) -> dict[str, Tensor]:
        try:
            return render(camera_state)
        except SystemExit as error:
            largest = machine.viewer.control_panel._max_res
            if largest.value > FEWEST_ROWS:
                largest.value = max(largest.value // 2, FEWEST_ROWS)
                sentence = f"{error} The viewer goes on with at most {largest.value} pixels a side."
                CONSOLE.print(sentence, style="bold yellow", markup=False, soft_wrap=True)
            raise IOChangeException from error

    machine._render_img = attempt


def give_way(machine: RenderStateMachine, stands_in: Callable[[], bool]) -> None:
    """Renders nothing, and waits for no training step, while something in the scene stands in for the picture."""
    render = machine._render_img

    def attempt(camera_state: CameraState) -> dict[str, Tensor]:
        if not stands_in():
            return render(camera_state)
        height, width = machine._calculate_image_res(camera_state.aspect)
        return {"rgb": torch.zeros(height, width, 3)}

    machine._render_img = attempt
