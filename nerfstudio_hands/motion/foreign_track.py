"""Poses of MANO hands as other tools write them: HaMeR and WiLoR, DexYCB, SMPL-X and AMASS, smplx's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import finite
from nerfstudio_hands.hand_model import SIDES, HandModel, HandPose
from nerfstudio_hands.hand_model.model import mirror_rotations
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_convention import CONVENTIONS
from nerfstudio_hands.transforms.rotations import rotation_vector

DEFAULT_FPS = 30.0
"""Poses a second of a file that does not say."""

_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
_TRANSLATIONS = ("transl", "trans", "translation", "pred_cam_t_full", "cam_t", "pred_cam_t")
_HAND_OF_BODY = {156: (66, 111), 165: (75, 120)}
"""Where the left hand's and the right hand's 45 angles begin in AMASS's `poses` of SMPL-H and SMPL-X."""

LARGEST = 1e4
"""No angle in radians and no place in metres of a track is larger."""

MAX_ROTATION_ERROR = 1e-3
"""Of a rotation matrix's product with its transpose, by which 32-bit numbers are told from what is no rotation."""


@dataclass
class _Hand:
    """What a file says of one hand.

    Attributes:
        fingers: Angles [T, 45], coefficients [T, N] or rotation matrices [T, 15, 3, 3].
        orientation: Of the wrist, angles or matrices; None if the file has none.
        translation: Metres; None if the file has none.
        valid: Where the hand is there; None for everywhere.
    """

    fingers: np.ndarray
    orientation: np.ndarray | None = None
    translation: np.ndarray | None = None
    valid: Bool[np.ndarray, " T"] | None = None


def foreign_track(
    path: Path, arrays: Mapping[str, np.ndarray], hands: Sequence[HandModel], *, convention: str | None = None
) -> PoseTrack:
    """The poses in a file of another tool.

    Known are `pose_m` (DexYCB), `poses` of a body (AMASS), `left_hand_pose` and `right_hand_pose` (SMPL-X), and
    `hand_pose` with `global_orient` (HaMeR, WiLoR, smplx's MANO), angles or rotation matrices. Wrists lie in the frame
    of the camera or of the body's world; where a file does not say where they are, the track has no places.

    Args:
        path: The file, for messages.
        arrays: What is in it.
        hands: The avatar's hands, one or both, for MANO's mean pose and components.
        convention: A name of `CONVENTIONS`; by default what the file itself leaves no doubt of.

    Raises:
        HandsError: Nothing known is in it, the convention or the hand is in doubt, or numbers make no sense.
    """
    models = {hand.side: hand for hand in hands}
    found = _find(path, arrays, tuple(models))
    for hand in found.values():
        if hand.fingers.ndim < 2 or not hand.fingers.size:
            raise _odd(path, "the fingers' angles", "[T, 15, 3]", hand.fingers)
    name = convention or _only_convention(path, arrays, next(iter(found.values())))
    wanted = {side: hand for side, hand in found.items() if side in models}
    if not wanted:
        raise HandsError(
            f"{path}: expected poses of the {' or '.join(models)} hand, which the avatar shows, found those of the "
            f"{' and '.join(found)} hand: give another --track."
        )
    decoded = {side: _decode(path, hand, models[side], name) for side, hand in wanted.items()}
    lengths = {len(pose.valid) for pose in decoded.values()}
    if len(lengths) > 1:
        raise HandsError(f"{path}: expected as many poses of both hands, found {sorted(lengths)}: cut the longer one.")
    sides = tuple(side for side in SIDES if side in decoded)
    columns = [[getattr(decoded[side], field) for side in sides] for field in HandPose.__dataclass_fields__]
    pose = HandPose(*(torch.stack(column, dim=1) for column in columns))
    placed = all(hand.orientation is not None and hand.translation is not None for hand in wanted.values())
    track = PoseTrack.of_frames(pose, sides, fps=_rate(path, arrays), name=path.stem)
    track.placed = placed
    return track


def _find(path: Path, arrays: Mapping[str, np.ndarray], avatar: tuple[str, ...]) -> dict[str, _Hand]:
    """The hands in a file, by side."""
    numbers = {name: values for name, values in arrays.items() if values.dtype.kind in "fiub"}
    if "pose_m" in numbers:
        rows = numbers["pose_m"]
        if rows.shape[-1:] != (51,) or rows.size != len(rows) * 51:
            raise _odd(path, "pose_m", "[T, 51] or [T, 1, 51]", rows)
        rows = rows.reshape(-1, 51)
        # DexYCB writes zeros where the hand is not seen.
        hand = _Hand(rows[:, 3:48], rows[:, :3], rows[:, 48:], (rows != 0).any(axis=1))
        return {_side(path, numbers, avatar): hand}
    if "hand_pose" in numbers:
        translation = next((numbers[name] for name in _TRANSLATIONS if name in numbers), None)
        hand = _Hand(numbers["hand_pose"], numbers.get("global_orient"), translation)
        return {_side(path, numbers, avatar): hand}
    both = {side: _Hand(numbers[f"{side}_hand_pose"]) for side in SIDES if f"{side}_hand_pose" in numbers}
    if both:
        return both
    if "poses" in numbers and numbers["poses"].ndim == 2 and numbers["poses"].shape[1] in _HAND_OF_BODY:
        starts = _HAND_OF_BODY[numbers["poses"].shape[1]]
        return {side: _Hand(numbers["poses"][:, k : k + 45]) for side, k in zip(SIDES, starts, strict=True)}
    raise HandsError(
        f"{path}: expected a pose track, or poses of MANO hands (hand_pose, pose_m, left_hand_pose, right_hand_pose or "
        f"poses of a body), found the arrays {', '.join(sorted(arrays)) or 'none'}; give another file."
    )


