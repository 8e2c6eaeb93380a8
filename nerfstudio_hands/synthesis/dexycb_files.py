"""Hands that hold things in DexYCB's layout, clip by clip, with our hand in MANO's files and our things under the names
of YCB's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float32

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import Pieces, made_whole
from nerfstudio_hands.hand_images.formats.dexycb import EVERY
from nerfstudio_hands.hand_images.formats.dexycb_takes import (
    HAND_VALUE,
    HEIGHT,
    OBJECTS,
    SERIALS,
    SUBJECTS,
    TAKES,
    WIDTH,
)
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HandObjectImages
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import rest_joints
from nerfstudio_hands.synthesis.freihand_files import people_of
from nerfstudio_hands.synthesis.image_files import JPEG_QUALITY, write_image
from nerfstudio_hands.synthesis.made_up_mano import made_up_mean, write_made_up_mano
from nerfstudio_hands.synthesis.obman_files import ENDLESS, grasp_source, split_counts, write_held
from nerfstudio_hands.synthesis.options import DexYcbOptions
from nerfstudio_hands.synthesis.other_cameras import camera_toward, retaken

OBJECTS_OF = {"train": 14, "test": 7}
"""How many different things hands hold in each split, of the 21 that the layout has names for."""

SIZE = 320
"""Pixels of a side of what is drawn and put into pictures of 640 x 480."""

INTRINSICS = np.array([[615.0, 0.0, 320.0], [0.0, 615.0, 240.0], [0.0, 0.0, 1.0]])
"""K of the camera, about that of the data set's."""

SERIAL = SERIALS[0]

FOLDERS = {"train": (SUBJECTS, (0, 1, 2, 3)), "val": (SUBJECTS[:2], (4,)), "test": (SUBJECTS[2:], (4,))}
"""Whose takes, and which ones of each five, setup s0 counts to a split."""


@made_whole
def synthesize_dexycb(root: Path, options: DexYcbOptions) -> Pieces:
    """Draw clips of both splits and write DexYCB's files; see `made_whole`."""
    parts = []
    for part, count in split_counts(options):
        # As many as it takes until there are enough with the same few things.
        drawn = {"count": ENDLESS, "size": SIZE, "frames": options.frames, "left": options.left}
        source = grasp_source(part, options.seed, people_of(count), **drawn)
        parts.append((part, source, takes_of_objects(source, count, OBJECTS_OF[part])))
    yield from _written(root, parts)


def _written(root: Path, parts: Iterable[tuple[str, HandObjectImages, Iterable[list[int]]]]) -> Pieces:
    """Write pictures as DexYCB's files: a take by one camera for each sequence of the source.

    Pictures are every fifth frame of their take, so that all are among those that gSDF takes; folders of a person's
    other takes, which setup s0 counts to another split or which are not drawn, are empty.

    Args:
        root: Folder.
        parts: By split, `train`, `val` or `test`: a source and the pictures of each take, see `takes_of`.

    Raises:
        HandsError: Hands hold more different things than YCB has.
    """
    written = _Written(root)
    write_made_up_mano(root, *SIDES)
    _write_yaml(root / "calibration" / "intrinsics" / f"{SERIAL}_{WIDTH}x{HEIGHT}.yml", {"color": _camera()})
    for part, source, takes in parts:
        for number, indices in enumerate(takes):
            folder = _take_folder(root, part, number)
            for place in range(TAKES):
                (folder.parent / _take_name(place)).mkdir(parents=True, exist_ok=True)
            _write_take(folder, source, indices, written)
            yield from [None] * len(indices)


write_dexycb = made_whole(_written)
"""Writes clips of any source, see there."""


@dataclass
class _Written:
    """What takes share: things and persons that have their files."""

    root: Path
    objects: dict[str, int] = field(default_factory=dict)
    persons: dict[bytes, str] = field(default_factory=dict)

    def held_object(self, name: str, source: HandObjectImages) -> int:
        """Number of a thing among YCB's."""
        if name not in self.objects:
            if len(self.objects) == len(OBJECTS):
                raise HandsError(
                    f"{self.root.name}: expected at most {len(OBJECTS)} different things, as DexYCB has, found more; "
                    "draw fewer, or write them as ObMan."
                )
            self.objects[name] = len(self.objects) + 1
            path = self.root / "models" / OBJECTS[self.objects[name] - 1] / "textured_simple.obj"
            path.parent.mkdir(parents=True)
            write_held(path, source.held_mesh(name))
        return self.objects[name]

    def person(self, shape: Float32[np.ndarray, " K"], side: str) -> str:
        """Name of the calibration of a hand."""
        key = shape.tobytes() + side.encode()
        if key not in self.persons:
            self.persons[key] = f"synthetic-{len(self.persons):04d}_{side}"
            path = self.root / "calibration" / f"mano_{self.persons[key]}" / "mano.yml"
            _write_yaml(path, {"betas": shape.astype(float).tolist()})
        return self.persons[key]


