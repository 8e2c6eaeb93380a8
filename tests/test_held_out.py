"""What is held out takes no part: change a picture, a mask, a landmark or a camera of it, and nothing that training
reads moves by a bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataparsers import make_deephandmesh, make_interhand
from held_out_room import CAMERAS, FRAMES, make_room, spoil, spoil_calibration, spoil_picture

from nerfstudio_hands.datamanagers.crop_cutting import load_or_cut
from nerfstudio_hands.datamanagers.hand_dataset import HandDataset
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParser
from nerfstudio_hands.dataparsers.layouts import read_capture
from nerfstudio_hands.dataparsers.registrations import hands_data, interhand_data
from nerfstudio_hands.fitting import HandFit, fit_capture, mask_refinement, pose_fit, silhouette
from nerfstudio_hands.models.posed_hands import PosedHands


@pytest.fixture(scope="module")
def quick_fit() -> Iterator[None]:
    """Fits that end long before they are good; every part of them still runs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        end_early(monkeypatch)
        yield


def end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    modes, found = silhouette.smooth_modes, {}

    def smooth_modes(surface):
        if surface.sides not in found:
            found[surface.sides] = modes(surface)
        return found[surface.sides]

    monkeypatch.setattr(silhouette, "smooth_modes", smooth_modes)
    for name in ("PLACING", "SHAPING", "FINISHING"):
        monkeypatch.setattr(mask_refinement, name, getattr(mask_refinement, name)[-1:])
    monkeypatch.setattr(silhouette, "STEPS", 1)
    minimise = pose_fit.minimise
    monkeypatch.setattr(pose_fit, "minimise", lambda *args, iterations: minimise(*args, iterations=10))


