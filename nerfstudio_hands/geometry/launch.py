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

_loading = threading.Lock()


def launch(kernel: Any, count: int, arguments: Sequence[Any], *, chunk: int = CHUNK) -> None:
    """Run a kernel over `count` items of torch tensors.

    Args:
        kernel: Warp kernel whose first parameter is an `int` that it adds to `wp.tid()`; Warp runs a CPU launch on one
            thread but without holding Python's lock, so the items are handed out in chunks to several threads.
        count: Number of items.
        arguments: What follows the first parameter: Warp arrays (see `as_array`) and numbers.
        chunk: Items in one CPU launch at most.
    """
    arrays = [argument for argument in arguments if isinstance(argument, wp.array)]
    device = arrays[0].device
    if count == 0:
        return
    if device.is_cuda:
        stream = wp.stream_from_torch(torch.cuda.current_stream(wp.device_to_torch(device)))
        wp.launch(kernel, dim=count, inputs=[0, *arguments], device=device, stream=stream)
        return

    _load(kernel, device)  # pyright: ignore[reportArgumentType]
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
    """What Warp does on its own, such as a sort, waits for torch's work before it, and torch for it."""
    if device.type != "cuda":
        yield
        return
    with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(device))):
        yield


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
