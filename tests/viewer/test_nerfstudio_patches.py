"""The parts of nerfstudio's viewer that are replaced: the camera path of two keyframes, and where it is written."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import viser
from nerfstudio.viewer import viewer
from viser.transforms import SO3

from nerfstudio_hands.viewer.nerfstudio_patches import file_name, patch_viewer


class RenderTab:
    """nerfstudio's tab for camera paths, whose controls a test uses as a person would."""

    def __init__(self, server: viser.ViserServer, run: Path, capture: Path) -> None:
        self._server = server
        viewer.populate_render_tab(server, run / "config.yml", capture)
        self._controls = {handle._impl.label: handle for handle in server.gui._gui_input_handle_from_id.values()}

    def press(self, label: str, *, turned: float = 0.0) -> None:
        """Presses a button in a browser whose camera is turned about the upright axis by some radians."""
        camera = SimpleNamespace(position=np.array([turned, 0.0, 1.0]), wxyz=SO3.from_z_radians(turned).wxyz, fov=0.6)
        self._server.get_clients = lambda: {0: SimpleNamespace(camera=camera)}
        event = SimpleNamespace(client=SimpleNamespace(gui=self._server.gui), client_id=0)
        for action in self._controls[label]._impl.update_cb:
            action(event)

    def enter(self, label: str, value: object) -> None:
        self._controls[label].value = value


@pytest.fixture
def server() -> Iterator[viser.ViserServer]:
    patch_viewer()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    yield server
    server.stop()


def test_a_path_of_two_keyframes_turns_evenly_and_is_written_beside_the_run(server: viser.ViserServer, tmp_path: Path):
    run, capture = tmp_path / "run", tmp_path / "capture"
    run.mkdir()
    capture.mkdir()
    tab = RenderTab(server, run, capture)
    tab.enter("FPS", 5.0)
    tab.press("Add Keyframe")
    tab.press("Add Keyframe", turned=0.8)
    tab.enter("Render name", "../../../x;$(touch y)")
    tab.press("Generate Command")

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [run / "camera_paths" / "_.._.._x___touch_y_.json"]
    frames = [np.array(frame["camera_to_world"]) for frame in json.loads(files[0].read_text())["camera_path"]]
    assert len(frames) == 10
    first, middle = (SO3.from_matrix(frames[n].reshape(4, 4)[:3, :3]) for n in (0, 5))
    assert np.linalg.norm((first.inverse() @ middle).log()) == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2026-01-31-12-00-00", "2026-01-31-12-00-00"),
        ("Hände", "Hände"),
        ("../../../x", "_.._.._x"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\x", "C__x"),
        (".hidden", "hidden"),
        ("--help", "help"),
        ("`rm -r *`\n", "_rm_-r____"),
        ("..", "render"),
        ("", "render"),
        ("a" * 500, "a" * 100),
    ],
)
def test_names_are_names(text: str, name: str):
    assert file_name(text) == name
