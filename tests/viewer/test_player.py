"""The viewer's player without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.fake_viewer import FakeServer, frame_rays, posed_frame, seen, viewer_rays

from nerfstudio_hands.hand_model import SIDES, HandPose
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_track, save_track
from nerfstudio_hands.viewer import player
from nerfstudio_hands.viewer.pose_controls import PoseControls


class Panel:
    """The player's controls by their labels, as a person uses them."""

    def __init__(self, server: FakeServer):
        self.server = server

    def use(self, label: str, value: object = None) -> None:
        self.server.handles[label][-1].use(value)

    def value(self, label: str) -> object:
        return self.server.handles[label][-1].value

    @property
    def status(self) -> str:
        return self.server.handles["markdown"][-1].content

    @property
    def playing(self) -> bool:
        play, pause = (self.server.handles[label][-1] for label in ("Play", "Pause"))
        assert play.visible != pause.visible
        return pause.visible

    def offered(self) -> list[str]:
        return self.server.handles["Track"][-1].options


@pytest.fixture
def panel(controls: PoseControls, server: FakeServer) -> Iterator[Panel]:
    panel = Panel(server)
    yield panel
    panel.use("Pause")
    wait_until(lambda: not threads())


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pose-player"]


SLOWLY = 0.1
"""Speed at which the track of 0.4 s leaves a busy machine seconds to look at a part of it."""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120  # a busy machine may leave the player's thread lying for long
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_seen(hands: PosedHands, pose: HandPose) -> bool:
    with torch.no_grad():
        return bool((seen(hands, viewer_rays()) - hands.vertices(pose)[0]).norm(dim=-1).max() < 1e-5)


def moving_track(hands: PosedHands) -> PoseTrack:
    return hands.frames_track(fps=10.0)


def test_playing_moves_the_pose_until_paused(hands: PosedHands, panel: Panel) -> None:
    shown = [seen(hands, viewer_rays())]
    panel.use("Play")
    assert panel.playing
    for _ in range(3):
        wait_until(lambda: (seen(hands, viewer_rays()) - shown[-1]).abs().max() > 1e-4)
        shown.append(seen(hands, viewer_rays()))
    panel.use("Speed", SLOWLY)
    wait_until(lambda: 30 < panel.value("Progress") < 60)
    panel.use("Pause")
    assert not panel.playing
    wait_until(lambda: not threads())
    stopped, place = seen(hands, viewer_rays()), panel.value("Progress")
    time.sleep(4 * player.TICK)
    assert torch.equal(seen(hands, viewer_rays()), stopped) and panel.value("Progress") == place
    # What is seen is the track where the progress stands, and what the sliders say.
    track = hands.frames_track()
    posed = track.at(torch.tensor([place / 100 * track.duration]))
    assert (stopped - hands.vertices(posed)[0].detach()).norm(dim=-1).max() < 1e-3
    angles = [float(slider.value) for slider in panel.server.handles["Index flexion"]]
    assert angles[0] == 0 and angles[1] > 10


def test_the_pose_goes_with_the_clock_and_the_speed(hands: PosedHands, panel: Panel) -> None:
    panel.use("Speed", SLOWLY)
    start = time.monotonic()
    panel.use("Play")
    wait_until(lambda: panel.value("Progress") > 10.0)
    # A tenth of a track of 0.4 s at a tenth of its speed.
    assert time.monotonic() - start > 0.35


def test_training_and_evaluation_go_on_as_they_are(hands: PosedHands, panel: Panel) -> None:
    before = seen(hands, viewer_rays())
    panel.use("Play")
    wait_until(lambda: (seen(hands, viewer_rays()) - before).abs().max() > 1e-4)
    torch.testing.assert_close(seen(hands, frame_rays(2)), posed_frame(hands, 2))
    hands.train()
    torch.testing.assert_close(seen(hands, viewer_rays()), before)
    torch.testing.assert_close(seen(hands, frame_rays(1)), posed_frame(hands, 1))
    hands.eval()


