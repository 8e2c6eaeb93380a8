"""Predictions as the evaluations of FreiHAND and HO-3D take them: `pred.json`, and the archive that is sent in."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.hand_images.formats.ho3d import TO_OPENCV, to_ho3d

NAME = "pred.json"

DIGITS = 6
"""Decimals of the numbers: micrometers."""


def write_freihand_predictions(
    folder: Path, joints: Float[np.ndarray, "N 21 3"], vertices: Float[np.ndarray, "N V 3"]
) -> Path:
    """Write FreiHAND's `pred.json` and `pred.zip` with it: joints, then vertices, of each picture in the files' order.

    Args:
        folder: Where they are written.
        joints: In the camera's frame (OpenCV axes), meters, order of `joints.JOINT_NAMES`, which is FreiHAND's, too.
        vertices: In the same frame; the evaluation gives errors of vertices only for MANO's 778.

    Returns:
        The archive.

    Raises:
        HandsError: The arrays do not fit each other or hold what is no number, or the folder cannot be written.
    """
    _check(joints, vertices)
    return _write(folder, joints, vertices)


def write_ho3d_predictions(
    folder: Path, joints: Float[np.ndarray, "N 21 3"], vertices: Float[np.ndarray, "N V 3"]
) -> Path:
    """The same for HO-3D, in its order of joints and OpenGL's axes; see `write_freihand_predictions`."""
    _check(joints, vertices)
    return _write(folder, to_ho3d(joints), vertices * TO_OPENCV)


def _check(joints: np.ndarray, vertices: np.ndarray) -> None:
    if joints.shape[1:] != (21, 3) or vertices.ndim != 3 or vertices.shape[2] != 3 or len(joints) != len(vertices):
        raise HandsError(
            f"predictions: expected joints [N, 21, 3] and vertices [N, V, 3] of the same pictures, found "
            f"{joints.shape} and {vertices.shape}; predict both for every picture."
        )
    broken = np.flatnonzero(~(np.isfinite(joints).all((1, 2)) & np.isfinite(vertices).all((1, 2))))
    if len(broken):
        raise HandsError(
            f"predictions: expected a hand for every picture, found none for {len(broken)} of {len(joints)} (the "
            f"first is number {broken[0]}); the evaluation takes no gaps: give a mean hand there."
        )


def _write(folder: Path, joints: np.ndarray, vertices: np.ndarray) -> Path:
    archive = folder / "pred.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / NAME) as temporary, temporary.open("w", encoding="utf8") as file:
            # Written piece by piece: of 4,000 meshes the text has some 100 MB.
            file.writelines(("[", *_rows(joints), ", ", *_rows(vertices), "]"))
        with written_whole(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(folder / NAME, NAME)
    except OSError as error:
        raise HandsError(
            f"{folder}: expected to write predictions, found '{error.strerror or error}'; give another folder."
        ) from error
    return archive


def _rows(values: np.ndarray) -> Iterable[str]:
    yield "["
    for index, row in enumerate(values):
        yield ", " * (index > 0) + json.dumps(np.round(row.astype(np.float64), DIGITS).tolist())
    yield "]"
