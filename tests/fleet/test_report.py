"""What a batch tells: its page, its table and sheet, and the command that shows how far it has come."""

from __future__ import annotations

import csv
import io
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.in_process import ns_hands
from helpers.plans import make_captures, stand_ins
from PIL import Image
from rich.console import Console

from nerfstudio_hands.cli import batch as command
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet import driver
from nerfstudio_hands.fleet.board import Board
from nerfstudio_hands.fleet.contact_sheet import TILE, make_sheet
from nerfstudio_hands.fleet.ledger import Ledger, Outcome
from nerfstudio_hands.fleet.report import as_csv, as_markdown, avatars, mean_and_spread
from nerfstudio_hands.fleet.status import Progress, tables
from nerfstudio_hands.fleet.step import Step

KINDS = ("fit", "train", "eval", "export")


def steps_of(captures: int) -> list[Step]:
    found = []
    for number in range(captures):
        for kind in KINDS:
            key = f"take{number}/fit" if kind == "fit" else f"take{number}/m/{kind}"
            found.append(Step(key, f"take{number}", "" if kind == "fit" else "m", kind, "", (), inputs=key))
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three captures: one done, one evaluated, one whose fit failed."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.add(steps_of(3))
    done = {"take0/fit": 10, "take0/m/train": 60, "take0/m/eval": 20, "take0/m/export": 2, "take1/fit": 12}
    done |= {"take1/m/train": 80, "take1/m/eval": 20}
    for key, seconds in done.items():
        figures = {"hand_psnr": 20.0 + 4 * int(key[4]), "view/mask_iou": 0.5} if key.endswith("eval") else {}
        ledger.end(Outcome(key, "done", started=100, ended=100 + seconds, figures=figures))
    ledger.end(Outcome("take2/fit", "failed", exit=1, sentence="=no hand | found", log="logs/take2/fit.1.log"))
    ledger.begin("take1/m/export", 1)
    ledger.started("take1/m/export", "far", 0)
    return ledger


def test_progress(ledger: Ledger):
    progress = Progress.of(ledger)
    assert (progress.done, progress.failed, progress.running, progress.blocked) == (7, 1, 1, 3)
    # One export is half done, and all else waits for what failed.
    assert progress.seconds_left == pytest.approx(1)
    assert progress.sentence() == "7 of 12 steps done, 1 running, 1 failed, 3 waiting for those, about 1 s left"


def test_what_waits_at_a_cluster_is_not_said_to_run(ledger: Ledger):
    ledger.add(steps_of(4))
    ledger.begin("take3/fit", 1)
    assert Progress.of(ledger).sentence().startswith("7 of 16 steps done, 1 running, 1 failed")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tables(ledger))
    printed = console.export_text()
    assert "take1/m/export" in printed and "take3" not in printed


def test_tables(ledger: Ledger):
    found = avatars(ledger)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["state"] for row in rows] == ["done", "not finished", "failed"]
    assert rows[1]["hand_psnr"] == "24.0" and rows[1]["train_seconds"] == "80.00" and rows[2]["hand_psnr"] == ""
    # A spreadsheet takes no sentence for a formula.
    assert rows[2]["sentence"] == "'=no hand | found"
    page = as_markdown(found, has_sheet=True)
    assert "3 avatars: 1 done, 1 failed, 1 not finished." in page
    assert "| m | 2 | 22 ± 2.8 | 0.5 ± 0 |" in page
    assert (
        "| take0 | m | done | 20 | [run](take0/m/train/) [pictures](take0/m/eval/) [export](take0/m/export/) |" in page
    )
    assert "[log](logs/take2/fit.1.log) | =no hand \\| found |" in page


def test_mean_and_spread():
    # By hand: squares of the distances 1, 0, 1 from 2 over two degrees of freedom.
    assert mean_and_spread([1.0, 2.0, 3.0, None, float("nan")]) == "2 ± 1"
    assert mean_and_spread([3.25]) == "3.25" and mean_and_spread([None]) == "-"


