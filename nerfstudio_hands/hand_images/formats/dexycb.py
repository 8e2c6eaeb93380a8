"""DexYCB (Chao et al., CVPR 2021): video of hands that pick up things of the YCB set, by eight cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rich.progress
import torch
import yaml
from jaxtyping import Float, Float32, Int
from scipy.spatial import KDTree

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz, read_text
from nerfstudio_hands.files.picture_reading import image_size
from nerfstudio_hands.hand_images.clips import clip_rows
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HeldLabels, HeldMesh
from nerfstudio_hands.hand_images.kept_tables import FromKeptTable, keep_table, kept_name
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import LabelSample, check_labels, check_rest_pose, some_labels, stacked
from nerfstudio_hands.hand_images.mano_vertices import mano_faces, mano_hand, posed_vertices
from nerfstudio_hands.hand_images.picture_files import read_picture
from nerfstudio_hands.hand_images.thing_files import checked_pose, read_thing
from nerfstudio_hands.hand_model.joints import SIDES

SUBJECTS = tuple(
    f"{day}-subject-{number:02d}"
    for number, day in enumerate(
        "20200709 20200813 20200820 20200903 20200908 20200918 20200928 20201002 20201015 20201022".split(), start=1
    )
)

SERIALS = tuple(
    "836212060125 839512060362 840412060917 841412060263 932122060857 932122060861 932122061900 932122062010".split()
)
"""Of the cameras."""

THINGS = (
    "002_master_chef_can 003_cracker_box 004_sugar_box 005_tomato_soup_can 006_mustard_bottle 007_tuna_fish_can "
    "008_pudding_box 009_gelatin_box 010_potted_meat_can 011_banana 019_pitcher_base 021_bleach_cleanser 024_bowl "
    "025_mug 035_power_drill 036_wood_block 037_scissors 040_large_marker 051_large_clamp 052_extra_large_clamp "
    "061_foam_brick"
).split()
"""Names of the meshes, by `ycb_ids` less one."""

SETUPS = ("s0", "s1", "s2", "s3")
"""Ways in which the data set is split: by sequence, by person, by camera, by thing."""

WIDTH, HEIGHT = 640, 480

EVERY = 5
"""Of the frames, gSDF (Chen et al., CVPR 2023) takes so many-th ones."""

NEAR = 5e-3
"""Meters between a vertex of the hand and one of the thing within which gSDF evaluates a picture."""

HAND_VALUE = 255
"""Of the hand in `seg`."""

COLUMNS = {"intrinsics": 9, "joints": 63, "pose": 51, "thing": 12, "shape": 10, "ycb": 1, "side": 1}
"""Numbers of a picture that are kept, in this order."""

REMEDY = "unpack the data set again"


def is_dexycb(root: Path) -> bool:
    """Whether a folder looks like DexYCB."""
    return (root / "calibration" / "intrinsics").is_dir() and any((root / name).is_dir() for name in SUBJECTS)


@dataclass(frozen=True)
class _Sequence:
    """A folder of one take and what its `meta.yml` says."""

    folder: Path
    frames: int
    side: str
    grasped: int
    """Index of the thing in hand among those on the table."""
    ycb: int
    """Number of that thing, from 1."""
    person: str
    """Name of the calibration of the hand."""


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
        wanted = [own for own in _sequences(root, setup, split) if left_hands or own.side == "right"]
        step = 1 if all_frames else EVERY
        self._kept = _kept_rows(root, wanted, _serials(setup, split), step)
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
            read_picture(folder / f"color_{frame}.jpg"),
            self.labels(index),
            _annotation(folder / f"labels_{frame}.npz")["seg"] == HAND_VALUE,
        )

    def held_mesh(self, name: str) -> HeldMesh:
        """The mesh of a thing of YCB.

        Raises:
            HandsError: It is missing or broken.
        """
        return read_thing(self._root / "models" / name / "textured_simple.obj", "unpack models of DexYCB here")

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
            held=HeldLabels(THINGS[int(numbers["ycb"][0]) - 1], to_camera),
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


@lru_cache(maxsize=len(THINGS))
def _tree(root: str, thing: str) -> KDTree:
    """A thing's vertices, to be searched."""
    return KDTree(read_thing(Path(root) / "models" / thing / "textured_simple.obj", "unpack models here").vertices)


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


def _serials(setup: str, split: str) -> tuple[str, ...]:
    """Cameras of a split."""
    if setup != "s2":
        return SERIALS
    return {"train": SERIALS[:6], "val": SERIALS[6:7], "test": SERIALS[7:]}[split]


