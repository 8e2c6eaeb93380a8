"""How many pictures a second does a browser get of an avatar that is in training, while a person turns it?

Starts `ns-train` with its viewer, opens the page in a real browser (Chromium, WebGL in software) and moves the mouse
over the picture with its button held, for as long as said. Counts the pictures that arrive meanwhile and how large they
are, and how many steps of the training go on beside; then, with *Fast* ticked, how often and how large the browser
draws the mesh that stands in for them.

    python benchmarks/viewer_frames.py --data data/synthetic-hand/1
    python benchmarks/viewer_frames.py --data CAPTURE --method hand-splat
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import tyro
from captures import notes_on, title_of
from PIL import Image
from playwright.sync_api import Page, WebSocket, sync_playwright
from recording import Recorded, record
from rich.table import Table

FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run")
JPEG = b"\xff\xd8\xff"

COUNTING = """
window.drawn = [];
const canvas = document.querySelector("canvas");
(function count() { window.drawn.push([canvas.width, canvas.height]); requestAnimationFrame(count) })()
"""
"""Notes the size of each picture that the browser draws; viser draws fewer pixels where it is slow."""


@dataclass
class ViewerFrames(Recorded):
    """Pictures a second in a browser, beside a training."""

    data: Path = Path("data/synthetic-hand/1")
    """The capture."""
    method: str = "hand-uvnerf"
    """What is trained."""
    after: int = 60
    """Steps before it is looked at."""
    seconds: float = 20.0
    """For which the hand is turned."""
    width: int = 860
    """Of the browser's window, pixels."""
    height: int = 560
    """The same."""
    screenshot: Optional[Path] = None
    """File for what the browser shows with *Fast*."""


class Received:
    """Pictures that a page got through its websocket."""

    def __init__(self, page: Page) -> None:
        self.arrived: list[tuple[float, tuple[int, int]]] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._look)

    def _look(self, content: str | bytes) -> None:
        if isinstance(content, bytes) and (start := content.find(JPEG)) >= 0:
            self.arrived.append((time.monotonic(), Image.open(io.BytesIO(content[start:])).size))


def steps(page: Page) -> int:
    """Of the training, as the panel says."""
    found = re.search(r"Step: (\d+)", page.locator("body").text_content() or "")
    return int(found[1]) if found else 0


def turn(page: Page, args: ViewerFrames) -> tuple[float, float, float]:
    """Moves the hand about for a while; when it began, how long it took, and steps a second meanwhile."""
    x, y = (args.width - 330) / 2, args.height / 2
    page.mouse.move(x, y)
    page.mouse.down()
    start, before = time.monotonic(), steps(page)
    while (spent := time.monotonic() - start) < args.seconds:
        page.mouse.move(x + 120 * np.sin(0.6 * spent), y + 40 * np.sin(0.9 * spent))
        page.wait_for_timeout(20)
    page.mouse.up()
    return start, spent, (steps(page) - before) / spent


def looked_at(page: Page, args: ViewerFrames) -> dict[str, dict[str, float]]:
    """Pictures a second, their size, and steps a second: as pictures that are sent, and as a mesh that is drawn."""
    received = Received(page)
    page.reload(wait_until="domcontentloaded")
    page.get_by_role("button", name="Pause Training").wait_for()
    page.get_by_role("button", name="Hide Train Cams", exact=True).click()
    while steps(page) < args.after or not received.arrived:
        page.wait_for_timeout(500)
    start, spent, speed = turn(page, args)
    sizes = [size for when, size in received.arrived if start <= when <= start + spent]
    if not sizes:
        sys.exit(f"error: expected pictures within {args.seconds:g} s, found none.")
    width, height = np.median(np.array(sizes), axis=0)
    found = {
        "pictures that are sent": {
            "pictures a second": len(sizes) / spent, "width": width, "height": height, "steps a second": speed
        }
    }  # fmt: skip
    fast = page.get_by_label("Fast", exact=True)
    if not fast.count():
        return found
    fast.click()
    page.wait_for_timeout(5000)
    page.evaluate(COUNTING)
    _, spent, speed = turn(page, args)
    drawn = page.evaluate("window.drawn")
    width, height = np.median(np.array(drawn), axis=0)
    if args.screenshot is not None:
        page.screenshot(path=args.screenshot)
    found["Fast"] = {
        "pictures a second": len(drawn) / spent, "width": width, "height": height, "steps a second": speed
    }  # fmt: skip
    return found


def main(args: ViewerFrames) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("error: expected a browser on PATH, found none: `apt-get install chromium`.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        ns_train = str(Path(sys.executable).parent / "ns-train")
        command = [
            ns_train, args.method, "--data", str(args.data), "--output-dir", folder, "--vis", "viewer",
            "--viewer.websocket-port", str(port), "--max-num-iterations", "100000",
        ]  # fmt: skip
        training = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if training.poll() is not None:
                    sys.exit(f"error: expected a training, found:\n{(Path(folder) / 'log').read_text()[-2000:]}")
                time.sleep(0.5)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
                page = browser.new_page(viewport={"width": args.width, "height": args.height})
                page.set_default_timeout(300_000)
                page.goto(f"http://127.0.0.1:{port}", wait_until="domcontentloaded")
                found = looked_at(page, args)
                browser.close()
        finally:
            training.send_signal(signal.SIGTERM)
            training.wait()
    table = Table(title=f"{title_of(args.data)}: {args.method} while it trains, turned for {args.seconds:g} s each")
    for column in ("", "pictures a second", "their size", "steps a second"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in found.items():
        size = f"{row['width']:.0f}x{row['height']:.0f}"
        table.add_row(name, f"{row['pictures a second']:.1f}", size, f"{row['steps a second']:.2f}")
    record(__file__, args, [table], notes=notes_on(args.data), figures=found)


if __name__ == "__main__":
    main(tyro.cli(ViewerFrames))
