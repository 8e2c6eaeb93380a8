"""What a person sees who gives a command something wrong: one sentence, no traceback, a status that is not zero."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.in_process import ns_hands, ns_train

from nerfstudio_hands.cli.commands import COMMANDS
from nerfstudio_hands.program.environment import announce_training

SHORT = ["--max-num-iterations", "1", "--vis", "tensorboard"]


def said(*command: str | Path) -> str:
    """What a failing command prints; it must fail, and must not show its insides."""
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert finished.returncode not in (0, None)
    printed = finished.stdout + finished.stderr
    assert "Traceback" not in printed, printed[-2000:]
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, printed[-2000:]
    return errors[0]


def refused(command: Callable[..., None], *arguments: str | Path) -> str:
    """What a failing command would print at its end, in this process."""
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    # Python prints a text that is no number, and exits with status 1.
    assert isinstance(stop.value.code, str) and stop.value.code.startswith("error: ")
    assert "\n" not in stop.value.code
    return stop.value.code


def test_training_without_a_capture(tmp_path: Path):
    missing = tmp_path / "nowhere"
    sentence = refused(ns_train, "hand-uvnerf", "--data", missing, "--output-dir", tmp_path / "out", *SHORT)
    assert str(missing) in sentence and "expected" in sentence and "found" in sentence


def test_training_with_a_folder_that_is_no_capture(tmp_path: Path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.png").write_bytes(b"")
    options = ("--data", tmp_path / "holiday", "--output-dir", tmp_path / "out", *SHORT)
    sentence = refused(ns_train, "hand-uvnerf", *options)
    assert "capture-room" in sentence and "beach.png" in sentence


def test_training_into_a_folder_that_cannot_be_made(
    demo_capture: Path, true_fit_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(true_fit_cache))
    file = tmp_path / "file"
    file.write_text("mine")
    sentence = refused(ns_train, "hand-uvnerf", "--data", demo_capture, "--output-dir", file, *SHORT)
    assert str(file) in sentence and "--output-dir" in sentence
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["check", "fit"])
def test_our_commands_without_a_capture(command: str, tmp_path: Path):
    assert str(tmp_path / "nowhere") in said("ns-hands", command, tmp_path / "nowhere")


@pytest.mark.parametrize("command", ["export", "turntable"])
def test_our_commands_without_a_run(command: str, tmp_path: Path):
    extra = ["--output-dir", tmp_path / "out"] if command == "export" else ["--output", tmp_path / "out.mp4"]
    assert "--load-config" in said("ns-hands", command, "--load-config", tmp_path / "config.yml", *extra)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_word_is_no_folder(command: str):
    for words in ((command, ""), (command, "--output", ""), (command, "--output-dir=")):
        sentence = refused(ns_hands, *words)
        assert sentence.startswith(f"error: {words[1].rstrip('=') or 'command line'}: expected a value, found an empty")


def test_training_with_an_empty_word(monkeypatch: pytest.MonkeyPatch):
    for words in (["--data", ""], ["--data", ".", "--output-dir="], ["--experiment-name", ""]):
        monkeypatch.setattr("sys.argv", ["ns-train", "hand-mesh", *words])
        with pytest.raises(SystemExit, match="error: --[a-z-]+: expected a value, found an empty text"):
            announce_training(["ns-train", "hand-mesh", *words])


def test_a_hostile_pickle_is_no_hand_model(demo_capture: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    models = tmp_path / "models"
    models.mkdir()
    (models / "MANO_RIGHT.pkl").write_bytes(b"cos\nsystem\n(S'touch %b'\ntR." % str(trap).encode())
    (models / "MANO_LEFT.pkl").write_bytes((models / "MANO_RIGHT.pkl").read_bytes())
    sentence = refused(ns_hands, "fit", demo_capture, "--hand-model", models)
    assert "MANO_RIGHT.pkl" in sentence or "MANO_LEFT.pkl" in sentence
    assert not trap.exists()
