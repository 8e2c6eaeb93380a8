"""Whether labels mean what their format says: meters, order of the joints, axes, and K of the picture itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.hand_image import HandImages, HandLabels
from nerfstudio_hands.hand_model.joints import INTERHAND_TO_JOINTS, JOINT_PARENTS, JOINTS_TO_MANO_WITH_TIPS
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

USUAL_EXTENT = 0.16
"""Meters between the joints of a hand that are farthest from each other, about."""

UNITS = {"meters": 1.0, "centimeters": 100.0, "millimeters": 1000.0}

ORDERS: Mapping[str, tuple[int, ...]] = {
    "this project's and FreiHAND's (wrist, then thumb to little finger, each from the palm to the tip)": tuple(
        range(21)
    ),
    "MANO's and HO-3D's (16 joints, then the tips)": JOINTS_TO_MANO_WITH_TIPS,
    "InterHand2.6M's (each finger from the tip, the wrist last)": tuple(np.argsort(INTERHAND_TO_JOINTS).tolist()),
}
"""For each of the 21 joints its place in some order."""

CLEARLY = 0.85
"""Share of the length of all bones below which another order is the right one."""

MOST_MILLIMETERS = 8.0
"""Mean distance of a model's joints from the labels above which they are not the same hand."""


CHECKED = 32
"""Labels of a source that are looked at before use."""


def some_labels(source: HandImages) -> list[HandLabels]:
    """Labels by which all of a source are judged, spread evenly over it."""
    return [source.labels(int(k)) for k in np.unique(np.linspace(0, len(source) - 1, CHECKED).astype(int))]


def stacked(labels: Sequence[HandLabels], name: str) -> np.ndarray:
    """An attribute of labels, all of which have it."""
    return np.stack([getattr(own, name) for own in labels])


@dataclass(frozen=True)
class LabelSample:
    """Some labels of a data set, by which all are judged, in the camera's frame of OpenCV."""

    joints: Float[np.ndarray, "N 21 3"]
    intrinsics: Float[np.ndarray, "N 3 3"]
    size: tuple[int, int]
    """Width and height of the pictures."""


def check_labels(source: Path, sample: LabelSample) -> None:
    """Raises HandsError, with the file in the message, where labels are not what they should be."""
    if not np.isfinite(sample.joints).all():
        raise HandsError(f"{source}: expected numbers, found NaN; leave pictures without a hand out.")
    _check_unit(source, sample.joints)
    _check_order(source, sample.joints)
    if np.median(sample.joints[..., 2]) <= 0:
        raise HandsError(
            f"{source}: expected hands before the camera, found them behind it; axes are OpenGL's where OpenCV's are "
            "meant, or the other way round: negate y and z."
        )
    _check_intrinsics(source, sample)


def _check_unit(source: Path, joints: Float[np.ndarray, "N 21 3"]) -> None:
    extent = float(np.median(np.linalg.norm(joints[:, :, None] - joints[:, None], axis=-1).max((1, 2))))
    unit = min(UNITS, key=lambda name: abs(np.log(max(extent, 1e-9) / (USUAL_EXTENT * UNITS[name]))))
    if unit != "meters":
        raise HandsError(
            f"{source}: expected meters, found hands of {extent:.3g} from end to end, which are {unit}; divide by "
            f"{UNITS[unit]:.0f}."
        )


def _check_order(source: Path, joints: Float[np.ndarray, "N 21 3"]) -> None:
    lengths = {name: _bone_sum(joints[:, list(order)]) for name, order in ORDERS.items()}
    expected, best = next(iter(ORDERS)), min(lengths, key=lengths.__getitem__)
    if lengths[best] < CLEARLY * lengths[expected]:
        raise HandsError(f"{source}: expected joints in order {expected}, found {best}; reorder them.")


def _bone_sum(joints: Float[np.ndarray, "N 21 3"]) -> float:
    """Mean over hands of the length of all bones."""
    return float(np.linalg.norm(joints[:, 1:] - joints[:, list(JOINT_PARENTS[1:])], axis=-1).sum(1).mean())


def _check_intrinsics(source: Path, sample: LabelSample) -> None:
    seen = np.einsum("nij,nkj->nki", sample.intrinsics, sample.joints)
    pixels = seen[..., :2] / seen[..., 2:]
    inside = ((pixels > -0.5 * np.array(sample.size)) & (pixels < 1.5 * np.array(sample.size))).all(-1)
    if inside.mean() < 0.5:
        x, y = np.median(pixels.reshape(-1, 2), axis=0)
        width, height = sample.size
        raise HandsError(
            f"{source}: expected K of the pictures of {width} x {height}, found one that puts hands at ({x:.0f}, "
            f"{y:.0f}); it belongs to the uncropped or unscaled picture: move and scale it as the picture was."
        )


def check_rest_pose(
    source: Path,
    model: HandModel,
    poses: Float[np.ndarray, "N 48"],
    shapes: Float[np.ndarray, "N K"],
    joints: Float[np.ndarray, "N 21 3"],
    *,
    relative_to_mean: bool,
) -> None:
    """Whether a model's joints under the poses of the labels are those of the labels.

    Args:
        source: The file, for messages.
        model: The hand; of the side of the labels.
        poses: As the file has them, axis-angle, root first.
        shapes: Coefficients.
        joints: Of the labels, meters.
        relative_to_mean: Whether the format's poses are relative to the mean pose.

    Raises:
        HandsError: They are those of the other convention, or of neither.
    """
    usual, other = (
        _joint_error(model, poses, shapes, joints, mean) for mean in (relative_to_mean, not relative_to_mean)
    )
    if usual <= MOST_MILLIMETERS:
        return
    names = ("the flat hand (flat_hand_mean=True)", "the curled mean pose (flat_hand_mean=False)")
    if other <= MOST_MILLIMETERS:
        expected, found = names[relative_to_mean], names[not relative_to_mean]
        raise HandsError(
            f"{source}: expected poses relative to {expected}, found ones that are relative to {found}: joints are "
            f"{usual:.0f} mm off one way and {other:.1f} mm the other; add or take off the mean pose."
        )
    raise HandsError(
        f"{source}: expected poses of {model.name}, found joints {min(usual, other):.0f} mm from the labelled ones; "
        "give the model, the version and the side that the labels were made with."
    )


def _joint_error(model: HandModel, poses: np.ndarray, shapes: np.ndarray, joints: np.ndarray, add_mean: bool) -> float:
    """Mean distance in millimeters, wrists on each other."""
    turns = torch.from_numpy(poses).float().reshape(-1, 16, 3)
    local = turns[:, 1:] + (model.hands_mean if add_mean else 0)
    posed = pose_hand(model, turns[:, 0], local, torch.zeros(len(turns), 3), torch.from_numpy(shapes).float())
    own = posed.keypoints.numpy()
    return 1e3 * float(np.linalg.norm(own - own[:, :1] - joints + joints[:, :1], axis=-1).mean())
