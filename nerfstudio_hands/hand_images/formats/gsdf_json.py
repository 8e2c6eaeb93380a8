"""The JSON of gSDF (Chen et al., CVPR 2023) over ObMan or DexYCB, its lists of samples, and its sampled distances."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import ijson
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.files.image_reading import image_size
from nerfstudio_hands.hand_images.clips import clip_rows
from nerfstudio_hands.hand_images.formats.dexycb_takes import ABSENT, HAND_VALUE, OBJECTS, SUBJECTS
from nerfstudio_hands.hand_images.formats.gsdf_samples import DistanceSamples, read_arrays, read_distance_samples
from nerfstudio_hands.hand_images.formats.obman import HAND_CHANNEL, HAND_VALUES, INTRINSICS
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HeldLabels, HeldMesh
from nerfstudio_hands.hand_images.id_lists import chosen_ids
from nerfstudio_hands.hand_images.image_files import read_rgb
from nerfstudio_hands.hand_images.kept_tables import FromKeptTable, keep_table, kept_name
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import LabelSample, check_labels, some_labels, stacked
from nerfstudio_hands.hand_images.mano_vertices import mano_faces, posed_vertices
from nerfstudio_hands.hand_images.number_lists import REMEDY, streamed_items
from nerfstudio_hands.hand_images.object_files import checked_pose, moved, read_held

NAMES = re.compile(r"(?P<data>obman|dexycb)_(?P<part>train|test)(_s[0-3])?\.json")
"""Of files of annotations."""

HELD_OUT = 50
"""The last of so many parts of the training annotations are for validation, for which gSDF has none."""

COLUMNS = {
    "id": 1,
    "fx": 1,
    "fy": 1,
    "cx": 1,
    "cy": 1,
    "hand_joints_3d": 63,
    "hand_poses": 48,
    "hand_shapes": 10,
    "obj_transform": 16,
    "ycb_id": 1,
    "sdf_scale": 1,
    "sdf_offset": 3,
}
"""Numbers of an annotation that are kept, in this order; NaN where it has none."""

NEEDED = ("id", "image_id", "hand_joints_3d", "obj_transform")


def is_gsdf(root: Path) -> bool:
    """Whether a folder has gSDF's annotations."""
    return any(NAMES.fullmatch(path.name) for path in root.glob("*.json"))


