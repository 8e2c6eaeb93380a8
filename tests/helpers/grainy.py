"""Light that is traced with few rays, for it takes most of the time: grainy shadows show hands as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from nerfstudio_hands.geometry.light.transfer import light_transfer
from nerfstudio_hands.model_components import posed_fine_hands, posed_hands
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


@contextmanager
def dim_avatars() -> Iterator[None]:
    """Poses of avatars, which are lit anew, are lit from few directions meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (posed_hands, posed_fine_hands):
            patch.setattr(module, "light_transfer", partial(light_transfer, num_directions=16))
        yield


_render_frame = interhand._render_frame


def render_frame_grainily(root: Path, options: InterHandOptions, index: int, t: int) -> None:
    """What processes of `synthesize_interhand` do, lit so."""
    with grainy():
        _render_frame(root, options, index, t)
