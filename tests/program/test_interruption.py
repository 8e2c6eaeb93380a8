"""What Ctrl-C and SIGTERM do, and the command that goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nerfstudio_hands.cli import commands, main
from nerfstudio_hands.program.interruption import (
    Terminated,
    exit_status,
    resume_command,
    sigterm_interrupts,
    undisturbed,
)


def test_sigterm_stops_as_ctrl_c_does_and_only_inside():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), sigterm_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    assert exit_status(Terminated()) == 143 and exit_status(KeyboardInterrupt()) == 130


def test_a_second_signal_does_not_disturb():
    with sigterm_interrupts():
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (["/bin/ns-train", "hand-mesh", "--data", "a b"], "ns-train hand-mesh --load-dir runs/x --data 'a b'"),
        (
            ["ns-train", "hand-mesh", "--load-dir", "old", "--vis", "tensorboard", "--load_step=5", "hands-data"],
            "ns-train hand-mesh --load-dir runs/x --vis tensorboard hands-data",
        ),
        (["-c"], "ns-train hand-mesh --load-dir runs/x"),
        (["pytest", "tests"], "ns-train hand-mesh --load-dir runs/x"),
    ],
)
def test_the_command_that_goes_on_has_the_options_of_the_first(given: list[str], command: str):
    assert resume_command(given, "hand-mesh", Path("runs/x")) == command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_cleans_up_and_says_one_sentence(number: int, monkeypatch, capsys):
    cleaned = []

    def stopped(many: int = 1) -> None:
        """Stops itself."""
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned.append(many)

    monkeypatch.setattr(commands, "COMMANDS", {"first": stopped, "second": stopped})
    monkeypatch.setattr("sys.argv", ["ns-hands", "first"])
    with pytest.raises(SystemExit) as status:
        main.main()
    assert status.value.code == 128 + number and cleaned == [1]
    assert capsys.readouterr().err.splitlines()[1:] == ["Stopped before the end."]
