"""Predictions as evaluations take them: `pred.json` and its archive of FreiHAND and HO-3D, a text file of DexYCB."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

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


def write_dexycb_predictions(file: Path, indices: Int[np.ndarray, " N"], joints: Float[np.ndarray, "N 21 3"]) -> None:
    """Write the result file of DexYCB's evaluation of hand poses (Chao et al., CVPR 2021): a line a sample with its
    index in the split and 63 millimeters.

    Args:
        file: What is written.
        indices: Of the samples in the split.
        joints: In the camera's frame (OpenCV axes), meters, order of `joints.JOINT_NAMES`, which is DexYCB's, too.

    Raises:
        HandsError: The arrays do not fit each other or hold what is no number, or the file cannot be written.
    """
    if joints.shape[1:] != (21, 3) or indices.shape != joints.shape[:1]:
        raise HandsError(
            f"predictions: expected an index and joints [21, 3] of each sample, found {indices.shape} and "
            f"{joints.shape}; predict both for every picture."
        )
    _check_known(joints)
    numbers = 1e3 * joints.reshape(-1, 63).astype(np.float64)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary, temporary.open("w", encoding="utf8") as text:
            for index, row in zip(indices.tolist(), numbers, strict=True):
                text.write(",".join([str(index), *(f"{value:.4f}" for value in row)]) + "\n")
    except OSError as error:
        raise HandsError(
            f"{file}: expected to write predictions, found '{error.strerror or error}'; give another folder."
        ) from error


def _check(joints: np.ndarray, vertices: np.ndarray) -> None:
    if joints.shape[1:] != (21, 3) or vertices.ndim != 3 or vertices.shape[2] != 3 or len(joints) != len(vertices):
        raise HandsError(
            f"predictions: expected joints [N, 21, 3] and vertices [N, V, 3] of the same pictures, found "
            f"{joints.shape} and {vertices.shape}; predict both for every picture."
        )
    _check_known(joints, vertices)


def _check_known(*parts: np.ndarray) -> None:
    broken = np.flatnonzero(np.logical_or.reduce([~np.isfinite(part).all((1, 2)) for part in parts]))
    if len(broken):
        raise HandsError(
            f"predictions: expected a hand for every picture, found none for {len(broken)} of {len(parts[0])} (the "
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
