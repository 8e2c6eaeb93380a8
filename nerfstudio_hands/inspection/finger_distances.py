"""Which fingers of the fitted hands lie beside their landmarks: outlines may agree where a thumb is bent wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.hand_scale import hand_length
from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.hand_model.joints import FINGERS
from nerfstudio_hands.inspection.hand_view import observed_joints, project_points

FINGER_OFF = 0.1
"""Mean distance of a finger's four joints from their landmarks, in lengths of the hand at its depth, beyond which it is
off. Of the 500 fingers of `stereo-hand` and `signing-hand` all but one are below 0.074, and half below 0.036: landmarks
lie on the skin, joints inside. The one, a thumb on the wrong side of its hand, is at 0.22 and 0.14 in its two
pictures."""

WHOLE_HAND = 3
"""From so many fingers on it is the hand that is off."""


@dataclass(frozen=True)
class FingerOff:
    """A finger, or a hand, that lies beside its landmarks in a picture.

    Attributes:
        camera: Name of the camera.
        frame: Name of the frame.
        part: As "right thumb" or "left hand".
        pixels: Mean distance of its joints from their landmarks.
        share: The same in lengths of the hand at its depth.
    """

    camera: str
    frame: str
    part: str
    pixels: float
    share: float


def fingers_off(
    capture: Capture, fit: HandFit, keypoints: Float[np.ndarray, "T 2 21 3"], names: Sequence[str]
) -> list[FingerOff]:
    """The fingers that are off in any frame, the worst first.

    Where several cameras show a finger, most of them have to agree that it is off: a landmark that one of them sees in
    a wrong place says nothing of the hand. Of a capture that came with joints in space there are no landmarks in
    pictures, and none is said to be off: where a data set has its joints in a hand is its own, and the fit knows.

    Args:
        capture: With landmarks.
        fit: The hands.
        keypoints: Their joints in all frames (`fitted_joints`).
        names: Cameras that are looked at.
    """
    if not names or capture.detections is None:
        return []
    apart = [_distances(capture, fit, keypoints, name) for name in names]
    pixels, shares = (np.stack(values) for values in zip(*apart, strict=True))
    off = shares > FINGER_OFF
    off &= 2 * off.sum(0) >= np.isfinite(shares).sum(0)
    found = []
    for c, t, side in zip(*np.nonzero(off.any(-1)), strict=True):
        fingers = np.flatnonzero(off[c, t, side])
        parts = {FINGERS[finger]: [finger] for finger in fingers} if len(fingers) < WHOLE_HAND else {"hand": fingers}
        for part, of in parts.items():
            means = [float(values[c, t, side, of].mean()) for values in (pixels, shares)]
            found.append(FingerOff(names[int(c)], capture.frames[t], f"{SIDES[side]} {part}", *means))
    return sorted(found, key=lambda one: -one.share)


def listed(found: Sequence[FingerOff], most: int = 4) -> str:
    """The worst of them in words, and how many there are beside."""
    said = [
        f"{one.part} {one.pixels:.0f} px off its landmarks in camera {one.camera}, frame {one.frame}" for one in found
    ]
    rest = f"; and {len(said) - most} more" if len(said) > most else ""
    return "; ".join(said[:most]) + rest


def _distances(
    capture: Capture, fit: HandFit, keypoints: Float[np.ndarray, "T 2 21 3"], name: str
) -> tuple[Float[np.ndarray, "T 2 5"], Float[np.ndarray, "T 2 5"]]:
    """Mean distance of each finger's joints from their landmarks in a camera, pixels and lengths of the hand there; NaN
    where one of them is not known."""
    camera = fit.corrected(capture.camera(name))
    apart = np.linalg.norm(project_points(camera, keypoints) - observed_joints(capture, name), axis=-1)
    pixels = apart[..., 1:].reshape(*apart.shape[:-1], len(FINGERS), 4).mean(-1)
    depth = (keypoints @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]).mean(-1)
    length = camera.intrinsics[0, 0] * hand_length(keypoints) / depth
    return pixels, pixels / length[..., None]
