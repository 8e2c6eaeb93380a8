"""A run keeps the hands that it was trained on: it works from any folder, moved, and without its capture."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import zipfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.kept_fit import keep
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.dataparsers import run_record
from nerfstudio_hands.dataparsers.registrations import hands_data
from nerfstudio_hands.dataparsers.run_record import RUN_FILE, RUN_VERSION, RunRecord
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import HandFit
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh

CACHE = "NERFSTUDIO_HANDS_CACHE"


@pytest.fixture
def kept_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def scan(demo_capture: Path, true_fit: HandFit, kept_fits: Path, tmp_path: Path) -> Path:
    """A copy of the shipped capture whose fit is its truth."""
    scan = shutil.copytree(demo_capture, tmp_path / "captures" / "1")
    keep(true_fit, scan)
    return scan


def parser_of(scan: Path, run: Path, **options):
    run.mkdir(parents=True, exist_ok=True)
    return replace(hands_data.config, data=scan, run=run, **options).setup()


def assert_same(first: DataparserOutputs, second: DataparserOutputs) -> None:
    """What models and exports take of a data parser."""
    one, other = (outputs.metadata["hands"] for outputs in (first, second))
    for name in ("shape", "displacement", "world_transform", "train_frames"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name, value in vars(one.pose).items():
        assert torch.equal(value, getattr(other.pose, name)), name
    assert one.camera_names == other.camera_names and one.frame_names == other.frame_names
    assert torch.equal(first.cameras.camera_to_worlds, second.cameras.camera_to_worlds)
    assert torch.equal(first.cameras.fx, second.cameras.fx) and torch.equal(first.scene_box.aabb, second.scene_box.aabb)
    assert torch.equal(first.cameras.metadata["camera_index"], second.cameras.metadata["camera_index"])


def test_a_run_needs_no_capture(scan: Path, tmp_path: Path, capsys):
    training = parser_of(scan, tmp_path / "run")
    training.begin_run()
    before = {split: training.get_dataparser_outputs(split) for split in ("train", "test")}
    shutil.rmtree(scan)
    shutil.rmtree(os.environ[CACHE])
    again = parser_of(scan, tmp_path / "run")
    for split, outputs in before.items():
        assert_same(outputs, again.get_dataparser_outputs(split))
        assert again.get_dataparser_outputs(split).image_filenames == outputs.image_filenames
    assert "is not there; the hands are those that the run keeps" in capsys.readouterr().out


def test_a_capture_that_changed_moves_nothing_and_is_said(scan: Path, true_fit, tmp_path: Path, capsys):
    training = parser_of(scan, tmp_path / "run")
    training.begin_run()
    before = training.get_dataparser_outputs("train")
    parser_of(scan, tmp_path / "run").get_dataparser_outputs("train")
    assert "has changed" not in capsys.readouterr().out
    picture = scan / "img" / f"{training.record.split.train_cameras[0]}.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    # Whoever fitted again would find the hand elsewhere.
    pose = replace(true_fit.pose, translation=true_fit.pose.translation + 0.003)
    keep(replace(true_fit, pose=pose), scan)
    assert_same(before, parser_of(scan, tmp_path / "run").get_dataparser_outputs("train"))
    assert "hands fitted now would differ" in " ".join(capsys.readouterr().out.split())


def test_a_training_that_holds_nothing_out_says_so_as_it_begins(scan: Path, true_fit: HandFit, tmp_path: Path, capsys):
    keep(true_fit, scan, held_out=())
    parser_of(scan, tmp_path / "run", eval_cameras=()).begin_run()
    assert "No picture is held out of 1 frame" in " ".join(capsys.readouterr().out.split())


def test_the_capture_may_lie_elsewhere(scan: Path, tmp_path: Path, capsys):
    training = parser_of(scan, tmp_path / "run")
    training.begin_run()
    moved = shutil.move(scan, tmp_path / "moved" / "1")
    found = parser_of(Path(moved), tmp_path / "run")
    outputs = found.get_dataparser_outputs("test")
    assert all(path.is_relative_to(moved) and path.is_file() for path in outputs.image_filenames)
    found.record.check_held_out()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", ["picture", "mask", "missing"])
def test_figures_are_refused_where_a_held_out_image_changed(scan: Path, tmp_path: Path, change: str):
    training = parser_of(scan, tmp_path / "run")
    training.begin_run()
    file = scan / ("mask" if change == "mask" else "img") / f"{training.record.split.eval_cameras[0]}.png"
    if change == "missing":
        file.unlink()
    else:
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    found = parser_of(scan, tmp_path / "run")
    found.get_dataparser_outputs("test")
    with pytest.raises(HandsError, match=f"{len(training.record.held_out)} changed or missing .*{file.stem}.png"):
        found.record.check_held_out()


def test_going_on_takes_the_fit_of_the_earlier_run(scan: Path, true_fit, tmp_path: Path, capsys):
    earlier = parser_of(scan, tmp_path / "run")
    earlier.begin_run()
    pose = replace(true_fit.pose, translation=true_fit.pose.translation + 0.003)
    picture = scan / "img" / f"{earlier.record.split.train_cameras[0]}.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    keep(replace(true_fit, pose=pose), scan)
    later = parser_of(scan, tmp_path / "later", goes_on_from=tmp_path / "run")
    later.begin_run()
    assert_same(earlier.get_dataparser_outputs("train"), later.get_dataparser_outputs("train"))
    assert RunRecord.load(tmp_path / "later" / RUN_FILE).fit_key == earlier.record.fit_key
    assert "training goes on with that run's" in " ".join(capsys.readouterr().out.split())


def test_going_on_with_other_held_out_cameras_is_refused(scan: Path, true_fit, tmp_path: Path, monkeypatch):
    parser_of(scan, tmp_path / "run").begin_run()
    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", lambda *args, **options: true_fit)
    other = parser_of(scan, tmp_path / "later", goes_on_from=tmp_path / "run", eval_cameras=("00",))
    with pytest.raises(HandsError, match="--load-dir: expected the cameras and frames that train"):
        other.begin_run()


def test_a_damaged_record_is_one_sentence(scan: Path, tmp_path: Path):
    parser_of(scan, tmp_path / "run").begin_run()
    file = tmp_path / "run" / RUN_FILE
    with np.load(file) as archive:
        arrays = dict(archive)
    whole = file.read_bytes()
    for damage in ("cut", "member", "missing", "shape"):
        if damage == "cut":
            file.write_bytes(whole[: len(whole) // 2])
        elif damage == "member":
            file.write_bytes(whole[:300] + bytes(40) + whole[340:])
        elif damage == "missing":
            np.savez(file, **{name: value for name, value in arrays.items() if name != "fit_valid"})
        else:
            np.savez(file, **{**arrays, "fit_valid": arrays["fit_valid"][:0]})
        with pytest.raises(HandsError, match=f"{RUN_FILE}: expected the hands that the run was trained on, found"):
            RunRecord.load(file)


def test_numbers_of_a_record_are_looked_at(scan: Path, tmp_path: Path):
    parser_of(scan, tmp_path / "run").begin_run()
    file = tmp_path / "run" / RUN_FILE
    with np.load(file) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["run"].tobytes())
    RunRecord.load(file)
    changes = [
        *({name: arrays[name] * np.nan} for name in ("intrinsics", "world_to_camera", "world", "fit_displacement")),
        *({name: arrays[name] * 0} for name in ("intrinsics", "world_to_camera", "world")),
        {"fit_translation": arrays["fit_translation"] * np.inf},
        {"world_to_camera": arrays["world_to_camera"][:, :2]},
        {"world": np.array("x")},
        {"train_frames": np.array([0, 99])},
        {"run": b"[" * 100_000},
        {"run": {"frames": 5}},
        {"run": {"cameras": [["00", 1.5, 256]] * len(header["cameras"])}},
        {"run": {"cameras": [["00", 0, 256]] * len(header["cameras"])}},
        {"run": {"eval_cameras": "03"}},
        {"run": {"cameras": [header["cameras"][0]] * len(header["cameras"])}},
        {"run": {"eval_cameras": ["nobody"]}},
        {"run": {"images": [*header["images"], header["images"][0]]}},
        {"run": {"masks": [["1", "nobody", "mask/00.png"]]}},
        {"intrinsics": arrays["intrinsics"] * 1e12},
        {"world_to_camera": arrays["world_to_camera"] + np.eye(4)[:, :1] * np.eye(4)[3] * 1e12},
        {"fit_translation": arrays["fit_translation"] * 1e12},
        {"detections": arrays["detections"][:, :2]},
    ]
    for change in changes:
        if isinstance(said := change.get("run"), dict):
            said = json.dumps({**header, **said}).encode()
        broken = change if said is None else {"run": np.frombuffer(said, np.uint8)}
        np.savez(file, **{**arrays, **broken})
        with pytest.raises(HandsError, match=f"{RUN_FILE}: expected the hands that the run was trained on, found"):
            RunRecord.load(file)
    claim = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("run.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim)) + claim)
    with pytest.raises(HandsError, match=f"{RUN_FILE}: expected the hands that the run was trained on, found"):
        RunRecord.load(file)


def test_a_record_of_another_version_says_so(scan: Path, tmp_path: Path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_record, "RUN_VERSION", 1)
        parser_of(scan, tmp_path / "run").begin_run()
    sentence = rf"{RUN_FILE}: expected .* in version {RUN_VERSION}, found version 1: .* train again"
    with pytest.raises(HandsError, match=sentence):
        RunRecord.load(tmp_path / "run" / RUN_FILE)


@pytest.fixture
def moved_run(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """config.yml of a run of three steps, trained with relative paths, then moved; the working folder is another."""
    monkeypatch.chdir(tmp_path)
    config = deepcopy(hand_mesh.config)
    config.machine.device_type, config.vis, config.timestamp = "cpu", "tensorboard", "run"
    config.output_dir, config.experiment_name = Path("outputs"), "moved"
    config.pipeline.datamanager.data = scan.relative_to(tmp_path)
    config.pipeline.datamanager.dataparser.resolution_scale = 0.25
    config.max_num_iterations = 3
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.save_checkpoint(3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return Path(shutil.move(config.get_base_dir(), tmp_path / "another name")) / "config.yml"


def test_a_moved_run_is_loaded_from_any_folder(scan: Path, moved_run: Path, monkeypatch):
    _, here = load_run(moved_run)
    shutil.rmtree(scan)
    _, alone = load_run(moved_run)
    for name, value in here.model.state_dict().items():
        assert torch.equal(value, alone.model.state_dict()[name]), name
    # nerfstudio's own commands.
    monkeypatch.setattr(sys, "argv", ["ns-eval", "--load-config", str(moved_run)])
    _, pipeline, checkpoint, _ = eval_setup(moved_run, test_mode="test")
    assert checkpoint.is_relative_to(moved_run.parent)
    assert torch.equal(pipeline.model.hands.world_transform, here.model.hands.world_transform)
    with pytest.raises(SystemExit, match="error: evaluation: expected the held-out pictures .* changed or missing"):
        _ = pipeline.datamanager.fixed_indices_eval_dataloader
