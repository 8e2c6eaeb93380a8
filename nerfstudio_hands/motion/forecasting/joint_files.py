"""Joint positions of hands from files: our own arrays, and InterHand2.6M's annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json, read_npz
from nerfstudio_hands.hand_model.joints import JOINT_PARENTS, SIDES, split_interhand
from nerfstudio_hands.motion.forecasting.representations import JointPositions
from nerfstudio_hands.motion.forecasting.windows import Recording
from nerfstudio_hands.motion.frame_clock import frame_clock, usual_step

PALM = (0.05, 0.14)
"""Metres between which the wrist lies from the first joint of the middle finger, in any hand."""

BONE = 0.09
"""Metres that no bone of a finger is as long as."""

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def read_joint_file(path: Path, numbers: JointPositions) -> list[Recording]:
    """Recordings of a file of joints.

    Known are an .npz with `joints` [T, 21, 3] in metres, `fps` and `side`, and InterHand2.6M's
    `InterHand2.6M_*_joint_3d.json` (millimetres). Left hands become their mirror image, a right hand.

    Args:
        path: The file.
        numbers: What states are to be.

    Raises:
        HandsError: It is no such file, is in millimetres where metres are meant, or its joints are in another order.
    """
    if path.suffix == ".json":
        return _interhand(path, numbers)
    expected = f"{path}: expected joints [T, 21, 3] in metres, fps and side"
    try:
        arrays = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{expected}, found {error}: give another file.") from error
    missing = sorted({"joints", "fps", "side"} - arrays.keys())
    if missing:
        raise HandsError(f"{expected}, found no {' and no '.join(missing)}: add what is missing.")
    joints = arrays["joints"]
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or joints.dtype.kind not in "fiu" or not len(joints):
        raise HandsError(f"{expected}, found joints of the shape {list(joints.shape)}: give 21 joints of one hand.")
    side, fps = str(arrays["side"]), float(arrays["fps"])
    if side not in SIDES or not 0.1 <= fps <= 1000:
        raise HandsError(f"{expected}, found side {side!r} and fps {fps:g}: give left or right, and 0.1 to 1000.")
    return _runs(path.stem, torch.from_numpy(joints).float(), fps, side, numbers)


def check_joints(name: str, joints: Float[Tensor, "T 21 3"]) -> None:
    """Refuse joints that are no hand's in metres in the project's order.

    Raises:
        HandsError: They are in millimetres, or in another order.
    """
    palm = float((joints[:, 9] - joints[:, 0]).norm(dim=-1).median())
    if palm > 10 * PALM[1]:
        raise HandsError(
            f"{name}: expected joints in metres, found {palm:.3g} from the wrist to the middle finger, which are "
            "millimetres: divide by 1000."
        )
    bones = torch.stack(
        [(joints[:, j] - joints[:, JOINT_PARENTS[j]]).norm(dim=-1).median() for j in range(21) if j % 4 != 1 and j]
    )
    if not PALM[0] < palm < PALM[1] or float(bones.max()) > BONE:
        raise HandsError(
            f"{name}: expected 21 joints from the wrist, then thumb to pinky, each from the palm to the tip, found "
            f"bones of {1000 * float(bones.max()):.0f} mm and {1000 * palm:.0f} mm from the wrist to the middle "
            "finger, as in another order: see `nerfstudio_hands.hand_model.joints`."
        )


def _runs(
    name: str, joints: Float[Tensor, "T 21 3"], fps: float, side: str, numbers: JointPositions
) -> list[Recording]:
    """Stretches in which all joints are there."""
    there = joints.isfinite().all(dim=-1).all(dim=-1)
    rows = there.nonzero()[:, 0]
    if not len(rows):
        return []
    check_joints(name, joints[rows])
    right = joints if side == "right" else joints * MIRROR
    breaks = ((rows.diff() > 1).nonzero()[:, 0] + 1).tolist()
    return [
        Recording(f"{name}, {side} hand, run {number}", numbers.states(right[run]), fps)
        for number, run in enumerate(torch.tensor_split(rows, breaks))
    ]


def _interhand(path: Path, numbers: JointPositions) -> list[Recording]:
    try:
        captures = read_json(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected InterHand2.6M's joint_3d, found {error}: copy the file again.") from error
    if not isinstance(captures, dict):
        raise HandsError(f"{path}: expected InterHand2.6M's joint_3d, found no captures: give another file.")
    found: list[Recording] = []
    for capture, frames in captures.items():
        try:
            ordered = {int(number): frames[number] for number in sorted(frames, key=int)}
            joints = _joints_of(ordered)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise HandsError(
                f"{path}: expected world_coord of 42 joints and joint_valid in every frame of capture {capture}, found "
                f"others ({str(error)[:80]}): copy the file again."
            ) from error
        step = usual_step(ordered)
        fps = frame_clock(ordered) / step
        for hand, side in enumerate(SIDES):
            whole = _at_every_step(np.array(list(ordered)), joints[:, hand], step)
            found += _runs(f"{path.stem} {capture}", whole, fps, side, numbers)
    return found


def _joints_of(frames: Mapping[int, Any]) -> Float[Tensor, "T 2 21 3"]:
    """Both hands of each frame in metres; NaN where a joint is not annotated."""
    rows = []
    for entry in frames.values():
        joints = torch.tensor(entry["world_coord"], dtype=torch.float32).reshape(42, 3) / 1000
        valid = torch.tensor(entry["joint_valid"], dtype=torch.float32).reshape(42, 1) > 0
        rows.append(split_interhand(torch.where(valid, joints, torch.nan)))
    return torch.stack(rows)


def _at_every_step(numbers: np.ndarray, joints: Float[Tensor, "T 21 3"], step: int) -> Float[Tensor, "S 21 3"]:
    """Joints at an even step of the frames' numbers; NaN in what lies between takes."""
    places = torch.from_numpy((numbers - numbers[0]) // step)
    whole = torch.full((int(places[-1]) + 1, 21, 3), torch.nan)
    whole[places] = joints
    return whole