def test_sheet_shows_photograph_and_avatar_of_the_image_in_the_middle(tmp_path: Path):
    for name, color in (("a", (200, 0, 0)), ("b", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for number in range(3):
            picture = np.zeros((50, 120, 3), np.uint8)
            # The hand in the photograph; the avatar with calibrated color is green.
            picture[10:40, 5:35] = color if number == 1 else 255
            picture[10:40, 45:75] = (0, 200, 0)
            Image.fromarray(picture).save(tmp_path / name / f"eval_img_{number:04d}.png")
    (tmp_path / "spoiled").mkdir()
    (tmp_path / "spoiled" / "eval_img_0000.png").write_bytes(b"no picture")
    content = make_sheet([("a", "a"), ("b", "b"), ("gone", "gone"), ("spoiled", "spoiled")], str(tmp_path))
    sheet = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert sheet.shape[1] == 2 * TILE[0]
    middle = sheet[sheet.shape[0] // 2]
    for tile, channel in ((0, 0), (1, 2)):
        half = middle[tile * TILE[0] : (tile + 1) * TILE[0]]
        center = len(half) // 2
        assert half[center - 15].argmax() == channel and half[center + 15].argmax() == 1
    assert make_sheet([], str(tmp_path)) is None and make_sheet([("gone", "gone")], str(tmp_path)) is None


@pytest.fixture
def batch(tmp_path: Path, monkeypatch):
    """`ns-hands batch` with stand-ins for what it runs."""
    make_captures(tmp_path / "takes", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "Driver", partial(driver.Driver, programs=stand_ins(tmp_path)))
    monkeypatch.setattr(command, "_check_once", lambda *_: None)
    return partial(ns_hands, "batch")


def test_the_command(batch, tmp_path: Path, capsys):
    (tmp_path / "takes/take1/.broken").touch()
    with pytest.raises(SystemExit, match="error: .*out: expected all steps to end well, found 1 that failed"):
        batch("takes/*", "--results", "out", "--scratch", str(tmp_path / "scratch"))
    printed = capsys.readouterr().out
    assert "take0/hand-uvnerf/export done after" in printed
    assert "take1/fit failed after" in printed and "take1: expected hands, found none; leave it out." in printed
    assert "| take0 | hand-uvnerf | done | 0.5 |" in (tmp_path / "out/results.md").read_text()
    batch("status", "out")
    printed = capsys.readouterr().out
    assert "4 of 8 steps done, 0 running, 1 failed, 3 waiting for those" in printed and "expected hands" in printed
    (tmp_path / "takes/take1/.broken").unlink()
    batch("takes/*", "--results", "out", "--scratch", str(tmp_path / "scratch"), "--retry")
    assert "8 of 8 steps done" in capsys.readouterr().out
    assert len(list(csv.DictReader((tmp_path / "out/results.csv").open()))) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["takes/*"], "--results: expected a folder or URL for the results of these captures, found none"),
        (["plan.yaml", "--results", "out"], "--results: expected captures with it, found a plan"),
        (["plan.yaml"], "plan.yaml: expected a plan in YAML, found no such file"),
        (["takes/*", "--results", "out", "--workers", "0"], "--workers: expected a number from 1"),
        (
            ["takes/*", "--results", "out", "--train-options", "steps"],
            "--train-options: expected NAME=VALUE, found 'steps'",
        ),
        (["status"], "expected the results folder after it, found 0 words"),
        (["status", "takes"], "takes: expected the results of a batch, found no ledger.sqlite there"),
        (["nowhere", "--results", "out"], "nowhere: expected a folder with a capture, found none"),
    ],
)
def test_bad_input(batch, words: list[str], sentence: str):
    with pytest.raises(SystemExit, match=f"error: .*{sentence}"):
        batch(*words)


def test_ray_where_it_is_not_installed(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match="--address: expected Ray to be installed, found that it is not"):
        batch("takes/*", "--results", "out", "--address", "auto")


def test_a_look_at_the_plan_that_is_killed(tmp_path: Path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.add(steps_of(1))
    # Of a process that ends at once, whatever it is given.
    monkeypatch.setattr(command, "_check_plan", os._exit)
    with pytest.raises(HandsError, match="found that the process that does so was killed, perhaps for want of memory"):
        command._check_once(9, ledger)
    assert ledger.fact("checked") is None


def test_a_file_that_is_no_ledger(batch, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/ledger.sqlite").write_text("no ledger, but long enough that SQLite looks at it " * 20)
    with pytest.raises(
        SystemExit, match="expected a ledger that can be read and written, found 'file is not a database'"
    ):
        batch("status", "out")
    old = Ledger(tmp_path / "ledger.sqlite")
    old.state_fact("version", "99")
    old.close()
    with pytest.raises(SystemExit, match="expected a ledger of version 2, found version 99"):
        batch("status", str(tmp_path))


def test_a_live_table_on_a_terminal(ledger: Ledger, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    with Board("here") as board:
        board(ledger, None)
        board._live.refresh()
        drawn = capsys.readouterr().out
    assert "take1/m/export" in drawn and "far" in drawn and "=no hand | found" in drawn


def test_status_of_ten_thousand_captures_takes_less_than_a_second(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.add(steps_of(10_000))
    ledger.end(Outcome("take7/fit", "failed", exit=1, sentence="no hand"))
    ledger.close()
    code = "import sys; from nerfstudio_hands.cli.main import main; main(); "
    code += "assert not {'tyro', 'yaml', 'numpy', 'torch', 'fsspec'} & sys.modules.keys()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, "batch", "status", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "0 of 40000 steps done, 0 running, 1 failed, 3 waiting for those" in printed and "no hand" in printed
    # Of a core, because others may be at work on it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_who_reads_a_ledger_makes_none(tmp_path: Path):
    with pytest.raises(HandsError, match="expected a ledger that can be read and written, found 'unable to open"):
        Ledger(tmp_path / "ledger.sqlite", writes=False)
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(HandsError, match="found 'no such table: facts'"):
        Ledger(tmp_path / "ledger.sqlite", writes=False)
    assert (tmp_path / "ledger.sqlite").stat().st_size == 0
