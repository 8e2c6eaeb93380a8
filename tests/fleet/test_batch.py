"""A batch does each step once, whatever is killed, and says what went wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from helpers.plans import carry_out, figures, make_captures, plan_of, stand_ins

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet import addresses, scratch, worker
from nerfstudio_hands.fleet import driver as drivers
from nerfstudio_hands.fleet.driver import opened_results
from nerfstudio_hands.fleet.engines import LocalEngine
from nerfstudio_hands.fleet.graph import make_steps
from nerfstudio_hands.fleet.ledger import Ledger


@pytest.fixture
def captures(tmp_path: Path) -> list[str]:
    return make_captures(tmp_path / "takes", 2)


@pytest.fixture(autouse=True)
def memory_for_two(monkeypatch):
    """Readers of a file of fsspec's memory share its one position, so that two at a time get parts of it each."""

    def get_file(files, name: str, target: str) -> None:
        Path(target).write_bytes(files.store[name].getvalue())

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)


def test_every_step_is_done_once(captures: list[str], tmp_path: Path):
    methods = {"a": {"method": "hand-uvnerf"}, "b": {"method": "hand-mesh"}}
    plan = plan_of(captures, tmp_path / "out", methods=methods)
    rows = carry_out(plan, tmp_path)
    assert len(rows) == 2 * 7 and {row["state"] for row in rows.values()} == {"done"}
    assert figures(rows)["take1/b/eval"] == {"hand_psnr": 1.5, "mask_iou": 0.5}
    assert (tmp_path / "out/take1/a/export/hands.glb").read_text() == "hand-uvnerf"
    assert all((tmp_path / "out" / row["log"]).is_file() and row["host"] for row in rows.values())
    assert json.loads(rows["take0/fit"]["versions"])["nerfstudio-hands"]
    assert list((tmp_path / "out/.work").iterdir()) == []
    # Again, nothing runs; with one more capture, only that.
    again = carry_out(plan, tmp_path, programs=dict.fromkeys(("ns-hands", "ns-train", "ns-eval"), ("false",)))
    assert {key: row["ended"] for key, row in again.items()} == {key: row["ended"] for key, row in rows.items()}
    (more,) = make_captures(tmp_path / "more", 1)
    rows = carry_out(plan_of([*captures, {"data": more, "name": "new"}], tmp_path / "out", methods=methods), tmp_path)
    assert {key for key, row in rows.items() if row["ended"] not in [old["ended"] for old in again.values()]} == {
        key for key in rows if key.startswith("new/")
    }


def test_a_capture_that_fails_holds_nobody_up_until_it_is_tried_again(captures: list[str], tmp_path: Path):
    (Path(captures[1]) / ".broken").touch()
    plan = plan_of(captures, tmp_path / "out")
    rows = carry_out(plan, tmp_path)
    assert rows["take1/fit"]["state"] == "failed" and rows["take1/fit"]["exit"] == 1
    assert rows["take1/fit"]["sentence"] == "take1: expected hands, found none; leave it out."
    assert {rows[f"take1/hand-uvnerf/{step}"]["state"] for step in ("train", "eval", "export")} == {"waiting"}
    assert list(figures(rows)) == ["take0/hand-uvnerf/eval"]
    (Path(captures[1]) / ".broken").unlink()
    assert carry_out(plan, tmp_path)["take1/fit"]["state"] == "failed"
    rows = carry_out(plan, tmp_path, retry=True)
    assert {row["state"] for row in rows.values()} == {"done"} and rows["take1/fit"]["attempts"] == 2
    assert rows["take1/fit"]["sentence"] == ""


def test_what_was_removed_is_done_again(captures: list[str], tmp_path: Path):
    plan = plan_of(captures, tmp_path / "out")
    carry_out(plan, tmp_path)
    shutil.rmtree(tmp_path / "out/take1/hand-uvnerf/export")
    rows = carry_out(plan, tmp_path)
    assert [key for key, row in rows.items() if row["attempts"] == 2] == ["take1/hand-uvnerf/export"]
    assert (tmp_path / "out/take1/hand-uvnerf/export/hands.glb").is_file()


