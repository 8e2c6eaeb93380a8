"""ObMan (Hasson et al., CVPR 2019): rendered pictures of right hands that hold things of ShapeNet."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Bool, Float, Float32, Int
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_numbers_and_words
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.files.image_reading import image_size
from nerfstudio_hands.hand_images.clips import clip_rows
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HeldLabels, HeldMesh
from nerfstudio_hands.hand_images.id_lists import chosen_ids
from nerfstudio_hands.hand_images.image_files import read_rgb
from nerfstudio_hands.hand_images.known_joints import labels_of_joints
from nerfstudio_hands.hand_images.label_checks import LabelSample, check_labels, some_labels, stacked
from nerfstudio_hands.hand_images.mano_vertices import mano_faces, mano_hand
from nerfstudio_hands.hand_images.object_files import moved, read_held, without_strays
from nerfstudio_hands.hand_images.opened_late import OpenedLate
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

INTRINSICS = np.array([[480.0, 0.0, 128.0], [0.0, 480.0, 128.0], [0.0, 0.0, 1.0]])
"""K of every picture; no file of the data set says it."""

SIZE = 256
"""Pixels of a picture's side."""

TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""The data set's axes are OpenGL's."""

NEEDED = {"coords_3d": (21, 3), "verts_3d": (-1, 3), "affine_transform": (4, 4), "pca_pose": (45,)}
"""Numbers of a sample's pickle that are read."""

HAND_CHANNEL, HAND_VALUES = 2, {"right": (22, 24), "left": (21, 23)}
"""Of RGB, the channel of `segm` in which hand and thing hide each other (OpenCV's first), and its values by side."""

PREPARED = "mesh_obj"
"""Folder of meshes of single samples in the camera's frame, as gSDF prepares them."""

REMEDY = "unpack the data set again"

DIGITS = 6
"""Decimals of a scale in a mesh's name: micrometers at most, for things of a meter."""


def is_obman(root: Path) -> bool:
    """Whether a folder looks like ObMan."""
    return any((root / split / "meta").is_dir() and (root / split / "rgb").is_dir() for split in ("train", "test"))


