"""Two processes train one model on different pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def test_two_processes_keep_one_model_and_draw_different_pixels(
    demo_capture: Path, true_fit_cache: Path, tmp_path: Path
):
    worker = Path(__file__).with_name("ddp_worker.py")
    environment = {**os.environ, "NERFSTUDIO_HANDS_CACHE": str(true_fit_cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, worker, demo_capture, tmp_path],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    first, second = (np.load(tmp_path / f"rank{rank}.npz") for rank in (0, 1))
    assert np.array_equal(first["parameters"], second["parameters"]) and np.isfinite(first["parameters"]).all()
    assert first["indices"].shape == second["indices"].shape == (4, 128, 3)
    same = (first["indices"] == second["indices"]).all(-1).mean()
    assert same < 0.05
    # One of them cut the pictures, the other one waited and found them cut.
    assert sum("Hands cut out of" in (tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1)) == 1
    assert len(list((tmp_path / "two").rglob("*.ckpt"))) == 1
