"""DexYCB (Chao et al., CVPR 2021): video of hands that pick up things of the YCB set, by eight cameras."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import rich.progress
import torch
from jaxtyping import Float32, Int
from scipy.spatial import KDTree

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size
from nerfstudio_hands.hand_images.clips import clip_rows
from nerfstudio_hands.hand_images.formats.dexycb_takes import (
    COLUMNS,
    HAND_VALUE,
    HEIGHT,
    OBJECTS,
    REMEDY,
    SETUPS,
    SUBJECTS,
    WIDTH,
    kept_rows,
    read_labels,
    sequences_of,
    serials_of,
)
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HeldLabels, HeldMesh
from nerfstudio_hands.hand_images.image_files import read_rgb
from nerfstudio_hands.hand_images.kept_tables import FromKeptTable, keep_table, kept_name
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import LabelSample, check_labels, check_rest_pose, some_labels, stacked
from nerfstudio_hands.hand_images.mano_vertices import mano_faces, mano_hand, posed_vertices
from nerfstudio_hands.hand_images.object_files import read_held
from nerfstudio_hands.hand_model.joints import SIDES

EVERY = 5
"""Of the frames, gSDF (Chen et al., CVPR 2023) takes so many-th ones."""

NEAR = 5e-3
"""Meters between a vertex of the hand and one of the thing within which gSDF evaluates a picture."""


def is_dexycb(root: Path) -> bool:
    """Whether a folder looks like DexYCB."""
    return (root / "calibration" / "intrinsics").is_dir() and any((root / name).is_dir() for name in SUBJECTS)


class DexYCB(FromKeptTable):
    """Pictures of DexYCB; see `hand_image.HandObjectImages`.

    By default those of gSDF: right hands in every fifth frame, for tests only where the hand is within 5 mm of what it
    grasps. Vertices and poses come where MANO is. Frames in which the hand is not seen or not yet there, whose joints
    are all -1, are left out. A thing's mesh is in its own frame of YCB.
    """

    hand_model = "mano"

    def __init__(
        self,
        root: Path,
        split: str,
        *,
        mano: Path | None = None,
        setup: str = "s0",
        all_frames: bool = False,
        left_hands: bool = False,
    ) -> None:
        """Read the annotations once and look at some of them.

        Args:
            root: Folder of the data set: its ten subjects, or some of them, `calibration` and `models`.
            split: `train`, `val` or `test`.
            mano: MANO's file or its folder.
            setup: How the data set is split, one of `SETUPS`.
            all_frames: Whether all pictures are taken that have a hand, instead of gSDF's.
            left_hands: Whether left hands are taken, too.

        Raises:
            HandsError: Something is missing, or labels are not what they should be.
        """
        if setup not in SETUPS:
            raise HandsError(f"setup: expected one of {', '.join(SETUPS)}, found {setup!r}; give one of these.")
        self.name = f"{root} ({setup} {split})"
        self._root, self._mano = root, mano
        wanted = [own for own in sequences_of(root, setup, split) if left_hands or own.side == "right"]
        step = 1 if all_frames else EVERY
        self._kept = kept_rows(root, wanted, serials_of(setup, split), step)
        self._near = None if all_frames or split != "test" else self._kept_near()
        self._check(split)

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        return self._labels(int(self._rows[index]))

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask of the hand."""
        folder, frame = self._place(index)
        return HandImage(
            read_rgb(folder / f"color_{frame}.jpg"),
            self.labels(index),
            read_labels(folder / f"labels_{frame}.npz")["seg"] == HAND_VALUE,
        )

    def held_mesh(self, name: str) -> HeldMesh:
        """The mesh of a thing of YCB.

        Raises:
            HandsError: It is missing or broken.
        """
        return read_held(self._root / "models" / name / "textured_simple.obj", "unpack models of DexYCB here")

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        """Faces of MANO's right hand.

        Raises:
            HandsError: There is no MANO.
        """
        return mano_faces(self._mano, self._root)

    def clip(self, index: int, length: int) -> list[int]:
        """Pictures of the same sequence by the same camera, see `hand_image.HandObjectImages`."""
        first, last = self._takes[0][index], self._takes[1][index]
        return clip_rows(range(first, last), index - first, length)

    def file_names(self) -> list[str]:
        """`subject/sequence/serial/frame` of each picture, in order."""
        return [str(self._names[row]) for row in self._rows]

    @cached_property
    def _rows(self) -> Int[np.ndarray, " N"]:
        """Of the table, those that are taken; pictures of one take by one camera follow each other."""
        return np.arange(len(self._table)) if self._near is None else np.flatnonzero(np.load(self._near))

    @cached_property
    def _takes(self) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Of each picture, the first and the one past the last of its take."""
        takes = np.array([name.rpartition("/")[0] for name in self.file_names()])
        starts = np.flatnonzero(np.concatenate([[True], takes[1:] != takes[:-1]]))
        number = np.searchsorted(starts, np.arange(len(takes)), side="right") - 1
        return starts[number], np.append(starts[1:], len(takes))[number]

    def _place(self, index: int) -> tuple[Path, str]:
        take, _, frame = str(self._names[self._rows[index]]).rpartition("/")
        return self._root / take, frame

    def _numbers(self, row: int) -> dict[str, np.ndarray]:
        ends = np.cumsum(list(COLUMNS.values()))[:-1]
        return dict(zip(COLUMNS, np.split(np.array(self._table[row]), ends), strict=True))

    def _labels(self, row: int) -> HandLabels:
        numbers = self._numbers(row)
        side, joints, shape = SIDES[int(numbers["side"][0])], numbers["joints"].reshape(21, 3), numbers["shape"]
        rotations = vertices = None
        if self._mano is not None:
            rotations = _rotations(self._mano, side, numbers["pose"])
            vertices = posed_vertices(str(self._mano), rotations, shape, joints[0], side=side)
        to_camera = np.eye(4)
        to_camera[:3] = numbers["thing"].reshape(3, 4)
        return labels_of_joints(
            side,
            joints,
            numbers["intrinsics"].reshape(3, 3),
            vertices=vertices,
            rotations=rotations,
            shape=shape,
            held=HeldLabels(OBJECTS[int(numbers["ycb"][0]) - 1], to_camera),
        )

    def _kept_near(self) -> Path:
        """Which pictures gSDF evaluates, found once."""
        if self._mano is None:
            raise HandsError(
                f"{self._root}: expected MANO's file, as gSDF tests on pictures whose hand is within {1e3 * NEAR:.0f} "
                f"mm of the thing, found none; put MANO_RIGHT.pkl into {self._root / 'mano'}, or take all frames "
                "(--all-frames True)."
            )
        kept = kept_name(self._kept, "near.npy", self._mano)
        if not kept.is_file():
            rows = range(len(self._table))
            watched = rich.progress.track(rows, "Looking for hands that touch", transient=True, disable=len(rows) < 500)
            keep_table(kept, np.array([self._is_near(row) for row in watched], bool))
        return kept

    def _is_near(self, row: int) -> bool:
        labels = self._labels(row)
        inverse = np.linalg.inv(labels.held.to_camera)
        tree = _tree(str(self._root), labels.held.name)
        vertices = labels.vertices @ inverse[:3, :3].T + inverse[:3, 3]
        return bool(tree.query(vertices)[0].min() <= NEAR)

    def _check(self, split: str) -> None:
        if not len(self):
            raise HandsError(f"{self._root}: expected pictures with hands for {split!r}, found none; {REMEDY}.")
        chosen = some_labels(self)
        folder, frame = self._place(0)
        size = image_size(folder / f"color_{frame}.jpg")
        joints, intrinsics = stacked(chosen, "joints").astype(np.float64), stacked(chosen, "intrinsics")
        check_labels(folder, LabelSample(joints, intrinsics, size))
        if size != (WIDTH, HEIGHT):
            raise HandsError(
                f"{folder}: expected DexYCB's pictures of {WIDTH} x {HEIGHT}, to which its calibration belongs, found "
                f"ones of {size[0]} x {size[1]}; take the pictures as they were published."
            )
        right = [labels for labels in chosen if labels.side == "right"]
        if self._mano is not None and right:
            check_rest_pose(
                folder,
                mano_hand(self._mano, "right"),
                stacked(right, "rotations").reshape(-1, 48),
                stacked(right, "shape"),
                stacked(right, "joints"),
                relative_to_mean=False,
            )


@lru_cache(maxsize=len(OBJECTS))
def _tree(root: str, held_object: str) -> KDTree:
    """A thing's vertices, to be searched."""
    return KDTree(read_held(Path(root) / "models" / held_object / "textured_simple.obj", "unpack models here").vertices)


def _rotations(mano: Path, side: str, pose: Float32[np.ndarray, "51"]) -> Float32[np.ndarray, "16 3"]:
    """The wrist's turn, and those of the fingers out of 45 principal components about the mean pose."""
    model = mano_hand(mano, side)
    if model.hands_components is None:
        raise HandsError(
            f"{mano}: expected MANO's 45 x 45 hands_components, to which DexYCB's poses refer, found none; give the "
            "official files."
        )
    fingers = (torch.from_numpy(pose[3:48]) @ model.hands_components).reshape(15, 3) + model.hands_mean
    return np.concatenate([pose[None, :3], fingers.numpy()]).astype(np.float32)