def test_no_pose_is_shown_while_a_image_is_made(controls: PoseControls, hands: PosedHands, panel: Panel) -> None:
    lock = threading.Lock()
    rendered = []
    controls._viewer = SimpleNamespace(train_lock=lock, _trigger_rerender=lambda: rendered.append(1), last_move_time=0)
    panel.use("Play")
    wait_until(lambda: len(rendered) > 2)
    with lock:
        time.sleep(2 * player.TICK)
        held, count = seen(hands, viewer_rays()), len(rendered)
        time.sleep(3 * player.TICK)
        assert torch.equal(seen(hands, viewer_rays()), held) and len(rendered) == count
        # The panel answers all the same, and the track that waits shows nothing any more.
        panel.use("Pause")
    wait_until(lambda: not threads())
    assert torch.equal(seen(hands, viewer_rays()), held)


def test_the_training_is_not_held_back(controls: PoseControls, panel: Panel) -> None:
    viewer = SimpleNamespace(train_lock=None, _trigger_rerender=lambda: None, last_move_time=0)
    controls._viewer = viewer
    panel.use("Play")
    at_start = viewer.last_move_time
    wait_until(lambda: panel.value("Progress") > 0)
    assert viewer.last_move_time == at_start
    panel.use("Reset pose")
    assert viewer.last_move_time > at_start


def test_it_stops_when_the_last_browser_leaves(server: FakeServer, panel: Panel) -> None:
    panel.use("Play")
    wait_until(lambda: panel.value("Progress") > 0)
    server.clients.clear()
    wait_until(lambda: not threads())
    assert not panel.playing


def test_moving_a_slider_stops_it_and_departs_from_there(hands: PosedHands, panel: Panel) -> None:
    panel.use("Speed", SLOWLY)
    panel.use("Play")
    wait_until(lambda: 20 < panel.value("Progress") < 60)
    index = panel.server.handles["Index flexion"][1]
    panel.server.handles["Thumb flexion"][1].use(50.0)
    assert not panel.playing and index.value > 15.0
    bent = seen(hands, viewer_rays())
    time.sleep(3 * player.TICK)
    assert torch.equal(seen(hands, viewer_rays()), bent)
    # The thumb is bent, and the index is where the track had it, which is no frame of the capture.
    assert all((bent - posed_frame(hands, frame)).norm(dim=-1).max() > 0.01 for frame in range(3))
    panel.use("Reset pose")
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 0))


def test_progress_is_where_a_person_puts_it(hands: PosedHands, panel: Panel) -> None:
    panel.use("Progress", 50.0)
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 1))
    panel.use("Progress", 100.0)
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 2))
    panel.use("Track", player.FRAMES)
    assert panel.value("Progress") == 0
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 0))
    assert panel.status == "3 poses, 0.4 s"


def test_keyframes_become_a_track_and_a_file(controls: PoseControls, hands: PosedHands, panel: Panel) -> None:
    assert panel.offered() == [player.FRAMES, player.KEYFRAMES]
    panel.use("Track", player.KEYFRAMES)
    assert "no keyframes yet" in panel.status
    panel.use("Add keyframe")
    panel.use("Play")
    assert not panel.playing and "single pose" in panel.status
    panel.server.handles["Ring flexion"][0].use(120.0)
    bent = controls.pose()
    panel.use("Add keyframe")
    panel.use("Progress", 100.0)
    assert is_seen(hands, bent)

    panel.use("Name", "ring")
    panel.use("Save track")
    path = Path("pose_tracks") / "ring.npz"
    assert panel.status == f"Saved {path}" and panel.value("Track") == "ring.npz" in panel.offered()
    saved = read_track(path)
    assert saved.name == "ring" and saved.sides == SIDES and saved.times.tolist() == [0.0, 1.0]
    torch.testing.assert_close(saved.pose.local_rotations[1:], bent.local_rotations)
    content = path.read_bytes()
    panel.use("Save track")
    assert "expected a new file" in panel.status and path.read_bytes() == content
    for name in ("", "../ring", "a/b"):
        panel.use("Name", name)
        panel.use("Save track")
        assert "without a folder" in panel.status
    assert [p.name for p in Path.cwd().rglob("*")] == ["pose_tracks", "ring.npz"]

    panel.use("Clear keyframes")
    panel.use("Track", player.KEYFRAMES)
    assert "no keyframes yet" in panel.status


