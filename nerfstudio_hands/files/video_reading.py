"""Pictures out of a video, one by one, upright and with the time of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.stream import VideoStream
from jaxtyping import Int, UInt8

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, open_regular

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".3gp")

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf"
"""Formats that FFmpeg may take a file for: none of them names other files, as playlists do."""

MAX_PIXELS = 2**27
"""Pixels of a picture beyond which a header is a forgery; 8K has 33 million."""


@dataclass(frozen=True)
class VideoImage:
    """A picture of a video.

    Attributes:
        image: RGB, upright as players show it.
        seconds: Since the video's first picture, as the file has it: pictures of phones do not come evenly.
    """

    image: UInt8[np.ndarray, "H W 3"]
    seconds: float


@dataclass(frozen=True)
class VideoHeader:
    """What the header of a video claims; nothing is decoded.

    Attributes:
        count: Pictures, None where the header does not say.
        fps: Mean pictures a second, None where the header does not say.
    """

    count: int | None
    fps: float | None


def read_video_header(path: Path) -> VideoHeader:
    """What the header of a video says.

    Raises:
        HandsError: The file cannot be read or has no pictures.
    """
    with _opened(path) as (_, stream):
        rate = stream.average_rate
        return VideoHeader(stream.frames or None, float(rate) if rate else None)


def read_video(path: Path) -> Iterator[VideoImage]:
    """Decode a video picture by picture, so that memory does not grow with its length.

    A display matrix (a phone that was held upright) is applied. A picture without a time of its own is put after the
    one before it, by the mean rate.

    Raises:
        HandsError: The file cannot be read, has no pictures, or breaks off; the sentence says when.
    """
    with _opened(path) as (container, stream):
        step = 1 / float(stream.average_rate or 25)
        first, last, matrix = None, -step, None
        try:
            for number, frame in enumerate(container.decode(stream)):
                # That of the whole film; a frame that is asked holds itself in memory until Python looks for circles.
                matrix = _display_matrix(frame) if number == 0 else matrix
                time = frame.time
                first = time if first is None else first
                last = last + step if time is None or first is None else time - first
                image = frame.to_ndarray(format="rgb24")
                yield VideoImage(image if matrix is None else turn_by_matrix(image, matrix), last)
        except (FFmpegError, MemoryError) as error:
            raise HandsError(
                f"{path}: expected a video that decodes to its end, found '{_text(error)}' after "
                f"{max(last, 0.0):.2f} s: convert it to H.264 (MP4), or cut it before that."
            ) from error
    if last < 0:
        raise HandsError(f"{path}: expected a video, found one without a single picture: record or copy it again.")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video, for as long as they are used."""
    remedy = "convert it to H.264 (MP4), or copy it again."
    try:
        with open_regular(path) as file:
            if not path.stat().st_size:
                raise UnreadableFile("an empty file")
            try:
                container = av.open(file, "r", options={"format_whitelist": CONTAINERS})
            except (FFmpegError, ValueError) as error:
                raise UnreadableFile(_text(error)) from error
            with container:
                yield container, _video_stream(container)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected a video, found '{error}': {remedy}") from error


def _video_stream(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise UnreadableFile("no pictures, sound at most")
    stream = container.streams.video[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise UnreadableFile(f"{stream.width}x{stream.height} pixels")
    stream.thread_type = "AUTO"
    return stream


def _display_matrix(frame: av.VideoFrame) -> Int[np.ndarray, "3 3"] | None:
    matrix = cast(SideDataContainer, frame.side_data).get(Type.DISPLAYMATRIX)
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)


def turn_by_matrix(
    image: UInt8[np.ndarray, "H W 3"], matrix: Int[np.ndarray, "3 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Apply a display matrix, which maps a row (x, y, 1) of the stored picture to the one that is shown; only quarter
    turns and mirrors are known, as in players.

    Args:
        image: The stored picture.
        matrix: Fixed-point numbers as in ISO/IEC 14496-12, 6.2.2; their signs are used.
    """
    turned = abs(matrix[0, 1]) > abs(matrix[0, 0])
    across, down = (matrix[1, 0], matrix[0, 1]) if turned else (matrix[0, 0], matrix[1, 1])
    image = image.swapaxes(0, 1) if turned else image
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
