"""Videos from pictures that come one by one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.program.progress import track


def write_video(
    path: Path, images: Iterable[UInt8[np.ndarray, "H W 3"]], *, width: int, height: int, count: int, fps: float
) -> None:
    """Encode pictures as they come, with progress; the file appears complete or not at all.

    Args:
        path: Video file (H.264); its folder is made.
        images: RGB. Players want even sizes, so an odd last row or column is left out.
        width: Pixels.
        height: Pixels.
        count: How many pictures come.
        fps: Pictures a second.

    Raises:
        HandsError: The folder cannot be written, or the disk is full.
    """
    import imageio_ffmpeg
    import mediapy

    mediapy.set_ffmpeg(imageio_ffmpeg.get_ffmpeg_exe())
    height, width = height // 2 * 2, width // 2 * 2
    path = path.expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            written_whole(path, suffix=".mp4") as temporary,
            mediapy.VideoWriter(temporary, (height, width), fps=fps) as writer,
        ):
            for image in track(images, "Rendering", total=count):
                writer.add_image(image[:height, :width])
    except (OSError, RuntimeError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # Ctrl-C in a terminal stops ffmpeg as well, which says so when it is closed.
            raise error.__context__ from None
        raise HandsError(
            f"{path}: expected a place to write the video, found '{' '.join(str(error).split())}': free some space or "
            "give another --output."
        ) from error
