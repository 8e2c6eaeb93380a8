"""Recordings of states at a steady rate, and the windows that are cut out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError


@dataclass(frozen=True)
class Recording:
    """States without a gap, at a steady rate.

    Attributes:
        name: Where they come from.
        states: See `representations`.
        fps: Frames a second.
    """

    name: str
    states: Float[Tensor, "T S"]
    fps: float


class Windows:
    """All windows of a number of frames.

    Args:
        recordings: Of one rate; those that are too short are left out.
        frames: Of a window.
        stride: Frames from the begin of a window to that of the next.

    Raises:
        HandsError: No recording is long enough, one has other numbers than the rest, or some are not finite.
    """

    def __init__(self, recordings: Sequence[Recording], frames: int, stride: int = 1):
        for recording in recordings:
            _check(recording, recordings[0])
        self.frames = frames
        long_enough = [recording for recording in recordings if len(recording.states) >= frames]
        if not long_enough:
            longest = max((len(recording.states) for recording in recordings), default=0)
            raise HandsError(
                f"recordings: expected one of at least {frames} frames, found {len(recordings)}, the longest of "
                f"{longest}: give longer tracks, or fewer frames in and out."
            )
        self._states = torch.cat([recording.states for recording in long_enough])
        begins, offset = [], 0
        for recording in long_enough:
            begins.append(torch.arange(0, len(recording.states) - frames + 1, stride) + offset)
            offset += len(recording.states)
        self._begins = torch.cat(begins)

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, rows: Int[Tensor, " B"]) -> Float[Tensor, "B T S"]:
        """The windows of some rows."""
        return self._states[self._begins[rows][:, None] + torch.arange(self.frames)]

    def all(self) -> Float[Tensor, "B T S"]:
        """All windows."""
        return self[torch.arange(len(self))]


def _check(recording: Recording, first: Recording) -> None:
    if not recording.states.isfinite().all():
        raise HandsError(f"{recording.name}: expected finite numbers, found NaN or infinity: leave these frames out.")
    if recording.states.shape[1:] != first.states.shape[1:] or abs(recording.fps - first.fps) > 1e-3:
        raise HandsError(
            f"{recording.name}: expected {first.states.shape[1]} numbers a frame at {first.fps:g} frames a second, as "
            f"{first.name} has, found {recording.states.shape[1]} at {recording.fps:g}: train on one kind at a time."
        )
