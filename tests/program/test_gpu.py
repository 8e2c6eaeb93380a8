"""What is said of a GPU that the installed torch cannot use."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nerfstudio_hands.program import gpu


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine with a GPU whose driver is old, and without the driver's tools."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    version = tmp_path / "proc" / "driver" / "nvidia" / "version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n")
    monkeypatch.setattr(gpu, "installed_driver", lambda find=gpu.installed_driver: find(tmp_path))
    return tmp_path


def test_a_driver_that_is_too_old_is_said(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    sentence = gpu.unused_gpu()
    assert "driver 535.183.01" in sentence and "CUDA 13.2, which needs driver 580" in sentence
    assert sentence.count(". ") == 0 and "docs/cuda.md" in sentence


def test_a_build_without_cuda_is_said(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built without CUDA: install a build with it" in gpu.unused_gpu()


def test_the_drivers_own_word_is_taken(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.shutil, "which", lambda name: "nvidia-smi")
    told = SimpleNamespace(returncode=0, stdout="550.54.15\n550.54.15\n")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: told)
    assert "driver 550.54.15," in gpu.unused_gpu()
    told.returncode, told.stdout = 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    assert "driver 535.183.01," in gpu.unused_gpu()


def test_nothing_is_said_where_nothing_is_wrong(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu.unused_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu.unused_gpu() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (machine / "dev" / "nvidia0").unlink()
    assert gpu.unused_gpu() is None


def test_a_clock_is_read_when_a_gpu_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    before = gpu.finished("cpu")
    assert not waited
    assert gpu.finished(torch.device("cuda:1")) >= before and waited == [torch.device("cuda:1")]
