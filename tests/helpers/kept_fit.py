"""Fits that need not be made."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import choose_cameras
from nerfstudio_hands.fitting import FitOptions, HandFit, cache_path


def keep(fit: HandFit, folder: Path, *, held_out: tuple[str, ...] | None = None) -> None:
    """Puts a fit into the cache, as that of the capture in a folder by all of its cameras that train by default, or
    that are not held out by name."""
    capture = read_capture(folder)
    cameras, _ = choose_cameras(capture, cameras=None, exclude=(), held_out=held_out)
    fit.save(cache_path(capture, FitOptions(cameras)))
