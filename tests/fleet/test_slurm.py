"""The SLURM script of the documentation, with stand-ins for what a cluster has."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
START = "ray start --num-cpus=32 --num-gpus=4 --block"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (code,) = re.findall(
        r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", (REPOSITORY / "docs/fleet.md").read_text(), re.DOTALL
    )
    path = tmp_path / "batch.sh"
    path.write_text(code)
    return path


def stand_in(folder: Path, name: str, code: str) -> None:
    """A program that writes down its words and does no more than some code."""
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/called\n{code}\n')
    path.chmod(0o755)


def called(script: Path, nodes: int, *, ray: str, gpus: str | None = "4") -> tuple[int, list[str]]:
    """Status of the script on so many nodes, and the commands that it ran."""
    folder = script.parent / "bin"
    folder.mkdir()
    stand_in(folder, "srun", "exec /bin/sleep 0.5")
    stand_in(folder, "ray", ray)
    stand_in(folder, "sleep", "exec /bin/sleep 0.05")
    stand_in(folder, "ns-hands", "")
    names = " ".join(f"node{number}" for number in range(1, nodes + 1))
    stand_in(folder, "scontrol", f"printf '%s\\n' {names}")
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": f"node[1-{nodes}]",
        "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_CPUS_PER_TASK": "32",
    } | ({} if gpus is None else {"SLURM_GPUS_ON_NODE": gpus})  # fmt: skip
    run = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, timeout=60)
    return run.returncode, (folder / "called").read_text().splitlines()


def test_it_is_bash(script: Path):
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


@pytest.mark.parametrize("nodes", [1, 3])
def test_commands(script: Path, nodes: int):
    """Ray's head starts on the first node and, once it answers, the others on the rest, where there is one."""
    status, commands = called(script, nodes, ray=f"[ $(grep -c '^ray' {script.parent}/bin/called) -gt 2 ]")
    assert status == 0 and commands.count("sleep 2") == 2
    assert f"scontrol show hostnames node[1-{nodes}]" in commands
    found = [command for command in commands if command.startswith("srun")]
    head = f"srun --nodes=1 --ntasks=1 --nodelist=node1 {START} --head --port=6379"
    rest = f"srun --nodes=2 --ntasks=2 --exclude=node1 {START} --address=node1:6379"
    assert sorted(found) == sorted([head, rest] if nodes == 3 else [head])
    assert "ns-hands batch plan.yaml --address node1:6379" in commands


def test_a_node_without_gpus(script: Path):
    _, commands = called(script, 1, ray="", gpus=None)
    assert any("--num-gpus=0 --block" in command for command in commands)


def test_a_head_that_does_not_start_ends_the_job(script: Path):
    status, commands = called(script, 2, ray="exit 1")
    assert status == 1 and not any(command.startswith("ns-hands") for command in commands)
