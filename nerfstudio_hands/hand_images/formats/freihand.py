"""FreiHAND (Zimmermann et al., ICCV 2019), version 2: single right hands in pictures of 224 x 224."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.hand_images.image_files import read_mask, read_rgb
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import CHECKED, LabelSample, check_labels, check_rest_pose
from nerfstudio_hands.hand_images.number_lists import kept_numbers
from nerfstudio_hands.hand_images.opened_late import OpenedLate
from nerfstudio_hands.hand_model.joints import JOINT_NAMES
from nerfstudio_hands.hand_model.load import load_hand

COPIES = 4
"""Each training sample comes as recorded before a green screen, then with three other backgrounds."""

VALIDATION_SHARE = 2560 / 32560
"""Of the training samples, the last: the data set names no validation split, S2HAND keeps so many."""

POSE, SHAPE = slice(0, 48), slice(48, 58)
"""Of the 61 numbers of `*_mano.json`: axis-angle relative to the mean pose, root first; shape; u, v and scale."""

NUMBERS = {"K": (3, 3), "scale": (), "xyz": (len(JOINT_NAMES), 3), "verts": (-1, 3), "mano": (61,)}
"""Numbers of an entry by file."""


def is_freihand(root: Path) -> bool:
    """Whether a folder looks like FreiHAND."""
    return any((root / f"{part}_K.json").is_file() for part in ("training", "evaluation"))


@dataclass(frozen=True)
class FreiHandFiles:
    """Arrays of one part of the data set in the cache, by name; None where the data set does not say."""

    K: Path
    scale: Path | None = None
    xyz: Path | None = None
    verts: Path | None = None
    mano: Path | None = None


class FreiHand(OpenedLate):
    """Pictures of FreiHAND; see `hand_image.HandImages`.

    Poses are given where the user's MANO file is: the data set's are relative to a mean pose that is in it.
    """

    hand_model = "mano"

    def __init__(self, root: Path, split: str, *, mano: Path | None = None) -> None:
        """Read the annotations once and look at some of them.

        Args:
            root: Folder of the data set.
            split: `train`, `val` or `test`; the first two are parts of the published training split.
            mano: MANO's file or its folder.

        Raises:
            HandsError: Something is missing, or labels are not what they should be.
        """
        self.name = f"{root} ({split})"
        self._root, self._part = root, "evaluation" if split == "test" else "training"
        self._files = _kept_files(root, self._part)
        samples = len(self._table("K"))
        held_out = 0 if split == "test" else max(round(samples * VALIDATION_SHARE), 1)
        self._first = samples - held_out if split == "val" else 0
        self._count = held_out if split == "val" else samples - held_out
        self._samples = samples
        self._copies = _copies(root / self._part / "rgb", samples) if split == "train" else 1
        self._mano = mano
        self._check()

    def __len__(self) -> int:
        return self._count * self._copies

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        row = self._first + index % self._count
        joints, vertices, mano = (self._entry(name, row) for name in ("xyz", "verts", "mano"))
        scale = self._entry("scale", row)
        intrinsics = self._table("K")[row].astype(np.float64)
        rotations = None
        if mano is not None and self._mean is not None:
            rotations = mano[POSE].reshape(16, 3) + self._mean
        labels = HandLabels("right", intrinsics) if joints is None else labels_of_joints("right", joints, intrinsics)
        return replace(
            labels,
            vertices=vertices,
            rotations=rotations,
            shape=None if mano is None else mano[SHAPE],
            bone_length=None if scale is None else float(scale),
        )

    def read(self, index: int) -> HandImage:
        """Picture, labels and, of training samples, mask."""
        copy, sample = divmod(index, self._count)
        row = self._first + sample
        return HandImage(self._picture(row + self._samples * copy), self.labels(index), self._mask(row))

    @cached_property
    def _tables(self) -> dict[str, np.ndarray]:
        kept = {name: path for name, path in vars(self._files).items() if path is not None}
        return {name: np.load(path, mmap_mode="r") for name, path in kept.items()}

    def _table(self, name: str) -> np.ndarray:
        return self._tables[name]

    def _entry(self, name: str, row: int) -> np.ndarray | None:
        return np.array(self._tables[name][row]) if name in self._tables else None

    @cached_property
    def _mean(self) -> np.ndarray | None:
        """What is added to the poses of the file, zero for the root; None without MANO."""
        if self._mano is None:
            return None
        return np.concatenate([np.zeros((1, 3)), load_hand(self._mano, "right").hands_mean.numpy()]).astype(np.float32)

    def _picture(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        return read_rgb(self._root / self._part / "rgb" / f"{number:08d}.jpg")

    def _mask(self, row: int) -> Bool[np.ndarray, "h w"] | None:
        path = self._root / self._part / "mask" / f"{row:08d}.jpg"
        return read_mask(path) if path.is_file() else None

    def _check(self) -> None:
        rows = np.unique(np.linspace(self._first, self._first + self._count - 1, CHECKED).astype(int))
        size = image_size(self._root / self._part / "rgb" / f"{rows[0]:08d}.jpg")
        if "xyz" not in self._tables:
            return
        joints, intrinsics = (np.array(self._table(name)[rows], np.float64) for name in ("xyz", "K"))
        source = self._root / f"{self._part}_xyz.json"
        check_labels(source, LabelSample(joints, intrinsics, size))
        if "mano" in self._tables and self._mano is not None:
            numbers, model = np.array(self._table("mano")[rows]), load_hand(self._mano, "right")
            poses = self._root / f"{self._part}_mano.json"
            check_rest_pose(poses, model, numbers[:, POSE], numbers[:, SHAPE], joints, relative_to_mean=True)


def _kept_files(root: Path, part: str) -> FreiHandFiles:
    """Every annotation file of a part that is there, streamed into the cache."""
    needed = ("K", "xyz") if part == "training" else ("K",)
    kept: dict[str, Path] = {}
    count = None
    for name, shape in NUMBERS.items():
        path = root / f"{part}_{name}.json"
        if path.is_file():
            kept[name] = kept_numbers(path, shape, count)
            count = len(np.load(kept["K"], mmap_mode="r"))
        elif name in needed:
            raise HandsError(
                f"{path}: expected FreiHAND's annotations, found no such file; unpack FreiHAND_pub_v2.zip and, for the "
                "evaluation split's truth, FreiHAND_pub_v2_eval.zip here."
            )
    return FreiHandFiles(**kept)


def _copies(folder: Path, samples: int) -> int:
    """How often the samples come with other backgrounds."""
    there = [copy for copy in range(COPIES) if (folder / f"{samples * (copy + 1) - 1:08d}.jpg").is_file()]
    if there != list(range(len(there))) or not there:
        raise HandsError(
            f"{folder}: expected {samples} pictures, 00000000.jpg and on, or {COPIES} times as many, found others; "
            "unpack the data set again."
        )
    return len(there)
