"""The wheel, installed in an empty environment and used in an empty directory."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def fresh(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of an environment that has our wheel; its dependencies are read from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # From what git would give a stranger, so that a file that nobody added is missed here.
    subprocess.run(["git", "clone", "-q", str(repository), str(source)], check=True)
    uv = [sys.executable, "-m", "uv"]  # As `make install` has it; it takes a third of the time of pip.
    subprocess.run([*uv, "build", "-q", "--wheel", "--out-dir", str(folder), str(source)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    # After the environment's own packages; editable installs there are not followed from here.
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = folder.glob("nerfstudio_hands-*.whl")
    install = [*uv, "pip", "install", "-q", "--python", str(python), "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    return folder / "env" / "bin"


def run(fresh: Path, empty: Path, *command: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.check_output(
        [str(fresh / "python"), *command], cwd=empty, env=environment, text=True, stderr=subprocess.STDOUT
    )


BEGINNINGS = """
import atexit, sys, torch

def command(*words):
    sys.argv = ["ns-train", *words]
    return __import__("nerfstudio.scripts.train", fromlist=["train"])

try:
    command("hand-mesh", "--data", "nowhere")
except SystemExit as stop:
    print(stop, "nerfstudio.models.nerfacto" in sys.modules)
train = command("-h")
import nerfstudio_hands, nerfstudio_hands.hand_model as h
from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.large_steps import LargeSteps
steps = LargeSteps(Laplacian.uniform(torch.tensor([[0, 1, 2]]), 3))
moved = steps.positions(torch.zeros(3, 3, requires_grad=True))
heavy = ("wandb", "torch._inductor.compile_fx")
faces = [len(h.default_hand(side).faces) for side in ("left", "right")]
atexit.register(lambda: print(nerfstudio_hands.__file__, any(name in sys.modules for name in heavy), faces))
train.entrypoint()
"""
"""`ns-train` of a capture that is not there, whose refusal may load no methods, then `ns-train -h`, what its process
has of ours and has loaded, and a solver that is still there when Python ends: together, as all of it begins alike."""


@pytest.fixture(scope="module")
def said(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a process says that imports everything once."""
    return run(fresh, tmp_path_factory.mktemp("empty"), "-c", BEGINNINGS)


def test_the_package_is_the_wheels_and_whole(fresh: Path, said: str):
    assert str(fresh.parent) in said and "[3196, 3196]" in said


def test_ns_train_lists_our_methods(said: str):
    assert "hand-uvnerf" in said and "nerfacto" in said
    # Neither wandb nor torch's compiler, each of which takes longer to load than all of ours.
    assert " False [" in said


def test_nerfstudio_s_methods_are_not_loaded_to_refuse_a_wrong_capture(said: str):
    assert "error: nowhere: expected a folder with a capture, found nothing; check --data. False\n" in said


def test_nothing_is_printed_by_solvers_when_python_ends(said: str):
    assert said.endswith(" False [3196, 3196]\n") and "nanobind" not in said


def test_ns_hands_helps(fresh: Path, tmp_path: Path):
    said = run(fresh, tmp_path, str(fresh / "ns-hands"), "--help")
    assert "fetch-weights" in said