def takes_of(source: HandObjectImages) -> Iterator[list[int]]:
    """Pictures that follow each other, sequence by sequence."""
    take: list[int] = []
    for index in range(len(source)):
        if take and source.clip(index, 2)[0] == index:
            yield take
            take = []
        take.append(index)
    yield take


def takes_of_objects(source: HandObjectImages, count: int, objects: int) -> Iterator[list[int]]:
    """The first so many sequences that do with so many different things."""
    known: set[str] = set()
    fitting = (take for take in takes_of(source) if _is_known(source.labels(take[0]), known, objects))
    return itertools.islice(fitting, count)


def _is_known(labels: HandLabels, known: set[str], most: int) -> bool:
    """Whether a thing is one of those known; it is added as long as there are not too many."""
    if len(known) < most:
        known.add(labels.held.name)
    return labels.held.name in known


def _take_folder(root: Path, part: str, number: int) -> Path:
    """The folder of a split's so many-th take."""
    subjects, places = FOLDERS[part]
    subject, within = divmod(number, TAKES // 5 * len(places))
    block, place = divmod(within, len(places))
    return root / subjects[subject] / _take_name(5 * block + places[place])


def _take_name(place: int) -> str:
    return f"20200101_{place:06d}"


def _write_take(folder: Path, source: HandObjectImages, indices: list[int], written: _Written) -> None:
    first = source.labels(indices[0])
    picture = source.read(indices[0])
    view = camera_toward(first, INTRINSICS, (picture.rgb.shape[1], picture.rgb.shape[0]))
    meta = _meta(
        frames=EVERY * (len(indices) - 1) + 1,
        side=first.side,
        ycb=written.held_object(first.held.name, source),
        person=written.person(first.shape, first.side),  # pyright: ignore[reportArgumentType]
    )
    _write_yaml(folder / "meta.yml", meta)
    for frame, index in enumerate(indices):
        taken = retaken(source.read(index), view, (WIDTH, HEIGHT))
        _write_image(folder / SERIAL, EVERY * frame, taken)


def _write_image(folder: Path, frame: int, picture: HandImage) -> None:
    write_image(folder / f"color_{frame:06d}.jpg", picture.rgb, quality=JPEG_QUALITY)
    segments = np.zeros((HEIGHT, WIDTH), np.uint8)
    if picture.mask is not None:
        segments[picture.mask] = HAND_VALUE
    labels: dict[str, Any] = {"seg": segments} | _annotation(picture.labels)
    np.savez_compressed(folder / f"labels_{frame:06d}.npz", **labels)


def _annotation(labels: HandLabels) -> dict[str, np.ndarray]:
    """Poses and joints as DexYCB has them: fingers relative to the mean pose, by our identity of components."""
    model = default_hand(labels.side)
    wrist = rest_joints(model, torch.from_numpy(labels.shape)[None])[0, 0].numpy()
    fingers = labels.rotations[1:] - made_up_mean(labels.side)
    pose = np.concatenate([labels.rotations[0], fingers.ravel(), labels.joints[0] - wrist])
    return {
        "pose_y": labels.held.to_camera[None, :3].astype(np.float32),
        "pose_m": pose[None].astype(np.float32),
        "joint_3d": labels.joints[None],
        "joint_2d": labels.pixels[None],
    }


def _meta(*, frames: int, side: str, ycb: int, person: str) -> dict:
    return {
        "num_frames": frames,
        "serials": [SERIAL],
        "ycb_ids": [ycb],
        "ycb_grasp_ind": 0,
        "mano_sides": [side],
        "mano_calib": [person],
        "extrinsics": "synthetic",
    }


def _camera() -> dict[str, float]:
    fx, cx, fy, cy = (float(INTRINSICS[place]) for place in ((0, 0), (0, 2), (1, 1), (1, 2)))
    return {"fx": fx, "fy": fy, "ppx": cx, "ppy": cy}


def _write_yaml(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
