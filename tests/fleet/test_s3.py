"""Captures and results in a bucket: S3 as `s3fs` speaks it, with a server of this machine's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from helpers.forked import start
from helpers.plans import carry_out, figures, make_captures, plan_of

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.driver import opened_results
from nerfstudio_hands.fleet.worker import RECEIPT

WHOLE = {"fit": {"fit.npz"}, "train": {"weights", "config.yml"}, "eval": {"metrics.json"}, "export": {"hands.glb"}}
"""What belongs to the result of each step."""


@pytest.fixture(scope="module", autouse=True)
def bucket() -> Iterator[None]:
    """An empty one, called studio."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs 'moto[s3]' flask-cors")
    missing = "moto's server is not installed: pip install 'moto[s3]' flask-cors"
    server = pytest.importorskip("moto.server", reason=missing)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"), ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_DEFAULT_REGION", "us-east-1"),
        ):  # fmt: skip
            patch.setenv(name, value)
        # A driver of a process of its own has no cache of ours.
        patch.delenv("AWS_PROFILE", raising=False)
        remote().mkdir("studio")
        yield
    running.stop()


def remote() -> Any:
    files = fsspec.filesystem("s3")
    files.invalidate_cache()
    return files


def sent_takes(folder: Path, place: str, count: int = 1) -> None:
    make_captures(folder, count)
    remote().put(f"{folder}/", f"studio/{place}/", recursive=True)


def receipts(place: str) -> list[str]:
    return [name for name in remote().find(f"studio/{place}") if name.endswith(RECEIPT) and "/earlier/" not in name]


def test_captures_and_results_in_a_bucket(tmp_path: Path):
    sent_takes(tmp_path / "takes", "takes", 2)
    plan = plan_of(["s3://studio/takes/take*"], "s3://studio/results")
    assert [capture.name for capture in plan.captures] == ["take0", "take1"]
    rows = carry_out(plan, tmp_path)
    assert {row["state"] for row in rows.values()} == {"done"}
    assert figures(rows) == {f"take{n}/hand-uvnerf/eval": {"hand_psnr": n + 0.5, "mask_iou": 0.5} for n in range(2)}
    assert remote().cat_file("studio/results/take1/hand-uvnerf/export/hands.glb") == b"hand-uvnerf"
    assert all(remote().isfile(f"studio/results/{row['log']}") for row in rows.values())
    # Again nothing runs, by the ledger or, where it is lost, by the receipts.
    assert carry_out(plan, tmp_path, programs={}) == rows
    # A take that changes in place, by its bytes alone, is fetched and done again; what it was is set aside.
    remote().pipe_file("studio/takes/take1/hand", b"9.5")
    rows = carry_out(plan, tmp_path)
    assert figures(rows)["take1/hand-uvnerf/eval"]["hand_psnr"] == 9.5
    assert figures(rows)["take0/hand-uvnerf/eval"]["hand_psnr"] == 0.5
    assert remote().cat_file("studio/results/earlier/take1/hand-uvnerf/train.1/weights") == b"1.5"


def test_a_lost_ledger(tmp_path: Path, monkeypatch):
    sent_takes(tmp_path / "takes", "again")
    plan = plan_of(["s3://studio/again/take0"], "s3://studio/lost")
    rows = carry_out(plan, tmp_path)
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "elsewhere"))
    assert figures(carry_out(plan, tmp_path, programs={})) == figures(rows)


def test_a_second_driver(tmp_path: Path, monkeypatch):
    sent_takes(tmp_path / "takes", "two")
    plan = plan_of(["s3://studio/two/take0"], "s3://studio/driven")
    with opened_results(plan.results):
        with pytest.raises(HandsError, match=f"found a driver at work .process {os.getpid()}"):
            carry_out(plan, tmp_path)
        # The same from another machine, which has another cache.
        monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "elsewhere"))
        with pytest.raises(HandsError, match="s3://studio/driven: .* found a driver at work .on "):
            carry_out(plan, tmp_path)
    assert {row["state"] for row in carry_out(plan, tmp_path).values()} == {"done"}


def drive_until_killed(folder: Path, number: int) -> None:
    """Carries out a plan until so many files were sent or taken away, if there are more."""
    import s3fs

    left = iter(range(number))

    def counted(done):
        def told(*given, **options):
            if next(left, None) is None:
                os.kill(os.getpid(), 9)
            return done(*given, **options)

        return told

    for name in ("put_file", "rm_file"):
        setattr(s3fs.S3FileSystem, name, counted(getattr(s3fs.S3FileSystem, name)))
    carry_out(plan_of(["s3://studio/killed/take0"], "s3://studio/broken"), folder)


def test_a_driver_that_is_killed_while_it_sends(tmp_path: Path):
    """Before the first file, the second and so on of each start's, until one comes through."""
    sent_takes(tmp_path / "takes", "killed")
    for number in range(9):
        driver = start(drive_until_killed, tmp_path, number, log=tmp_path / f"log{number}")
        driver.join()
        assert driver.exitcode in (0, -9), (tmp_path / f"log{number}").read_text()
        for name in receipts("broken"):
            folder, step = name.rpartition("/")[0], name.split("/")[-2]
            names = {path.rpartition("/")[2] for path in remote().find(folder)}
            assert names == WHOLE[step] | {RECEIPT}
            assert json.loads(remote().cat_file(name))["outcome"]["state"] == "done"
        if driver.exitcode == 0:
            break
    else:
        raise AssertionError("it never came through")
    assert number >= 4 and len(receipts("broken")) == 4


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://studio/nowhere", "s3://studio/nowhere: expected a folder with a capture, found none"),
        ("s3://nobucket/take", "s3://nobucket/take: expected a folder with a capture, found none"),
    ],
)
def test_no_such_address(tmp_path: Path, address: str, sentence: str):
    with pytest.raises(HandsError, match=sentence):
        plan_of([address], tmp_path / "out")


def test_no_server(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    # Not asked again and again for ten seconds.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(
            HandsError, match="s3://studio/takes: expected an address that can be read and written, found"
        ):
            plan_of(["s3://studio/takes"], tmp_path / "out")
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
