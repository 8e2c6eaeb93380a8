"""The layouts of captures that we can read, and how each is recognised."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.dataparsers.capture import Capture
from nerfstudio_hands.dataparsers.capture_room_format import is_capture_room, read_capture_room
from nerfstudio_hands.errors import HandsError

LAYOUTS = {"capture-room": (is_capture_room, read_capture_room)}
"""Name of a layout -> (does this folder have it?, its reader)."""


def read_capture(root: Path, *, layout: str = "auto") -> Capture:
    """Reads a capture, in the layout named or in the first that is recognised.

    Args:
        root: folder of the capture.
        layout: a key of :data:`LAYOUTS`, or "auto".

    Raises:
        HandsError: no such folder, an unknown layout, a layout that is not recognised, or a fault in the files.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise HandsError(
            f"{root}: expected a folder with a capture, found {'a file' if root.exists() else 'nothing'}; check --data."
        )
    if layout != "auto":
        if layout not in LAYOUTS:
            raise HandsError(
                f"--layout: expected one of auto, {', '.join(LAYOUTS)}, found {layout}; correct the option."
            )
        return LAYOUTS[layout][1](root)
    for recognised, read in LAYOUTS.values():
        if recognised(root):
            return read(root)
    raise HandsError(
        f"{root}: expected a capture (capture-room: img/ and camera/param.npz in the folder or one level below), found "
        f"{', '.join(sorted(p.name for p in root.iterdir())[:6]) or 'an empty folder'}; "
        "point --data at the folder of the scan."
    )
