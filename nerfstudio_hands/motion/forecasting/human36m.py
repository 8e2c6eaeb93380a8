"""Human3.6M's published text files and the protocol of motion forecasting on them, to compare with papers.

The files are the user's own: `S1/walking_1.txt` and so on, 99 numbers of exponential maps a row, 50 rows a second. The
protocol is that of Martinez et al. ("On human motion prediction using recurrent neural networks", CVPR 2017) as
MotionMixer and siMLPe have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text
from nerfstudio_hands.motion.forecasting.windows import Recording
from nerfstudio_hands.transforms.rotations import rotation_matrix

TRAIN, VALIDATION, TEST = (1, 6, 7, 8, 9), (11,), (5,)
"""Subjects."""

ACTIONS = (
    "walking", "eating", "smoking", "discussion", "directions", "greeting", "phoning", "posing", "purchases", "sitting",
    "sittingdown", "takingphoto", "waiting", "walkingdog", "walkingtogether",
)  # fmt: skip

FPS = 25.0
"""Every second row is kept."""

HORIZON_FRAMES = (2, 4, 8, 10, 14, 18, 22, 25)
"""Frames *at* which errors are given: 80, 160, 320, 400, 560, 720, 880, 1000 ms."""

SEED = 1234567890
"""Of the windows that everybody measures on."""

WINDOWS_OF_A_TAKE = 128

PARENTS = (
    -1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 12, 16, 17, 18, 19, 20, 19, 22, 12, 24, 25, 26, 27, 28, 27, 30,
)  # fmt: skip

USED = tuple(joint for joint in range(32) if joint not in (0, 1, 6, 11, 16, 20, 23, 24, 28, 31))
"""The 22 joints that a network sees: the others never move, or lie on another."""

COPIES, COPIED = (16, 20, 23, 24, 28, 31), (13, 19, 22, 13, 27, 30)
"""Joints that lie on others, and these."""

_BONES = {
    1: (-132.948591, 0, 0), 2: (0, -442.894612, 0), 3: (0, -454.206447, 0), 4: (0, 0, 162.767078), 5: (0, 0, 74.999437),
    6: (132.948826, 0, 0), 7: (0, -442.894413, 0), 8: (0, -454.20659, 0), 9: (0, 0, 162.767426), 10: (0, 0, 74.999948),
    11: (0, 0.1, 0), 12: (0, 233.383263, 0), 13: (0, 257.077681, 0), 14: (0, 121.134938, 0), 15: (0, 115.002227, 0),
    16: (0, 257.077681, 0), 17: (0, 151.034226, 0), 18: (0, 278.882773, 0), 19: (0, 251.733451, 0),
    21: (0, 0, 99.999627), 22: (0, 100.000188, 0),
    24: (0, 257.077681, 0), 25: (0, 151.031437, 0), 26: (0, 278.892924, 0), 27: (0, 251.72868, 0),
    29: (0, 0, 99.999888), 30: (0, 137.499922, 0),
}  # fmt: skip
"""Millimetres from each joint's parent to it, before any rotation; zero for the rest."""


def body_joints(rows: Float[Tensor, "T 99"]) -> Float[Tensor, "T 32 3"]:
    """Joints in metres of rows of the files, global rotation and translation left out as the protocol does."""
    turned = rotation_matrix(rows[:, 3:].unflatten(-1, (32, 3))).mT
    turned[:, 0] = torch.eye(3)
    offsets = torch.zeros(32, 3)
    for joint, offset in _BONES.items():
        offsets[joint] = torch.tensor(offset, dtype=torch.float32) / 1000
    frames, places = [turned[:, 0].mT], [offsets[0].expand(len(rows), 3)]
    # The files' rotations act on rows from the right, so that their transposes act on columns.
    for joint in range(1, 32):
        parent = PARENTS[joint]
        places.append(places[parent] + (frames[parent] @ offsets[joint]))
        frames.append(frames[parent] @ turned[:, joint])
    return torch.stack(places, dim=1)


def read_take(path: Path) -> Float[Tensor, "T 32 3"]:
    """Joints of a file at 25 frames a second, metres.

    Raises:
        HandsError: It cannot be read or does not hold 99 finite numbers a row.
    """
    expected = f"{path}: expected a text of Human3.6M, 99 numbers a row separated by commas"
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        rows = np.array([[float(word) for word in line.split(",")] for line in lines[::2]], dtype=np.float32)
    except (UnreadableFile, ValueError) as error:
        raise HandsError(f"{expected}, found {error}: copy the file again.") from error
    if rows.ndim != 2 or rows.shape[1] != 99 or not np.isfinite(rows).all():
        raise HandsError(f"{expected}, found an array of the shape {rows.shape}: copy the file again.")
    return body_joints(torch.from_numpy(rows))


def recordings(folder: Path, subjects: tuple[int, ...]) -> list[Recording]:
    """All takes of some subjects, the 22 joints that move; see `JointPositions(22, absolute=True)`.

    Raises:
        HandsError: A file is missing or is none of Human3.6M's.
    """
    found = []
    for subject in subjects:
        for action in ACTIONS:
            for take in (1, 2):
                path = folder / f"S{subject}" / f"{action}_{take}.txt"
                found.append(Recording(f"S{subject}/{path.name}", _used(read_take(path)), FPS))
    return found


def test_windows(folder: Path, frames_in: int, frames_out: int) -> Mapping[str, Float[Tensor, "256 T 66"]]:
    """The windows that everybody measures on, by action: 128 of each of two takes of S5."""
    found = {}
    for action in ACTIONS:
        takes = [_used(read_take(folder / f"S{TEST[0]}" / f"{action}_{take}.txt")) for take in (1, 2)]
        begins = window_begins(len(takes[0]), len(takes[1]), frames_in)
        frame = torch.arange(frames_in + frames_out)
        found[action] = torch.cat([take[begin[:, None] + frame] for take, begin in zip(takes, begins, strict=True)])
    return found


test_windows.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # Its name is no test's to pytest.


def window_begins(first: int, second: int, frames_in: int) -> tuple[Int[Tensor, "128"], Int[Tensor, "128"]]:
    """First frames of the windows of two takes, drawn in turn by one generator.

    Args:
        first: Frames of the first take.
        second: Frames of the second one.
        frames_in: Frames that are read; whatever their number, the same moments are forecast.

    Raises:
        HandsError: A take is too short.
    """
    if min(first, second) - 150 <= 16:
        raise HandsError(
            f"Human3.6M: expected takes of more than 166 frames, found {min(first, second)}: copy the files again."
        )
    rng = np.random.RandomState(SEED)
    drawn = [(rng.randint(16, first - 150), rng.randint(16, second - 150)) for _ in range(WINDOWS_OF_A_TAKE)]
    begins = torch.tensor(drawn) + 50 - frames_in
    return begins[:, 0], begins[:, 1]


def errors_of_all_joints(
    predicted: Float[Tensor, "*B 22 3"], truth: Float[Tensor, "*B 22 3"]
) -> Float[Tensor, "*B 32"]:
    """Distances of all 32 joints, over which papers take the mean: copies count again, joints that never move as
    zero."""
    errors = truth.new_zeros(*truth.shape[:-2], 32)
    errors[..., list(USED)] = (predicted - truth).norm(dim=-1)
    errors[..., list(COPIES)] = errors[..., list(COPIED)]
    return errors


def _used(joints: Float[Tensor, "T 32 3"]) -> Float[Tensor, "T 66"]:
    return joints[:, list(USED)].flatten(1)
