"""The layouts of captures that we can read, and how each is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.formats.capture_room import is_capture_room, read_capture_room
from nerfstudio_hands.captures.formats.deephandmesh import is_deephandmesh, read_deephandmesh
from nerfstudio_hands.captures.formats.interhand import is_interhand, nearby_interhand, read_interhand
from nerfstudio_hands.captures.formats.pictures import is_images, read_images
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_capture_folder


@dataclass(frozen=True)
class Layout:
    """A layout of captures.

    Attributes:
        recognized: Whether a folder has it.
        read: Its reader: a folder and options of its own.
        signs: What lies in such a folder.
        has_joints: Whether captures bring joints in space. The reader then looks whether calibrations fit them, and
            takes `trains`: which frames may be looked at for that, told from the sequence of each.
    """

    recognized: Callable[[Path], bool]
    read: Callable[..., Capture]
    signs: str
    has_joints: bool = False


LAYOUTS = {
    "capture-room": Layout(
        is_capture_room, read_capture_room, "img/ and camera/param.npz in the folder or one level below"
    ),
    "interhand": Layout(is_interhand, read_interhand, "images/ and annotations/", has_joints=True),
    "deephandmesh": Layout(
        is_deephandmesh, read_deephandmesh, "images/subject_N/ and annotations/KRT_512", has_joints=True
    ),
    "pictures": Layout(is_images, read_images, "transforms.json of `ns-hands prepare` or ns-process-data"),
}
"""Layouts by name, in the order in which they are tried."""


def find_layout(root: Path, layout: str = "auto") -> Layout:
    """The layout of a folder: the one named, or the first that is recognised; no file is read.

    Args:
        root: folder of the capture.
        layout: a key of :data:`LAYOUTS`, or "auto".

    Raises:
        HandsError: no such folder, an unknown layout, or one that is not recognised.
    """
    require_capture_folder(root)
    if layout != "auto":
        if layout not in LAYOUTS:
            raise HandsError(
                f"--layout: expected one of auto, {', '.join(LAYOUTS)}, found {layout}; correct the option."
            )
        return LAYOUTS[layout]
    for candidate in LAYOUTS.values():
        if candidate.recognized(root):
            return candidate
    nearby = nearby_interhand(root)
    expected = "; ".join(f"{name}: {candidate.signs}" for name, candidate in LAYOUTS.items())
    raise HandsError(
        f"{root}: expected a capture ({expected}), found "
        f"{', '.join(sorted(p.name for p in root.iterdir())[:6]) or 'an empty folder'}; "
        + (
            f"point --data at {nearby}."
            if nearby
            else "point --data at the folder of the scan, or make one of pictures with `ns-hands prepare --images`."
        )
    )


def read_capture(root: Path, *, layout: str = "auto", **options: Any) -> Capture:
    """Reads a capture, in the layout named or in the first that is recognised.

    Args:
        root: folder of the capture.
        layout: a key of :data:`LAYOUTS`, or "auto".
        options: options of the layout's reader.

    Raises:
        HandsError: see :func:`find_layout`, or a fault in the files.
    """
    root = Path(root).expanduser()
    return find_layout(root, layout).read(root, **options)
