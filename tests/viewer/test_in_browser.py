"""The web viewer as a person meets it: a browser opens the page of a training that has not begun, bends a finger and
plays the two poses, and puts a mesh into another light.

Every step waits for what the page shows, however long that takes. Nothing is trained meanwhile, so that nothing but
what the person does changes the picture: a page that is late shows no other hand."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

NS_TRAIN = str(Path(sys.executable).with_name("ns-train"))
"""The command of this environment, whether or not it is on PATH."""

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
"""Software WebGL, and no word to anybody."""

PATIENCE = 300.0
"""Seconds for any one thing to happen; on two idle cores nothing takes ten, beside other work a start takes minutes."""

CHANGE = 60
"""Difference of brightness that only another thing in the picture makes. nerfstudio sends a coarse picture, then a
sharp one, and a busy browser may go on to show the coarse one for minutes: their edges differ by up to this."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser on PATH: `apt-get install chromium` (Debian) gets one that this test can use"
)


@contextmanager
def training(capture: Path, cache: Path, folder: Path, method: str, *options: str) -> Iterator[Callable[[], str]]:
    """A training that waits for somebody to start it; what is given waits until there is a page, and says where."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [
            NS_TRAIN, method, "--data", str(capture), "--output-dir", str(folder), "--vis", "viewer",
            "--viewer.websocket-port", str(port), "--max-num-iterations", "100000", "--start-paused", "True", *options,
            "hands-data", "--resolution-scale", "0.5",
        ],
        cwd=folder,  # Where the viewer looks for pose tracks.
        env={**os.environ, "NERFSTUDIO_HANDS_CACHE": str(cache), "PYTHONFAULTHANDLER": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip

    def listening() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def address() -> str:
        wait_for(listening, "the viewer's port")
        return f"http://127.0.0.1:{port}"

    try:
        yield address
        assert process.poll() is None, (folder / "log").read_text()[-6000:]
    except BaseException:
        print((folder / "log").read_text()[-6000:])
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        start = time.monotonic()
        if condition():
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {PATIENCE:.0f} s")
        # A look makes the page draw, and it must have time for other things.
        time.sleep(max(0.25, 2 * (time.monotonic() - start)))


class Page:
    """The viewer's page: its picture and the controls that the test uses, found by their labels."""

    def __init__(self, page) -> None:
        self.page = page

    def picture(self) -> np.ndarray:
        """What the browser shows left of the panel [H, W, 3], 0 to 255."""
        size = self.page.viewport_size
        clip = {"x": 0, "y": 60, "width": size["width"] - 330, "height": size["height"] - 60}
        shot = Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("RGB")
        return np.asarray(shot, dtype=np.int16)

    def number(self, pattern: str) -> int:
        """A number in the panel's text, 0 before it is there."""
        found = re.search(pattern, self.page.locator("body").text_content())
        return int(found[1]) if found else 0

    def first_image(self) -> np.ndarray:
        """The picture as the page comes, once the hand is in it and a second changes nothing: it is coarse at first."""
        wait_for(lambda: 0.03 < shown(self.picture()).mean() < 0.9, "a picture with a hand and its background")
        pictures = [self.picture()]

        def stays() -> bool:
            self.page.wait_for_timeout(1000)
            pictures.append(self.picture())
            return changed(*pictures[-2:]) == 0

        wait_for(stays, "a picture that stays")
        return pictures[-1]

    def drag_slider(self, label: str, pixels: int) -> None:
        """Drags the thumb of the first slider of this label to the right; again where it slipped out of the hand, as
        it does while the panel below a new line is still on its way down."""
        row = self.page.locator(f'label:text-is("{label}")').first.locator("xpath=../../..")
        thumb = row.get_by_role("slider")
        before = thumb.get_attribute("aria-valuenow")

        def dragged() -> bool:
            thumb.scroll_into_view_if_needed()
            box = thumb.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            self.page.mouse.move(x + pixels, y, steps=4)
            self.page.mouse.up()
            for _ in range(20):
                if thumb.get_attribute("aria-valuenow") != before:
                    return True
                self.page.wait_for_timeout(100)
            return False

        wait_for(dragged, f"another place of the slider {label!r}")
        self.leave()

    def choose(self, label: str, option: str) -> None:
        """Opens a list and chooses from it."""
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.leave()

    def click(self, text: str) -> None:
        self.page.get_by_role("button", name=text, exact=True).click()
        self.leave()

    def hide_cameras(self) -> None:
        """Hides the training cameras; again where there were none yet: nerfstudio offers the button before it draws
        them, and a click then does nothing."""

        from playwright.sync_api import TimeoutError as LateError

        hide, show = (self.page.get_by_role("button", name=f"{verb} Train Cams") for verb in ("Hide", "Show"))

        def hidden() -> bool:
            try:
                if not show.is_visible():
                    hide.click(timeout=10_000)
                    show.wait_for(timeout=10_000)
            except LateError:
                return False
            return True

        wait_for(hidden, "a scene without the training cameras")
        self.leave()

    def tick(self, label: str) -> None:
        self.page.get_by_label(label).click()
        self.leave()

    def leave(self) -> None:
        """Moves the mouse to where nothing shows a hint: those of the panel hide a part of the picture."""
        self.page.mouse.move(2, 2)


def changed(first: np.ndarray, second: np.ndarray) -> float:
    """Share of pixels that show something else."""
    return float((abs(first - second).max(axis=-1) > CHANGE).mean())


def shown(picture: np.ndarray) -> np.ndarray:
    """Pixels that show a hand [H, W]."""
    return picture.max(axis=-1) > 40


