"""`ns-hands synthesize`: renders a capture whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def synthesize(
    layout: Annotated[Literal["capture-room"], tyro.conf.Positional],
    *,
    output: Path,
    num_cameras: int = 12,
    resolution: int = 256,
    seed: int = 0,
    hand: Literal["right", "left", "both"] = "right",
    frames: int = 1,
    supersampling: int = 3,
) -> None:
    """Render a capture of the built-in hand with made-up skin, in the layout of real captures, and its truth beside it.

    The same options give the same files. Takes about ten seconds a picture at the default size. The pictures are
    synthetic: good for trying things out and for tests, no substitute for a real capture in a comparison.

    Args:
        layout: "capture-room": <output>/1/{img,mask,pose,camera} and, for further frames, <output>/2 and so on;
            the true mesh, pose, shape and colour gains in <output>/truth.
        output: Folder to make; it must not exist.
        num_cameras: Cameras around the hands.
        resolution: Width and height of the pictures in pixels.
        seed: Another seed is another person, another skin and another rig.
        hand: Which hands are in the pictures.
        frames: Moments of a slow movement, each a scan of its own.
        supersampling: Samples a pixel along each axis.
    """
    from nerfstudio.utils.rich_utils import CONSOLE, get_progress

    from nerfstudio_hands.synthesis.capture_room import CaptureRoomOptions, synthesize_capture_room

    options = CaptureRoomOptions(
        num_cameras=num_cameras,
        resolution=resolution,
        seed=seed,
        hand=hand,
        frames=frames,
        supersampling=supersampling,
    )
    with get_progress(f"Rendering {layout}") as bar:
        task = bar.add_task("", total=frames * num_cameras)
        synthesize_capture_room(output, options, progress=lambda done, total: bar.update(task, completed=done))
    CONSOLE.print(f"Capture: {output}/1; truth: {output}/truth", soft_wrap=True)
