"""A capture as the options choose it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.capture_options import CaptureOptions, InterHandOptions
from nerfstudio_hands.captures.layouts import LAYOUTS, find_layout, read_capture
from nerfstudio_hands.captures.splits import Split, frames_that_train, split_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.preparation.completion import completed


def read_and_split(data: Path, options: CaptureOptions) -> tuple[Capture, Split]:
    """Reads what the options choose of a capture, and splits it into what trains and what is held out.

    Raises:
        HandsError: The capture cannot be read, or an option does not fit it.
    """
    options, root = options.resolved(), data.expanduser()
    reader_options = options.reader_options()
    if find_layout(root, options.layout).has_joints:

        def trains(sequences: list[str]) -> Bool[np.ndarray, " T"]:
            return frames_that_train(
                root,
                sequences,
                len(sequences),
                held_out=options.eval_sequences,
                fraction=options.eval_frame_fraction,
                every=options.eval_frame_every,
            )

        reader_options["trains"] = trains
    capture = completed(read_capture(root, layout=options.layout, **reader_options))
    split = split_capture(
        capture,
        cameras=options.cameras,
        exclude_cameras=options.exclude_cameras,
        eval_cameras=options.eval_cameras,
        eval_sequences=options.eval_sequences,
        eval_frame_fraction=options.eval_frame_fraction,
        eval_frame_every=options.eval_frame_every,
    )
    return capture, split


def options_for(data: Path, options: InterHandOptions) -> CaptureOptions:
    """The options that the layout of a folder knows, of all those that a command takes.

    Raises:
        HandsError: An option of InterHand2.6M was given for another layout.
    """
    layout = find_layout(data.expanduser(), options.layout)
    if layout is LAYOUTS["interhand"]:
        return options
    found = next(name for name, known in LAYOUTS.items() if known is layout)
    shared = {field.name for field in fields(CaptureOptions)}
    for field in fields(InterHandOptions):
        if field.name not in shared and getattr(options, field.name) != field.default is not MISSING:
            raise HandsError(
                f"--{field.name.replace('_', '-')}: expected a capture in the layout interhand with this option, found "
                f"{found} at {data}: leave the option out."
            )
    return CaptureOptions(**{name: getattr(options, name) for name in shared})
