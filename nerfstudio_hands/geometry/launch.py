"""Warp launches on the device of torch tensors; on the CPU a launch is split over torch's number of threads."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import warp as wp
from torch import Tensor

CHUNK = 4096
"""Items in one CPU launch: large against the 50 microseconds that a launch costs, small against a batch."""

POOL_BYTES = 2**28
"""Memory of a GPU that Warp keeps for what it builds anew."""

_loading = threading.Lock()


def launch(kernel: Any, count: int, arguments: Sequence[Any], *, chunk: int = CHUNK) -> None:
    """Run a kernel over `count` items of torch tensors.

    Args:
        kernel: Warp kernel whose first parameter is an `int` that it adds to `wp.tid()`; Warp runs a CPU launch on one
            thread but without holding Python's lock, so the items are handed out in chunks to several threads.
        count: Number of items.
        arguments: What follows the first parameter: Warp arrays (see `as_array`) and numbers.
        chunk: Items in one CPU launch at most.

    Raises:
        ValueError: The arrays are on several devices; a kernel would read memory that is not there.
    """
    device = _device_of(kernel, arguments)
    if count == 0:
        return
    _load(kernel, device)
    if device.is_cuda:
        stream = _warp_stream(torch.cuda.current_stream(wp.device_to_torch(device)))
        wp.launch(kernel, dim=count, inputs=[0, *arguments], device=device, stream=stream)
        return

    num_threads = torch.get_num_threads()
    chunk = min(chunk, -(-count // num_threads))
    num_threads = min(num_threads, -(-count // chunk))
    starts = itertools.count(0, chunk)

    def work() -> None:
        while (start := next(starts)) < count:
            wp.launch(kernel, dim=min(chunk, count - start), inputs=[start, *arguments], device=device)

    _finish(work, num_threads - 1)


@contextmanager
def torch_stream(device: torch.device) -> Iterator[None]:
    """What Warp does on its own, such as a sort or a refit, waits for torch's work before it, and torch for it."""
    if device.type != "cuda":
        yield
        return
    with wp.ScopedStream(_warp_stream(torch.cuda.current_stream(device))):
        yield


@lru_cache(maxsize=64)
def _warp_stream(stream: torch.cuda.Stream) -> wp.Stream:
    # Warp registers each one that it makes.
    return wp.stream_from_torch(stream)


def _device_of(kernel: Any, arguments: Sequence[Any]) -> wp.Device:
    """The device of arrays, those in structures included."""
    devices = []
    for argument in arguments:
        if isinstance(argument, wp.array):
            devices.append(argument.device)
        elif members := getattr(getattr(argument, "_cls", None), "vars", None):
            values = (getattr(argument, name) for name in members)
            # A member that was never set is an array without memory.
            devices += [value.device for value in values if isinstance(value, wp.array) and value.ptr]
    if any(device != devices[0] for device in devices):
        found = ", ".join(sorted({str(device) for device in devices}))
        raise ValueError(f"expected arrays of kernel {kernel.key} on one device, found {found}")
    return devices[0]


def _finish(work: Callable[[], None], num_helpers: int) -> None:
    """Works on this thread and on others, and returns or raises when all of them are done.

    nerfstudio's viewer breaks a picture off by an exception out of the next line that Python traces, and a person by
    Ctrl+C; what a thread still worked on would be freed under it, and the program end without a word.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    sys._getframe().f_trace = None
    helpers = [_executor().submit(work) for _ in range(num_helpers)]
    try:
        work()
    finally:
        wait(helpers)
        sys.settrace(trace)
    for helper in helpers:
        helper.result()


def as_array(tensor: Tensor, dtype: Any) -> wp.array:
    """The memory of a contiguous tensor as a Warp array."""
    _start_warp()
    if not tensor.numel():
        # It counts as contiguous to torch whatever its strides, but not to Warp.
        tensor = torch.empty_like(tensor, memory_format=torch.contiguous_format)
    return wp.from_torch(tensor.detach(), dtype=dtype, requires_grad=False)


def _load(kernel: wp.Kernel, device: wp.Device) -> None:
    # The first launch of a kernel compiles or loads its module, which two threads must not do at once.
    with _loading:
        wp.load_module(kernel.module, device)


@lru_cache(maxsize=1)
def _start_warp() -> None:
    # Warp greets, and reports each kernel it loads, on every start of a program.
    wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)
    if torch.cuda.is_available():
        wp.init()
        for device in wp.get_cuda_devices():
            # By default each hierarchy that is built anew asks the driver for its memory.
            if device.is_mempool_supported:
                wp.set_mempool_release_threshold(device, POOL_BYTES)
        return
    # Without a graphics driver Warp's library writes a line about that to the error stream, which alarms people who
    # have no graphics card. It comes from C, so only the descriptor can be turned away; faults of wp.init still raise.
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        wp.init()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


@lru_cache(maxsize=1)
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="surface-query")


# Threads do not survive a fork (the workers of a data loader), so a forked process starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)
