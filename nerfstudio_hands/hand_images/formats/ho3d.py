"""HO-3D (Hampali et al., CVPR 2020), versions 2 and 3: right hands that hold things of the YCB set."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import rich.progress
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text
from nerfstudio_hands.files.image_reading import image_size
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.hand_images.image_files import read_rgb
from nerfstudio_hands.hand_images.kept_tables import FromKeptTable, keep_table, kept_name
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import LabelSample, check_labels, check_rest_pose, some_labels, stacked
from nerfstudio_hands.hand_images.mano_vertices import posed_vertices
from nerfstudio_hands.hand_model.joints import JOINTS_TO_MANO_WITH_TIPS
from nerfstudio_hands.hand_model.load import load_hand

LISTS = {"train": ("train.txt", "train"), "val": ("train.txt", "train"), "test": ("evaluation.txt", "evaluation")}
"""File that lists the pictures of a split, and their folder."""

VALIDATION_EVERY = 10
"""Every so many-th sequence of the training split is for validation; the data set names none."""

TO_OPENCV = np.array([1.0, -1.0, -1.0], np.float32)
"""The data set's axes are OpenGL's."""

COLUMNS = {"camMat": 9, "handJoints3D": 63, "handPose": 48, "handBeta": 10, "handBoundingBox": 4}
"""Numbers of a picture's pickle that are kept, in this order; NaN where it has none."""

ENDINGS = (".png", ".jpg")
"""Of the pictures of version 2 and of version 3."""

REMEDY = "unpack the data set again"


def is_ho3d(root: Path) -> bool:
    """Whether a folder looks like HO-3D."""
    return any((root / name).is_file() and (root / folder).is_dir() for name, folder in LISTS.values())


class HO3D(FromKeptTable):
    """Pictures of HO-3D; see `hand_image.HandImages`. Vertices are given where the user's MANO file is."""

    hand_model = "mano"

    def __init__(self, root: Path, split: str, *, mano: Path | None = None) -> None:
        """Read the annotations once and look at some of them.

        Args:
            root: Folder of the data set.
            split: `train`, `val` or `test`; `val` is every tenth sequence of the published training split.
            mano: MANO's file or its folder.

        Raises:
            HandsError: Something is missing, or labels are not what they should be.
        """
        self.name = f"{root} ({split})"
        self._root, self._split, self._mano = root, split, mano
        self._list = root / LISTS[split][0]
        self._folder = root / LISTS[split][1]
        self._kept = _kept_rows(self._list, self._folder)
        self._check()

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        _, numbers = self._rows_of(index)
        joints = numbers["handJoints3D"].reshape(21, 3)
        joints = None if np.isnan(joints).any() else from_ho3d(joints)
        pose, intrinsics = numbers["handPose"], numbers["camMat"].reshape(3, 3).astype(np.float64)
        rotations = None if np.isnan(pose).any() else _to_opencv_pose(pose)
        shape = None if np.isnan(numbers["handBeta"]).any() else numbers["handBeta"]
        labels = HandLabels("right", intrinsics, rotations=rotations, shape=shape)
        if joints is not None:
            vertices = None
            if self._mano is not None and rotations is not None and shape is not None:
                vertices = posed_vertices(str(self._mano), rotations, shape, joints[0])
            labels = labels_of_joints("right", joints, intrinsics, vertices=vertices, rotations=rotations, shape=shape)
        return replace(labels, box=_box(numbers["handBoundingBox"], labels.pixels))

    def read(self, index: int) -> HandImage:
        """Picture and labels; there is no mask of the hand alone."""
        return HandImage(read_rgb(self._picture(index)), self.labels(index))

    def file_names(self) -> list[str]:
        """`sequence/number` of each picture, in order."""
        return [self._rows_of(index)[0] for index in range(len(self))]

    @cached_property
    def _rows(self) -> np.ndarray:
        """Rows of the split: of training, those with joints."""
        if self._split == "test":
            return np.arange(len(self._table))
        sequences = np.array([str(name).split("/")[0] for name in self._names])
        order = {name: number for number, name in enumerate(sorted(set(sequences)))}
        every = min(VALIDATION_EVERY, max(len(order), 2))
        held_out = np.array([order[name] % every == every - 1 for name in sequences])
        first = COLUMNS["camMat"]
        known = ~np.isnan(self._table[:, first : first + COLUMNS["handJoints3D"]]).any(1)
        return np.flatnonzero((held_out == (self._split == "val")) & known)

    def _rows_of(self, index: int) -> tuple[str, dict[str, np.ndarray]]:
        row = self._rows[index]
        ends = np.cumsum(list(COLUMNS.values()))[:-1]
        return str(self._names[row]), dict(zip(COLUMNS, np.split(np.array(self._table[row]), ends), strict=True))

    def _picture(self, index: int) -> Path:
        sequence, number = self._rows_of(index)[0].split("/")
        paths = [self._folder / sequence / "rgb" / f"{number}{ending}" for ending in ENDINGS]
        return next((path for path in paths if path.is_file()), paths[0])

    def _check(self) -> None:
        if not len(self):
            raise HandsError(f"{self._list}: expected pictures with hands for {self._split!r}, found none; {REMEDY}.")
        chosen = some_labels(self)
        known = [labels for labels in chosen if labels.joints is not None]
        if not known:
            return
        joints = stacked(known, "joints").astype(np.float64)
        intrinsics = stacked(known, "intrinsics")
        check_labels(self._folder, LabelSample(joints, intrinsics, image_size(self._picture(0))))
        posed = [labels for labels in known if labels.rotations is not None and labels.shape is not None]
        if self._mano is not None and posed:
            check_rest_pose(
                self._folder,
                load_hand(self._mano, "right"),
                stacked(posed, "rotations").reshape(-1, 48),
                stacked(posed, "shape"),
                stacked(posed, "joints"),
                relative_to_mean=False,
            )


