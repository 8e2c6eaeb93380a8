"""Which cameras train and which are held out."""

from __future__ import annotations

from typing import Sequence

from nerfstudio_hands.dataparsers.capture import Capture
from nerfstudio_hands.errors import HandsError

HELD_OUT_EVERY = 7
"""Without names, every seventh camera is held out: two of a rig of fourteen."""


def choose_cameras(
    capture: Capture, *, cameras: Sequence[str] | None, exclude: Sequence[str], held_out: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Splits the cameras of a capture that have pictures.

    Args:
        capture: the capture.
        cameras: names to use; None for all that have a picture.
        exclude: names to leave out.
        held_out: names to hold out; None for every seventh camera; empty for none.

    Returns:
        Names of the training cameras and of the held-out cameras, each in the capture's order.

    Raises:
        HandsError: a name that the capture does not have, or no training camera left.
    """
    known = [camera.name for camera in capture.cameras]
    with_pictures = [name for name in known if any((frame, name) in capture.images for frame in capture.frames)]
    for option, names in (
        ("--cameras", cameras or ()),
        ("--exclude-cameras", exclude),
        ("--eval-cameras", held_out or ()),
    ):
        for name in names:
            if name not in known:
                raise HandsError(
                    f"{option}: expected names of cameras of {capture.root} ({', '.join(known)}), found {name}; "
                    "correct the name."
                )
    missing = [name for name in held_out or () if name not in with_pictures]
    if missing:
        raise HandsError(
            f"--eval-cameras: expected cameras with pictures in {capture.root}, found none for {', '.join(missing)}; "
            "add the pictures or hold out other cameras."
        )
    usable = [
        n for n in with_pictures if n not in exclude and (cameras is None or n in cameras or n in (held_out or ()))
    ]
    if held_out is None:
        held_out = usable[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY] if len(usable) > 2 else []
    train = [name for name in usable if name not in held_out]
    if not train:
        raise HandsError(
            f"{capture.root}: expected at least one training camera, found none after --cameras, "
            "--exclude-cameras and --eval-cameras; leave fewer cameras out."
        )
    return train, [name for name in usable if name in held_out]
