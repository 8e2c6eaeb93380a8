"""The annotation files of InterHand2.6M for a rendered capture, with errors like those of the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.hand_model.joints import FINGERS, SIDES, to_interhand
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence
from nerfstudio_hands.synthesis.options import InterHandOptions
from nerfstudio_hands.synthesis.rig import RigCamera
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

JOINT_NOISE = 1e-3
"""Standard deviation in meters, a coordinate, of annotated joints around those that are seen."""

LOST_JOINTS = 0.01
"""Fraction of joints other than wrists that are invalid in hands that are there."""

NULL_FRACTION = 0.05
"""Fraction of hands whose MANO annotation is null, rounded to whole frames of a sequence."""

OUTLIER_FRACTION = 0.05
"""Fraction of hands whose MANO annotation is far off, rounded likewise."""

OUTLIER_SHIFT = 0.04
"""Meters by which these are shifted; their pose noise is ten times the usual one."""

POSE_NOISE = 0.02
"""Standard deviation in radians, a component, of MANO poses."""

TRANS_NOISE = 1.5e-3
"""Standard deviation in meters, a component, of MANO translations."""

SHAPE_NOISE = 0.15
"""Standard deviation of MANO shapes from frame to frame."""


@dataclass(frozen=True)
class MeasuredSequence:
    """What the annotations say about a sequence."""

    joints: Float[np.ndarray, "T 2 21 3"]
    """Meters; zero where not valid."""
    joint_valid: Bool[np.ndarray, "T 2 21"]
    pose: Float[np.ndarray, "T 2 48"]
    """MANO's, relative to the mean pose, root first; NaN where null."""
    trans: Float[np.ndarray, "T 2 3"]
    shape: Float[np.ndarray, "T 2 10"]
    is_outlier: Bool[np.ndarray, "T 2"]


def measure(
    truth: MotionSequence,
    seen: Float[np.ndarray, "T 2 21 3"],
    shape: Float[np.ndarray, "10"],
    hands_mean: Float[np.ndarray, "2 15 3"],
    rng: np.random.Generator,
) -> MeasuredSequence:
    """Annotations with errors: see the constants of this module for their sizes.

    Args:
        truth: The true hands.
        seen: What is taken for their joints, world meters.
        shape: Of the person.
        hands_mean: Mean rotations of the MANO files, by side.
        rng: Draws the errors.
    """
    count = len(truth.frames)
    valid = np.repeat(truth.is_there[None, :, None], count, axis=0).repeat(21, axis=2)
    valid[..., 1:] &= rng.random((count, 2, 20)) >= LOST_JOINTS
    joints = np.where(valid[..., None], seen + rng.normal(0, JOINT_NOISE, seen.shape), 0)

    is_null = np.repeat(~truth.is_there[None], count, axis=0)
    is_outlier = np.zeros((count, 2), dtype=bool)
    num_null, num_outliers = round(NULL_FRACTION * count), round(OUTLIER_FRACTION * count)
    for side in np.flatnonzero(truth.is_there):
        order = rng.permutation(count)
        is_null[order[:num_null], side] = True
        is_outlier[order[num_null : num_null + num_outliers], side] = True
    local = truth.local_rotations - hands_mean
    pose = np.concatenate([truth.global_orient, local.reshape(count, 2, 45)], axis=-1)
    pose = pose + np.where(is_outlier, 10, 1)[..., None] * rng.normal(0, POSE_NOISE, pose.shape)
    shift = rng.normal(0, 1, (count, 2, 3))
    shift *= OUTLIER_SHIFT / np.linalg.norm(shift, axis=-1, keepdims=True)
    trans = truth.translation + rng.normal(0, TRANS_NOISE, (count, 2, 3)) + is_outlier[..., None] * shift
    shapes = shape + rng.normal(0, SHAPE_NOISE, (count, 2, len(shape)))
    for values in (pose, trans, shapes):
        values[is_null] = np.nan
    return MeasuredSequence(joints, valid, pose, trans, shapes, is_outlier)


def write_annotations(
    folder: Path,
    options: InterHandOptions,
    cameras: list[RigCamera],
    written: list[RigCamera],
    sequences: list[tuple[MotionSequence, MeasuredSequence]],
) -> None:
    """Write `skeleton.txt`, `subject.txt` and the four files of a split.

    Lengths are millimeters but for MANO's meters. InterHand2.6M projects to indices of pixels, so the center of the
    upper left pixel is (0, 0); it is (0.5, 0.5) in this project, hence half a pixel less in `princpt`.

    Args:
        folder: `annotations` of the capture.
        options: Of the capture; its seed is the number of the person.
        cameras: All cameras.
        written: What the files say of them.
        sequences: Truth and annotations of each sequence.
    """
    split, key = options.split, str(options.capture)
    (folder / split).mkdir(parents=True)
    (folder / "skeleton.txt").write_text(_skeleton())
    (folder / "subject.txt").write_text(f"# split capture subject\n{split} {key} {options.seed}\n")
    contents = {
        "data": _data(options, cameras, sequences),
        "camera": {key: _cameras(written)},
        "joint_3d": {key: dict(entry for pair in sequences for entry in _joints(*pair))},
        "MANO_NeuralAnnot": {key: dict(entry for pair in sequences for entry in _mano(*pair))},
    }
    for name, content in contents.items():
        (folder / split / f"InterHand2.6M_{split}_{name}.json").write_text(json.dumps(content))


