"""Two processes train one model on different pixels, or on different pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from helpers.ddp_worker import train_beside_another
from helpers.forked import start


def test_two_processes_keep_one_model_and_see_different_pixels_and_images(
    demo_capture: Path, true_fit_cache: Path, tmp_path: Path
):
    # A cache in which nobody has cut these pictures yet.
    cache = shutil.copytree(true_fit_cache, tmp_path / "cache", ignore=shutil.ignore_patterns("crops*"))
    # What takes longest, the imports, is done once.
    logs = [tmp_path / f"rank{rank}.txt" for rank in range(2)]
    environment = {"NERFSTUDIO_HANDS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    processes = [
        start(train_beside_another, rank, demo_capture, tmp_path, log=log, environment=environment)
        for rank, log in enumerate(logs)
    ]
    for process, log in zip(processes, logs, strict=True):
        process.join()
        assert process.exitcode == 0, log.read_text()[-6000:]
    first, second = (np.load(tmp_path / f"rank{rank}.npz") for rank in (0, 1))
    assert np.array_equal(first["parameters"], second["parameters"]) and np.isfinite(first["parameters"]).all()
    assert first["indices"].shape == second["indices"].shape == (4, 128, 3)
    same = (first["indices"] == second["indices"]).all(-1).mean()
    assert same < 0.05
    # One of them cut the pictures, the other one waited and found them cut.
    assert sum("Hands cut out of" in log.read_text() for log in logs) == 1
    assert np.array_equal(first["of_pictures"], second["of_pictures"]) and np.isfinite(first["of_pictures"]).all()
    # Each picture of the epoch was seen once, by one of them.
    assert sorted([*first["rows"].ravel(), *second["rows"].ravel()]) == list(range(16))
    assert len(list((tmp_path / "two").rglob("*.ckpt"))) == 2
