"""The web page of an avatar, opened from its file by a browser, beside the pictures that the model itself draws."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from PIL import Image

from nerfstudio_hands.export.hand_page import FIELD_OF_VIEW, splat_page
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.models.hand_splat import HandSplatModel, HandSplatModelConfig
from nerfstudio_hands.transforms.rotations import rotation_matrix, rotation_vector, slerp
from nerfstudio_hands.viewer.finger_angles import bend_hand

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""Software WebGL."""

PATIENCE = 120_000.0
"""Milliseconds for any one thing to happen."""

LIKE = 36.0
"""PSNR in decibels of two pictures of the same hand; the page draws in 8 bits."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser on PATH: `apt-get install chromium` (Debian) gets one that this test can use"
)


def made_up_model(surface: HandSurface, *, holding: bool = False) -> HandSplatModel:
    """Two hands in two poses, with colors, reflections, a light from one side, correctives and a camera's answer, in a
    world that is not the capture's; a ball in the second hand or none."""
    torch.manual_seed(0)
    pose = HandPose.rest(2, (2,))
    pose.local_rotations[1] = 0.25 * torch.randn(2, 15, 3)
    pose.global_orient[1, :, 0] = 0.4
    pose.translation[:, 0, 2] = -0.12
    turned = torch.tensor([[1.0, 0, 0, 0.02], [0, 0, -1, 0.01], [0, 1, 0, -0.03]])
    avatar = made_up_avatar(surface, pose, frame_names=["a", "b"], camera_names=["00", "01"], world_transform=turned)
    if holding:
        skin = surface.pose(pose, avatar.shape).vertices[:, surface.vertex_slices[1]]
        ball = torch.eye(4).repeat(2, 1, 1)
        ball[:, :3, 3] = skin.mean(dim=1) + torch.tensor([[0.03, 0.03, -0.03], [0.05, -0.02, -0.04]])
        ball[1, :3, :3] = rotation_matrix(torch.tensor([0.5, -0.3, 1.0]))
        avatar = replace(avatar, object_pose=ball, object_radius=0.035)
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    model = HandSplatModelConfig(splats_per_hand=4000, object_splats=1500).setup(
        scene_box=box, num_train_data=4, metadata={"hands": avatar}
    )
    with torch.no_grad():
        if model.held is not None:
            free = model.held.splats
            model.held.deltas.copy_(torch.tensor([0.01, 0.0, 0.005, 0.2, 0.1, -0.3]))
            free.color.copy_(0.5 + 0.4 * torch.sin(150 * free.mean))
            free.view.normal_(std=0.4)
            free.log_half_axes.add_(0.3 * torch.randn_like(free.mean))
            free.quaternion.mul_(3).add_(0.3 * torch.randn_like(free.quaternion))
            free.opacity.normal_(mean=2.0)
        place = model.splats.barycentric() @ torch.rand(3, 3)
        model.splats.color.copy_(0.15 * torch.sin(9 * place))
        model.splats.view.copy_(0.1 * torch.randn_like(model.splats.view))
        model.splats.turn.normal_()
        model.splats.size.normal_()
        model.splats.height.normal_(std=0.2)
        model.look.base[:, 1:] = 0.35 + 0.2 * torch.sin(60 * surface.canonical)
        model.look.correctives.normal_(std=0.05)
        model.look.light[1:4] = torch.tensor([[0.5, 0.4, 0.2], [0.6, 0.5, 0.4], [-0.3, -0.2, 0.1]])
        model.cameras.seen[:] = True
        model.cameras.gain[1:] = 0.2
        model.cameras.bias[1:] = 0.03
    return model.eval()


def written(model: HandSplatModel, folder: Path) -> Path:
    """The page of the first frame."""
    source = model.export_source()
    hands = source.hands
    path = folder / "hands.html"
    pose = hands.pose_of(torch.tensor([0]))
    path.write_bytes(splat_page(source.splat_rig, hands, pose, [], eye=torch.ones(3), frame=0))
    return path


@pytest.fixture(scope="module")
def model(surface: HandSurface) -> HandSplatModel:
    return made_up_model(surface)


