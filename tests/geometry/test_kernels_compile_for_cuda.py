"""Every Warp kernel of the project compiles for NVIDIA's GPUs. None is needed for it: NVRTC is in Warp's wheel."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import warp as wp

import nerfstudio_hands

PACKAGE = Path(nerfstudio_hands.__file__).parent
KERNEL = re.compile(r"^@wp\.kernel\b", re.MULTILINE)

OLDEST, NEWEST = 75, 90
"""Compute capabilities: Turing, the oldest that torch's builds for CUDA 12 and 13 run on, and Hopper."""


def modules_with_kernels() -> dict[str, int]:
    """Names of all modules that define kernels, and how many."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if count := len(KERNEL.findall(path.read_text())):
            found[".".join(["nerfstudio_hands", *path.relative_to(PACKAGE).with_suffix("").parts])] = count
    return found


KERNELS = modules_with_kernels()

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Warp has no CUDA on macOS")


def compiled(module, architecture: int, folder: Path) -> str:
    """The PTX of a module, without the use of a device."""
    (path,) = wp.compile_aot_module(module, arch=architecture, module_dir=folder, use_ptx=True)
    return path.read_text()


@pytest.mark.parametrize("architecture", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_for_cuda(name: str, architecture: int, tmp_path: Path) -> None:
    text = compiled(importlib.import_module(name), architecture, tmp_path)
    assert f".target sm_{architecture}" in text
    # A kernel's name, a hash of it, and Warp's suffix.
    entries = re.findall(r"\.entry (\w+_kernel)_[0-9a-f]{8}_cuda_kernel_forward", text)
    assert sorted(entries) == sorted(wp.get_module(name).kernels)
    assert len(entries) == KERNELS[name]


def test_all_kernels_are_found_by_their_folder() -> None:
    """Those that are loaded with the package's own modules are those that were found in its files."""
    for name in KERNELS:
        importlib.import_module(name)
    loaded = {name for name in sys.modules if name.startswith("nerfstudio_hands") and wp.get_module(name).kernels}
    assert loaded == set(KERNELS)


@wp.func_native("return cuda_has_no_such_thing(x);")
def _not_cuda(x: float) -> float: ...


@wp.kernel(enable_backward=False, module="unique")
def _broken_kernel(values: wp.array(dtype=float)):
    values[wp.tid()] = _not_cuda(values[wp.tid()])


def test_what_cuda_does_not_know_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(Exception, match="(?i)cuda|compil|build"):
        compiled(_broken_kernel.module, NEWEST, tmp_path)
    assert "cuda_has_no_such_thing" in "".join(capfd.readouterr())
