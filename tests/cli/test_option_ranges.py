"""Numbers out of range are refused at once, before anything heavy is imported, and the help says the range."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from pathlib import Path

import pytest
import tyro

from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.check import check
from nerfstudio_hands.cli.export import export
from nerfstudio_hands.cli.synthesize import CaptureRoom, InterHand
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import declared_bounds

RANGES = {
    turntable: {
        "num_frames": (-1, 0, 10**7), "fps": (0.0, -1.0, math.nan, math.inf, 1e9), "width": (0, -5, 10**7),
        "height": (0, -5, 10**7), "elevation": (math.nan, 90.0, -1000.0), "frame": (-1, 10**9),
    },
    animate: {
        "fps": (0.0, -1.0, math.nan, math.inf, 1e9), "speed": (0.0, -1.0, math.nan, math.inf),
        "seconds": (-1.0, math.nan, math.inf, 1e9), "size": (-5, 0, 2, 10**7),
    },
    export: {
        "frame": (-1, 10**9), "voxel": (0.0, -1.0, math.nan, math.inf, 1e6), "level": (-1000.0, math.nan, math.inf),
    },
}  # fmt: skip
CASES = [
    (command, name, value) for command, names in RANGES.items() for name, values in names.items() for value in values
]


@pytest.mark.parametrize(("command", "name", "value"), CASES)
def test_numbers_out_of_range(command, name: str, value: float, tmp_path: Path) -> None:
    flag = f"--{name.replace('_', '-')}"
    # There is no such run: whoever looks at it first has lost time.
    with pytest.raises(HandsError, match=rf"^{flag}: expected a number from \S+ to \S+, found") as refused:
        command(tmp_path / "config.yml", tmp_path / "out.mp4", **{name: value})
    low, high = re.search(r"from (\S+) to (\S+),", str(refused.value)).groups()
    sentence = re.search(rf"\n +{name}: (.*?)(?=\n +\w+: |$)", inspect.getdoc(command) + "\n", re.DOTALL).group(1)
    assert f"{low} to {high}" in " ".join(sentence.split()), "the help does not say the range"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frames", [-1, 0, 10**9])
def test_check_of_no_frames(frames: int, demo_capture: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="--frames: expected a number from 1 to 10000, found"):
        check(demo_capture, frames=frames, output=tmp_path / "out")
    assert "1 to 10000" in inspect.getdoc(check) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", [CaptureRoom, InterHand])
def test_numbers_of_synthetic_captures(layout, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(layout, args=["--help"])
    said = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    ranges = declared_bounds(layout)
    numbers = {field.name for field in dataclasses.fields(layout) if isinstance(field.default, int)}
    assert numbers - {"fps"} == ranges.keys()
    for name, bounds in ranges.items():
        low, high, flag = bounds.low, bounds.high, f"--{name.replace('_', '-')}"
        assert f"{flag} INT from {low} to {high}" in said
        for value in (low - 1, high + 1):
            with pytest.raises(HandsError, match=f"{flag}: expected a number from {low} to {high}"):
                layout(output=tmp_path / "new", **{name: value}).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", [CaptureRoom, InterHand])
def test_numbers_in_groups_of_options_of_synthetic_captures(layout, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(layout, args=["--help"])
    said = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    groups = [field for field in dataclasses.fields(layout) if dataclasses.is_dataclass(field.default)]
    assert groups
    for group in groups:
        ranges = declared_bounds(type(group.default))
        numbers = {f.name for f in dataclasses.fields(group.default) if isinstance(f.default, (int, float))}
        assert numbers == ranges.keys()
        for name, bounds in ranges.items():
            flag = f"--{group.name}.{name.replace('_', '-')}"
            assert re.search(rf"{flag} (INT|FLOAT) from {bounds.low:g} to {bounds.high:g}", said)
            for value in (bounds.low - 1, bounds.high + 1, math.nan):
                with pytest.raises(HandsError, match=f"{flag}: expected a number from {bounds.low} to {bounds.high}"):
                    other = dataclasses.replace(group.default, **{name: value})
                    layout(output=tmp_path / "new", **{group.name: other}).run()
    assert not list(tmp_path.iterdir())
