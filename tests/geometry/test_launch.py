"""Launches of kernels over several threads."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import torch
import warp as wp

from nerfstudio_hands.geometry import launch as module
from nerfstudio_hands.geometry.launch import as_array, launch


@wp.struct
class Pair:
    first: wp.array(dtype=float)
    second: wp.array(dtype=float)


@wp.kernel(enable_backward=False)
def _no_kernel(first: int, pair: Pair, values: wp.array(dtype=float)):
    values[first + wp.tid()] = pair.first[0]


@pytest.mark.parametrize("inside", [True, False])
def test_arrays_on_two_devices_never_reach_a_kernel(inside: bool) -> None:
    """Warp itself would hand out the address, and the GPU's context be lost."""
    pair, values, others = Pair(), *(as_array(torch.zeros(3), wp.float32) for _ in range(2))
    pair.first = others
    launch(_no_kernel, 3, [pair, values])
    (pair.first if inside else values).device = "cuda:0"
    with pytest.raises(ValueError, match="expected arrays of kernel _no_kernel on one device, found cpu, cuda:0"):
        launch(_no_kernel, 3, [pair, values])


class BrokenOff(Exception):
    pass


@pytest.mark.parametrize("where", ["traced line", "kernel"])
def test_nobody_is_at_work_when_a_launch_is_broken_off(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """nerfstudio's viewer raises out of any line that it traces; what the other threads work on is then freed."""
    at_work, here = [], threading.get_ident()

    def slow(*_: object, **__: object) -> None:
        at_work.append(1)
        time.sleep(0.02 if threading.get_ident() == here else 0.2)
        at_work.pop()
        if where == "kernel" and threading.get_ident() == here:
            raise BrokenOff

    def broken_off(frame, event: str, _):
        if where == "traced line" and event == "line" and at_work:
            raise BrokenOff
        return broken_off

    monkeypatch.setattr(module.wp, "launch", slow)
    monkeypatch.setattr(module, "_load", lambda *_: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    numbers = as_array(torch.zeros(8), wp.float32)
    sys.settrace(broken_off)
    try:
        launch(None, 8, [numbers], chunk=2)
    except BrokenOff:
        pass
    finally:
        traced = sys.gettrace()
        sys.settrace(None)
    assert not at_work
    assert traced is broken_off
