"""Numbers of options: each has a range, which the help shows and a refusal names."""

from __future__ import annotations

import dataclasses
import math
import re
from copy import deepcopy
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import tyro

from nerfstudio_hands.dataparsers.registrations import capture_room_data, interhand_data
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh
from nerfstudio_hands.method_configs.hand_sdf import hand_sdf
from nerfstudio_hands.program.option_range import check_ranges, declared_bounds, require_range
from nerfstudio_hands.training.trainer import HandTrainerConfig

METHODS = {entry.name: entry for entry in entry_points(group="nerfstudio.method_configs") if "hand" in entry.name}


@pytest.mark.parametrize("value", [-1, 0, 0.0999, 100.001, 10**400, math.inf, -math.inf, math.nan])
def test_what_lies_outside_is_refused_with_the_range(value: float) -> None:
    with pytest.raises(HandsError, match=r"--fps: expected a number from 0.1 to 100, found "):
        require_range("--fps", value, 0.1, 100)


@pytest.mark.parametrize("value", [0.1, 1, 24.0, 100])
def test_both_ends_belong_to_the_range(value: float) -> None:
    require_range("--fps", value, 0.1, 100)


def ours(config: Any) -> list[tuple[type, str, Any]]:
    """Numbers of a configuration that this project declares: class, field and default."""
    found = []
    for item in config.values() if isinstance(config, dict) else [config]:
        if isinstance(item, dict):
            found += ours(item)
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            for field in dataclasses.fields(item):
                value = getattr(item, field.name)
                is_number = re.search(r"\b(int|float|bounded|Weight|Fraction|Interval|RayCount)\b", str(field.type))
                if "nerfstudio_hands" in type(item).__module__ and is_number:
                    found.append((type(item), field.name, value))
                found += ours(value)
    return found


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("parser", [None, capture_room_data, interhand_data])
def test_every_number_of_our_configurations_has_a_range_that_holds_its_default(name: str, parser: Any) -> None:
    config = deepcopy(METHODS[name].load().config)
    if parser is not None:
        config.pipeline.datamanager.dataparser = deepcopy(parser.config)
    check_ranges(config)
    numbers = ours(config)
    assert len(numbers) > 20
    from_nerfstudio = {"collider_params", "loss_coefficients"}
    assert not [
        (owner.__name__, field)
        for owner, field, _ in numbers
        if field not in declared_bounds(owner) and field not in from_nerfstudio
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("max_num_iterations", 0),
        ("max_num_iterations", -1),
        ("steps_per_save", -1),
        ("machine.seed", -1),
        ("machine.seed", 2**32),
        ("machine.num_devices", 0),
        ("logging.steps_per_log", 0),
        ("viewer.websocket_port", 70000),
        ("pipeline.datamanager.train_num_rays_per_batch", 0),
        ("pipeline.datamanager.pixel_sampler.patch_size", 0),
        ("pipeline.datamanager.pixel_sampler.background_fraction", 1.5),
        ("pipeline.model.shell", 0),
        ("pipeline.model.shell", math.nan),
        ("pipeline.model.shell", 10),
        ("pipeline.model.num_samples", 0),
        ("pipeline.model.subdivisions", -1),
        ("pipeline.model.subdivisions", 9),
        ("pipeline.model.resolutions", (32, 0)),
        ("pipeline.model.resolutions", (32, 10**7)),
        ("pipeline.model.color_loss_weight", -1),
        ("pipeline.model.sdf_field.num_layers", 0),
        ("optimizers.fields.optimizer.lr", math.inf),
        ("optimizers.fields.scheduler.final_fraction", 2),
    ],
)
def test_a_number_out_of_range_is_refused_under_its_option(path: str, value: Any) -> None:
    config = deepcopy(hand_sdf.config)
    *parents, name = path.split(".")
    owner = config
    for parent in parents:
        owner = owner[parent] if isinstance(owner, dict) else getattr(owner, parent)
    setattr(owner, name, value)
    option = path.replace("_", "-")
    with pytest.raises(HandsError, match=rf"^--{option}: expected a (finite )?number( from .* to .*)?, found "):
        check_ranges(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_eval_images", -1),
        ("eval_frame_fraction", 1.0),
        ("eval_frame_fraction", math.nan),
        ("resolution_scale", 0),
        ("resolution_scale", -5),
        ("max_resolution", 0),
        ("max_resolution", 10**7),
    ],
)
def test_options_of_the_data_parser_are_named_as_they_are_typed(name: str, value: float) -> None:
    config = deepcopy(hand_mesh.config)
    setattr(config.pipeline.datamanager.dataparser, name, value)
    with pytest.raises(HandsError, match=rf"^--{name.replace('_', '-')}: expected a number from"):
        check_ranges(config)


def test_the_help_shows_the_range(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(type(interhand_data.config), args=["--help"])
    shown = capsys.readouterr().out
    assert "--max-resolution INT from 16 to 8192" in shown
    assert "--resolution-scale None|FLOAT from 0.01 to 1" in shown


def test_a_training_is_refused_before_a_folder_is_made(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config: HandTrainerConfig = deepcopy(hand_mesh.config)
    config.output_dir, config.pipeline.datamanager.data = tmp_path / "runs", tmp_path
    config.pipeline.model.subdivisions = 12
    with pytest.raises(SystemExit, match="^error: --pipeline.model.subdivisions: expected a number from 0 to 6"):
        config.print_to_terminal()
    config.pipeline.model.subdivisions = None
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}: expected a capture"):
        config.print_to_terminal()
    assert not list(tmp_path.iterdir())
