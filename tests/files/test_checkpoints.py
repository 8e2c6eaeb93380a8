"""Checkpoints that cannot be gone on from are told apart, each in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from nerfstudio.utils import eval_utils

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.checkpoints import checkpoint_path, patch_loading, read_checkpoint, require_same_weights
from nerfstudio_hands.training.pipeline import HandPipeline


class Hostile:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (str(self.trap),)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "step-000000599.ckpt"
    torch.save({"step": 599, "pipeline": {"_model.weight": torch.zeros(64, 64)}}, path)
    return path


def test_a_whole_checkpoint_is_read(whole: Path):
    state = read_checkpoint(whole)
    assert state["step"] == 599 and state["pipeline"]["_model.weight"].shape == (64, 64)


@pytest.mark.parametrize(
    "kind", ["empty", "cut", "cut to its head", "garbage", "text", "hostile", "a list", "a folder"]
)
def test_a_file_that_is_no_checkpoint_is_named(whole: Path, tmp_path: Path, kind: str):
    content, trap = whole.read_bytes(), tmp_path / "trap"
    if kind == "hostile":
        torch.save({"step": 1, "pipeline": Hostile(trap)}, whole)
    elif kind == "a list":
        torch.save([1, 2], whole)
    elif kind == "a folder":
        whole.unlink()
        whole.mkdir()
    else:
        cut = {"empty": b"", "cut": content[: len(content) // 2], "cut to its head": content[:40]}
        whole.write_bytes({**cut, "garbage": bytes(range(256)) * 9, "text": b"step: 1\n"}[kind])
    with pytest.raises(HandsError, match=f"^{whole}: expected a checkpoint.*found") as said:
        read_checkpoint(whole)
    assert "\n" not in str(said.value) and not trap.exists()


@pytest.mark.parametrize(
    "pipeline",
    [
        None,
        [1],
        {1: torch.zeros(2)},
        {"_model.weight": None},
        {"_model.weight": "zeros"},
        {"_model.weight": torch.eye(3).to_sparse()},
        {"_model.weight": torch.zeros(2, device="meta")},
    ],
)
def test_weights_are_numbers_by_name(whole: Path, pipeline: object):
    torch.save({"step": 599, "pipeline": pipeline}, whole)
    with pytest.raises(HandsError, match=f"^{whole}: expected a checkpoint of nerfstudio's, found other data"):
        read_checkpoint(whole)


def test_whole_numbers_are_not_taken_for_others():
    own = {"gain": torch.zeros(2), "seen": torch.zeros(2, dtype=torch.long)}
    require_same_weights(own, {"gain": torch.zeros(2, dtype=torch.half), "seen": own["seen"]})
    with pytest.raises(HandsError, match="numbers of type torch.float32 in gain, found torch.int64"):
        require_same_weights(own, {"gain": own["seen"], "seen": own["seen"]})


def test_only_files_named_as_checkpoints_count(tmp_path: Path):
    with pytest.raises(HandsError, match=f"^{tmp_path}: expected checkpoints named step-.*found none"):
        checkpoint_path(tmp_path)
    for name in ("step-abc.ckpt", "step-000000099.ckpt", "step-000000100.ckpt", "step-000000200.ckpt.part", "notes"):
        (tmp_path / name).touch()
    assert checkpoint_path(tmp_path).name == "step-000000100.ckpt"
    assert checkpoint_path(tmp_path, 99).name == "step-000000099.ckpt"
    with pytest.raises(HandsError, match="expected a checkpoint of step 7, found those of 99, 100"):
        checkpoint_path(tmp_path, 7)


@pytest.mark.parametrize(
    ("loaded", "found"),
    [
        ({"gain": (15, 3)}, r"\(field.weight is not there instead of \[4, 2\]\)"),
        ({"gain": (14, 3), "field.weight": (4, 2)}, r"\(gain is \[14, 3\] instead of \[15, 3\]\)"),
        ({"gain": (15, 3), "field.weight": (4, 2), "albedo": (8,)}, r"\(albedo is \[8\] instead of nothing\)"),
    ],
)
def test_weights_of_another_method_or_rig_are_not_taken(monkeypatch, loaded, found):
    own = {"gain": torch.zeros(15, 3), "field.weight": torch.zeros(4, 2)}
    other = {name: torch.zeros(shape) for name, shape in loaded.items()}
    require_same_weights(own, own)
    with pytest.raises(HandsError, match=found):
        require_same_weights(own, other)
    taken = []
    monkeypatch.setattr(VanillaPipeline, "load_pipeline", lambda self, state, step: taken.append(step))
    monkeypatch.setattr(HandPipeline, "model", SimpleNamespace(state_dict=lambda: own, named_parameters=own.items))
    pipeline = HandPipeline.__new__(HandPipeline)
    for prefix in ("_model.", "_model.module."):
        pipeline.load_pipeline({prefix + name: value for name, value in own.items()}, 5)
        with pytest.raises(SystemExit, match="^error: checkpoint: expected the weights of this method"):
            pipeline.load_pipeline({prefix + name: value for name, value in other.items()}, 6)
    assert taken == [5, 5]


def test_weights_that_are_no_numbers_are_not_taken(monkeypatch):
    own = {"splats.place": torch.zeros(4, 3), "poses": torch.full((2,), torch.nan)}
    monkeypatch.setattr(VanillaPipeline, "load_pipeline", lambda self, state, step: None)
    model = SimpleNamespace(state_dict=lambda: own, named_parameters=lambda: [("splats.place", own["splats.place"])])
    monkeypatch.setattr(HandPipeline, "model", model)
    pipeline = HandPipeline.__new__(HandPipeline)
    pipeline.load_pipeline({f"_model.{name}": value for name, value in own.items()}, 5)
    own["splats.place"][1, 2] = torch.nan
    with pytest.raises(SystemExit, match=r"finite numbers in splats.place, found 1 of 12 that are NaN or infinite"):
        pipeline.load_pipeline({f"_model.{name}": value for name, value in own.items()}, 5)


def test_nerfstudio_s_commands_say_what_is_wrong_with_a_checkpoint_of_ours(monkeypatch, whole: Path):
    others = []
    monkeypatch.setattr(eval_utils, "eval_load_checkpoint", lambda config, pipeline: others.append(pipeline))
    taken = []
    monkeypatch.setattr(HandPipeline, "load_pipeline", lambda self, state, step: taken.append((list(state), step)))
    config = SimpleNamespace(load_dir=whole.parent, load_step=None)
    ours = HandPipeline.__new__(HandPipeline)
    for _ in range(2):
        patch_loading(HandPipeline)
    (whole.parent / "step-abc.ckpt").touch()
    assert eval_utils.eval_load_checkpoint(config, ours) == (whole, 599) and taken == [(["_model.weight"], 599)]
    whole.write_bytes(whole.read_bytes()[:100])
    with pytest.raises(SystemExit, match=f"^error: {whole}: expected a checkpoint"):
        eval_utils.eval_load_checkpoint(config, ours)
    eval_utils.eval_load_checkpoint(config, "another's")
    assert others == ["another's"]
