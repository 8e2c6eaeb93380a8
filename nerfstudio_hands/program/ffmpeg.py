"""The ffmpeg that imageio-ffmpeg carries, for programs that look for one on PATH."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import imageio_ffmpeg


def offer_ffmpeg() -> None:
    """Puts the carried ffmpeg at the end of this process's PATH, where PATH has none.

    nerfstudio's `ns-render` stops without one. The name of the carried file holds platform and version, so that a link
    named `ffmpeg` is made, in a folder that goes with the process. Where none is carried for this platform nothing
    changes, and whatever needs one says so.
    """
    if shutil.which("ffmpeg"):
        return
    folder = tempfile.mkdtemp(prefix="nerfstudio-hands-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        (Path(folder) / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    except (RuntimeError, OSError):  # none for this platform; a system that lets nobody make links
        return
    os.environ["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH"), folder]))
