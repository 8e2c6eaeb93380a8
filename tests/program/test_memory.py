"""Lack of memory is one sentence that names what to lower; what had been learned until then is kept."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from nerfstudio.scripts.eval import ComputePSNR
from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException

from nerfstudio_hands.models.shell_field_config import ShellFieldModelConfig
from nerfstudio_hands.models.volumetric_hand import VolumetricHandModel
from nerfstudio_hands.program.memory import explain_out_of_memory
from nerfstudio_hands.viewer.first_view import FEWEST_ROWS, shrink_to_fit

METHODS = {entry.name: entry for entry in entry_points(group="nerfstudio.method_configs") if "hand" in entry.name}


def too_much(*arguments, **options) -> torch.Tensor:
    return torch.empty(10**15)


def raises(error: Exception):
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (too_much, r"no further 3725290\.30 GiB"),
        (lambda: np.empty(10**15), r"no further 7\.11 PiB"),
        (lambda: [0] * 10**15, "no more"),
        (
            raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total ..")),
            r"no further 20\.00 GiB",
        ),
        (raises(RuntimeError("Failed to allocate 123456789 bytes on device 'cuda:0'")), r"no further 0\.11 GiB"),
    ],
)
def test_every_library_s_lack_of_memory_is_recognised(act, found):
    with pytest.raises(SystemExit, match=f"^error: this: expected enough memory, found {found}: lower that.$"):
        with explain_out_of_memory("this", "lower that"):
            act()


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError("x")])
def test_other_faults_are_not_swallowed(error):
    with pytest.raises(type(error)), explain_out_of_memory("this", "lower that"):
        raise error


def test_what_the_failed_step_held_is_released():
    held = []

    class Large:
        def __del__(self) -> None:
            held.append("released")

    def step() -> None:
        large = Large()  # noqa: F841
        too_much()

    with pytest.raises(SystemExit) as raised, explain_out_of_memory("this", "lower that"):
        step()
    assert raised.value.__cause__ is not None and held == ["released"]


@pytest.mark.parametrize("method", METHODS)
def test_remedies_name_options_that_the_method_has(method):
    config = METHODS[method].load().config
    pipeline = config.pipeline
    named = re.findall(r"--(pipeline[\w.-]+)(?: \(now (\d+)\))?", pipeline.model.training_remedy(pipeline.datamanager))
    assert len(named) == (1 if method == "hand-splat" else 2)
    for option, value in named:
        chosen = config
        for part in option.replace("-", "_").split("."):
            chosen = getattr(chosen, part)
        assert chosen is None if value == "" else chosen == int(value)
    rendering = pipeline.model.rendering_remedy()
    assert ("subdivisions" in rendering) == ("mesh" in method)
    assert ("chunk" in rendering) == isinstance(pipeline.model, ShellFieldModelConfig)


def test_a_training_that_runs_out_keeps_what_it_learned(tiny_run: Path, tmp_path: Path, monkeypatch):
    config = yaml.load(tiny_run.read_text(), Loader=yaml.Loader)
    config.load_dir, config.output_dir, config.max_num_iterations = tiny_run.parent / "nerfstudio_models", tmp_path, 39
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    model = trainer.pipeline.model
    get_outputs, steps = model.get_outputs, []

    def fourth_fails(rays):
        if model.training:  # Held-out pixels are looked at in between.
            steps.append(rays)
        return get_outputs(rays) if len(steps) < 4 else too_much()

    monkeypatch.setattr(model, "get_outputs", fourth_fails)
    with pytest.raises(SystemExit, match=r"error: training step 33: .*train-num-rays-per-batch \(now 256\)"):
        trainer.train()
    [written] = trainer.checkpoint_dir.iterdir()
    kept = torch.load(written, map_location="cpu", weights_only=True)
    before = torch.load(next(config.load_dir.iterdir()), map_location="cpu", weights_only=True)["pipeline"]
    learned = {name: value for name, value in trainer.pipeline.state_dict().items() if "cameras.gain" in name}
    for name, value in learned.items():
        assert torch.equal(kept["pipeline"][name], value) and not torch.equal(before[name], value)


def test_an_evaluation_that_runs_out_is_one_sentence(tiny_run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(VolumetricHandModel, "get_outputs", too_much)
    with pytest.raises(SystemExit, match=r"error: rendering: .*eval_num_rays_per_chunk \(now 16384\)"):
        ComputePSNR(load_config=tiny_run, output_path=tmp_path / "m.json").main()
    assert not (tmp_path / "m.json").exists()


def test_the_viewer_goes_on_with_smaller_images():
    fits = 200

    def render(camera_state: object) -> dict:
        if largest.value > fits:
            raise SystemExit("error: rendering: ..")
        return {"rgb": camera_state}

    largest = SimpleNamespace(value=1024)
    viewer = SimpleNamespace(control_panel=SimpleNamespace(_max_res=largest))
    machine = SimpleNamespace(_render_img=render, viewer=viewer)
    shrink_to_fit(machine)
    tried = []
    while not tried or tried[-1] > fits:
        with pytest.raises(IOChangeException):  # What tells nerfstudio's thread to wait for the next wish.
            machine._render_img("view")
        tried.append(largest.value)
    assert tried == [512, 256, 128] and machine._render_img("view") == {"rgb": "view"}
    fits = 0
    for _ in range(3):
        with pytest.raises(IOChangeException):
            machine._render_img("view")
    assert largest.value == FEWEST_ROWS
