"""Synthetic captures whose light, which takes most of the time, is traced with few rays: grainy shadows show hands as
well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nerfstudio_hands.synthesis import capture_room, interhand
from nerfstudio_hands.synthesis.options import InterHandOptions


@contextmanager
def grainy() -> Iterator[None]:
    """Captures that are made meanwhile in this process are lit so."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((capture_room, "FINE"), (interhand, "QUICK")):
            grainy = replace(getattr(module, name), light_levels=1, shadow_rays=1, ambient_rays=4)
            patch.setattr(module, name, grainy)
        yield


_render_frame = interhand._render_frame


def render_frame_grainily(root: Path, options: InterHandOptions, index: int, t: int) -> None:
    """What processes of `synthesize_interhand` do, lit so."""
    with grainy():
        _render_frame(root, options, index, t)
