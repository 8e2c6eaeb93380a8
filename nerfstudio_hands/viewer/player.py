"""What plays a pose track in nerfstudio's web viewer, and makes one of keyframes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
import viser

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.motion.forecasting.continuation import continue_track, fill_gaps
from nerfstudio_hands.motion.forecasting.weights_file import shipped_forecaster
from nerfstudio_hands.motion.pose_track import PoseTrack, join_poses
from nerfstudio_hands.motion.track_file import read_track, save_track

if TYPE_CHECKING:
    from nerfstudio_hands.model_components.posed_hands import PosedHands

TRACKS_FOLDER = Path("pose_tracks")
"""Folder of the user's tracks, in the folder where the training or the viewer was started."""

FRAMES, KEYFRAMES = "Frames of the capture", "Keyframes"
"""What the picker offers besides files."""

KEYFRAME_SECONDS = 1.0
"""From a keyframe made by hand to the next."""

CONTINUED_SECONDS = 2.0
"""By how much a track goes on at a time."""

CONTINUED, FILLED = ", continued", ", filled"
"""Ends of the names of tracks that were made from others, until they are saved."""

TICK = 1 / 24
"""Seconds between two poses at least. nerfstudio begins a sharp picture when nothing has moved for 0.2 s."""


class ShowsPoses(Protocol):
    """What shows the poses that are played, see `PoseControls`."""

    def adopt(self, pose: HandPose) -> None: ...

    def settle(self) -> None: ...

    def pose(self) -> HandPose: ...

    def show_unless(self, stop: threading.Event, pose: HandPose) -> bool: ...


