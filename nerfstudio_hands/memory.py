"""Where memory does not suffice: one sentence that says what to lower."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nerfstudio.models.base_model import ModelConfig

    from nerfstudio_hands.pipeline import HandPipelineConfig

SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "Failed to allocate")
"""What the RuntimeErrors of torch (CUDA, then CPU on Windows and Linux) and Warp say where memory does not suffice."""


@contextmanager
def memory_faults(doing: str, remedy: str) -> Iterator[None]:
    """Turns lack of memory into one sentence.

    Args:
        doing: what needs the memory.
        remedy: what to lower.

    Raises:
        SystemExit: memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in SIGNS):
            raise
        # What the frames of the failed step hold is needed for keeping the state.
        traceback.clear_frames(error.__traceback__)
        wanted = re.search(r"allocate ([\d.]+) ?([KMGTP]iB|bytes)", str(error))
        found = "no more" if wanted is None else f"no further {_size(*wanted.groups())}"
        raise SystemExit(f"error: {doing}: expected enough memory, found {found}: {remedy}.") from error


def training_remedy(config: HandPipelineConfig) -> str:
    """What to lower where a training step does not fit into memory."""
    data, model = config.datamanager, config.model
    if _is_mesh(model):
        return (
            f"lower --max-resolution of the data parser{_now(data.dataparser.max_resolution)}, or start anew with a "
            f"lower --pipeline.model.subdivisions{_now(model.subdivisions)} or "
            f"--pipeline.model.texture-size{_now(model.texture_size)}"
        )
    return (
        f"lower --pipeline.datamanager.train-num-rays-per-batch{_now(data.train_num_rays_per_batch)} or "
        f"--pipeline.model.num-samples{_now(model.num_samples)}"
    )


def rendering_remedy(model: ModelConfig) -> str:
    """What to lower where a picture does not fit into memory."""
    smaller = "render smaller pictures"
    if _is_mesh(model):
        return f"{smaller}, or train with a lower --pipeline.model.subdivisions{_now(model.subdivisions)}"
    return (
        f"lower eval_num_rays_per_chunk{_now(model.eval_num_rays_per_chunk)}, in training by "
        f"--pipeline.model.eval-num-rays-per-chunk, for ns-render by --eval-num-rays-per-chunk; or {smaller}"
    )


def _is_mesh(model: ModelConfig) -> bool:
    """Whether whole pictures of a mesh are drawn, not rays in chunks."""
    return hasattr(model, "texture_size")


def _now(value: int | None) -> str:
    return "" if value is None else f" (now {value})"


def _size(number: str, unit: str) -> str:
    return f"{float(number) / 2**30:.2f} GiB" if unit == "bytes" else f"{number} {unit}"
