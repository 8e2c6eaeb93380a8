"""Tiny captures in every layout, each with what of it is held out and how to change that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from helpers import make_deephandmesh, make_interhand
from helpers.held_out_room import CAMERAS, FRAMES, make_room, spoil, spoil_calibration, spoil_image
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand, load_hand
from nerfstudio_hands.hand_model.joints import to_interhand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import mirror_rotations


@dataclass
class Layout:
    """A tiny capture in one layout, its options, and what to change of what they hold out, by kind.

    Attributes:
        make: Writes the capture.
        options: Of the data parser: they hold out cameras, frames or sequences.
        changes: For each kind of holding out, what changes all pictures, masks, joints and cameras that it names.
        hand_model: Folder of MANO files in the capture; "" for the built-in hand.
    """

    make: Callable[[Path], object]
    options: dict[str, Any]
    changes: dict[str, Callable[[Path], None]]
    hand_model: str = ""


def change_room_camera(root: Path) -> None:
    for frame in FRAMES:
        spoil(root, frame, CAMERAS[4])
        spoil_calibration(root / frame / "camera" / "param.npz", 4)


def change_room_frame(root: Path) -> None:
    for camera in CAMERAS:
        spoil(root, FRAMES[2], camera)


def invert_room_masks(root: Path) -> None:
    """All masks of what is held out become black on white."""
    for frame in FRAMES:
        for camera in CAMERAS:
            if frame == FRAMES[2] or camera == CAMERAS[4]:
                path = root / frame / "mask" / f"{camera}.png"
                cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def change_interhand_frames(root: Path, sequence: str, frames: tuple[int, ...]) -> None:
    mano = json.loads(make_interhand.annotation_file(root, "MANO_NeuralAnnot").read_text())
    for frame in frames:
        joints = json.loads(make_interhand.annotation_file(root, "joint_3d").read_text())["0"][str(frame)]
        moved = 1.2 * np.array(joints["world_coord"]) + 30
        make_interhand.edit_joints(root, frame, world_coord=moved.tolist())
        for side in filter(None, mano["0"][str(frame)].values()):
            side["shape"][0] += 0.5
        for camera in make_interhand.COLOUR:
            spoil_image(make_interhand.picture(root, sequence, camera, frame))
    make_interhand.write_annotations(root, "test", "MANO_NeuralAnnot", mano)


def make_annotated(root: Path) -> None:
    """InterHand2.6M's layout with hands whose MANO annotations agree with their joints, and the MANO files.

    Annotations miss the joints by 3 mm; that of the right hand in frame 36, which trains, by 10 mm: too much, as long
    as the other training frames alone say how much is usual. Fewer than half of the joints are of training frames.
    """
    make_interhand.make_interhand(root)
    (root / MANO).mkdir()
    mean = torch.linspace(-0.3, 0.4, 45, dtype=torch.float64).reshape(15, 3)
    for side, rotations in zip(SIDES, (mirror_rotations(mean), mean), strict=True):
        write_mano_pickle(root / MANO / f"MANO_{side.upper()}.pkl", default_hand(side), rotations.numpy())
    surface = HandSurface([load_hand(root / MANO, side) for side in SIDES])
    generator = torch.Generator().manual_seed(0)

    def draw(scale: float, *shape: int) -> torch.Tensor:
        return scale * torch.randn(len(make_interhand.TYPES), *shape, generator=generator)

    pose, shapes = HandPose.rest(2, (len(make_interhand.TYPES),)), draw(0.5, 10)
    pose.global_orient[:], pose.local_rotations[:] = draw(0.3, 2, 3), draw(0.2, 2, 15, 3)

    def keypoints() -> torch.Tensor:
        return torch.cat([surface.pose(pose[[t]], shape).keypoints for t, shape in enumerate(shapes)])

    places = torch.tensor([[0.1, 0.1, 0.3], [0.1, 0.3, 0.3]])
    pose.translation += places - keypoints().mean(dim=2)
    joints = 1000 * (keypoints() + draw(0.002, 2, 21, 3)).numpy()
    mano = {}
    for t, (frame, kind) in enumerate(make_interhand.TYPES.items()):
        left, right = (to_interhand(hand, axis=0) for hand in joints[t])
        joint_valid = [[int(frame != 18)], *[[1]] * 41]
        make_interhand.edit_joints(
            root, frame, world_coord=np.concatenate([right, left]).tolist(), joint_valid=joint_valid
        )
        mano[str(frame)] = dict.fromkeys(SIDES)
        for h, side in enumerate(SIDES):
            if kind in (side, "interacting"):
                local = pose.local_rotations[t, h] - surface.hands[h].hands_mean
                trans = pose.translation[t, h] + 0.01 * (frame == 36) * torch.tensor([0.0, 0.6, 0.8])
                numbers = torch.cat([pose.global_orient[t, h], local.flatten()])
                mano[str(frame)][side] = {
                    "pose": numbers.tolist(),
                    "shape": shapes[t].tolist(),
                    "trans": trans.tolist(),
                }
    make_interhand.write_annotations(root, "test", "MANO_NeuralAnnot", {"0": mano, "1": {}})


def change_annotations(root: Path) -> None:
    """Of the frames that are held out in another way: still what one would trust."""
    mano = json.loads(make_interhand.annotation_file(root, "MANO_NeuralAnnot").read_text())
    for frame in HELD_OUT_FRAMES:
        for side in filter(None, mano["0"][str(frame)].values()):
            side["shape"][0] += 0.3
            side["trans"][1] += 0.001
            side["pose"] = [value + 0.01 for value in side["pose"]]
    make_interhand.write_annotations(root, "test", "MANO_NeuralAnnot", mano)


def change_annotated_frames(root: Path) -> None:
    """Everything of the frames that are held out. Their hands are small, far from where annotations have them, and
    below the pictures: with x and y of the principal point exchanged they would be in these."""
    change_interhand_frames(root, ROM03, (72,))
    change_interhand_frames(root, ROM04, (90, 108))
    for frame in HELD_OUT_FRAMES:
        joints = json.loads(make_interhand.annotation_file(root, "joint_3d").read_text())["0"][str(frame)]
        coord = np.array(joints["world_coord"])
        small = np.array([100.0, 526.0, 300.0]) + 0.05 * (coord - coord.mean(axis=0))
        make_interhand.edit_joints(root, frame, world_coord=small.tolist())


def change_interhand_camera(root: Path) -> None:
    camera = make_interhand.COLOUR[2]
    cameras = json.loads(make_interhand.annotation_file(root, "camera").read_text())
    cameras["0"]["campos"][camera][0] += 100
    cameras["0"]["princpt"][camera][1] += 2
    make_interhand.write_annotations(root, "test", "camera", cameras)
    for sequence, frames in make_interhand.FRAMES.items():
        for frame in frames:
            spoil_image(make_interhand.picture(root, sequence, camera, frame))


def change_deephandmesh_frame(root: Path, sequence: str, frame: int) -> None:
    file = make_deephandmesh.keypoint_file(root, frame)
    numbers = np.loadtxt(file)
    numbers[:, 1:4] = 1.1 * numbers[:, 1:4] + 20
    np.savetxt(file, numbers, fmt="%.4f")
    for camera in make_deephandmesh.COLOUR:
        spoil_image(make_deephandmesh.picture(root, sequence, camera, frame))


def change_deephandmesh_camera(root: Path) -> None:
    camera = make_deephandmesh.COLOUR[2]
    file = root / "annotations" / "KRT_512"
    before, name, after = file.read_text().partition(f"{camera}\n")
    file.write_text(before + name + after.replace("168", "171", 1))
    for sequence, frames in make_deephandmesh.FRAMES.items():
        for frame in frames:
            spoil_image(make_deephandmesh.picture(root, sequence, camera, frame))


MANO = "mano"
ROM03, ROM04 = make_interhand.FRAMES
HELD_OUT_FRAMES = (72, 90, 108)
INTERHAND_OPTIONS = {
    "eval_cameras": make_interhand.COLOUR[2:],
    "eval_frame_fraction": 0.25,
    "eval_sequences": (ROM04,),
}
FIST, WAVE, CLAP = make_deephandmesh.FRAMES
LAYOUTS = {
    "capture-room": Layout(
        make_room,
        {"eval_cameras": CAMERAS[4:], "eval_frame_fraction": 0.34},
        {"camera": change_room_camera, "frame": change_room_frame, "polarity of masks": invert_room_masks},
    ),
    "interhand": Layout(
        make_interhand.make_interhand,
        INTERHAND_OPTIONS,
        {
            "camera": change_interhand_camera,
            "frame": partial(change_interhand_frames, sequence=ROM03, frames=(72,)),
            "sequence": partial(change_interhand_frames, sequence=ROM04, frames=(90, 108)),
        },
    ),
    "interhand with MANO": Layout(
        make_annotated,
        INTERHAND_OPTIONS,
        {"annotations": change_annotations, "frames": change_annotated_frames},
        hand_model=MANO,
    ),
    "deephandmesh": Layout(
        make_deephandmesh.make_deephandmesh,
        {"eval_cameras": make_deephandmesh.COLOUR[2:], "eval_frame_fraction": 0.34, "eval_sequences": (CLAP,)},
        {
            "camera": change_deephandmesh_camera,
            "frame": partial(change_deephandmesh_frame, sequence=FIST, frame=1048),
            "sequence": partial(change_deephandmesh_frame, sequence=CLAP, frame=1084),
        },
    ),
}