class Player:
    """A folder "Play": picks a track, plays it over and over, makes one of keyframes, lets one go on and fills its
    gaps.

    Poses are shown as those of the sliders are, see :class:`ShowsPoses`; a pose that a person sets there ends the
    playing, and so does the last browser that leaves.

    Args:
        controls: Shows the poses.
        hands: The avatar's hands and the poses of the capture's frames.
    """

    def __init__(self, controls: ShowsPoses, hands: PosedHands):
        self._controls = controls
        self._hands = hands
        self._keyframes: list[HandPose] = []
        self._made: dict[str, PoseTrack] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._stop.set()

    def install(self, viser_server: viser.ViserServer) -> None:
        """Adds the folder to the panel."""
        self._server = viser_server
        gui = viser_server.gui
        with gui.add_folder("Play", expand_by_default=True):
            options = self._options()
            self._picker = gui.add_dropdown("Track", options, options[0], hint=f"Poses, or a file in {TRACKS_FOLDER}/")
            self._play = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY, hint="Over and over")
            self._pause = gui.add_button("Pause", icon=viser.Icon.PLAYER_PAUSE, hint="Keep the pose")
            self._pause.visible = False
            self._progress = gui.add_slider("Progress", 0.0, 100.0, 0.1, 0.0, hint="Percent of the track")
            self._speed = gui.add_slider("Speed", 0.1, 4.0, 0.1, 1.0, hint="1 is the track's own")
            self._in_place = gui.add_checkbox("In place", False, hint="Only fingers move, wrists stay")
            add = gui.add_button("Add keyframe", icon=viser.Icon.PLUS, hint="Append the pose that is shown")
            clear = gui.add_button("Clear keyframes", icon=viser.Icon.TRASH, hint="Begin anew")
            go_on = gui.add_button("Continue", icon=viser.Icon.PLAYER_TRACK_NEXT, hint="What the hands may do next")
            fill = gui.add_button("Fill gap", icon=viser.Icon.ARROWS_JOIN, hint="What may lie where hands are missing")
            self._name = gui.add_text("Name", "my-track", hint=f"Of the file in {TRACKS_FOLDER}/")
            save = gui.add_button("Save track", icon=viser.Icon.DEVICE_FLOPPY, hint="Write the track to a new file")
            self._status = gui.add_markdown("")
        for handle, action in ((self._picker, self.rewind), (self._progress, self.seek), (self._in_place, self.seek)):
            handle.on_update(lambda event, action=action: self._try(action) if event.client is not None else None)
        for button, action in (
            (self._play, self.play),
            (self._pause, self._controls.settle),
            (add, self.add_keyframe),
            (clear, self.clear_keyframes),
            (go_on, self.go_on),
            (fill, self.fill),
            (save, self.save),
        ):
            button.on_click(lambda _, action=action: self._try(action))
        viser_server.on_client_connect(lambda _: self._offer())

    @property
    def playing(self) -> bool:
        """Whether a track plays."""
        return not self._stop.is_set()

    # What a person does ----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Plays the chosen track from where the progress stands."""
        track = self._track()
        if not track.duration:
            raise HandsError(f"{track.name!r} is a single pose, so nothing moves.")
        place = self._progress.value / 100 * track.duration % track.duration
        # The sliders depart from here as soon as one of them is moved.
        self._controls.adopt(_pose_at(track, place))
        with self._lock:
            self._stop.set()
            self._stop = stop = threading.Event()
        self._play.visible, self._pause.visible = False, True
        threading.Thread(target=self._run, args=(track, place, stop), name="pose-player", daemon=True).start()

    def halt(self) -> None:
        """Ends the playing; no pose of it is shown afterwards. For who holds the lock of the controls."""
        with self._lock:
            self._stop.set()
        self._play.visible, self._pause.visible = True, False

    def rewind(self) -> None:
        """Shows the first pose of the chosen track."""
        self._progress.value = 0.0
        self.seek()

    def seek(self) -> None:
        """Shows the pose where the progress stands."""
        track = self._track()
        self._controls.adopt(_pose_at(track, self._progress.value / 100 * track.duration))

    def add_keyframe(self) -> None:
        """Appends the pose that is shown to the keyframes, and chooses these."""
        self._keyframes.append(self._controls.pose().to("cpu"))
        self._picker.value = KEYFRAMES
        self._say(f"{len(self._keyframes)} keyframe(s), {KEYFRAME_SECONDS:g} s apart")

    def clear_keyframes(self) -> None:
        """Forgets the keyframes."""
        self._keyframes.clear()
        self._controls.settle()
        self._say("No keyframes")

    def go_on(self) -> None:
        """Lets the chosen track go on, each hand by itself, and chooses what comes of it."""
        track, forecaster = self._track(), shipped_forecaster()
        frames = round(CONTINUED_SECONDS * forecaster.config.fps)
        # What is drawn depends on the track alone, so that the same track goes on in the same way.
        draw = torch.Generator().manual_seed(track.num_keys)
        longer = continue_track(forecaster, track, self._hands.surface.hands, frames, generator=draw)
        self._choose_made(self._picker.value.removesuffix(CONTINUED) + CONTINUED, longer)
        self._say(f"{CONTINUED_SECONDS:g} s added, {longer.duration:.1f} s in all; 'Save track' keeps them")

    def fill(self) -> None:
        """Fills the gaps of the chosen track, and chooses what comes of it."""
        track, filled, left = fill_gaps(shipped_forecaster(), self._track(), self._hands.surface.hands)
        if not filled:
            raise HandsError(f"No gap filled, {left} found with too little before or after.")
        self._choose_made(self._picker.value.removesuffix(FILLED) + FILLED, track)
        self._say(f"{filled} gap(s) filled, {left} left; 'Save track' keeps them")

    def save(self) -> None:
        """Writes the chosen track to a new file, and chooses that."""
        name = self._name.value.strip()
        if not name or Path(name).name != name:
            raise HandsError(f"Expected a name for the file, found {name!r}: give one without a folder.")
        path = TRACKS_FOLDER / f"{name.removesuffix('.npz')}.npz"
        save_track(path, replace(self._track(), name=path.stem))
        self._offer()
        self._picker.value = path.name
        self._say(f"Saved {path}")

    # -----------------------------------------------------------------------------------------------------------------

    def _run(self, track: PoseTrack, place: float, stop: threading.Event) -> None:
        clock = time.monotonic()
        while not stop.wait(TICK) and self._server.get_clients():
            now = time.monotonic()
            place = (place + self._speed.value * (now - clock)) % track.duration
            clock = now
            if self._controls.show_unless(stop, _pose_at(track, place)):
                self._progress.value = round(100 * place / track.duration, 1)
        if not stop.is_set():
            self._controls.settle()

    @torch.no_grad()
    def _track(self) -> PoseTrack:
        """The chosen track, for the avatar's hands."""
        chosen, sides, reference = self._picker.value, self._hands.surface.sides, self._hands.reference().to("cpu")
        if chosen in self._made:
            track = self._made[chosen]
        elif chosen == FRAMES:
            track = self._hands.frames_track().to("cpu")
        elif chosen != KEYFRAMES:
            track = read_track(TRACKS_FOLDER / chosen).for_hands(sides, reference)
        elif self._keyframes:
            track = PoseTrack.of_frames(join_poses(self._keyframes), sides, fps=1 / KEYFRAME_SECONDS, name=KEYFRAMES)
        else:
            raise HandsError("There are no keyframes yet: set a pose and press 'Add keyframe'.")
        self._say(f"{track.num_keys} poses, {track.duration:.1f} s")
        if self._in_place.value:
            return track.anchored(reference)
        if track.is_far_from(reference):
            self._say(f"{chosen} moves the hands away from where the capture has them: tick 'In place' to see them.")
        return track

    def _options(self) -> list[str]:
        frames = [FRAMES] if self._hands.num_frames > 1 else []
        return [*frames, KEYFRAMES, *self._made, *sorted(path.name for path in TRACKS_FOLDER.glob("*.npz"))]

    def _choose_made(self, name: str, track: PoseTrack) -> None:
        self._made[name] = replace(track, name=name)
        self._offer()
        self._picker.value = name
        self.rewind()

    def _offer(self) -> None:
        """Brings the picker up to date with the folder."""
        self._picker.options = self._options()

    def _say(self, text: str) -> None:
        self._status.content = text

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except HandsError as error:
            self._say(str(error))


def _pose_at(track: PoseTrack, seconds: float) -> HandPose:
    return track.at(torch.tensor([seconds]))