def _takes_part(setup: str, split: str, subject: int, number: int) -> bool:
    """Whether a split has a sequence of a subject, both counted from 0."""
    if setup == "s0":
        held_out = number % 5 == 4
        return held_out == (split != "train") and (split == "train" or (subject < 2) == (split == "val"))
    if setup == "s1":
        return subject in {"train": (0, 1, 2, 3, 4, 5, 9), "val": (6,), "test": (7, 8)}[split]
    if setup == "s2":
        return True
    part = {3: "val", 19: "val", 7: "test", 11: "test", 15: "test"}.get(number // 5, "train")
    return part == split


def _sequences(root: Path, setup: str, split: str) -> list[_Sequence]:
    """Of a split, in the order of the data set."""
    found = []
    for subject, name in enumerate(SUBJECTS):
        folders = sorted(path for path in (root / name).glob("*") if path.is_dir())
        chosen = [path for number, path in enumerate(folders) if _takes_part(setup, split, subject, number)]
        found += [_sequence(path) for path in chosen]
    return found


def _sequence(folder: Path) -> _Sequence:
    path = folder / "meta.yml"
    meta = _read_yaml(path)
    try:
        things, grasped, side = meta["ycb_ids"], int(meta["ycb_grasp_ind"]), str(meta["mano_sides"][0])
        if side not in SIDES or not 0 <= grasped < len(things) or not 1 <= int(things[grasped]) <= len(THINGS):
            raise ValueError
        number = int(things[grasped])
        return _Sequence(folder, int(meta["num_frames"]), side, grasped, number, str(meta["mano_calib"][0]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise HandsError(
            f"{path}: expected num_frames, mano_sides, mano_calib, ycb_ids of 1 to {len(THINGS)} and ycb_grasp_ind, "
            f"found other entries; {REMEDY}."
        ) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path))
        if not isinstance(content, dict):
            raise UnreadableFile("no table of entries")
        return content
    except (UnreadableFile, yaml.YAMLError, RecursionError) as error:
        found = str(error).splitlines()[0]
        raise HandsError(f"{path}: expected DexYCB's YAML, found {found}; {REMEDY}.") from error


def _read_numbers(path: Path, *keys: str) -> Float[np.ndarray, "N"]:
    """Numbers of a YAML file: the list or the numbers that stand under some keys."""
    content = _read_yaml(path)
    try:
        numbers = np.array([content[key] for key in keys], np.float64).ravel()
        if not np.isfinite(numbers).all():
            raise ValueError
        return numbers
    except (KeyError, TypeError, ValueError) as error:
        raise HandsError(f"{path}: expected numbers as {', '.join(keys)}, found others; {REMEDY}.") from error


def _intrinsics(root: Path, serial: str) -> Float[np.ndarray, "3 3"]:
    path = root / "calibration" / "intrinsics" / f"{serial}_{WIDTH}x{HEIGHT}.yml"
    color = _read_yaml(path).get("color")
    try:
        fx, fy, cx, cy = (float(color[key]) for key in ("fx", "fy", "ppx", "ppy"))  # pyright: ignore[reportOptionalSubscript]
    except (KeyError, TypeError, ValueError) as error:
        raise HandsError(
            f"{path}: expected fx, fy, ppx and ppy of the color camera, found others; {REMEDY}."
        ) from error
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _annotation(path: Path) -> dict[str, np.ndarray]:
    try:
        found = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected DexYCB's labels of a picture, found {error}; {REMEDY}.") from error
    shapes = {"seg": (HEIGHT, WIDTH), "pose_m": (1, 51), "joint_3d": (1, 21, 3)}
    wrong = [name for name, shape in shapes.items() if name not in found or found[name].shape != shape]
    if wrong or found.get("pose_y", np.empty(0)).shape[1:] != (3, 4):
        raise HandsError(f"{path}: expected DexYCB's {', '.join(wrong or ['pose_y'])}, found others; {REMEDY}.")
    return found


def _kept_rows(root: Path, sequences: list[_Sequence], serials: tuple[str, ...], step: int) -> Path:
    """The numbers of all pictures with a hand, gathered once; beside it lie the pictures' names."""
    if not sequences:
        raise HandsError(
            f"{root}: expected sequences of this split, found none; unpack more subjects, or ask for another."
        )
    read = [own.folder / "meta.yml" for own in sequences] + sorted((root / "calibration").glob("*/*.yml"))
    stamps = [(path.relative_to(root), path.stat().st_mtime_ns) for path in read]
    kept = kept_name(root, "dexycb.npy", COLUMNS, stamps, serials, step)
    if kept.is_file():
        return kept
    # Cameras and frames of which nothing was unpacked are left out; half of a picture is an error.
    pictures = [(own, serial) for own in sequences for serial in serials if (own.folder / serial).is_dir()]
    watched = rich.progress.track(pictures, "Reading DexYCB's labels", transient=True, disable=len(pictures) < 50)
    rows = [row for own, serial in watched for row in _rows_of(root, own, serial, step)]
    keep_table(kept.with_suffix(".names.npy"), np.array([name for name, _ in rows]))
    keep_table(kept, np.array([numbers for _, numbers in rows], np.float32).reshape(-1, sum(COLUMNS.values())))
    return kept


def _rows_of(root: Path, own: _Sequence, serial: str, step: int) -> Iterator[tuple[str, Float32[np.ndarray, "C"]]]:
    """Names and numbers of the pictures of a take by a camera; those without a hand are left out."""
    intrinsics = _intrinsics(root, serial)
    shape = _read_numbers(root / "calibration" / f"mano_{own.person}" / "mano.yml", "betas")
    for frame in range(0, own.frames, step):
        path = own.folder / serial / f"labels_{frame:06d}.npz"
        if not path.is_file() and not path.with_name(f"color_{frame:06d}.jpg").is_file():
            continue
        found = _annotation(path)
        if (found["joint_3d"] == -1).any():
            continue
        if own.grasped >= len(found["pose_y"]):
            raise HandsError(
                f"{path}: expected the pose of thing {own.grasped + 1}, found {len(found['pose_y'])} poses; {REMEDY}."
            )
        thing = checked_pose(found["pose_y"][own.grasped], path)[:3]
        numbers = (intrinsics, found["joint_3d"], found["pose_m"], thing, shape, own.ycb, SIDES.index(own.side))
        name = f"{own.folder.relative_to(root)}/{serial}/{frame:06d}"
        yield name, np.concatenate([np.ravel(part) for part in numbers]).astype(np.float32)
