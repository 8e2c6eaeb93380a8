"""Videos as phones store them: lying pictures, and a display matrix that says how players turn them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8


class VideoFile:
    """A video (H.264 in MP4) that pictures are added to; it is there when the `with` ends well."""

    def __init__(self, path: Path, *, fps: float, crf: int, turned: int = 0) -> None:
        """Writes nothing yet.

        Args:
            path: File, whose folder is there.
            fps: Pictures a second.
            crf: Of x264: the lower the better.
            turned: Degrees, a multiple of 90, by which players turn pictures counter-clockwise.
        """
        self._path, self._fps, self._crf, self._turned = path, fps, crf, turned
        self._lying = path.with_name(f"{path.stem}.lying{path.suffix}") if turned else path
        self._writer = None

    def __enter__(self) -> VideoFile:
        return self

    def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Add a picture of even width and height, RGB, as it is stored.

        Raises:
            OSError: ffmpeg cannot write.
        """
        if self._writer is None:
            options = {"quality": None, "output_params": ["-crf", str(self._crf), "-threads", "1"]}
            self._writer = imageio_ffmpeg.write_frames(
                str(self._lying), image.shape[1::-1], fps=self._fps, macro_block_size=2, **options  # pyright: ignore[reportArgumentType]
            )
            self._writer.send(None)
        self._writer.send(np.ascontiguousarray(image))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if error is None and self._turned:
            program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
            turn = ["-display_rotation", str(self._turned), "-i", str(self._lying), "-c", "copy", str(self._path)]
            done = subprocess.run([*program, *turn], capture_output=True, text=True)
            if done.returncode:
                raise OSError(f"{self._path}: {done.stderr.strip()}")
        if self._turned:
            self._lying.unlink(missing_ok=True)
