"""A row of a table is trained again whenever what was run is not what is asked for."""

from __future__ import annotations

import json

import pytest
import recording
import trained_rows

METHOD = ["hand-uvnerf", "--max-num-iterations", "100"]


@pytest.fixture
def capture(tmp_path):
    folder = tmp_path / "capture" / "1"
    folder.mkdir(parents=True)
    (folder / "picture.png").write_bytes(b"first")
    recording.data_fingerprint.cache_clear()
    return folder


@pytest.fixture
def trained(monkeypatch):
    """Rows that were trained, in order; each training gives another figure."""
    rows = []

    def fake(folder, name, method, data):
        rows.append(name)
        return {"psnr": float(len(rows)), "train_seconds": 2.0, "eval_seconds": 1.0}

    monkeypatch.setattr(trained_rows, "run_row", fake)
    monkeypatch.setattr(trained_rows, "prepare", lambda folder, data: None)
    monkeypatch.setattr(trained_rows, "code_digest", lambda: "code")
    return rows


def row(folder, capture, method=METHOD, options=("--eval-cameras", "03")) -> float:
    # A new process would read the capture anew.
    recording.data_fingerprint.cache_clear()
    data = ["--data", str(capture), "hands-data", *options]
    return trained_rows.train_and_evaluate(folder, "row", method, data)["psnr"]


def test_the_same_row_is_not_trained_twice(tmp_path, capture, trained):
    assert row(tmp_path, capture) == row(tmp_path, capture) == 1.0
    assert trained == ["row"]


def test_other_steps(tmp_path, capture, trained, capsys):
    row(tmp_path, capture)
    assert row(tmp_path, capture, [*METHOD[:2], "200"]) == 2.0
    assert "another method: trained again" in capsys.readouterr().out


def test_other_options_of_the_data(tmp_path, capture, trained, capsys):
    row(tmp_path, capture)
    assert row(tmp_path, capture, options=("--eval-cameras", "04")) == 2.0
    assert "another data options: trained again" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["a byte", "a name", "a new file"])
def test_other_bytes_of_the_capture(tmp_path, capture, trained, capsys, change):
    row(tmp_path, capture)
    if change == "a byte":
        (capture / "picture.png").write_bytes(b"First")
    elif change == "a name":
        (capture / "picture.png").rename(capture / "other.png")
    else:
        (capture / "mask.png").touch()
    assert row(tmp_path, capture) == 2.0
    assert "another capture: trained again" in capsys.readouterr().out


def test_another_folder_of_the_same_name(tmp_path, capture, trained):
    row(tmp_path, capture)
    other = tmp_path / "elsewhere" / "capture" / "1"
    other.mkdir(parents=True)
    (other / "picture.png").write_bytes(b"of another hand")
    assert row(tmp_path, other) == 2.0


@pytest.mark.parametrize("what, key", [("code_digest", "code"), ("versions", "packages"), ("machine", "machine")])
def test_other_code_packages_or_machine(tmp_path, capture, trained, capsys, monkeypatch, what, key):
    row(tmp_path, capture)
    monkeypatch.setattr(trained_rows, what, lambda: {"other": "value"})
    assert row(tmp_path, capture) == 2.0
    assert f"another {key}: trained again" in capsys.readouterr().out


@pytest.mark.parametrize("content", ['{"results": {"psnr": 99.0}}', "", "[]", '{"run": 3, "results": {"psnr": 99.0}}'])
def test_a_file_that_does_not_say_what_was_run_is_not_believed(tmp_path, capture, trained, content):
    (tmp_path / "row.json").write_text(content)
    assert row(tmp_path, capture) == 1.0
    assert row(tmp_path, capture) == 1.0


def test_checkpoints_of_an_older_training_are_gone(tmp_path, capture, trained):
    old = tmp_path / "runs" / "row" / "hand-uvnerf" / "run" / "nerfstudio_models" / "step-000099999.ckpt"
    old.parent.mkdir(parents=True)
    old.touch()
    row(tmp_path, capture)
    assert not old.exists()


def test_the_file_says_what_was_run(tmp_path, capture, trained):
    row(tmp_path, capture)
    written = json.loads((tmp_path / "row.json").read_text())
    assert written["run"]["method"] == METHOD
    assert {"commit", "uncommitted_changes", "code"} <= set(written["source"])
    assert str(tmp_path) not in (tmp_path / "row.json").read_text()


def test_seconds_of_training_and_evaluation_are_told_apart(tmp_path, capture, monkeypatch):
    ran = []

    def fake(command, log):
        ran.append(command)
        if "--output-path" in command:
            with open(command[command.index("--output-path") + 1], "w") as file:
                json.dump({"results": {"psnr": 30.0}}, file)
        return 10.0 * len(ran)

    monkeypatch.setattr(trained_rows, "timed", fake)
    found = trained_rows.run_row(tmp_path, "row", METHOD, ["--data", str(capture), "hands-data"])
    assert found == {"psnr": 30.0, "train_seconds": 10.0, "eval_seconds": 20.0}
    assert ran[0][1:4] == METHOD
