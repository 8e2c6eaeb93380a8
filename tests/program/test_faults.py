"""What is said where the system refuses to write."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from nerfstudio.scripts import eval

from nerfstudio_hands.cli import main
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.faults import patch_excepthook, sentence_of

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_command_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch):
    """A full disk has no name where it is an open file that cannot grow."""
    monkeypatch.setattr("sys.argv", ["ns-hands", "check", "."])

    def full(words):
        raise FULL

    monkeypatch.setattr(main, "_run", full)
    with pytest.raises(SystemExit, match="error: disk: expected space .*found 'No space left on device': free"):
        main.main()


def test_a_process_of_nerfstudio_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda *fault: shown.append(fault))
    patch_excepthook()
    patch_excepthook()
    for fault in (OSError(errno.EDQUOT, "Disk quota exceeded", "eval.json"), HandsError("a: expected b, found c: d.")):
        sys.excepthook(type(fault), fault, None)
    said = capsys.readouterr().err
    assert said.startswith("error: eval.json: expected space") and said.endswith("error: a: expected b, found c: d.\n")
    assert not shown
    ours = OSError(errno.ENOENT, "No such file", "x")
    sys.excepthook(type(ours), ours, None)
    assert len(shown) == 1 and sentence_of(ours) is None


def test_what_nerfstudio_demands_of_options_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As where figures shall go into another file than JSON."""
    monkeypatch.setattr(eval, "eval_setup", lambda config: (None, None, None, None))
    monkeypatch.setattr(sys, "argv", ["/bin/ns-eval"])
    with pytest.raises(AssertionError) as fault:
        eval.ComputePSNR(tmp_path / "config.yml", tmp_path / "figures.txt").main()
    said = sentence_of(fault.value)
    assert said is not None and said.startswith("ns-eval: expected options") and "'.json'" in said.replace('"', "'")
    with pytest.raises(AssertionError) as fault:
        assert not said
    assert sentence_of(fault.value) is None