class ObMan(OpenedLate):
    """Pictures of ObMan; see `hand_image.HandObjectImages`.

    A thing's mesh is that of ShapeNet times the scale and the slight shear that are in its `affine_transform`, so that
    what is left of it is a rigid motion. Where there is a folder `mesh_obj` beside the pictures, as gSDF prepares it,
    its meshes are taken. Wrist rotations are those that lay MANO's hand of mean shape on the vertices best; they, and
    the bent fingers, come where MANO is.
    """

    hand_model = "mano"

    def __init__(
        self,
        root: Path,
        split: str,
        *,
        mano: Path | None = None,
        shapenet: Path | None = None,
        ids: Path | None = None,
    ) -> None:
        """Looks at some of the annotations; none of the meshes.

        Args:
            root: Folder of the data set, with `train`, `val` and `test`.
            split: One of these.
            mano: MANO's file or its folder.
            shapenet: Folder of ShapeNetCore.v2, by default that in the data set's folder or beside it.
            ids: JSON list of numbers of samples of the split, as gSDF publishes them; by default all.

        Raises:
            HandsError: Something is missing, or labels are not what they should be.
        """
        self.name = f"{root} ({split})"
        self._root, self._folder, self._mano, self._list = root, root / split, mano, ids
        beside = [folder / "ShapeNetCore.v2" for folder in (root, root.parent)]
        self._shapenet = shapenet or next((folder for folder in beside if folder.is_dir()), None)
        self._check()

    def __len__(self) -> int:
        return len(self._ids)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        number = int(self._ids[index])
        found, words = self._annotation(number)
        side = words.get("side", "right")
        vertices = _seen(found["verts_3d"])
        return labels_of_joints(
            side,
            _seen(found["coords_3d"]),
            INTRINSICS,
            vertices=vertices,
            rotations=None if self._mano is None else self._rotations(found["pca_pose"], vertices, side),
            held=self._held(number, found, words),
        )

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask of the hand."""
        labels = self.labels(index)
        return HandImage(read_rgb(self._picture(index)), labels, self._mask(index, labels.side))

    def held_mesh(self, name: str) -> HeldMesh:
        """The mesh that labels name, in the axes of ShapeNet.

        Raises:
            HandsError: ShapeNet is not there, or not this mesh of it.
        """
        kind, _, number = name.partition("/")
        if kind == PREPARED:
            found, _ = self._annotation(int(number))
            place, _ = _rigid(found, self._meta(int(number)))
            return moved(read_held(self._prepared(int(number)), REMEDY), np.linalg.inv(place))
        path, _, scale = name.partition("@")
        mesh = without_strays(read_held(self._shapenet_file(path), "get this model of ShapeNetCore.v2"))
        return moved(mesh, _matrix([float(part) for part in scale.split(",")]))

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        """Faces of MANO's right hand.

        Raises:
            HandsError: There is no MANO.
        """
        return mano_faces(self._mano, self._root)

    def clip(self, index: int, length: int) -> list[int]:
        """The picture itself, so many times: each is of a scene of its own."""
        return clip_rows([index], 0, length)

    @cached_property
    def _ids(self) -> Int[np.ndarray, " N"]:
        """Numbers of the samples, in order; a list of the whole data set takes less than a second."""
        there = np.sort([int(path.stem) for path in (self._folder / "meta").glob("*.pkl") if path.stem.isdigit()])
        if not len(there):
            raise HandsError(
                f"{self._folder / 'meta'}: expected annotations of ObMan, 00000000.pkl and others, found none; unpack "
                "this split of the data set."
            )
        return there if self._list is None else chosen_ids(self._list, there, self._folder / "meta")

    def _meta(self, number: int) -> Path:
        return self._folder / "meta" / f"{number:08d}.pkl"

    def _picture(self, index: int) -> Path:
        return self._folder / "rgb" / f"{self._ids[index]:08d}.jpg"

    def _prepared(self, number: int) -> Path:
        return self._folder / PREPARED / f"{number:08d}.obj"

    def _annotation(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        path = self._meta(number)
        try:
            found, words = read_numbers_and_words(path)
        except UnreadableFile as error:
            raise HandsError(f"{path}: expected ObMan's annotation of a picture, found {error}; {REMEDY}.") from error
        for name, shape in NEEDED.items():
            _check_shape(path, name, found.get(name), shape)
        return found, words

    def _held(self, number: int, found: dict[str, np.ndarray], words: dict[str, str]) -> HeldLabels:
        to_camera, stretch = _rigid(found, self._meta(number))
        if self._prepared(number).is_file():
            return HeldLabels(f"{PREPARED}/{number:08d}", to_camera)
        # What is added makes -0 0, so that nothing but the scale decides on the name.
        upper = np.round(stretch[np.triu_indices(3)], DIGITS) + 0.0
        numbers = ",".join(f"{value:.{DIGITS}f}" for value in upper)
        model = "/".join(words.get(key, "?") for key in ("class_id", "sample_id"))
        return HeldLabels(f"{model}@{numbers}", to_camera)

    def _shapenet_file(self, model: str) -> Path:
        if self._shapenet is None or not self._shapenet.is_dir():
            where = self._shapenet or self._root / "ShapeNetCore.v2"
            raise HandsError(
                f"{where}: expected ShapeNetCore.v2, whose meshes ObMan's hands hold, found no such folder; get it "
                "from https://shapenet.org and name its folder with --shapenet."
            )
        folder = self._shapenet / model / "models"
        files = [folder / f"model_normalized.{ending}" for ending in ("pkl", "obj")]
        return next((path for path in files if path.is_file()), files[-1])

    def _rotations(
        self, pose: Float[np.ndarray, "45"], vertices: Float32[np.ndarray, "V 3"], side: str
    ) -> Float32[np.ndarray, "16 3"]:
        bent, local = _bent_hand(mano_hand(self._mano, side), pose, self._folder)  # pyright: ignore[reportArgumentType]
        if len(bent) != len(vertices):
            raise HandsError(
                f"{self._folder / 'meta'}: expected hands of the {len(bent)} vertices that {self._mano} has, found "
                f"ones of {len(vertices)}; give the MANO model that the data set was made with."
            )
        wrist = Rotation.align_vectors(vertices - vertices.mean(0), bent - bent.mean(0))[0]
        return np.concatenate([wrist.as_rotvec()[None], local]).astype(np.float32)

    def _mask(self, index: int, side: str) -> Bool[np.ndarray, "h w"] | None:
        path = self._folder / "segm" / f"{self._ids[index]:08d}.png"
        return np.isin(read_rgb(path)[..., HAND_CHANNEL], HAND_VALUES[side]) if path.is_file() else None

    def _check(self) -> None:
        joints = stacked(some_labels(self), "joints").astype(np.float64)
        size = image_size(self._picture(0))
        source = self._folder / "meta"
        if size != (SIZE, SIZE):
            raise HandsError(
                f"{self._picture(0)}: expected ObMan's pictures of {SIZE} x {SIZE}, to which its K belongs, found one "
                f"of {size[0]} x {size[1]}; take the pictures as they were published."
            )
        check_labels(source, LabelSample(joints, np.tile(INTRINSICS, (len(joints), 1, 1)), size))


def _check_shape(path: Path, name: str, value: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if (
        value is None
        or value.ndim != len(shape)
        or any(size not in (-1, own) for size, own in zip(shape, value.shape, strict=True))
    ):
        wanted = " x ".join("N" if size < 0 else str(size) for size in shape)
        what = "none" if value is None else f"one of {' x '.join(map(str, value.shape))}"
        raise HandsError(f"{path}: expected ObMan's {name} of {wanted} numbers, found {what}; {REMEDY}.")


def _seen(points: Float[np.ndarray, "N 3"]) -> Float32[np.ndarray, "N 3"]:
    """Points in OpenCV's axes."""
    return (points @ TO_OPENCV[:3, :3]).astype(np.float32)


