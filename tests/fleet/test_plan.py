"""A plan is understood, and what is wrong with one is said before anything starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.in_process import ns_hands
from helpers.make_interhand import make_interhand
from helpers.plans import make_captures, plan_of

from nerfstudio_hands.cli.batch import _check_plan
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.graph import make_steps
from nerfstudio_hands.fleet.plan import read_plan, words


@pytest.fixture
def captures(tmp_path: Path) -> list[str]:
    return make_captures(tmp_path / "takes", 3)


def test_a_plan_in_yaml(captures: list[str], tmp_path: Path):
    (tmp_path / "plan.yaml").write_text(
        """
results: out
captures:
  - takes/take*
  - {data: takes/take0, name: small, options: {resolution_scale: 0.25}}
data: {resolution-scale: 0.5, refine-masks: false, eval-cameras: [a, b]}
train: {max-num-iterations: 30}
methods:
  hand-uvnerf:
  long: {method: hand-mesh, options: {max-num-iterations: 60}}
export: {rigged: true, format: [glb]}
resources: {train: {gpus: 0.5}}
"""
    )
    plan = read_plan(tmp_path / "plan.yaml")
    assert plan.results == str(tmp_path / "out")
    assert [capture.name for capture in plan.captures] == ["take0", "take1", "take2", "small"]
    steps = {step.key: step for step in make_steps(plan)}
    # A fit of each, and three steps by two methods of each.
    assert len(steps) == 4 * 7
    # The fit has those of the data parser's options that it knows, in the way that it takes them.
    assert steps["take1/fit"].words == ("--no-refine-masks", "--eval-cameras", "a", "b")
    assert steps["small/long/train"].words == (
        "hand-mesh", "--max-num-iterations", "60", "--", "hands-data",
        "--resolution-scale", "0.25", "--refine-masks", "False", "--eval-cameras", "a", "b",
    )  # fmt: skip
    assert steps["take0/long/export"].words == ("--rigged", "--format", "glb")
    assert steps["take0/long/export"].needs == ("take0/long/train",) and steps["take0/long/train"].needs == (
        "take0/fit",
    )
    assert plan.resources["train"].gpus == 0.5


def test_names_do_not_depend_on_other_captures(tmp_path: Path):
    for name in ("ann/1", "bob/1", "bob/2"):
        (tmp_path / name).mkdir(parents=True)
    results = tmp_path / "out"
    assert [one.name for one in plan_of([f"{tmp_path}/*/1"], results).captures] == ["ann-1", "bob-1"]
    assert [one.name for one in plan_of([f"{tmp_path}/bob/2"], results).captures] == ["bob-2"]


def test_names_of_folders_in_any_script(tmp_path: Path):
    names = ("Anna Müller", "手 1", "e\u0301tude", "Zoë\u202e")
    captures = [str(path) for name in names if not (path := tmp_path / name).mkdir()]
    plan = plan_of(captures, tmp_path / "out")
    assert [one.name for one in plan.captures] == ["Anna_Müller", "手_1", "e_tude", "Zoë_"]
    assert [one.data for one in plan.captures] == captures
    with pytest.raises(HandsError, match="found 2 called 'anna_müller'; give them names"):
        (tmp_path / "Anna_Müller").mkdir()
        plan_of([*captures, str(tmp_path / "Anna_Müller")], tmp_path / "out")


def test_the_published_protocol(tmp_path: Path, monkeypatch, capsys):
    """Its plan as it lies in the repository, beside a tiny tree in InterHand2.6M's layout."""
    make_interhand(tmp_path / "InterHand2.6M")
    shutil.copy(Path(__file__).parents[2] / "benchmarks" / "interhand_protocol.yaml", tmp_path)
    ns_hands("batch", tmp_path / "interhand_protocol.yaml", "--check")
    printed = capsys.readouterr().out
    # A fit and three steps by five methods of each.
    assert f"3 captures, 48 steps; results in {tmp_path}/interhand_protocol" in printed
    assert "The plan can be carried out." in printed and not (tmp_path / "interhand_protocol").exists()