def assert_same_fit(first: HandFit, second: HandFit, frames: list[int]) -> None:
    """What all frames share and the poses of some frames are the same to the last bit."""
    for name in ("shape", "displacement"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    for name, value in vars(first.pose[frames]).items():
        assert torch.equal(value, getattr(second.pose[frames], name)), name
    assert first.camera_rotation.keys() == second.camera_rotation.keys()
    for name, turn in first.camera_rotation.items():
        assert (turn == second.camera_rotation[name]).all(), name


def test_what_frames_share_is_fitted_on_training_frames_alone(quick_fit, tmp_path: Path):
    make_room(tmp_path)
    training = [0, 2]
    fit = fit_capture(read_capture(tmp_path), cameras=CAMERAS[:4], shape_frames=training)
    for camera in CAMERAS:
        spoil(tmp_path, FRAMES[1], camera)
    again = fit_capture(read_capture(tmp_path), cameras=CAMERAS[:4], shape_frames=training)
    assert_same_fit(fit, again, training)
    # The pose of the held-out frame is known from its own pictures, which are others now.
    assert fit.pose.valid.all() and again.pose.valid.all()
    assert not torch.equal(fit.pose.translation[1], again.pose.translation[1])
    assert fit.shape.any() and fit.displacement.any()


@dataclass
class Layout:
    """A tiny capture in one layout, its options, and what to change of what they hold out, by kind.

    Attributes:
        make: Writes the capture.
        options: Of the data parser: they hold out cameras, frames or sequences.
        changes: For each kind of holding out, what changes all pictures, masks, joints and cameras that it names.
    """

    make: Callable[[Path], object]
    options: dict[str, Any]
    changes: dict[str, Callable[[Path], None]]


def change_room_camera(root: Path) -> None:
    for frame in FRAMES:
        spoil(root, frame, CAMERAS[4])
        spoil_calibration(root / frame / "camera" / "param.npz", 4)


def change_room_frame(root: Path) -> None:
    for camera in CAMERAS:
        spoil(root, FRAMES[2], camera)


def change_interhand_frames(root: Path, sequence: str, frames: tuple[int, ...]) -> None:
    mano = json.loads(make_interhand.annotation_file(root, "MANO_NeuralAnnot").read_text())
    for frame in frames:
        joints = json.loads(make_interhand.annotation_file(root, "joint_3d").read_text())["0"][str(frame)]
        moved = 1.2 * np.array(joints["world_coord"]) + 30
        make_interhand.edit_joints(root, frame, world_coord=moved.tolist())
        for side in filter(None, mano["0"][str(frame)].values()):
            side["shape"][0] += 0.5
        for camera in make_interhand.COLOUR:
            spoil_picture(make_interhand.picture(root, sequence, camera, frame))
    make_interhand.write_annotations(root, "test", "MANO_NeuralAnnot", mano)


def change_interhand_camera(root: Path) -> None:
    camera = make_interhand.COLOUR[2]
    cameras = json.loads(make_interhand.annotation_file(root, "camera").read_text())
    cameras["0"]["campos"][camera][0] += 100
    cameras["0"]["princpt"][camera][1] += 2
    make_interhand.write_annotations(root, "test", "camera", cameras)
    for sequence, frames in make_interhand.FRAMES.items():
        for frame in frames:
            spoil_picture(make_interhand.picture(root, sequence, camera, frame))


def change_deephandmesh_frame(root: Path, sequence: str, frame: int) -> None:
    file = make_deephandmesh.keypoint_file(root, frame)
    numbers = np.loadtxt(file)
    numbers[:, 1:4] = 1.1 * numbers[:, 1:4] + 20
    np.savetxt(file, numbers, fmt="%.4f")
    for camera in make_deephandmesh.COLOUR:
        spoil_picture(make_deephandmesh.picture(root, sequence, camera, frame))


def change_deephandmesh_camera(root: Path) -> None:
    camera = make_deephandmesh.COLOUR[2]
    file = root / "annotations" / "KRT_512"
    before, name, after = file.read_text().partition(f"{camera}\n")
    file.write_text(before + name + after.replace("168", "171", 1))
    for sequence, frames in make_deephandmesh.FRAMES.items():
        for frame in frames:
            spoil_picture(make_deephandmesh.picture(root, sequence, camera, frame))


ROM03, ROM04 = make_interhand.FRAMES
FIST, WAVE, CLAP = make_deephandmesh.FRAMES
LAYOUTS = {
    "capture-room": Layout(
        make_room,
        {"eval_cameras": CAMERAS[4:], "eval_frame_fraction": 0.34},
        {"camera": change_room_camera, "frame": change_room_frame},
    ),
    "interhand": Layout(
        make_interhand.make_interhand,
        {"eval_cameras": make_interhand.COLOUR[2:], "eval_frame_fraction": 0.25, "eval_sequences": (ROM04,)},
        {
            "camera": change_interhand_camera,
            "frame": partial(change_interhand_frames, sequence=ROM03, frames=(72,)),
            "sequence": partial(change_interhand_frames, sequence=ROM04, frames=(90, 108)),
        },
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


def what_training_reads(layout: str, root: Path) -> tuple[dict[str, np.ndarray], HandsDataParser]:
    """All numbers that a training takes of a capture, by name, and the parser that read it."""
    config = interhand_data.config if layout == "interhand" else hands_data.config
    parser = replace(config, data=root, **LAYOUTS[layout].options).setup()
    outputs = parser.get_dataparser_outputs("train")
    fit, avatar, dataset = parser.record.fit, outputs.metadata["hands"], HandDataset(outputs)
    trains = avatar.train_frames
    hands = PosedHands(avatar, refine=True)
    read = {
        "shape": fit.shape,
        "displacement": fit.displacement,
        "world": avatar.world_transform,
        "scene box": outputs.scene_box.aabb,
        "camera poses": outputs.cameras.camera_to_worlds,
        "focal lengths": outputs.cameras.fx,
        "principal points": outputs.cameras.cx,
        "frame of each row": outputs.cameras.metadata["frame_index"],
        "pose code's middle": hands.code_middle,
        "pose code's scale": hands.code_scale,
        **{f"camera rotation {name}": turn for name, turn in fit.camera_rotation.items()},
        **{f"pose: {name}": value[trains] for name, value in vars(avatar.all_pose).items()},
    }
    if avatar.object_pose is not None:
        read |= {"object's pose": avatar.object_pose[trains], "object's radius": np.array(avatar.object_radius)}
    crops = load_or_cut(dataset, "train")
    for row, own in enumerate(outputs.metadata["own_masks"]):
        read[f"crop {row}"] = crops.crop(row).pixels
        read[f"verdict {row}"] = np.array(outputs.metadata["mask_verdicts"][row])
        if own is not None:
            read[f"mask {row}"] = own
    return {name: np.asarray(value) for name, value in read.items()}, parser


def is_same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays are equal to the last bit."""
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


@pytest.fixture(scope="module")
def before(quick_fit, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[dict[str, np.ndarray], Path]]:
    """What training reads of each capture as it was made, and where that lies; worked out once."""

    @cache
    def of(layout: str):
        root = tmp_path_factory.mktemp(layout) / "capture"
        LAYOUTS[layout].make(root)
        return what_training_reads(layout, root)[0], root

    return of


@pytest.mark.parametrize(
    ("layout", "kind"), [(layout, kind) for layout, known in LAYOUTS.items() for kind in known.changes]
)
def test_nothing_that_training_reads_depends_on_what_is_held_out(quick_fit, before, tmp_path: Path, layout, kind):
    known, made = before(layout)
    root = shutil.copytree(made, tmp_path / "capture")
    LAYOUTS[layout].changes[kind](root)
    found, parser = what_training_reads(layout, root)
    assert found.keys() == known.keys()
    assert [name for name, value in known.items() if not is_same(value, found[name])] == []
    # Both are there: training rows, whose crops show a hand, and rows that are held out.
    assert any(name.startswith("crop") and value.size for name, value in known.items())
    assert len(parser.get_dataparser_outputs("test").image_filenames)
