"""The controls that put a mesh into another light, moved as a person would; see test_in_browser.py for their page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.fake_viewer import FakeHandle, FakeServer

from nerfstudio_hands.geometry.light.environment import BUILT_IN, Environment, load_environment
from nerfstudio_hands.viewer.light_controls import CAPTURED, LightControls


@pytest.fixture
def shown() -> list[tuple[Environment | None, float]]:
    """Every light that was asked for, and its turn."""
    return []


@pytest.fixture
def handles(shown) -> dict[str, FakeHandle]:
    server = FakeServer()
    LightControls(lambda environment, turned: shown.append((environment, turned))).install(server)
    return {label: found[0] for label, found in server.handles.items()}


def test_a_light_is_chosen_turned_and_ended(handles, shown):
    assert handles["Light"].options == (CAPTURED, *BUILT_IN)
    handles["Light"].use("sunset")
    handles["Turn light"].use(90)
    handles["Light"].use(CAPTURED)
    assert [turned for _, turned in shown] == [0, math.pi / 2, math.pi / 2] and shown[2][0] is None
    for environment, _ in shown[:2]:
        assert torch.equal(environment.coefficients, load_environment("sunset").coefficients)


def test_a_file_goes_before_the_list(handles, shown, tmp_path: Path):
    coefficients = torch.rand(9, 3)
    (tmp_path / "room.json").write_text(json.dumps({"coefficients": coefficients.tolist()}))
    handles["Light"].use("sunset")
    handles["Light file"].use(f" {tmp_path / 'room.json'} ")
    assert torch.allclose(shown[-1][0].coefficients, coefficients)
    handles["Light file"].use("")
    assert torch.equal(shown[-1][0].coefficients, load_environment("sunset").coefficients)


def test_a_file_that_is_no_light_is_said_and_the_light_stays(handles, shown, tmp_path: Path, capsys):
    handles["Light"].use("overcast")
    (tmp_path / "broken.hdr").write_bytes(b"no panorama")
    for name in ("nowhere.hdr", "broken.hdr"):
        handles["Light file"].use(str(tmp_path / name))
        said = capsys.readouterr().out
        assert name in said and "expected" in said and "found" in said
    assert len(shown) == 1


def test_the_image_is_asked_for_anew(shown):
    asked = []
    controls = LightControls(lambda environment, turned: shown.append((environment, turned)))
    server = FakeServer()
    controls.install(server)
    controls._viewer = SimpleNamespace(_trigger_rerender=lambda: asked.append(len(shown)))
    server.handles["Light"][0].use("studio")
    assert asked == [1]  # After the light was changed, not before.