def test_results_tell_what_they_are_without_the_ledger(captures: list[str], tmp_path: Path):
    plan = plan_of(captures, tmp_path / "out")
    before = carry_out(plan, tmp_path)
    for file in (tmp_path / "out").glob("ledger.sqlite*"):
        file.unlink()
    after = carry_out(plan, tmp_path, programs={})
    assert figures(after) == figures(before) and {row["state"] for row in after.values()} == {"done"}


DRIVE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers.plans import carry_out, plan_of, stand_ins
folder = Path(sys.argv[2])
takes = sorted(map(str, (folder / "takes").iterdir()))
print("begun", flush=True)
carry_out(plan_of(takes, folder / "out"), folder)
"""


def test_a_driver_that_is_killed_leaves_nothing_half_done(captures: list[str], tmp_path: Path, monkeypatch):
    undisturbed = carry_out(plan_of(captures, tmp_path / "whole"), tmp_path)
    monkeypatch.setenv("STEP_SECONDS", "0.05")
    command = [sys.executable, "-c", DRIVE, str(Path(__file__).parents[1]), str(tmp_path)]
    for seconds in (0.1, 0.35, 0.2):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(seconds)
            process.kill()
        # Whatever is in its place is whole.
        for receipt in (tmp_path / "out").glob("take*/**/step.json"):
            assert json.loads(receipt.read_text())["outcome"]["state"] == "done"
    rows = carry_out(plan_of(captures, tmp_path / "out"), tmp_path)
    assert {row["state"] for row in rows.values()} == {"done"}
    assert figures(rows) == figures(undisturbed)
    assert len(list((tmp_path / "out").glob("take*/**/step.json"))) == len(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a command with its parent")
def test_a_command_dies_with_its_driver(captures: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.setenv("STEP_SECONDS", "60")
    command = [sys.executable, "-c", DRIVE, str(Path(__file__).parents[1]), str(tmp_path)]

    def running() -> list[int]:
        found = []
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes()
            except OSError:
                continue
            if str(tmp_path / "stands_in.py").encode() in words:
                found.append(int(status.parent.name))
        return found

    with subprocess.Popen(command) as process:
        wait_until(lambda: len(running()) == 2)
        process.kill()
    wait_until(lambda: not running())


def wait_until(holds) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_that_is_killed_is_run_again_and_not_for_ever(captures: list[str], tmp_path: Path):
    """By a stand-in that kills itself, as a machine without memory would, twice or always."""
    programs = stand_ins(tmp_path)
    tries = tmp_path / "tries"
    fatal = f"echo >> {tries}; [ $(wc -l < {tries}) -gt 2 ] || kill -9 $$; exec " + " ".join(programs["ns-train"])
    programs["ns-train"] = ("sh", "-c", fatal + ' "$@"', "sh")
    rows = carry_out(plan_of(captures[:1], tmp_path / "out"), tmp_path, programs=programs)
    assert rows["take0/hand-uvnerf/train"]["attempts"] == 3 and rows["take0/hand-uvnerf/export"]["state"] == "done"
    programs["ns-train"] = ("sh", "-c", "kill -9 $$")
    rows = carry_out(plan_of(captures[:1], tmp_path / "other"), tmp_path, programs=programs)
    assert rows["take0/hand-uvnerf/train"]["state"] == "failed"
    sentence = rows["take0/hand-uvnerf/train"]["sentence"]
    assert sentence == "lost 3 times, perhaps for want of memory: its process was killed by signal 9."


def test_a_second_driver_says_so(captures: list[str], tmp_path: Path):
    plan = plan_of(captures, tmp_path / "out")
    with opened_results(plan.results):
        with pytest.raises(HandsError, match=f"found a driver at work .process {os.getpid()} on"):
            carry_out(plan, tmp_path)
    assert len(carry_out(plan, tmp_path)) == 8


def test_results_of_another_plan(captures: list[str], tmp_path: Path):
    results = tmp_path / "out"
    carry_out(plan_of(captures, results), tmp_path)
    with pytest.raises(HandsError, match="found those of another .take0/hand-uvnerf/train: the plan has other options"):
        carry_out(plan_of(captures, results, train={"max-num-iterations": 7}), tmp_path)
    with pytest.raises(HandsError, match="found those of another .take0/fit: the plan has no such step"):
        carry_out(plan_of(captures[1:], results), tmp_path)
    for file in results.glob("ledger.sqlite*"):
        file.unlink()
    with pytest.raises(HandsError, match="found one made with other options"):
        carry_out(plan_of(captures, results, train={"max-num-iterations": 7}), tmp_path)


def test_a_folder_of_something_else(captures: list[str], tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(HandsError, match="expected a new folder or one of a batch's results, found other files"):
        carry_out(plan_of(captures, tmp_path / "out"), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HandsError, match="expected a place for results"):
        carry_out(plan_of(captures, tmp_path / "file" / "out"), tmp_path)


def test_a_worker_of_another_version(captures: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.setattr(worker, "versions", lambda: {"nerfstudio-hands": "0.0.9"})
    plan = plan_of(captures, tmp_path / "out")
    with pytest.raises(HandsError, match="expected nerfstudio-hands .* as the driver has it, found 0.0.9"):
        carry_out(plan, tmp_path)
    # No capture has failed by that.
    ledger = Ledger(tmp_path / "out" / "ledger.sqlite")
    assert {row["state"] for row in ledger.rows()} == {"waiting"}


def test_a_worker_that_does_not_see_the_results(captures: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.setattr(worker, "RESULTS_FILE", "elsewhere.json")
    with pytest.raises(HandsError, match="expected the results folder .*, found none of this batch there"):
        carry_out(plan_of(captures, tmp_path / "out"), tmp_path)


def test_a_full_disk(captures: list[str], tmp_path: Path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda path: usage(free=2**20))
    rows = carry_out(plan_of(captures[:1], tmp_path / "out"), tmp_path)
    assert rows["take0/fit"]["state"] == "failed"
    assert "expected 256 MB of free disk, found 1 MB; free some" in rows["take0/fit"]["sentence"]


def test_a_disk_that_fills_up_meanwhile(captures: list[str], tmp_path: Path, monkeypatch):
    """By Linux' own full device in the place of a receipt, by SQLite's own bound, and while a capture is fetched."""
    programs = stand_ins(tmp_path)
    link = 'ln -s /dev/full "$(dirname "$4")/step.json"'
    programs["ns-eval"] = ("sh", "-c", " ".join(programs["ns-eval"]) + f' "$@"; {link}', "sh")
    rows = carry_out(plan_of(captures[:1], tmp_path / "out"), tmp_path, programs=programs)
    sentence = "expected to read and write here, found 'No space left on device'; free some space."
    assert rows["take0/hand-uvnerf/eval"]["sentence"] == f"take0/hand-uvnerf/eval: {sentence}"
    assert not (tmp_path / "out/take0/hand-uvnerf/eval").exists()
    with opened_results(str(tmp_path / "other")) as results:
        results.ledger._rows.execute("PRAGMA max_page_count = 8")
        with pytest.raises(HandsError, match="found 'database or disk is full'; see that there is space"):
            results.ledger.add(make_steps(plan_of(make_captures(tmp_path / "many", 99), tmp_path / "other")))
    files = fsspec.filesystem("memory")
    files.pipe_file("/large/take/hand", b"1.5")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(files), "get_file", full)
    rows = carry_out(plan_of(["memory://large/take"], tmp_path / "fetched"), tmp_path)
    sentence = "expected space for a copy, found a full disk; free some, or give another --scratch."
    assert rows["take/fit"]["sentence"] == f"memory://large/take: {sentence}"


def test_results_that_cannot_be_written(captures: list[str], tmp_path: Path, monkeypatch):
    """A disk that was mounted for reading, as `rename` finds it."""
    rename = Path.rename

    def refuse(self: Path, target: str) -> Path:
        if str(target).endswith("take0/fit"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    rows = carry_out(plan_of(captures[:1], tmp_path / "out"), tmp_path)
    sentence = "found 'Read-only file system'; see that it is there and that you may write."
    assert rows["take0/fit"]["state"] == "failed" and rows["take0/fit"]["sentence"].endswith(sentence)


def test_a_step_that_leaves_nothing(captures: list[str], tmp_path: Path):
    programs = {**stand_ins(tmp_path), "ns-eval": ("true",), "ns-hands": ("true",)}
    plan = plan_of(captures[:1], tmp_path / "out", steps=["train", "eval", "export"])
    rows = carry_out(plan, tmp_path, programs=programs)
    assert "expected a result, found none though the command ended well" in rows["take0/hand-uvnerf/eval"]["sentence"]


def test_stopping_asks_the_commands_to_end(captures: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.setenv("STEP_SECONDS", "60")
    begin = time.monotonic()

    class Interrupted(LocalEngine):
        def events(self, seconds: float):
            if time.monotonic() - begin > 0.5:
                raise KeyboardInterrupt
            return super().events(0.1)

    with pytest.raises(KeyboardInterrupt):
        carry_out(plan_of(captures, tmp_path / "out"), tmp_path, Interrupted(2))
    assert time.monotonic() - begin < 30
    ledger = Ledger(tmp_path / "out" / "ledger.sqlite")
    assert {row["state"] for row in ledger.rows()} == {"waiting"}


def test_captures_and_results_at_urls(captures: list[str], tmp_path: Path):
    files = fsspec.filesystem("memory")
    for number in range(2):
        files.pipe_file(f"/takes/take{number}/hand", f"{number}.5".encode())
    plan = plan_of(["memory://takes/take*"], "memory://results/all")
    assert [capture.name for capture in plan.captures] == ["take0", "take1"]
    rows = carry_out(plan, tmp_path)
    assert figures(rows) == {f"take{n}/hand-uvnerf/eval": {"hand_psnr": n + 0.5, "mask_iou": 0.5} for n in range(2)}
    assert files.cat_file("/results/all/take1/hand-uvnerf/export/hands.glb") == b"hand-uvnerf"
    assert files.isfile(f"/results/all/{rows['take0/fit']['log']}")
    assert list((tmp_path / "scratch" / "steps").iterdir()) == []
    # A capture was fetched once for its fit, training and evaluation.
    assert len([path for path in (tmp_path / "scratch" / "captures").iterdir() if path.is_dir()]) == 2
    # A folder whose receipt did not arrive is no result.
    files.rm_file("/results/all/take1/hand-uvnerf/train/step.json")
    assert worker.read_receipt(plan.results, "take1/hand-uvnerf/train") is None


def sign(who: str | None, age: float) -> bytes:
    return json.dumps({"driver": who, "who": "far", "when": time.time() - age}).encode()


def test_two_drivers_at_a_url(captures: list[str], tmp_path: Path, monkeypatch):
    plan, files = plan_of(captures, "memory://results/two"), fsspec.filesystem("memory")
    files.pipe_file("/results/two/driver.json", sign("other", 1))
    with pytest.raises(HandsError, match="found a driver at work .on far"):
        carry_out(plan, tmp_path)
    # One whose clock is behind ours gives a sign while it is watched, and one that is gone does not.
    for age in (drivers.LEASE_SECONDS, -3 * drivers.LEASE_SECONDS):
        files.pipe_file("/results/two/driver.json", sign("other", age))
        slow = lambda _, age=age: files.pipe_file("/results/two/driver.json", sign("other", age + 1))  # noqa: E731
        monkeypatch.setattr(drivers.time, "sleep", slow)
        with pytest.raises(HandsError, match="found a driver at work .on far"):
            carry_out(plan, tmp_path)
    monkeypatch.setattr(drivers.time, "sleep", lambda _: None)
    assert {row["state"] for row in carry_out(plan, tmp_path).values()} == {"done"}
    # It has given up the lease, and gives none up that is another's.
    assert json.loads(files.cat_file("/results/two/driver.json"))["when"] == 0
    with pytest.raises(HandsError, match="found a driver at work .on far"), opened_results(plan.results) as results:
        files.pipe_file("/results/two/driver.json", sign("other", 0))
        results.lease._last = -drivers.LEASE_SECONDS
        results.lease.renew()
    assert json.loads(files.cat_file("/results/two/driver.json"))["driver"] == "other"


def test_a_driver_at_a_url_that_was_killed_goes_on_at_once(captures: list[str], tmp_path: Path):
    """Whoever has its ledger has seen that it is gone."""
    plan = plan_of(captures, "memory://results/killed")
    with opened_results(plan.results) as results:
        me = results.ledger.fact("driver")
    fsspec.filesystem("memory").pipe_file("/results/killed/driver.json", sign(me, 1))
    assert {row["state"] for row in carry_out(plan, tmp_path).values()} == {"done"}


def test_steps_of_a_capture_that_changed_are_done_again(captures: list[str], tmp_path: Path):
    plan, out = plan_of(captures, tmp_path / "out"), tmp_path / "out"
    before = carry_out(plan, tmp_path)
    (Path(captures[1]) / "camera7").mkdir()
    (Path(captures[1]) / "camera7" / "0.png").write_bytes(b"late")
    (Path(captures[1]) / "hand").write_text("7.5")
    after = carry_out(plan, tmp_path)
    assert {key for key in after if after[key]["ended"] != before[key]["ended"]} == {
        key for key in after if key.startswith("take1/")
    }
    assert figures(after)["take1/hand-uvnerf/eval"]["hand_psnr"] == 7.5
    # What was made before lies beside it.
    assert (out / "earlier/take1/hand-uvnerf/train.1/weights").read_text() == "1.5"
    assert (out / "take1/hand-uvnerf/train/weights").read_text() == "7.5"
    # Once more without the ledger, of which the receipts tell the same.
    for file in out.glob("ledger.sqlite*"):
        file.unlink()
    assert carry_out(plan, tmp_path, programs={})["take1/fit"]["ended"] == after["take1/fit"]["ended"]
    (Path(captures[1]) / "camera7" / "0.png").unlink()
    carry_out(plan, tmp_path)
    assert (out / "earlier/take1/hand-uvnerf/train.2/weights").read_text() == "7.5"


def test_a_driver_killed_while_it_sets_results_aside(captures: list[str], tmp_path: Path, monkeypatch):
    plan, out = plan_of(captures[:1], tmp_path / "out"), tmp_path / "out"
    carry_out(plan, tmp_path)
    (Path(captures[0]) / "hand").write_text("8.5")
    move, moved = addresses.move, []

    def move_two(*given, **told) -> None:
        move(*given, **told)
        moved.append(given)
        if len(moved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(addresses, "move", move_two)
    with pytest.raises(KeyboardInterrupt):
        carry_out(plan, tmp_path)
    monkeypatch.setattr(addresses, "move", move)
    rows = carry_out(plan, tmp_path)
    assert {row["state"] for row in rows.values()} == {"done"}
    assert (out / "take0/hand-uvnerf/train/weights").read_text() == "8.5"
    assert (out / "earlier/take0/hand-uvnerf/train.1/weights").read_text() == "0.5"


def test_a_capture_that_failed_is_tried_again_once_it_changes(captures: list[str], tmp_path: Path):
    plan = plan_of(captures[:1], tmp_path / "out")
    fails = {**stand_ins(tmp_path), "ns-hands": ("false",)}
    assert carry_out(plan, tmp_path, programs=fails)["take0/fit"]["state"] == "failed"
    assert carry_out(plan, tmp_path)["take0/fit"]["state"] == "failed"
    (Path(captures[0]) / "hand").write_text("0.25")
    assert {row["state"] for row in carry_out(plan, tmp_path).values()} == {"done"}


def test_content_digest(tmp_path: Path):
    """It changes with a file's name, length, time and place in the folder, and not with the folder's place."""
    (tmp_path / "take 1" / "Kamera é").mkdir(parents=True)
    (tmp_path / "take 1" / "Kamera é" / "bild 1.png").write_bytes(b"picture")
    before = addresses.content_digest(str(tmp_path / "take 1"))
    shutil.copytree(tmp_path / "take 1", tmp_path / "copy")
    (tmp_path / "copy" / ".DS_Store").touch()
    (tmp_path / "copy" / "Kamera é" / "up").symlink_to(tmp_path / "copy")
    (tmp_path / "copy" / "gone").symlink_to(tmp_path / "nowhere")
    assert addresses.content_digest(str(tmp_path / "copy")) == before
    found, picture = {before}, tmp_path / "take 1" / "Kamera é" / "bild 1.png"
    os.utime(picture, ns=(0, 0))
    found.add(addresses.content_digest(str(tmp_path / "take 1")))
    picture.write_bytes(b"pictures")
    os.utime(picture, ns=(0, 0))
    found.add(addresses.content_digest(str(tmp_path / "take 1")))
    picture = picture.rename(tmp_path / "take 1" / "bild 1.png")
    found.add(addresses.content_digest(str(tmp_path / "take 1")))
    picture.rename(tmp_path / "take 1" / "bild 2.png")
    found.add(addresses.content_digest(str(tmp_path / "take 1")))
    assert len(found) == 5
    with pytest.raises(HandsError, match="expected a folder of a capture, found 'No such file or directory'"):
        addresses.content_digest(str(tmp_path / "nowhere"))


def test_a_capture_at_a_url_that_changed_is_fetched_again(captures: list[str], tmp_path: Path):
    files = fsspec.filesystem("memory")
    files.pipe_file("/changing/take/hand", b"1.5")
    plan = plan_of(["memory://changing/take"], "memory://results/changing")
    carry_out(plan, tmp_path)
    files.pipe_file("/changing/take/hand", b"2.5")
    assert figures(carry_out(plan, tmp_path))["take/hand-uvnerf/eval"]["hand_psnr"] == 2.5
    assert files.cat_file("/results/changing/earlier/take/hand-uvnerf/train.1/weights") == b"1.5"


def test_a_worker_that_was_taken_for_lost_and_goes_on(captures: list[str], tmp_path: Path):
    """Another one has put the same result in its place meanwhile: it is kept."""
    plan, programs = plan_of(captures[:1], tmp_path / "out"), stand_ins(tmp_path)
    carry_out(plan, tmp_path)
    whole, aside = tmp_path / "out/take0/fit", tmp_path / "aside"
    whole.rename(aside)
    ended = json.loads((aside / "step.json").read_text())["outcome"]["ended"]
    other = f"cp -r {aside} {whole}; exec {' '.join(programs['ns-hands'])}"
    programs["ns-hands"] = ("sh", "-c", other + ' "$@"', "sh")
    rows = carry_out(plan, tmp_path, programs=programs)
    assert rows["take0/fit"]["state"] == "done" and rows["take0/fit"]["ended"] == ended


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (
            "nosuch://bucket/take",
            "expected an address that can be read and written, found 'Protocol not known: nosuch'",
        ),
        ("memory://takes/nowhere", "expected a folder with a capture, found none"),
        ("gs://bucket/take", "found that a package is missing .*gcsfs"),
    ],
)
def test_no_such_address(tmp_path: Path, address: str, sentence: str, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(HandsError, match=sentence):
        plan_of([address], tmp_path / "out")


def test_what_a_killed_worker_left_is_removed(tmp_path: Path):
    left = "from nerfstudio_hands.fleet.scratch import work_folder; import os, pathlib; "
    left += f"held = work_folder(pathlib.Path({str(tmp_path)!r}), 'left'); held.__enter__(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", left]).returncode == -9
    (abandoned,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with scratch.work_folder(tmp_path, "one") as one, scratch.work_folder(tmp_path, "two") as two:
        assert one.is_dir() and two.is_dir() and not abandoned.exists()
    assert list(tmp_path.iterdir()) == []


def test_old_copies_make_room(tmp_path: Path, monkeypatch):
    files = fsspec.filesystem("memory")
    for name in ("old", "used", "new"):
        files.pipe_file(f"/room/{name}/hand", b"1.0")
    usage = namedtuple("usage", "free")

    def free(path):
        there = [copy for copy in (tmp_path / "captures").iterdir() if copy.is_dir()]
        return usage(free=scratch.SPARE_BYTES + 3 if len(there) < 2 else 0)

    with scratch.fetched_capture("memory://room/old", "", tmp_path) as old:
        os.utime(old, (0, 0))
    with scratch.fetched_capture("memory://room/used", "", tmp_path) as used:
        os.utime(used, (1, 1))
        monkeypatch.setattr(scratch.shutil, "disk_usage", free)
        with scratch.fetched_capture("memory://room/new", "", tmp_path) as new:
            assert new.is_dir() and used.is_dir() and not old.exists()
