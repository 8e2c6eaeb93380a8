"""What to read of a capture and what to hold out: options that training, `ns-hands check` and `ns-hands fit` share.

Imports nothing heavy, because the help of the commands is made from it.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields, replace
from typing import Literal, Optional, Tuple

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import bounded

PUBLISHED_PROTOCOLS: typing.Dict[str, typing.Dict[str, typing.Any]] = {
    "hand-avatar": {
        "sequences": ("ROM04_RT_Occlusion", "ROM03_RT_No_Occlusion"),
        "eval_sequences": ("ROM03_RT_No_Occlusion",),
        "eval_frame_fraction": 0.0,
        "eval_cameras": (),
        "max_eval_images": 0,
    },
    "rom07": {
        "sequences": ("ROM07_RT_Finger_Occlusions",),
        "eval_sequences": (),
        "eval_frame_fraction": 0.25,
        "eval_cameras": (),
        "max_eval_images": 0,
    },
}
"""What the protocols of published hand avatars set: all cameras train, and every picture of a held-out frame counts."""


@dataclass
class CaptureOptions:
    """Options of every layout."""

    layout: str = "auto"
    """Layout of the folder: "auto" recognises it, "capture-room", "interhand", "deephandmesh" or "pictures"
    insists on one."""
    hand_model: str = "default"
    """Hand model: "default" is the built-in CC0 hand; or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl."""
    cameras: Optional[Tuple[str, ...]] = None
    """Cameras to use, by their names in the files; by default all that have pictures."""
    exclude_cameras: Tuple[str, ...] = ()
    """Cameras to leave out altogether."""
    eval_cameras: Optional[Tuple[str, ...]] = None
    """Cameras to hold out: they take part neither in the fit nor in training, and `ns-eval` reports on them. By
    default every seventh; give no name after the flag to hold out none."""
    eval_sequences: Tuple[str, ...] = ()
    """Sequences whose frames are held out: their poses are known to the avatar, their pictures are not."""
    eval_frame_fraction: bounded(Optional[float], 0, 0.99) = None
    """Share of the frames to hold out, from the end of every sequence that is not held out whole. By default a quarter
    where a capture has sequences and `eval_sequences` is empty, else nothing."""
    eval_frame_every: bounded(Optional[int], 0, 10**6) = None
    """Hold out every n-th frame, too: poses between those that train. By default every tenth of a film that no camera
    is held out of, else none; 0 for none."""
    refine_masks: bool = True
    """Register the hands to the pictures of the cameras that train: to the outlines of good masks, and where there are
    none to outlines that are cut out of the pictures; without, the fit ends at the joints."""
    held_out_poses: Literal["pictures", "joints"] = "pictures"
    """Poses of held-out frames: "pictures" registers them to those frames' pictures in the cameras that train, "joints"
    takes them from joints alone."""
    refine_cameras: bool = True
    """Let the fit correct camera rotations by up to a few degrees (calibrations are often a degree off)."""

    def resolved(self):
        """The options with what others of them imply filled in."""
        return self

    def reader_options(self) -> typing.Dict[str, typing.Any]:
        """Options for the reader of the layout."""
        return {}


@dataclass
class InterHandOptions(CaptureOptions):
    """Options of InterHand2.6M's layout on top of those."""

    layout: str = "interhand"
    """Layout of the folder: "auto" recognises it, "capture-room", "interhand", "deephandmesh" or "pictures"
    insists on one."""
    split: Literal["train", "val", "test"] = "test"
    """Split that the capture belongs to; it says nothing of what trains here."""
    capture: bounded(int, 0, 10**6) = 0
    """Number of the capture: one person."""
    sequences: Optional[Tuple[str, ...]] = None
    """Sequences to read; by default all."""
    frame_range: bounded(Optional[Tuple[int, int]], 0, 10**9) = None
    """First and last frame number to read."""
    frame_stride: bounded(int, 1, 10**6) = 1
    """Of the annotated frames of each sequence, every n-th is read."""
    hand_type: Optional[Literal["right", "left", "interacting"]] = None
    """Only frames that show this; by default all."""
    gray_cameras: bool = False
    """Read the grey cameras (41xxxx) too; those named in `cameras` are read anyway."""
    protocol: Optional[Literal["hand-avatar", "rom07"]] = None
    """Published protocol, which sets sequences and held-out frames: "hand-avatar" trains on ROM04_RT_Occlusion and
    tests on ROM03_RT_No_Occlusion, "rom07" holds out the last quarter of ROM07_RT_Finger_Occlusions. It holds out no
    camera, and all of its held-out pictures are evaluated."""

    def resolved(self):
        if self.protocol is None:
            return self
        defaults = {field.name: field.default for field in fields(self)}
        # Who neither trains nor evaluates does not have all that a protocol sets.
        sets = {name: value for name, value in PUBLISHED_PROTOCOLS[self.protocol].items() if name in defaults}
        given = [name for name in sets if getattr(self, name) not in (defaults[name], sets[name])]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise HandsError(
                f"--protocol: expected {self.protocol} without options that it sets, found {options} too: leave out "
                "the protocol or these."
            )
        return replace(self, **sets)

    def reader_options(self) -> typing.Dict[str, typing.Any]:
        cameras = None if self.cameras is None else (*self.cameras, *(self.eval_cameras or ()))
        return {
            "split": self.split,
            "capture": self.capture,
            "sequences": self.sequences,
            "cameras": cameras,
            "frame_range": self.frame_range,
            "frame_stride": self.frame_stride,
            "hand_type": self.hand_type,
            "gray_cameras": self.gray_cameras,
        }
