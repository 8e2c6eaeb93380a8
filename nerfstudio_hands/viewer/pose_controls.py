"""Controls in nerfstudio's web viewer that bend the fingers of an avatar, and play its poses."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

import torch
import viser
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement

from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.viewer.browser_mesh import BrowserMesh
from nerfstudio_hands.viewer.finger_angles import angle_ranges, bend_hand, hand_angles
from nerfstudio_hands.viewer.first_view import (
    VIEWER_SCALE,
    give_way,
    keep_recognizable,
    keep_up_to_date,
    rerender,
    set_first_view,
    shrink_to_fit,
)
from nerfstudio_hands.viewer.overlay import Overlay
from nerfstudio_hands.viewer.player import Player

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

    from nerfstudio_hands.model_components.export_source import ExportSource
    from nerfstudio_hands.model_components.posed_hands import PosedHands

TRAINING_SHARE = 0.6
"""Of the time while a browser looks on, what nerfstudio leaves to training at least; with its own 0.9 a CPU
shows a new picture only now and then."""

MESH_NAME = "/hand_mesh"
MESH_COLOR = (90, 200, 255)

FAST_NAME = "/fast_hand"

FAST_SECONDS = 3.0
"""After which the colors of a fast hand are asked for anew, where a training has gone on meanwhile; and no sooner than
after `FAST_REST` times what that takes."""

FAST_REST = 10.0


class PoseControls(ViewerElement, ViewerControl):
    """A folder a hand with a slider for every angle, a frame slider, a reset button, the posed mesh as an overlay, and
    a :class:`Player`.

    The sliders show the angles of the chosen frame, or of the pose at which a track stopped. Moving one departs from
    that pose in this angle alone; reset, or another frame, returns to what the frame has. Before the first touch
    nothing changes; later only rays that belong to no frame see the pose, so that training and evaluation stay what
    they are. Nothing of it is part of the model's state.

    nerfstudio's own elements wait, at every slider event, for the training step or the picture in progress; these need
    not, because the pose is handed over in one assignment.

    Args:
        hands: the poses that the model renders.
        frame_names: names of the frames.
        scene_box: box round the hands, nerfstudio's world; the first view shows it.
        source: what the model says of colors, for a mesh that the browser draws; None where there is none.
    """

    def __init__(
        self,
        hands: PosedHands,
        frame_names: list[str],
        scene_box: SceneBox,
        source: Callable[[], ExportSource] | None = None,
    ):
        super().__init__(name="Hands")
        self._hands = hands
        self._frame_names = frame_names
        self._scene_box = scene_box
        self._lock: contextlib.AbstractContextManager = contextlib.nullcontext()
        self._viewer: Viewer | None = None
        self._sliders: dict[tuple[int, str], viser.GuiInputHandle[float]] = {}
        self._base_values: dict[tuple[int, str], float] = {}
        self._ranges: dict[tuple[int, str], tuple[float, float]] = {}
        self._frame = int(hands.train_frames[0])
        self._base: HandPose | None = None  # None stands for the frame's pose, which training may refine.
        self._pose: HandPose | None = None
        self._player: Player | None = None
        self._mesh = Overlay(self._add_mesh)
        self._source = source
        self._fast = Overlay(self._add_fast)
        self._browser_mesh: BrowserMesh | None = None
        self._fast_step: int | None = None
        self._fast_due = 0.0

    # What nerfstudio calls -------------------------------------------------------------------------------------------

    def install(self, viser_server: viser.ViserServer) -> None:
        """Adds the controls to the folder that nerfstudio has opened for this element."""
        # The viewer delivers events on several threads at once. Before, there is no lock, so that models can be copied.
        self._lock = threading.Lock()
        self._player = Player(self, self._hands)
        self._create_gui_handle(viser_server)

    def _create_gui_handle(self, viser_server: viser.ViserServer) -> None:
        gui = viser_server.gui
        if len(self._frame_names) > 1:
            last = len(self._frame_names) - 1
            frame = gui.add_slider("Frame", 0, last, 1, self._frame, hint="Frame of the capture whose pose is shown")
            label = gui.add_markdown(f"Frame {self._frame_names[self._frame]}")

            def choose_frame() -> None:
                label.content = f"Frame {self._frame_names[frame.value]}"
                self.show_frame(frame.value)

            _on_user_update(frame, choose_frame)
        reset = gui.add_button("Reset pose", icon=viser.Icon.REFRESH, hint="Back to the pose of the frame")
        reset.on_click(lambda _: self.show_frame(self._frame))
        mesh = gui.add_checkbox("Show mesh", False, hint="Draw the posed mesh over the picture")
        _on_user_update(mesh, lambda: self.show_mesh(viser_server if mesh.value else None))
        if self._source is not None:
            hint = "The hand as a mesh in its own colors, which the browser turns by itself, also beside a training"
            fast = gui.add_checkbox("Fast", False, hint=hint)
            _on_user_update(fast, lambda: self.show_fast(viser_server if fast.value else None))
        self._player.install(viser_server)
        poses = self._poses(range(self._hands.num_frames))
        for hand, model in enumerate(self._hands.surface.hands):
            angles = hand_angles(model, poses.local_rotations[:, hand])
            with gui.add_folder(f"{model.side.capitalize()} hand", expand_by_default=hand == 0):
                for name, (lower, upper) in angle_ranges(model).items():
                    # A fit may lie beyond the usual limits, and its slider must be able to say so.
                    lower = float(math.floor(min(lower, float(angles[name].min()))))
                    upper = float(math.ceil(max(upper, float(angles[name].max()))))
                    value = float(round(float(angles[name][self._frame])))
                    slider = gui.add_slider(name, lower, upper, 1.0, value, hint="Degrees")
                    self._sliders[hand, name] = slider
                    self._base_values[hand, name] = value
                    self._ranges[hand, name] = lower, upper
                    _on_user_update(slider, self.bend)

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        self._viewer = viewer
        keep_up_to_date(viewer)

        @viewer.viser_server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            machine = viewer.render_statemachines[client.client_id]
            keep_recognizable(machine)
            shrink_to_fit(machine)
            give_way(machine, self.stands_in)
            set_first_view(client, self._scene_box, viewer.pipeline.datamanager.train_dataset.cameras)
            viewer.train_util = TRAINING_SHARE

        # The player's progress takes the place of nerfstudio's time, which a pose shown here overrides.
        viewer.control_panel._time_enabled = False
        viewer.control_panel._time.set_hidden(True)

    # What a person does ----------------------------------------------------------------------------------------------

    def show_frame(self, frame: int) -> None:
        """Shows a frame as it is: its pose in the picture, its angles on the sliders."""
        with self._lock:
            self._player.halt()
            self._frame, self._base = frame, None
            self._set_sliders()
            self._show(self._base_pose())

    def bend(self) -> None:
        """Shows the base pose with the angles of the sliders that have been moved."""
        with self._lock:
            moved = {
                key: slider.value for key, slider in self._sliders.items() if slider.value != self._base_values[key]
            }
            if self._player.playing:
                self._player.halt()
                self._base = self._pose
                self._set_sliders(keep=moved)
            pose = self._base_pose()
            for hand, model in enumerate(self._hands.surface.hands):
                pose = bend_hand(
                    model, pose, hand, {name: value for (owner, name), value in moved.items() if owner == hand}
                )
            self._show(pose)

    def adopt(self, pose: HandPose) -> None:
        """Shows a pose ([1, H, ...], capture's world), from which the sliders depart from now on."""
        with self._lock:
            self._player.halt()
            self._base = pose.to(self._hands.valid.device)
            self._set_sliders()
            self._show(self._base)

    def settle(self) -> None:
        """Ends the playing at the pose that is shown."""
        with self._lock:
            if self._player.playing:
                self._player.halt()
                self._base = self._pose
                self._set_sliders()

    def show_unless(self, stop: threading.Event, pose: HandPose) -> bool:
        """Shows a pose of a track between two pictures, so that none of them is of two poses.

        Args:
            stop: Whether the track has been stopped in the meantime; then nothing is shown.
            pose: The pose [1, H, ...], capture's world.

        Returns:
            Whether it was shown.
        """
        lock = self._viewer.train_lock if self._viewer is not None else None
        with lock or contextlib.nullcontext(), self._lock:
            if stop.is_set():
                return False
            self._show(pose.to(self._hands.valid.device), hold_training=False)
            return True

    def pose(self) -> HandPose:
        """The pose that is shown, or would be if somebody had touched a control [1, H, ...]."""
        return self._base_pose() if self._pose is None else self._pose

    def show_mesh(self, viser_server: viser.ViserServer | None) -> None:
        """Adds the posed mesh to the scene of this viewer; None removes it."""
        with self._lock:
            self._mesh.switch(viser_server)

    def show_fast(self, viser_server: viser.ViserServer | None) -> None:
        """Has this viewer's browsers draw the hands by themselves, and sends no pictures of them; None ends it."""
        with self._lock:
            self._fast.switch(viser_server)
        rerender(self._viewer)

    def stands_in(self) -> bool:
        """Whether browsers draw the hands by themselves; now and then with what has been learned meanwhile."""
        if not self._fast.is_on:
            return False
        if self._step() != self._fast_step and time.monotonic() > self._fast_due:
            lock = self._viewer.train_lock if self._viewer is not None else None
            with lock or contextlib.nullcontext(), self._lock:
                self._fast.draw()
        return True

    # -----------------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _poses(self, frames: Sequence[int]) -> HandPose:
        pose = self._hands.pose_of(torch.tensor([*frames], device=self._hands.valid.device))
        # A hand that is absent from a frame may have any pose, NaN too; its sliders then stand at the rest pose.
        absent = ~pose.valid[..., None]
        return dataclasses.replace(
            pose,
            global_orient=pose.global_orient.masked_fill(absent, 0.0),
            local_rotations=pose.local_rotations.masked_fill(absent[..., None], 0.0),
        )

    def _base_pose(self) -> HandPose:
        return self._poses([self._frame]) if self._base is None else self._base

    def _set_sliders(self, keep: Container[tuple[int, str]] = ()) -> None:
        """Puts the sliders at the angles of the base pose, but for some that a person has just moved."""
        pose = self._base_pose()
        for hand, model in enumerate(self._hands.surface.hands):
            for name, values in hand_angles(model, pose.local_rotations[:, hand].cpu()).items():
                lower, upper = self._ranges[hand, name]
                value = min(max(float(round(float(values[0]))), lower), upper)
                self._base_values[hand, name] = value
                if (hand, name) not in keep:
                    self._sliders[hand, name].value = value

    def _show(self, pose: HandPose, *, hold_training: bool = True) -> None:
        self._pose = pose
        self._hands.set_free_pose(pose)
        self._mesh.draw()
        self._fast.draw()
        if self._viewer is not None and hold_training:
            # nerfstudio holds the training back for a moment after the camera moved, so that the picture can follow.
            self._viewer.last_move_time = time.time()  # pyright: ignore[reportAttributeAccessIssue]
        rerender(self._viewer)

    def _add_fast(self, scene: viser.SceneApi) -> viser.GlbHandle:
        """Adds the colored mesh."""
        start, self._fast_step = time.monotonic(), self._step()
        if self._browser_mesh is None:
            assert self._source is not None, "the switch is there where colors are"
            self._browser_mesh = BrowserMesh(self._hands, self._source)
        handle = scene.add_glb(FAST_NAME, self._browser_mesh.glb(self.pose()), scale=VIEWER_SCALE)
        now = time.monotonic()
        self._fast_due = now + max(FAST_SECONDS, FAST_REST * (now - start))
        return handle

    def _step(self) -> int | None:
        """Of the training."""
        return None if self._viewer is None else self._viewer.step

    @torch.no_grad()
    def _add_mesh(self, scene: viser.SceneApi) -> viser.MeshHandle:
        """Adds the posed mesh."""
        vertices = self._hands.vertices(self.pose())[0].cpu().numpy() * VIEWER_SCALE
        faces = self._hands.surface.faces.cpu().numpy()
        return scene.add_mesh_simple(MESH_NAME, vertices, faces, color=MESH_COLOR, wireframe=True)


def _on_user_update(handle: viser.GuiInputHandle, action: Callable[[], None]) -> None:
    """Runs the action when a person changes the control, not when the program sets its value."""
    handle.on_update(lambda event: action() if event.client is not None else None)