def test_files_are_offered_and_bad_ones_named(hands: PosedHands, panel: Panel) -> None:
    save_track(Path("pose_tracks/one.npz"), moving_track(hands).for_hands(("right",), hands.reference()[1:]))
    Path("pose_tracks/broken.npz").write_text("no track")
    panel.use("connect")
    assert panel.offered() == [player.FRAMES, player.KEYFRAMES, "broken.npz", "one.npz"]
    panel.use("Track", "broken.npz")
    assert "expected a pose track" in panel.status
    panel.use("Play")
    assert not panel.playing
    panel.use("Track", "one.npz")
    panel.use("Progress", 100.0)
    # The left hand, which the track lacks, stands still.
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 2))


def test_a_track_from_elsewhere_plays_in_place(hands: PosedHands, panel: Panel) -> None:
    track = moving_track(hands)
    track.pose.translation += 3.0
    track.pose.global_orient += 1.0
    save_track(Path("pose_tracks/away.npz"), track)
    panel.use("connect")
    panel.use("Track", "away.npz")
    assert "In place" in panel.status
    assert (seen(hands, viewer_rays()) - posed_frame(hands, 0)).norm(dim=-1).min() > 2.0
    panel.use("In place", True)
    assert "In place" not in panel.status
    torch.testing.assert_close(seen(hands, viewer_rays()), posed_frame(hands, 0))


def test_a_capture_of_one_frame_offers_no_frames(hands: PosedHands, server: FakeServer, controls: PoseControls) -> None:
    for name in ("global_orient", "local_rotations", "translation", "valid"):
        setattr(hands, name, getattr(hands, name)[:1])
    assert player.Player(controls, hands)._options() == [player.KEYFRAMES]


def test_a_track_goes_on_and_can_be_saved(hands: PosedHands, panel: Panel) -> None:
    panel.use("Add keyframe")
    panel.use("Continue")
    assert "found 0.00 s: give a longer track" in panel.status
    track = moving_track(hands)
    slow = replace(track, times=track.times * 10)
    save_track(Path("pose_tracks/slow.npz"), slow)
    panel.use("connect")
    panel.use("Track", "slow.npz")
    panel.use("Continue")
    longer = "slow.npz" + player.CONTINUED
    assert panel.value("Track") == longer and longer in panel.offered()
    assert panel.status.startswith(f"{player.CONTINUED_SECONDS:g} s added")
    panel.use("Continue")
    assert panel.value("Track") == longer
    panel.use("Name", "longer")
    panel.use("Save track")
    saved = read_track(Path("pose_tracks/longer.npz"))
    assert saved.duration == pytest.approx(slow.duration + 2 * player.CONTINUED_SECONDS, abs=0.01)
    assert torch.equal(saved.pose.local_rotations[:3], slow.pose.local_rotations)
    # What was made plays like any other track.
    panel.use("Track", longer)
    panel.use("Progress", 100.0)
    assert is_seen(hands, saved.at(torch.tensor([saved.duration])))


def test_gaps_are_filled_or_it_says_why_not(hands: PosedHands, panel: Panel) -> None:
    track = moving_track(hands)
    times = torch.arange(61) / 30
    whole = PoseTrack(track.sides, track.at(times * track.duration / 2), times, "whole")
    whole.pose.valid[25:35, 0] = False
    save_track(Path("pose_tracks/holed.npz"), whole)
    panel.use("connect")
    panel.use("Track", "holed.npz")
    panel.use("Fill gap")
    assert panel.value("Track") == "holed.npz" + player.FILLED and panel.status.startswith("1 gap(s) filled")
    panel.use("Fill gap")
    assert panel.status == "No gap filled, 0 found with too little before or after."