class GsdfJson(FromKeptTable):
    """Pictures of ObMan or DexYCB with gSDF's annotations; see `hand_image.HandObjectImages`.

    Hands' vertices are those of `mesh_hand` where there is such a mesh, else of MANO; things those of `mesh_obj`, else,
    of DexYCB, of `models`. Pictures whose joints are -1, as DexYCB marks hands that are not seen, are left out.
    """

    hand_model = "mano"

    def __init__(self, root: Path, split: str, *, mano: Path | None = None, ids: Path | None = None) -> None:
        """Read the annotations once and look at some of them.

        Args:
            root: Folder with `obman_train.json` or the like, and pictures, meshes and samples in `data`.
            split: `train`, `val` or `test`; `val` is the end of the training annotations.
            mano: MANO's file or its folder.
            ids: JSON list of ids of annotations, as gSDF's `splits` has them; by default all.

        Raises:
            HandsError: Something is missing, or labels are not what they should be.
        """
        self.name = f"{root} ({split})"
        self._root, self._split, self._mano, self._list = root, split, mano, ids
        self._part = "test" if split == "test" else "train"
        self._file = _annotation_file(root, self._part)
        self._is_obman = self._file.name.startswith("obman")
        self._data = root / "data" / self._part if self._is_obman else root / "data"
        self._kept = _kept_rows(self._file)
        self._check()

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        numbers = self._numbers(index)
        joints = numbers["hand_joints_3d"].reshape(21, 3)
        intrinsics = INTRINSICS
        if not self._is_obman:
            fx, fy, cx, cy = (float(numbers[name][0]) for name in ("fx", "fy", "cx", "cy"))
            intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        shape = None if np.isnan(numbers["hand_shapes"]).any() else numbers["hand_shapes"]
        rotations = None if np.isnan(numbers["hand_poses"]).any() else numbers["hand_poses"].reshape(16, 3)
        return labels_of_joints(
            "right",
            joints,
            intrinsics,
            vertices=self._vertices(index, joints, rotations, shape),
            rotations=rotations,
            shape=shape,
            held=HeldLabels(self._object(index, numbers), self._pose(index)),
        )

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask of the hand."""
        return HandImage(read_rgb(self._picture(index)), self.labels(index), self._mask(index))

    def held_mesh(self, name: str) -> HeldMesh:
        """The mesh that labels name, in the frame of gSDF's `obj_transform`.

        Raises:
            HandsError: It is missing or broken.
        """
        if name in OBJECTS:
            mesh = read_held(self._data / "models" / name / "textured_simple.obj", "unpack models of DexYCB here")
            # gSDF has things stand about the origin.
            return HeldMesh((mesh.vertices - mesh.center).astype(np.float32), mesh.faces)
        remedy = "make it as gSDF's preprocessing does, or read the raw data set instead"
        mesh = read_held(self._mesh_file("mesh_obj", name), remedy)
        return moved(mesh, np.linalg.inv(self._pose(self._index_of(name))))

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        """Faces of MANO's right hand.

        Raises:
            HandsError: There is no MANO.
        """
        return mano_faces(self._mano, self._root)

    def clip(self, index: int, length: int) -> list[int]:
        """Pictures of the same sequence by the same camera; of ObMan the picture itself."""
        rows = [index] if self._is_obman else self._takes[self._names_of[index].rpartition("_")[0]]
        return clip_rows(rows, rows.index(index), length)

    def distance_samples(self, index: int) -> DistanceSamples:
        """The distances that gSDF's preprocessing sampled for a picture, in the camera's frame.

        Raises:
            HandsError: There are none, or they are not as they should be.
        """
        numbers, name = self._numbers(index), self._names_of[index]
        scale, offset = float(numbers["sdf_scale"][0]), numbers["sdf_offset"]
        folder = self._data if self._is_obman else self._data / "sdf_data"
        if not scale > 0 or np.isnan(offset).any():
            raise HandsError(
                f"{self._file}: expected sdf_scale and sdf_offset of {name}, found none; gSDF has them for training "
                "samples alone: compute distances instead."
            )
        return read_distance_samples(
            folder / "sdf_hand" / f"{name}.npz", folder / "sdf_obj" / f"{name}.npz", scale, offset
        )

    @cached_property
    def _rows(self) -> Int[np.ndarray, " N"]:
        """Of the split, in the table."""
        numbers = np.array(self._table[:, 0]).astype(np.int64)
        rows = np.arange(len(numbers))
        if self._list is not None:
            place = {number: row for row, number in enumerate(numbers.tolist())}
            rows = np.array([place[number] for number in chosen_ids(self._list, numbers, self._file).tolist()])
        if self._split != "test":
            held_out = max(len(rows) // HELD_OUT, 1)
            rows = rows[-held_out:] if self._split == "val" else rows[:-held_out]
        # gSDF keeps DexYCB's pictures without a hand.
        start = list(COLUMNS).index("hand_joints_3d")
        first = sum(list(COLUMNS.values())[:start])
        absent = (self._table[:, first : first + COLUMNS["hand_joints_3d"]] == ABSENT).any(1)
        return rows[~absent[rows]]

    @cached_property
    def _names_of(self) -> list[str]:
        """`file_name` of each picture."""
        return [str(self._names[row]) for row in self._rows]

    @cached_property
    def _takes(self) -> dict[str, list[int]]:
        """Pictures of each sequence and camera in the order of time."""
        takes: dict[str, list[int]] = {}
        for index, name in enumerate(self._names_of):
            takes.setdefault(name.rpartition("_")[0], []).append(index)
        return {
            take: sorted(own, key=lambda index: int(self._names_of[index].rpartition("_")[2]))
            for take, own in takes.items()
        }

    def _index_of(self, name: str) -> int:
        if name not in self._names_of:
            raise HandsError(
                f"{self._file}: expected a sample {name}, found none of that name; name one of this split."
            )
        return self._names_of.index(name)

    def _numbers(self, index: int) -> dict[str, np.ndarray]:
        ends = np.cumsum(list(COLUMNS.values()))[:-1]
        return dict(zip(COLUMNS, np.split(np.array(self._table[self._rows[index]]), ends), strict=True))

    def _pose(self, index: int) -> Float[np.ndarray, "4 4"]:
        return checked_pose(self._numbers(index)["obj_transform"].reshape(4, 4).astype(np.float64), self._file)

    def _object(self, index: int, numbers: dict[str, np.ndarray]) -> str:
        name, held_object = self._names_of[index], numbers["ycb_id"][0]
        if self._is_obman or np.isnan(held_object) or self._mesh_file("mesh_obj", name).is_file():
            return name
        return OBJECTS[int(held_object) - 1]

    def _mesh_file(self, kind: str, name: str) -> Path:
        folder = self._data if self._is_obman else self._data / "mesh_data"
        return folder / kind / f"{name}.obj"

    def _vertices(
        self,
        index: int,
        joints: Float32[np.ndarray, "21 3"],
        rotations: Float32[np.ndarray, "16 3"] | None,
        shape: Float32[np.ndarray, "10"] | None,
    ) -> Float32[np.ndarray, "V 3"] | None:
        path = self._mesh_file("mesh_hand", self._names_of[index])
        if path.is_file():
            return read_held(path, REMEDY).vertices
        if self._mano is None or rotations is None:
            return None
        # Annotations of ObMan have no shape: it is treated as the mean one.
        shape = np.zeros(10, np.float32) if shape is None else shape
        return posed_vertices(str(self._mano), rotations, shape, joints[0])

    def _picture(self, index: int) -> Path:
        name = self._names_of[index]
        if self._is_obman:
            return self._data / "rgb" / f"{name}.jpg"
        folder, frame = self._take_folder(name)
        return folder / f"color_{frame}.jpg"

    def _take_folder(self, name: str) -> tuple[Path, str]:
        subject, day, time, serial, frame = name.split("_")
        return self._data / SUBJECTS[int(subject) - 1] / f"{day}_{time}" / serial, frame.rjust(6, "0")

    def _mask(self, index: int) -> Bool[np.ndarray, "h w"] | None:
        name = self._names_of[index]
        if self._is_obman:
            path = self._data / "segm" / f"{name}.png"
            return np.isin(read_rgb(path)[..., HAND_CHANNEL], HAND_VALUES["right"]) if path.is_file() else None
        folder, frame = self._take_folder(name)
        path = folder / f"labels_{frame}.npz"
        return read_arrays(path, "seg")["seg"] == HAND_VALUE if path.is_file() else None

    def _check(self) -> None:
        if not len(self):
            raise HandsError(f"{self._file}: expected annotations for {self._split!r}, found none; {REMEDY}.")
        chosen = some_labels(self)
        joints, intrinsics = stacked(chosen, "joints").astype(np.float64), stacked(chosen, "intrinsics")
        check_labels(self._file, LabelSample(joints, intrinsics, image_size(self._picture(0))))


def _annotation_file(root: Path, part: str) -> Path:
    matches = [(path, NAMES.fullmatch(path.name)) for path in sorted(root.glob("*.json"))]
    files = [path for path, match in matches if match and match["part"] == part]
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise HandsError(
            f"{root}: expected one file of gSDF's {part} annotations, obman_{part}.json or dexycb_{part}_s0.json, "
            f"found {found}; keep one in this folder."
        )
    return files[0]


def _kept_rows(path: Path) -> Path:
    """The numbers of all annotations, streamed once; beside it lie the pictures' names."""
    kept = kept_name(path, "gsdf.npy", COLUMNS)
    if kept.is_file():
        return kept
    try:
        names = {item["id"]: str(item["file_name"]) for item in streamed_items(path, "images.item")}
        annotations = list(_rows(path, names))
    except (ijson.JSONError, UnreadableFile) as error:
        found = str(error).splitlines()[0].strip()
        raise HandsError(f"{path}: expected gSDF's annotations, found '{found}'; {REMEDY}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise HandsError(
            f"{path}: expected images with id and file_name and annotations with {', '.join(NEEDED)}, found others "
            f"({type(error).__name__}: {error}); {REMEDY}."
        ) from error
    keep_table(kept.with_suffix(".names.npy"), np.array([name for name, _ in annotations]))
    keep_table(kept, np.array([row for _, row in annotations], np.float32).reshape(-1, sum(COLUMNS.values())))
    return kept


def _rows(path: Path, names: dict[Any, str]) -> Iterator[tuple[str, Float32[np.ndarray, "C"]]]:
    for item in streamed_items(path, "annotations.item"):
        missing = [name for name in NEEDED if name not in item]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        parts = [_column(name, size, item.get(name)) for name, size in COLUMNS.items()]
        yield names[item["image_id"]], np.concatenate(parts)


def _column(name: str, size: int, value: Any) -> Float32[np.ndarray, "S"]:
    if value is None:
        return np.full(size, np.nan, np.float32)
    numbers = np.array(value, np.float32).ravel()
    if len(numbers) != size:
        raise ValueError(f"{name} of {len(numbers)} numbers instead of {size}")
    return numbers