def from_ho3d(joints: Float[np.ndarray, "*B 21 3"]) -> Float32[np.ndarray, "*B 21 3"]:
    """Joints of HO-3D, its order and OpenGL's axes, as this project has them."""
    return (joints[..., list(JOINTS_TO_MANO_WITH_TIPS), :] * TO_OPENCV).astype(np.float32)


def to_ho3d(joints: Float[np.ndarray, "*B 21 3"]) -> Float32[np.ndarray, "*B 21 3"]:
    """Joints of this project in HO-3D's order and OpenGL's axes."""
    return (joints[..., np.argsort(JOINTS_TO_MANO_WITH_TIPS), :] * TO_OPENCV).astype(np.float32)


def _to_opencv_pose(pose: Float32[np.ndarray, "48"]) -> Float32[np.ndarray, "16 3"]:
    """The root's rotation in the camera's frame of OpenCV; the others are about axes of the hand."""
    turns = pose.reshape(16, 3).copy()
    turns[0] = Rotation.from_matrix(TO_OPENCV[:, None] * Rotation.from_rotvec(turns[0]).as_matrix()).as_rotvec()
    return turns


def _box(
    given: Float32[np.ndarray, "4"], pixels: Float32[np.ndarray, "21 2"] | None
) -> Float32[np.ndarray, "4"] | None:
    if not np.isnan(given).any():
        return given
    return None if pixels is None else np.concatenate([pixels.min(0), pixels.max(0)])


def _kept_rows(listed: Path, folder: Path) -> Path:
    """The numbers of all pictures of a list, gathered from their pickles once; beside it lie the pictures' names."""
    try:
        names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
    except UnreadableFile as error:
        raise HandsError(
            f"{listed}: expected the list of pictures of HO-3D, found {error}; unpack HO3D_v2.zip or HO3D_v3.zip here."
        ) from error
    kept = kept_name(listed, "npy", COLUMNS)
    if kept.is_file():
        return kept
    watched = rich.progress.track(names, "Reading HO-3D's annotations", transient=True, disable=len(names) < 2000)
    table = np.stack([_row(folder / f"{Path(name).parent}/meta/{Path(name).name}.pkl") for name in watched])
    keep_table(kept.with_suffix(".names.npy"), np.array(names))
    keep_table(kept, table)
    return kept


def _row(path: Path) -> Float32[np.ndarray, "C"]:
    """What of a picture's pickle is kept; of a hidden hand only the root is known, which is no 21 joints."""
    try:
        found = read_array_pickle(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected HO-3D's annotation of a picture, found {error}; {REMEDY}.") from error
    if "camMat" not in found or found["camMat"].size != COLUMNS["camMat"]:
        raise HandsError(f"{path}: expected HO-3D's camMat of 3 x 3, found {sorted(found)}; {REMEDY}.")
    parts = []
    for name, size in COLUMNS.items():
        value = found.get(name)
        parts.append(value.ravel() if value is not None and value.size == size else np.full(size, np.nan))
    return np.concatenate(parts).astype(np.float32)
