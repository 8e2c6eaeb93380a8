"""The takes of DexYCB: which of them a split has, and the numbers of their pictures, gathered once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rich.progress
import yaml
from jaxtyping import Float, Float32

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz, read_text
from nerfstudio_hands.hand_images.kept_tables import keep_table, kept_name
from nerfstudio_hands.hand_images.object_files import checked_pose
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

OBJECTS = (
    "002_master_chef_can 003_cracker_box 004_sugar_box 005_tomato_soup_can 006_mustard_bottle 007_tuna_fish_can "
    "008_pudding_box 009_gelatin_box 010_potted_meat_can 011_banana 019_pitcher_base 021_bleach_cleanser 024_bowl "
    "025_mug 035_power_drill 036_wood_block 037_scissors 040_large_marker 051_large_clamp 052_extra_large_clamp "
    "061_foam_brick"
).split()
"""Names of the meshes, by `ycb_ids` less one."""

SETUPS = ("s0", "s1", "s2", "s3")
"""Ways in which the data set is split: by sequence, by person, by camera, by thing."""

WIDTH, HEIGHT = 640, 480

HAND_VALUE = 255
"""Of the hand in `seg`."""

ABSENT = -1.0
"""Coordinate of joints where no hand is seen or not yet there."""

TAKES = 100
"""Sequences of a subject."""

COLUMNS = {"intrinsics": 9, "joints": 63, "pose": 51, "thing": 12, "shape": 10, "ycb": 1, "side": 1}
"""Numbers of a picture that are kept, in this order."""

REMEDY = "unpack the data set again"


@dataclass(frozen=True)
class Sequence:
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


def serials_of(setup: str, split: str) -> tuple[str, ...]:
    """Cameras of a split."""
    if setup != "s2":
        return SERIALS
    return {"train": SERIALS[:6], "val": SERIALS[6:7], "test": SERIALS[7:]}[split]


def takes_part(setup: str, split: str, subject: int, number: int) -> bool:
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


def sequences_of(root: Path, setup: str, split: str) -> list[Sequence]:
    """Of a split, in the order of the data set; empty folders hold the places of sequences that were not unpacked.

    Raises:
        HandsError: A subject lacks folders, so that nobody knows which sequences are a split's.
    """
    found = []
    for subject, name in enumerate(SUBJECTS):
        own = [number for number in range(TAKES) if takes_part(setup, split, subject, number)]
        folders = sorted(path for path in (root / name).glob("*") if path.is_dir())
        if not own or not folders:
            continue
        if len(folders) != TAKES:
            raise HandsError(
                f"{root / name}: expected the {TAKES} sequences of this person, whose order makes the splits, found "
                f"{len(folders)}; unpack all, or make an empty folder with the name of each that is not there."
            )
        found += [_sequence(folders[number]) for number in own if any(folders[number].iterdir())]
    return found


def _sequence(folder: Path) -> Sequence:
    path = folder / "meta.yml"
    meta = _read_yaml(path)
    try:
        objects, grasped, side = meta["ycb_ids"], int(meta["ycb_grasp_ind"]), str(meta["mano_sides"][0])
        if side not in SIDES or not 0 <= grasped < len(objects) or not 1 <= int(objects[grasped]) <= len(OBJECTS):
            raise ValueError
        number = int(objects[grasped])
        return Sequence(folder, int(meta["num_frames"]), side, grasped, number, str(meta["mano_calib"][0]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise HandsError(
            f"{path}: expected num_frames, mano_sides, mano_calib, ycb_ids of 1 to {len(OBJECTS)} and ycb_grasp_ind, "
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


def read_labels(path: Path) -> dict[str, np.ndarray]:
    try:
        found = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected DexYCB's labels of a picture, found {error}; {REMEDY}.") from error
    shapes = {"seg": (HEIGHT, WIDTH), "pose_m": (1, 51), "joint_3d": (1, 21, 3)}
    wrong = [name for name, shape in shapes.items() if name not in found or found[name].shape != shape]
    if wrong or found.get("pose_y", np.empty(0)).shape[1:] != (3, 4):
        raise HandsError(f"{path}: expected DexYCB's {', '.join(wrong or ['pose_y'])}, found others; {REMEDY}.")
    return found


def kept_rows(root: Path, sequences: list[Sequence], serials: tuple[str, ...], step: int) -> Path:
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


def _rows_of(root: Path, own: Sequence, serial: str, step: int) -> Iterator[tuple[str, Float32[np.ndarray, "C"]]]:
    """Names and numbers of the pictures of a take by a camera; those without a hand are left out."""
    intrinsics = _intrinsics(root, serial)
    shape = _read_numbers(root / "calibration" / f"mano_{own.person}" / "mano.yml", "betas")
    for frame in range(0, own.frames, step):
        path = own.folder / serial / f"labels_{frame:06d}.npz"
        if not path.is_file() and not path.with_name(f"color_{frame:06d}.jpg").is_file():
            continue
        found = read_labels(path)
        if (found["joint_3d"] == ABSENT).any():
            continue
        if own.grasped >= len(found["pose_y"]):
            raise HandsError(
                f"{path}: expected the pose of thing {own.grasped + 1}, found {len(found['pose_y'])} poses; {REMEDY}."
            )
        held = checked_pose(found["pose_y"][own.grasped], path)[:3]
        numbers = (intrinsics, found["joint_3d"], found["pose_m"], held, shape, own.ycb, SIDES.index(own.side))
        name = f"{own.folder.relative_to(root)}/{serial}/{frame:06d}"
        yield name, np.concatenate([np.ravel(part) for part in numbers]).astype(np.float32)