def _side(path: Path, numbers: Mapping[str, np.ndarray], avatar: tuple[str, ...]) -> str:
    """Which hand a file of one hand shows."""
    told = next((np.unique(numbers[name] > 0.5) for name in ("is_right", "right") if name in numbers), None)
    if told is not None and len(told) == 1:
        return "right" if told[0] else "left"
    if told is None and len(avatar) == 1:
        return avatar[0]
    told = "those of both mixed" if told is not None else "no word on which"
    raise HandsError(
        f"{path}: expected the poses of one hand, found {told}: write a file for each with an array is_right, 1 or 0."
    )


def _only_convention(path: Path, arrays: Mapping[str, np.ndarray], hand: _Hand) -> str:
    """The convention that the file leaves no doubt of."""
    if "pose_m" in arrays:
        return "dexycb"
    if hand.fingers.ndim >= 3 and hand.fingers.shape[-2:] == (3, 3) and hand.fingers.size % 135 == 0:
        return "hamer" if {"is_right", "right"} & arrays.keys() else "mano-flat"
    if "poses" in arrays:
        return "mano-flat"
    raise HandsError(
        f"{path}: expected to know what the {hand.fingers.size // max(len(hand.fingers), 1)} numbers of a hand mean, "
        f"found nothing that tells: give --track-convention, one of {', '.join(CONVENTIONS)}."
    )


def _decode(path: Path, hand: _Hand, model: HandModel, name: str) -> HandPose:
    """Poses [T, ...] of one hand relative to its flat template."""
    convention, count = CONVENTIONS[name], len(hand.fingers)
    fingers = _fingers(path, hand.fingers, model, name)
    absent = np.zeros((count, 3))
    orientation = absent if hand.orientation is None else _angles(path, "global_orient", hand.orientation, (count, 3))
    translation = absent if hand.translation is None else hand.translation
    if translation.size != count * 3:
        raise _odd(path, "the translation", f"[{count}, 3]", translation)
    valid = np.ones(count, dtype=bool) if hand.valid is None else hand.valid
    values = [orientation, fingers, translation.reshape(count, 3)]
    if not all(finite(value, below=LARGEST).all() for value in values):
        raise HandsError(
            f"{path}: expected finite numbers (radians, metres), found NaN, infinity or more than {LARGEST:g}: leave "
            "these poses out."
        )
    orient, local, moved = (torch.from_numpy(np.ascontiguousarray(value)).float() for value in values)
    if convention.mirrored_left and model.side == "left":
        orient, local = mirror_rotations(orient), mirror_rotations(local)
    return HandPose(orient, local, moved, torch.from_numpy(valid))


def _fingers(path: Path, found: np.ndarray, model: HandModel, name: str) -> Float[np.ndarray, "T 15 3"]:
    convention, count = CONVENTIONS[name], len(found)
    if found.shape[-2:] == (3, 3) and found.size == count * 135:
        if convention.coefficients or convention.on_mean:
            raise HandsError(
                f"{path}: expected angles or coefficients with --track-convention {name}, found rotation matrices, "
                "which are those of the flat hand: give hamer or mano-flat."
            )
        return _angles(path, "the fingers' rotations", found, (count, 15, 3))
    mean = model.hands_mean.double().cpu().numpy() if convention.on_mean else np.zeros((15, 3))
    if convention.coefficients:
        return _from_components(path, found.reshape(count, -1), model) + mean
    return _angles(path, "the fingers' angles", found, (count, 15, 3)) + mean


def _from_components(
    path: Path, coefficients: Float[np.ndarray, "T N"], model: HandModel
) -> Float[np.ndarray, "T 15 3"]:
    if model.hands_components is None:
        raise HandsError(
            f"{path}: expected an avatar of MANO's hand model, whose principal components the coefficients refer to, "
            f"found {model.name!r}: train with --hand-model, or write the poses as angles."
        )
    components = model.hands_components.double().cpu().numpy()
    if not 0 < coefficients.shape[1] <= len(components):
        raise _odd(path, "the coefficients", f"1 to {len(components)} a hand", coefficients)
    return (coefficients @ components[: coefficients.shape[1]]).reshape(-1, 15, 3)


def _angles(path: Path, what: str, found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Axis-angle from itself or from rotation matrices."""
    size = int(np.prod(shape))
    if found.shape[-2:] == (3, 3) and found.size == 3 * size:
        matrices = found.reshape(-1, 3, 3).astype(np.float64)
        away = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0)
        if not (away < MAX_ROTATION_ERROR and (np.linalg.det(matrices) > 0).all()):
            raise HandsError(f"{path}: expected rotation matrices as {what}, found others: correct the file.")
        return rotation_vector(torch.from_numpy(matrices)).numpy().reshape(shape)
    if found.size != size or not size:
        raise _odd(path, what, str(list(shape)), found)
    return found.reshape(shape).astype(np.float64)


def _rate(path: Path, arrays: Mapping[str, np.ndarray]) -> float:
    given = next((arrays[name] for name in _RATES if name in arrays), np.array(DEFAULT_FPS))
    rate = float(given) if given.dtype.kind in "fiu" and given.size == 1 else float("nan")
    if not 0.1 <= rate <= 1000:
        raise HandsError(f"{path}: expected from 0.1 to 1000 poses a second, found {given}: correct the file.")
    return rate


def _odd(path: Path, what: str, expected: str, found: np.ndarray) -> HandsError:
    return HandsError(
        f"{path}: expected {what} of the shape {expected}, found {list(found.shape)}: give another --track-convention "
        "or correct the file."
    )