def _rigid(found: dict[str, np.ndarray], source: Path) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "3 3"]]:
    """The rigid part of a thing's transform, to OpenCV's axes, and the symmetric rest, which comes before it.

    Files of which the transform does not scale have the scale beside it.
    """
    transform = TO_OPENCV @ found["affine_transform"].astype(np.float64)
    size = np.cbrt(np.linalg.det(transform[:3, :3])) if np.isfinite(transform).all() else np.nan
    if not size > 0 or np.abs(transform[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise HandsError(
            f"{source}: expected an affine_transform that turns, scales and moves, found one that mirrors, flattens or "
            f"is no affine map at all; {REMEDY}."
        )
    rotation, stretch = scipy.linalg.polar(transform[:3, :3])
    if abs(size - 1) < 1e-3 and "obj_scale" in found:
        stretch = stretch * float(found["obj_scale"])
    rigid = transform.copy()
    rigid[:3, :3] = rotation
    return rigid, stretch


def _matrix(upper: list[float]) -> Float[np.ndarray, "4 4"]:
    """A map from the upper triangle of its symmetric 3 x 3 part."""
    matrix = np.eye(4)
    rows, columns = np.triu_indices(3)
    matrix[rows, columns] = matrix[columns, rows] = upper
    return matrix


def _bent_hand(
    model: HandModel, pose: Float[np.ndarray, "45"], source: Path
) -> tuple[Float32[np.ndarray, "V 3"], Float32[np.ndarray, "15 3"]]:
    """MANO's hand of mean shape with the wrist unturned, by its principal components, and its local rotations."""
    if model.hands_components is None:
        raise HandsError(
            f"{model.name}: expected MANO's 45 x 45 hands_components, to which the poses of {source} refer, found "
            "none; give the official MANO_RIGHT.pkl."
        )
    local = (torch.from_numpy(pose).float() @ model.hands_components).reshape(1, 15, 3)
    posed = pose_hand(model, torch.zeros(1, 3), local, torch.zeros(1, 3), torch.zeros(1, model.num_shape))
    return posed.vertices[0].numpy(), local[0].numpy()
