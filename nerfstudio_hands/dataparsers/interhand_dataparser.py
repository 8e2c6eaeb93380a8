"""Options of InterHand2.6M on top of those of every capture: see the note on imports in `hands_dataparser`."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields, replace
from typing import Literal, Optional, Tuple

from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.option_range import bounded

PROTOCOLS: typing.Dict[str, typing.Dict[str, typing.Any]] = {
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
class InterHandDataParserConfig(HandsDataParserConfig):
    """InterHand2.6M: one capture of one split, or whatever else is written in its layout."""

    layout: str = "interhand"
    """Layout of the folder: "auto" recognises it, "capture-room" or "interhand" insists on that one."""
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
    grey_cameras: bool = False
    """Read the grey cameras (41xxxx) too; those named in `cameras` are read anyway."""
    protocol: Optional[Literal["hand-avatar", "rom07"]] = None
    """Published protocol, which sets sequences and held-out frames: "hand-avatar" trains on ROM04_RT_Occlusion and
    tests on ROM03_RT_No_Occlusion, "rom07" holds out the last quarter of ROM07_RT_Finger_Occlusions. It holds out no
    camera, and all of its held-out pictures are evaluated."""

    def resolved(self) -> InterHandDataParserConfig:
        if self.protocol is None:
            return self
        defaults = {field.name: field.default for field in fields(self)}
        sets = PROTOCOLS[self.protocol]
        given = [name for name in sets if getattr(self, name) not in (defaults[name], sets[name])]
        if given:
            from nerfstudio_hands.errors import HandsError

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
            "grey_cameras": self.grey_cameras,
        }