def warmth(picture: np.ndarray) -> float:
    """Red over blue of the hand, whether its picture is coarse or sharp."""
    red, _, blue = picture[shown(picture)].mean(axis=0)
    return float(red / blue)


def blue(picture: np.ndarray) -> float:
    """Share of pixels in the colour of the mesh, which skin has not."""
    return float((picture[..., 2] - picture[..., 0] > 30).mean())


@contextmanager
def browser_at(address: str) -> Iterator[Page]:
    """The page, at its first picture of the hand, without the training cameras."""
    playwright = pytest.importorskip("playwright.sync_api", reason="`pip install playwright` drives the browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 860, "height": 560})
        tab.set_default_timeout(PATIENCE * 1000)
        tab.goto(address, wait_until="domcontentloaded")
        tab.get_by_role("button", name="Resume Training").wait_for()
        page = Page(tab)
        wait_for(lambda: page.number(r"Resolution: (\d+)x") > 0, "a picture of the hand")
        page.hide_cameras()
        yield page
        browser.close()


@pytest.fixture(scope="module")
def addresses(
    demo_capture: Path, true_fit_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Callable[[], str]]]:
    """Both trainings, which start at the same time."""
    methods = {
        "hand-uvnerf": ("--pipeline.datamanager.train-num-rays-per-batch", "256"),
        "hand-mesh": ("--pipeline.model.subdivisions", "1", "--pipeline.model.texture-size", "64"),
    }
    with ExitStack() as stack:
        yield {
            method: stack.enter_context(
                training(demo_capture, true_fit_cache, tmp_path_factory.mktemp(method), method, *options)
            )
            for method, options in methods.items()
        }


@pytest.fixture
def page(addresses: dict[str, Callable[[], str]]) -> Iterator[Page]:
    """A radiance field as it is before its training."""
    with browser_at(addresses["hand-uvnerf"]()) as page:
        yield page


@pytest.fixture
def mesh_page(addresses: dict[str, Callable[[], str]]) -> Iterator[Page]:
    """A mesh as it is before its training."""
    with browser_at(addresses["hand-mesh"]()) as page:
        yield page


def test_a_person_bends_a_finger_and_plays_it(page: Page) -> None:
    hand = page.first_image()

    page.drag_slider("Middle flexion", 30)
    wait_for(lambda: changed(page.picture(), hand) > 0.005, "another picture after the slider was moved")
    bent = page.picture()
    assert 0.005 < changed(bent, hand) < 0.2

    assert blue(bent) < 0.001
    page.tick("Show mesh")
    wait_for(lambda: blue(page.picture()) > 0.005, "the mesh")
    page.tick("Show mesh")
    wait_for(lambda: blue(page.picture()) < 0.001, "the picture without the mesh")

    # What the browser draws by itself is the same hand in the same place; its colors are those of no training yet.
    page.tick("Fast")
    page.tick("Show mesh")
    wait_for(lambda: blue(page.picture()) > 0.005, "the mesh over the hand that the browser draws")
    page.tick("Show mesh")
    wait_for(lambda: 0.8 < shown(page.picture()).sum() / shown(bent).sum() < 1.25, "the hand that the browser draws")
    assert (shown(page.picture()) & shown(bent)).sum() > 0.75 * shown(bent).sum()
    page.tick("Fast")

    page.click("Reset pose")
    wait_for(lambda: changed(page.picture(), hand) < changed(bent, hand) / 4, "the picture as it was before")

    # Two poses become a track that plays. A slow page passes on where a slider stands later than which button was
    # pressed, so the picture is waited for.
    page.click("Add keyframe")
    wait_for(lambda: page.number(r"(\d+) keyframe") == 1, "the first keyframe")
    page.drag_slider("Middle flexion", 30)
    wait_for(lambda: changed(page.picture(), hand) > 0.005, "the second pose")
    page.click("Add keyframe")
    wait_for(lambda: page.number(r"(\d+) keyframe") == 2, "the second keyframe")
    page.click("Play")
    page.page.get_by_role("button", name="Pause", exact=True).wait_for()
    looks = [page.picture()]

    def moved() -> bool:
        looks.append(page.picture())
        return changed(looks[-1], looks[-2]) > 0.003

    for _ in range(3):
        wait_for(moved, "another picture while the track plays")
    page.click("Pause")
    page.page.get_by_role("button", name="Play", exact=True).first.wait_for()

    page.click("Resume Training")
    page.page.get_by_role("button", name="Pause Training").wait_for()
    wait_for(lambda: page.number(r"Step: (\d+)") > 2, "steps of the training")
    page.click("Pause Training")
    page.page.get_by_role("button", name="Resume Training").wait_for()


def test_a_person_puts_the_mesh_into_another_light(mesh_page: Page) -> None:
    page = mesh_page
    captured = page.first_image()

    def evening() -> bool:
        """Another light has another colour, and falls on the same hand."""
        picture = page.picture()
        same_hand = (shown(picture) != shown(captured)).mean() < 0.15 * shown(captured).mean()
        return same_hand and warmth(picture) > 1.15 * warmth(captured)

    def as_before() -> bool:
        picture = page.picture()
        return abs(warmth(picture) / warmth(captured) - 1) < 0.05 and changed(picture, captured) < 0.02

    page.choose("Light", "sunset")
    wait_for(evening, "the light of the evening")
    sunset = page.picture()
    page.drag_slider("Turn light", 40)
    wait_for(lambda: changed(page.picture(), sunset) > 0.02, "the light from another side")
    page.choose("Light", "capture")
    wait_for(as_before, "the light of the capture")