def image_name(capture: int, sequence: str, camera: str, frame: int) -> str:
    """Path of a picture within `images/<split>`."""
    return f"Capture{capture}/{sequence}/cam{camera}/image{frame}.jpg"


def _skeleton() -> str:
    """Joints of both hands, right first: name, index, index of the parent."""
    lines = ["# joint_name joint_id joint_parent_id"]
    for start, side in ((0, "r"), (21, "l")):
        for finger_index, finger in enumerate(FINGERS):
            for k in range(4):
                joint = 4 * finger_index + k
                lines.append(f"{side}_{finger}{4 - k} {start + joint} {start + (joint + 1 if k < 3 else 20)}")
        lines.append(f"{side}_wrist {start + 20} -1")
    return "\n".join(lines) + "\n"


def _data(
    options: InterHandOptions, cameras: list[RigCamera], sequences: list[tuple[MotionSequence, MeasuredSequence]]
) -> dict[str, Any]:
    images, annotations = [], []
    for truth, measured in sequences:
        for camera in cameras:
            for t, frame in enumerate(truth.frames.tolist()):
                number = len(images)
                images.append(
                    {
                        "id": number,
                        "file_name": image_name(options.capture, truth.name, camera.name, frame),
                        "width": camera.width,
                        "height": camera.height,
                        "capture": options.capture,
                        "subject": options.seed,
                        "seq_name": truth.name,
                        "camera": camera.name,
                        "frame_idx": frame,
                    }
                )
                size = np.array([camera.width, camera.height])
                pixels = camera.project(measured.joints[t])
                is_inside = ((pixels >= 0) & (pixels < size)).all(-1)
                corners = camera.project(truth.vertices[t, truth.is_there].reshape(-1, 3))
                low, high = corners.min(0).clip(0, size), corners.max(0).clip(0, size)
                annotations.append(
                    {
                        "id": number,
                        "image_id": number,
                        "bbox": _rounded([*low, *(high - low)], 2),
                        "joint_valid": _both_hands(measured.joint_valid[t] & is_inside).astype(int).tolist(),
                        "hand_type": truth.hand_type,
                        "hand_type_valid": 1,
                    }
                )
    return {"images": images, "annotations": annotations}


def _cameras(cameras: list[RigCamera]) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    for camera in cameras:
        rotation, shift = camera.world_to_camera[:3, :3], camera.world_to_camera[:3, 3]
        table["campos"][camera.name] = (-1e3 * rotation.T @ shift).tolist()
        table["camrot"][camera.name] = rotation.tolist()
        table["focal"][camera.name] = camera.intrinsics[[0, 1], [0, 1]].tolist()
        table["princpt"][camera.name] = (camera.intrinsics[:2, 2] - PIXEL_CENTER).tolist()
    return table


def _joints(truth: MotionSequence, measured: MeasuredSequence) -> Iterable[tuple[str, dict[str, Any]]]:
    for frame, joints, valid in zip(truth.frames.tolist(), measured.joints, measured.joint_valid, strict=True):
        flags = _both_hands(valid).astype(int)[:, None].tolist()
        yield str(frame), {"world_coord": _rounded(1e3 * _both_hands(joints), 4), "joint_valid": flags}


def _mano(truth: MotionSequence, measured: MeasuredSequence) -> Iterable[tuple[str, dict[str, Any]]]:
    for t, frame in enumerate(truth.frames.tolist()):
        hands: dict[str, Any] = {}
        for side in ("right", "left"):
            s = SIDES.index(side)
            values = {"pose": measured.pose[t, s], "shape": measured.shape[t, s], "trans": measured.trans[t, s]}
            is_null = np.isnan(measured.pose[t, s]).any()
            hands[side] = None if is_null else {key: _rounded(value, 6) for key, value in values.items()}
        yield str(frame), hands


def _both_hands(values: np.ndarray) -> np.ndarray:
    """From (2, 21, ...) in the order of `SIDES` to InterHand2.6M's 42 joints."""
    left, right = to_interhand(values, axis=1)
    return np.concatenate([right, left])


def _rounded(values: Any, digits: int) -> list:
    return np.round(np.asarray(values, dtype=float), digits).tolist()
