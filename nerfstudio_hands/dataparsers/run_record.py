"""What a run keeps of its capture: the fit, the split and the calibration, so that its weights always meet the hands
that they were trained on, whatever becomes of the capture."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from nerfstudio_hands.calibration.checks import FOCAL_LENGTHS
from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import parsed_json, read_npz
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.fitting.record import LARGEST, UNREADABLE, HandFit, of_shape, require_fit_of, require_once
from nerfstudio_hands.program.environment import option_value

RUN_FILE = "hands.npz"
"""Lies beside a run's config.yml."""

DRAWN_FILE = "drawn_hands.npz"
"""The same in a capture that an avatar has drawn: what is trained on its pictures takes the avatar's hands."""

RUN_VERSION = 2
"""Raised whenever an older file would be read wrongly."""

FILE_TABLES = ("images", "masks", "object_masks", "true_masks")
"""Fields of a capture that name files."""


@dataclass
class RunRecord:
    """A capture as a run saw it.

    Attributes:
        capture: Calibration, frames, paths of pictures, detections or joints, and the object's poses; no pictures.
        fit: Its hands.
        split: What trains and what is held out.
        fit_key: Digest of all that the fit depends on.
        world: Transform of the capture's world to nerfstudio's.
        held_out: Digest of every held-out picture, with its masks, that figures are taken of, by (frame, camera).
    """

    capture: Capture
    fit: HandFit
    split: Split
    fit_key: str
    world: Float[Tensor, "3 4"]
    held_out: dict[tuple[str, str], str] = field(default_factory=dict)

    def at(self, root: Path) -> RunRecord:
        """The record with its capture in another folder."""
        moved = {
            name: {key: root / _below(path, self.capture.root) for key, path in getattr(self.capture, name).items()}
            for name in FILE_TABLES
        }
        return replace(self, capture=replace(self.capture, root=root, **moved))

    def with_held_out(self, keys: Sequence[tuple[str, str]]) -> RunRecord:
        """The record with digests of these pictures as they are now."""
        return replace(self, held_out={key: held_out_digest(self.capture, key) for key in keys})

    def save(self, path: Path) -> None:
        """Writes an .npz (`write_npz`).

        Raises:
            HandsError: The folder cannot be written or the disk is full.
        """
        capture, split = self.capture, self.split
        root = capture.root.absolute()
        header = {
            "version": RUN_VERSION,
            "root": str(root),
            "frames": capture.frames,
            "sequences": capture.sequences,
            "cameras": [[camera.name, camera.width, camera.height] for camera in capture.cameras],
            "object_radius": capture.object_radius,
            "masks_inverted": sorted(capture.masks_inverted),
            "train_cameras": split.train_cameras,
            "eval_cameras": split.eval_cameras,
            "fit_key": self.fit_key,
            "held_out": [[*key, digest] for key, digest in self.held_out.items()],
            **{
                name: [[*key, _below(file, root)] for key, file in getattr(capture, name).items()]
                for name in FILE_TABLES
            },
        }
        arrays = {
            "run": np.frombuffer(json.dumps(header).encode(), np.uint8),
            "intrinsics": np.stack([camera.intrinsics for camera in capture.cameras]),
            "world_to_camera": np.stack([camera.world_to_camera for camera in capture.cameras]),
            "train_frames": split.train_frames,
            "world": self.world.numpy(),
            **{f"fit_{name}": values for name, values in self.fit.to_arrays().items()},
        }
        for name in ("detections", "stored_keypoints", "object_poses", "object_hull"):
            if getattr(capture, name) is not None:
                arrays[name] = getattr(capture, name)
        write_npz(path, arrays, expected="to write what the run keeps of its capture", remedy="free some space")

    @staticmethod
    def load(path: Path) -> RunRecord:
        """Reads a file that `save` wrote.

        Raises:
            HandsError: The file holds no such record, or another version wrote it.
        """
        try:
            arrays = read_npz(path)
            header = parsed_json(arrays["run"].tobytes().decode())
            if header["version"] == RUN_VERSION:
                check_type(header, _Header, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
                return _record(header, arrays)
        except (*UNREADABLE, TypeCheckError) as error:
            raise HandsError(
                f"{path}: expected the hands that the run was trained on, found something else ('{error}'): copy the "
                "file again from where the run was trained; the weights go with no other fit."
            ) from error
        raise HandsError(
            f"{path}: expected the hands of a run in version {RUN_VERSION}, found version {header['version']}: use the "
            "version of nerfstudio-hands that trained the run, or train again."
        )

    def check_held_out(self) -> None:
        """Raises a HandsError where a held-out picture or a mask of it is not the one that the run began with."""
        changed = [key for key, digest in self.held_out.items() if held_out_digest(self.capture, key) != digest]
        if changed:
            named = ", ".join(str(self.capture.images[key]) for key in changed[:3]) + ", .." * (len(changed) > 3)
            raise HandsError(
                "evaluation: expected the held-out pictures and masks as they were when the run began, found "
                f"{len(changed)} of {len(self.held_out)} changed or missing ({named}): put them back, or train anew."
            )


def held_out_digest(capture: Capture, key: tuple[str, str]) -> str:
    """What changes when a picture or a mask of it does; of files that are absent, that they are."""
    digest = hashlib.sha256()
    for name in FILE_TABLES:
        file = getattr(capture, name).get(key)
        content = file.read_bytes() if file is not None and file.is_file() else None
        digest.update(b"none" if content is None else hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def run_folder(named: Path) -> Path:
    """The folder of a run: as its configuration names it, or, where the run was moved, the one whose config.yml the
    command names. nerfstudio's commands hand on what stands in that file, not where it lies."""
    if (named / "config.yml").is_file():
        return named
    config = option_value(sys.argv, "--load-config")
    return named if config is None else Path(config).absolute().parent


class _Header(TypedDict):
    """What a file says beside its arrays."""

    version: int
    root: str
    frames: list[str]
    sequences: list[str] | None
    cameras: list[list[str | int]]
    object_radius: float | None
    masks_inverted: list[list[str]]
    train_cameras: list[str]
    eval_cameras: list[str]
    fit_key: str
    held_out: list[list[str]]
    images: list[list[str]]
    masks: list[list[str]]
    object_masks: list[list[str]]
    true_masks: list[list[str]]


def _record(header: dict, arrays: dict[str, np.ndarray]) -> RunRecord:
    root, count = Path(header["root"]), len(header["cameras"])
    intrinsics = of_shape(arrays, "intrinsics", (count, 3, 3))
    poses = of_shape(arrays, "world_to_camera", (count, 4, 4))
    world, training = of_shape(arrays, "world", (3, 4)), of_shape(arrays, "train_frames", (len(header["frames"]),))
    if not all((np.linalg.det(turns) > 0).all() for turns in (intrinsics, poses[:, :3, :3], world[:, :3])):
        raise ValueError("cameras or a world that are none")
    if not all((np.abs(numbers) < LARGEST).all() for numbers in (intrinsics / FOCAL_LENGTHS[1], poses, world)):
        raise ValueError("cameras or a world of numbers that are too large")
    names = [name for name, *_ in header["cameras"]]
    require_once(names, "cameras")
    for kind in ("train_cameras", "eval_cameras"):
        require_once(header[kind], kind)
        if not set(header[kind]) <= set(names):
            raise ValueError(f"{kind} that are no cameras")
    if not all(min(width, height) > 0 for _, width, height in header["cameras"]):
        raise ValueError("cameras without pixels")
    cameras = [
        CaptureCamera(name, k, pose, width, height)
        for (name, width, height), k, pose in zip(
            header["cameras"], intrinsics, poses, strict=True
        )
    ]
    capture = Capture(
        root=root,
        cameras=cameras,
        frames=header["frames"],
        detections=_optional(arrays, "detections", (len(header["frames"]), count, 2, 21, 2)),
        problems=[],
        stored_keypoints=_optional(arrays, "stored_keypoints", (len(header["frames"]), 2, 21, 3)),
        sequences=header["sequences"],
        object_poses=_optional(arrays, "object_poses", (len(header["frames"]), 4, 4)),
        object_radius=header["object_radius"],
        object_hull=_optional(arrays, "object_hull", (None, 3)),
        masks_inverted={(frame, camera) for frame, camera in header["masks_inverted"]},
        **{name: _paths(root, header[name], header["frames"], names) for name in FILE_TABLES},  # pyright: ignore[reportArgumentType]
    )
    fit = HandFit.from_arrays({k.removeprefix("fit_"): v for k, v in arrays.items() if k.startswith("fit_")})
    require_fit_of(capture, fit)
    return RunRecord(
        capture=capture,
        fit=fit,
        split=Split(header["train_cameras"], header["eval_cameras"], training > 0),
        fit_key=header["fit_key"],
        world=torch.from_numpy(world),
        held_out={(frame, camera): digest for frame, camera, digest in header["held_out"]},
    )


def _below(file: Path, root: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _optional(arrays: dict[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray | None:
    return of_shape(arrays, name, shape) if name in arrays else None


def _paths(
    root: Path, rows: Sequence[Sequence[str]], frames: Sequence[str], cameras: Sequence[str]
) -> dict[tuple[str, str], Path]:
    require_once([f"{frame} {camera}" for frame, camera, _ in rows], "pictures")
    if not ({frame for frame, *_ in rows} <= set(frames) and {camera for _, camera, _ in rows} <= set(cameras)):
        raise ValueError("pictures of other frames or cameras")
    return {(frame, camera): root / name for frame, camera, name in rows}