def test_inputs_change_with_what_a_step_depends_on(captures: list[str], tmp_path: Path):
    def inputs(**entries) -> dict[str, str]:
        return {step.key: step.inputs for step in make_steps(plan_of(captures, tmp_path / "out", **entries))}

    before = inputs()
    changed = {key for key, value in inputs(export={"rigged": True}).items() if before[key] != value}
    assert changed == {key for key in before if key.endswith("export")}
    # What is read of the capture changes the fit and all that comes after it.
    assert not set(before.items()) & set(inputs(data={"eval-cameras": ["a"]}).items())


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"capture": []}, "expected one of results, captures,"),
        ({"captures": []}, "expected a list of folders or URLs as 'captures', found \\[\\]"),
        ({"captures": ["nowhere"]}, "nowhere: expected a folder with a capture, found none"),
        ({"captures": ["no*where"]}, "expected a folder with a capture, found none"),
        ({"captures": ["TAKE0", "TAKE0"]}, "expected each capture once, found .*take0 2 times"),
        ({"captures": ["TAKE0", {"data": "TAKE1", "name": "Take0"}]}, "found 2 called 'take0'"),
        ({"captures": [{"data": "TAKE0", "name": "Logs"}]}, "a capture's name that nothing else .* found 'Logs'"),
        ({"methods": {"Fit": {"method": "hand-mesh"}}}, "differ from each other and from 'fit', found 2 of 'fit'"),
        ({"methods": {"a": {"method": "hand-mesh"}, "A": {"method": "hand-sdf"}}}, "found 2 of 'a'"),
        ({"captures": [{"data": "TAKE0", "name": "../up"}]}, "expected a name of letters.* found '../up'"),
        ({"captures": [{"name": "x"}]}, "'data' of a capture, found None"),
        ({"results": ""}, "expected a folder or URL as 'results'"),
        ({"results": "TAKE0/out"}, "expected results outside of the captures"),
        ({"steps": ["fit", "bake"]}, "expected a list of fit, train, eval, export as 'steps'"),
        ({"steps": ["fit", "eval"]}, "expected train with eval"),
        ({"methods": []}, "expected methods of ns-train"),
        ({"train": {"output-dir": "x"}}, "expected none that the batch sets itself.*output-dir"),
        ({"train": {"max-num-iterations": {"a": 1}}}, "expected a number, a text, or a list"),
        ({"resources": {"train": {"gpus": -1}}}, "expected a number from 0 as 'gpus' of train, found -1"),
        ({"resources": {"train": {"tpus": 1}}}, "expected one of cpus, gpus, memory_gb.*'tpus'"),
    ],
)
def test_what_is_wrong_is_said(captures: list[str], tmp_path: Path, entries: dict, sentence: str):
    def placed(value):
        if isinstance(value, str):
            return value.replace("TAKE", str(tmp_path / "takes" / "take"))
        if isinstance(value, list):
            return [placed(part) for part in value]
        return {key: placed(part) for key, part in value.items()} if isinstance(value, dict) else value

    with pytest.raises(HandsError, match=sentence):
        plan_of(**{"captures": captures, "results": tmp_path / "out", **placed(entries)})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "expected a plan in YAML, found no such file"),
        ("a: [", "expected a plan in YAML, found what is none"),
        ("!!python/object/apply:os.system ['true']", "expected a plan in YAML, found what is none"),
        ("- 1", "expected entries of results"),
        ("a: &a {b: 1}\n<<: *a", "expected a plan in YAML, found what is none .*merge"),
    ],
)
def test_what_is_no_plan(tmp_path: Path, text: str | None, sentence: str):
    if text is not None:
        (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(HandsError, match=sentence):
        read_plan(tmp_path / "plan.yaml")


def test_a_pattern_is_a_folder_where_there_is_one_of_that_name(tmp_path: Path):
    (tmp_path / "take[1]").mkdir()
    (tmp_path / "take1").mkdir()
    (capture,) = plan_of([str(tmp_path / "take[1]")], tmp_path / "out").captures
    assert capture.data == str(tmp_path / "take[1]") and capture.name == "take_1_"


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"methods": ["hand-uvnerg"]}, "methods: expected one of .*hand-uvnerf.* found 'hand-uvnerg'"),
        ({"train": {"max-num-iteration": 3}}, "ns-train hand-uvnerf: .*--max-num-iteration.*--max-num-iterations"),
        ({"train": {"max-num-iterations": "x"}}, "ns-train hand-uvnerf: .*--max-num-iterations: invalid"),
        ({"train": {"max-num-iterations": 0}}, "ns-train hand-uvnerf: --max-num-iterations: expected a number from 1"),
        ({"data": {"resolution-scale": 7}}, "hands-data, for the capture take0: --resolution-scale: expected a number"),
        ({"data": {"resolution": 7}}, "hands-data, for the capture take0: .*--resolution"),
        ({"parser": "nerf-data"}, "expected one of the data parsers .*hands-data.* found 'nerf-data'"),
        ({"export": {"riged": True}}, "ns-hands export: .*--riged.*--rigged"),
        ({"fit": {"hand": "middle"}}, "ns-hands fit: .*middle"),
    ],
)
def test_options_are_those_of_the_commands(captures: list[str], tmp_path: Path, entries: dict, sentence: str):
    with pytest.raises(HandsError, match=sentence):
        _check_plan(plan_of(captures, tmp_path / "out", **entries))


def test_good_options_pass(captures: list[str], tmp_path: Path):
    plan = plan_of(
        captures,
        tmp_path / "out",
        train={"max-num-iterations": 30, "pipeline.datamanager.train-num-rays-per-batch": 64},
        data={"resolution-scale": 0.5, "eval-cameras": [], "max-eval-images": 2},
        export={"rigged": True, "format": ["glb", "ply"], "level": -0.5},
    )
    _check_plan(plan)
    assert words({"a": None, "b": True, "c": ()}, flags=False) == ["--a", "None", "--b", "True", "--c"]
