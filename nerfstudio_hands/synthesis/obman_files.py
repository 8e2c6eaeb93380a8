"""Hands that hold things in ObMan's layout, with our hand in MANO's file and our things in ShapeNet's folders."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import trimesh
from jaxtyping import Float

from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_images.formats.obman import HAND_CHANNEL, HAND_VALUES, INTRINSICS, SIZE, TO_OPENCV
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HandObjectImages, HeldMesh, mirrored
from nerfstudio_hands.hand_images.object_files import moved
from nerfstudio_hands.synthesis.freihand_files import people_of
from nerfstudio_hands.synthesis.grasp_images import SyntheticGrasps, SyntheticGraspsOptions
from nerfstudio_hands.synthesis.image_files import JPEG_QUALITY, write_image
from nerfstudio_hands.synthesis.made_up_mano import write_made_up_mano
from nerfstudio_hands.synthesis.options import DexYcbOptions, ObManOptions
from nerfstudio_hands.synthesis.other_cameras import camera_toward, retaken, sees_all

CLASS = "00000000"
"""Folder of our things among ShapeNet's classes, none of which has this number."""

ENDLESS = 10**8
"""Pictures of a source of which as many are taken as are wanted."""

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@made_whole
def synthesize_obman(root: Path, options: ObManOptions) -> Pieces:
    """Draw the pictures of both splits and write ObMan's files; see `made_whole`."""
    parts = []
    for part, count in split_counts(options):
        # As many as it takes until enough hands are so far away that the camera, whose K is given, sees all of them.
        source = grasp_source(part, options.seed, people_of(count), count=ENDLESS, size=SIZE)
        parts.append((part, source, itertools.islice(_seen(source), count)))
    yield from _written(root, parts)


def split_counts(options: ObManOptions | DexYcbOptions) -> list[tuple[Literal["train", "test"], int]]:
    """How many pictures or clips each split has."""
    return [("train", options.training), ("test", options.evaluation)]


def grasp_source(split: Literal["train", "test"], seed: int, people: int, **options: Any) -> SyntheticGrasps:
    """Pictures of a split, of hands exactly of the shape space, as labels of data sets have them."""
    return SyntheticGrasps(
        SyntheticGraspsOptions(split=split, seed=seed, people=people, of_the_shape_space=True, **options)
    )


def _written(root: Path, parts: Iterable[tuple[str, HandObjectImages, Iterable[int]]]) -> Pieces:
    """Write pictures as ObMan's files; left hands and what they hold are mirrored, as ObMan has right ones.

    Args:
        root: Folder.
        parts: By the name of ObMan's folder, `train`, `val` or `test`: a source and which of its pictures.
    """
    write_made_up_mano(root, "right")
    for part, source, indices in parts:
        for number, index in enumerate(indices):
            _write_sample(root, root / part / f"{number:08d}", source.read(index), source)
            yield


write_obman = made_whole(_written)
"""Writes pictures of any source, see there."""


def _seen(source: HandObjectImages) -> Iterator[int]:
    """Pictures of whose hand ObMan's camera sees all joints."""
    for index in range(len(source)):
        labels = source.labels(index)
        if sees_all(labels, camera_toward(labels, INTRINSICS, (SIZE, SIZE)), (SIZE, SIZE)):
            yield index


def _write_sample(root: Path, stem: Path, picture: HandImage, source: HandObjectImages) -> None:
    """Files of a picture: their folder is that of the stem and, in it, one for each kind."""
    if picture.labels.side == "left":
        picture = mirrored(picture)
    height, width = picture.rgb.shape[:2]
    taken = retaken(picture, camera_toward(picture.labels, INTRINSICS, (width, height)), (SIZE, SIZE))
    write_image(stem.parent / "rgb" / f"{stem.name}.jpg", taken.rgb, quality=JPEG_QUALITY)
    if taken.mask is not None:
        segments = np.zeros((SIZE, SIZE, 3), np.uint8)
        segments[..., HAND_CHANNEL] = HAND_VALUES["right"][0] * taken.mask
        write_image(stem.parent / "segm" / f"{stem.name}.png", segments)
    name, to_camera = _write_object(root / "ShapeNetCore.v2" / CLASS, taken.labels, source)
    meta = stem.parent / "meta" / f"{stem.name}.pkl"
    meta.parent.mkdir(exist_ok=True)
    meta.write_bytes(pickle.dumps(_annotation(taken.labels) | _object(name, to_camera), protocol=2))


def _write_object(folder: Path, labels: HandLabels, source: HandObjectImages) -> tuple[str, Float[np.ndarray, "4 4"]]:
    """The mesh as ShapeNet has it, unless it is there, its name, and the map from it to the camera's frame.

    ShapeNet's meshes stand about the origin in a box whose diagonal is one.
    """
    held = labels.held
    mesh, to_camera, name = source.held_mesh(held.name), held.to_camera, held.name.replace("/", "-")
    if np.linalg.det(to_camera[:3, :3]) < 0:
        mesh, to_camera, name = _mirrored_mesh(mesh), to_camera @ MIRROR, f"{name}-mirrored"
    shape = np.eye(4)
    shape[:3] *= np.linalg.norm(mesh.vertices.max(0) - mesh.vertices.min(0))
    shape[:3, 3] = mesh.center
    path = folder / name / "models" / "model_normalized.obj"
    if not path.is_file():
        path.parent.mkdir(parents=True)
        write_held(path, moved(mesh, np.linalg.inv(shape)))
    return name, to_camera @ shape


def write_held(path: Path, mesh: HeldMesh) -> None:
    """A mesh as .obj."""
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)


def _mirrored_mesh(mesh: HeldMesh) -> HeldMesh:
    return HeldMesh(mesh.vertices * np.array([-1, 1, 1], np.float32), mesh.faces[:, [0, 2, 1]])


def _annotation(labels: HandLabels) -> dict[str, np.ndarray | str]:
    """What ObMan says of a hand, in OpenGL's axes; there is no rotation of the wrist in it."""
    turns = labels.rotations[1:].astype(np.float64).ravel()
    return {
        "coords_2d": labels.pixels.astype(np.float64),
        "coords_3d": (labels.joints @ TO_OPENCV[:3, :3]).astype(np.float64),
        "verts_3d": (labels.vertices @ TO_OPENCV[:3, :3]).astype(np.float64),
        "side": "right",
        "hand_pose": turns,
        # Our hand's file has the identity for principal components.
        "pca_pose": turns,
    }


def _object(name: str, to_camera: Float[np.ndarray, "4 4"]) -> dict[str, np.ndarray | str | float]:
    return {
        "class_id": CLASS,
        "sample_id": name,
        "obj_scale": float(np.cbrt(np.linalg.det(to_camera[:3, :3]))),
        "affine_transform": TO_OPENCV @ to_camera,
    }
