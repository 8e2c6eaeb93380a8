"""How much memory do the commands for people's own films take, of a short film and of ten thousand pictures?

A film is repeated until it is as long as wanted. `detect` looks at every picture of it, `prepare` chooses pictures and
writes a capture. What counts is the most memory that the process ever held: it must not grow with the film.

    python benchmarks/many_pictures.py --film ../shared/captures/signing-hand/asl_hand.25fps.mp4
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
import tyro
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.files.video_reading import read_video
from nerfstudio_hands.video.writer import write_video

COMMANDS = ("detect", "prepare")


@dataclass
class ManyPictures(Recorded):
    """Most memory of two commands, of films of several lengths."""

    film: Path
    """A film of a hand."""
    counts: Tuple[int, ...] = (1000, 10_000)
    """Pictures of the films that are made of it."""
    height: int = 540
    """Height of their pictures in pixels."""


def repeated(film: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Pictures [H, W, 3] of this width and height, the film from its beginning again and again."""
    while True:
        for frame in read_video(film):
            yield cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)


def most_memory(command: list[str], log: Path) -> tuple[float, float]:
    """Most megabytes that a command held at once, and the seconds that it took."""
    start, most = time.monotonic(), 0
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            # Not what `wait4` says: that is never less than this process holds.
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            most = max(most, int(found[1]) if found else 0)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)}:\n{log.read_text()[-2000:]}")
    return most / 1024, time.monotonic() - start


def main(args: ManyPictures) -> None:
    table = Table(title=f"{args.film.name}, repeated, pictures {args.height} pixels high")
    for column in ("command", "pictures", "most memory, MB", "seconds", "pictures a second"):
        table.add_column(column)
    height, width = next(read_video(args.film)).image.shape[:2]
    size = (round(width * args.height / height / 2) * 2, args.height)
    program = str(Path(sys.executable).with_name("ns-hands"))
    with tempfile.TemporaryDirectory() as folder:
        for count in args.counts:
            film = Path(folder) / "films" / f"{count}.mp4"
            pictures = itertools.islice(repeated(args.film, size), count)
            write_video(film, pictures, width=size[0], height=size[1], count=count, fps=25)
            for name in COMMANDS:
                output = Path(folder) / f"{name}-{count}"
                command = [program, name, "--videos", str(film), "--output", str(output)]
                memory, seconds = most_memory(command, Path(folder) / "log")
                table.add_row(name, f"{count:,}", f"{memory:.0f}", f"{seconds:.0f}", f"{count / seconds:.0f}")
    record(__file__, args, [table])


if __name__ == "__main__":
    main(tyro.cli(ManyPictures, description=__doc__))
