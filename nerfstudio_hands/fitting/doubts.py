"""What makes a fit doubtful that went through all the same, in sentences that name the cameras."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.joints.triangulate import ROTATION_PRIOR_DEGREES, Triangulation
from nerfstudio_hands.transforms.projection import MIN_DEPTH, project

FAR_JOINTS_MM = 12.0
"""Millimetres between fitted and triangulated joints beyond which these are no hand: a detector is right to about 6."""


def outlying_cameras(found: Triangulation, names: Sequence[str]) -> list[str]:
    """Cameras of three or more whose detections disagree with the others in every hand and frame."""
    detected, agreeing = _detected_and_agreeing(found)
    if detected.sum() < 3:
        return []
    return [name for name, seen, agrees in zip(names, detected, agreeing, strict=True) if seen and not agrees]


def doubts(found: Triangulation, names: Sequence[str], joint_distance_mm: float) -> list[str]:
    """Sentences on what may be wrong with cameras or detections; none for a good capture.

    Args:
        found: What the cameras that took part made of the joints.
        names: Names of these cameras.
        joint_distance_mm: Mean distance of the fitted from the triangulated joints.
    """
    sentences = []
    outlying = outlying_cameras(found, names)
    _, agreeing = _detected_and_agreeing(found)
    kept = [name for name, agrees in zip(names, agreeing, strict=True) if agrees]
    turned = [
        f"{name} ({degrees:.1f} degrees)"
        for name, degrees in zip(names, found.rotation.norm(dim=-1).rad2deg().tolist(), strict=True)
        if degrees > ROTATION_PRIOR_DEGREES
    ]
    if outlying:
        sentences.append(
            f"Detections of {_listed('camera', outlying)} disagree with the other cameras in every frame: check "
            "calibration and detections, or leave it out with --exclude-cameras."
        )
    if len(kept) == 2:
        sentences.append(
            f"Only cameras {' and '.join(kept)} agree on the hands: two cannot check each other, and if one is wrong "
            "the hands are in the wrong place; add a third."
        )
    if turned:
        sentences.append(f"Far off its calibration and turned by the fit: {', '.join(turned)}; calibrate again.")
    if joint_distance_mm > FAR_JOINTS_MM:
        sentences.append(
            f"Fitted joints are {joint_distance_mm:.0f} mm from the detected ones (a good capture: under "
            f"{FAR_JOINTS_MM:.0f}): what was detected is no hand, or {_listed('camera', kept or list(names))} are not "
            "calibrated as said; look at `ns-hands check`."
        )
    return sentences


def handless_frames(valid: Bool[Tensor, "T H"], frames: Sequence[str]) -> list[str]:
    """A sentence on the frames whose hands cannot be placed by their detections; none where there are no such frames.

    Args:
        valid: Whether each hand was fitted in each frame.
        frames: Names of the frames.
    """
    absent = list(compress(frames, (~valid.any(-1)).tolist()))
    if not absent:
        return []
    return [
        f"No hand in {_counted(absent, frames)}, where no two cameras detected one in the same place: nothing is "
        "learned from their pictures; where these show a hand, add its detections."
    ]


def frames_out_of_sight(seen: Capture, joints: Float[Tensor, "T H 21 3"]) -> list[str]:
    """A sentence on the frames of which no picture shows a joint that is known; none where there are no such frames.

    Args:
        seen: The capture, with the cameras that take part.
        joints: Known joints, world frame, metres, NaN where absent.
    """
    shown = torch.zeros(len(joints), dtype=torch.bool)
    for camera in seen.cameras:
        pixels, depth = project(
            joints.double(), torch.from_numpy(camera.intrinsics), torch.from_numpy(camera.world_to_camera)
        )
        inside = ((pixels >= 0) & (pixels < torch.tensor(camera.size))).all(-1) & (depth > MIN_DEPTH)
        taken = torch.tensor([(frame, camera.name) in seen.images for frame in seen.frames])
        shown |= inside.any(-1).any(-1) & taken
    known, taken = joints.isfinite().any(-1).any(-1).any(-1), {frame for frame, _ in seen.images}
    hidden = [name for name in compress(seen.frames, (known & ~shown).tolist()) if name in taken]
    if not hidden:
        return []
    return [
        f"The joints of {_counted(hidden, seen.frames)} lie outside of all pictures: nothing is learned from these; "
        "check that joints and calibration belong to them."
    ]


def exchanged_sides(
    error: Float[Tensor, "T H"], wrong_side: Bool[Tensor, "T H"], frames: Sequence[str], sides: Sequence[str]
) -> list[str]:
    """A sentence for each hand whose joints are, in some frames, those of the other hand.

    What to do is said where all its frames together speak for the other side. A few that do are no proof: a hand that
    is blurred or leaves its pictures looks so, too.

    Args:
        error: Mean distance of the joints from those of the fitted hand, metres, NaN where there is none.
        wrong_side: Where the joints are those of the other hand.
        frames: Names of the frames.
        sides: Of the hands.
    """
    sentences = []
    for h, (side, other) in enumerate((side, {"left": "right", "right": "left"}[side]) for side in sides):
        exchanged = list(compress(frames, wrong_side[:, h].tolist()))
        if not exchanged:
            continue
        where = f"in {_counted(exchanged, frames)}"
        if 2 * len(exchanged) > int(error[:, h].isfinite().sum()):
            sentences.append(
                f"Joints of the {side} hand are those of a {other} one {where} and not trusted there: name them "
                f"{other}, or exchange them with the other hand's."
            )
        else:
            sentences.append(
                f"Joints of the {side} hand look like those of a {other} one {where} and are not trusted there, while "
                f"the other frames say {side}: mostly a hand that is blurred, hidden or leaves its pictures."
            )
    return sentences


def misfits(
    error: Float[Tensor, "T H"], wrong_side: Bool[Tensor, "T H"], frames: Sequence[str], sides: Sequence[str]
) -> list[str]:
    """A sentence for each hand whose joints are, in some frames, those of the other hand or of none.

    Args:
        error: Mean distance of the joints from those of the fitted hand, metres, NaN where there is none.
        wrong_side: Where the joints are those of the other hand.
        frames: Names of the frames.
        sides: Of the hands.
    """
    sentences = exchanged_sides(error, wrong_side, frames, sides)
    usual = error[~wrong_side & error.isfinite()]
    for h, side in enumerate(sides):
        far = (error[:, h] > FAR_JOINTS_MM / 1000) & ~wrong_side[:, h]
        named = list(compress(frames, far.tolist()))
        # Where it is most of them, the mean says so.
        if named and 2 * len(named) < len(usual):
            sentences.append(
                f"Joints of the {side} hand fit no hand in {_counted(named, frames)}: "
                f"{float(error[far, h].max()) * 1000:.0f} mm off where {float(usual.median()) * 1000:.0f} are usual; "
                "look whether they lie on the pictures there."
            )
    return sentences


def _counted(some: Sequence[str], frames: Sequence[str]) -> str:
    """So many of the frames, by name."""
    return f"{len(some)} of {len(frames)} frames ({', '.join(some[:6])}{', ..' * (len(some) > 6)})"


def _detected_and_agreeing(found: Triangulation) -> tuple[Bool[Tensor, " C"], Bool[Tensor, " C"]]:
    """Cameras that detected a hand that was triangulated, and those that agree on one with the others."""
    return (found.errors.isfinite().any(-1).any(-1).any(0), found.hand_inlier.bool().any(-1).any(0))


def _listed(what: str, names: list[str]) -> str:
    return f"{what}{'s' * (len(names) > 1)} {', '.join(names[:6])}{', ..' * (len(names) > 6)}"