@pytest.fixture(scope="module")
def page_file(model: HandSplatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(model, tmp_path_factory.mktemp("page"))


@contextmanager
def opened(path: Path, state: str, *flags: str) -> Iterator:
    """The page in a browser, in a state."""
    playwright = pytest.importorskip("playwright.sync_api", reason="`pip install playwright` drives the browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        context = browser.new_context(viewport={"width": 700, "height": 320}, offline=True)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri())
        reach(page, state)
        yield page
        assert not faults
        browser.close()


def reach(page, state: str) -> None:
    page.wait_for_function(f"document.body.dataset.state === '{state}'")


def picture(page) -> np.ndarray:
    """What the canvas shows [H, W, 3] in [0, 1], once it shows what the controls say."""
    reach(page, "drawn")
    shot = page.locator("canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=np.float32) / 255


def drawn(model: HandSplatModel, page, pose: HandPose, size: tuple[int, int]) -> np.ndarray:
    """The model's own picture of a pose, from the page's camera."""
    look = page.evaluate("({...handPage.orbit, canvas: 0, changed: 0, pointers: 0})")
    azimuth, elevation = math.radians(look["azimuth"]), math.radians(look["elevation"])
    back = torch.tensor(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back), dim=0)
    eye = torch.tensor(look["target"]) + look["distance"] * back
    height, width = size
    focal = min(size) / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    to_world = torch.stack([right, torch.linalg.cross(back, right), back, eye], dim=1)
    camera = Cameras(to_world[None], fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)
    model.hands.set_free_pose(pose)
    return model.get_outputs_for_camera(camera)["rgb"].numpy()


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Of the pixels that either picture shows."""
    shown = np.maximum(first, second).max(axis=-1) > 0.02
    return -10 * math.log10(np.square(first - second)[shown].mean() + 1e-12)


def test_the_page_shows_what_the_model_shows(model: HandSplatModel, page_file: Path) -> None:
    """At rest, with a bent finger and a turned wrist, from elsewhere, and in the track's second pose."""
    rest = model.hands.pose_of(torch.tensor([0]))
    with opened(page_file, "drawn") as page:
        first = picture(page)
        assert psnr(first, drawn(model, page, rest, first.shape[:2])) > LIKE
        assert page.get_by_role("checkbox").count() == 0

        page.get_by_role("slider", name="Middle flexion").first.fill("110")
        page.get_by_role("slider", name="Wrist twist").first.fill("40")
        page.mouse.move(100, 100)
        page.mouse.down()
        page.mouse.move(180, 120)
        page.mouse.up()
        bent = picture(page)
        pose = bend_hand(model.hands.surface.hands[0], rest, 0, {"Middle flexion": 110.0, "Wrist twist": 40.0})
        assert psnr(bent, drawn(model, page, pose, bent.shape[:2])) > LIKE
        # The bar tells apart what a broken page would show: nothing, and a hand that has not moved.
        assert psnr(bent, np.zeros_like(bent)) < LIKE - 10
        assert psnr(bent, drawn(model, page, rest, bent.shape[:2])) < LIKE - 10

        track = model.hands.frames_track()
        page.get_by_role("slider", name="Time").fill(str(0.6 * track.duration))
        moved = picture(page)
        between = track.at(torch.tensor([0.6 * track.duration]))
        assert psnr(moved, drawn(model, page, between, moved.shape[:2])) > LIKE

        page.get_by_role("button", name="Play").click()
        page.wait_for_function(f"handPage.playing && Math.abs(handPage.time - {0.6 * track.duration}) > 0.01")
        page.get_by_role("button", name="Pause").click()
        reach(page, "drawn")


@torch.no_grad()
def test_what_is_held_is_where_the_model_has_it(
    surface: HandSurface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In frames and between them by what was learned, with a turned wrist taken along by it, and not while hidden."""
    model = made_up_model(surface, holding=True)
    hands, held, track = model.hands, model.held, model.hands.frames_track()
    assert held.hand == 1
    first, last = (hands.pose_of(torch.tensor([frame])) for frame in (0, 1))
    of_frames = held.of_frames(torch.tensor([0, 1]))

    def beside(place: torch.Tensor, pose: HandPose, size: tuple[int, int]) -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(held, "poses", lambda posed: place[None])
            return drawn(model, page, pose, size)

    with opened(written(model, tmp_path), "drawn") as page:
        shown = picture(page)
        size = shown.shape[:2]
        assert psnr(shown, beside(of_frames[0], first, size)) > LIKE

        page.get_by_role("checkbox", name="Object").uncheck()
        hidden = picture(page)
        model.show_object.value = False
        assert psnr(hidden, drawn(model, page, first, size)) > LIKE
        # The bar tells apart an object from none.
        assert psnr(hidden, shown) < LIKE - 10
        model.show_object.value = True
        page.get_by_role("checkbox", name="Object").check()

        time = page.get_by_role("slider", name="Time")
        time.fill(str(track.duration))
        moved = picture(page)
        assert psnr(moved, beside(of_frames[1], last, size)) > LIKE
        # And from one that the wrist has taken along.
        assert psnr(moved, drawn(model, page, last, size)) < LIKE - 10

        time.fill(str(0.4 * track.duration))
        between = torch.lerp(of_frames[0], of_frames[1], 0.4)
        turns = rotation_vector(of_frames[:, :3, :3])
        between[:3, :3] = rotation_matrix(slerp(turns[0], turns[1], torch.tensor(0.4)))
        pose = track.at(torch.tensor([0.4 * track.duration]))
        assert psnr(picture(page), beside(between, pose, size)) > LIKE

        time.fill(str(track.duration))
        page.get_by_text("Right hand").click()
        page.get_by_role("slider", name="Wrist twist").last.fill("40")
        bent = picture(page)
        pose = bend_hand(surface.hands[1], last, 1, {"Wrist twist": 40.0})
        assert psnr(bent, drawn(model, page, pose, size)) > LIKE
        assert psnr(bent, beside(of_frames[1], pose, size)) < LIKE - 10


def test_without_webgl_the_page_says_so(page_file: Path) -> None:
    with opened(page_file, "fault", "--disable-3d-apis") as page:
        said = page.locator("body").inner_text()
    assert said.strip() == (
        "This page needs WebGL 2, which this browser does not offer: switch hardware acceleration on, or open the page "
        "in another browser."
    )


def test_the_page_needs_nothing_from_elsewhere(page_file: Path) -> None:
    text = page_file.read_text()
    assert not re.search(r"https?:|<link|<img|src=|fetch\(|@import", text)
