"""What is held out takes no part: change a picture, a mask, a landmark or a camera of it, and nothing that training
reads moves by a bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.grainy import dim_avatars
from helpers.held_out_fits import end_at_once, parser_config
from helpers.held_out_layouts import LAYOUTS, ROM03
from helpers.held_out_room import CAMERAS, FRAMES, make_room, spoil
from helpers.make_deephandmesh import make_deephandmesh
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.datamanagers.crop_cutting import load_or_build_crops
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParser
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_capture
from nerfstudio_hands.method_configs.hand_canonical import hand_canonical
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh, hand_mesh_neural
from nerfstudio_hands.method_configs.hand_sdf import hand_sdf
from nerfstudio_hands.method_configs.hand_splat import hand_splat
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.preparation.chosen_capture import read_and_split


@pytest.fixture(scope="module")
def quick_fit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fits that end long before they are good, apart from those of other tests; every part of them still runs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path_factory.mktemp("quick-fits")))
        end_at_once(monkeypatch)
        with dim_avatars():
            yield


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
    fit = fit_capture(read_capture(tmp_path), FitOptions(CAMERAS[:4], shape_frames=training))
    for camera in CAMERAS:
        spoil(tmp_path, FRAMES[1], camera)
    again = fit_capture(read_capture(tmp_path), FitOptions(CAMERAS[:4], shape_frames=training))
    assert_same_fit(fit, again, training)
    # The pose of the held-out frame is known from its own pictures, which are others now.
    assert fit.pose.valid.all() and again.pose.valid.all()
    assert not torch.equal(fit.pose.translation[1], again.pose.translation[1])
    assert fit.shape.any() and fit.displacement.any()


def what_training_reads(layout: str, root: Path) -> tuple[dict[str, np.ndarray], HandsDataParser]:
    """All numbers that a training takes of a capture, by name, and the parser that read it."""
    parser = parser_config(layout, root).setup()
    outputs = parser.get_dataparser_outputs("train")
    fit, avatar, dataset = parser.record.fit, outputs.metadata["hands"], TrainingImages(outputs)
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
        read |= {"object's hull": avatar.object_hull}
    crops = load_or_build_crops(dataset, "train")
    for row, masks in enumerate(outputs.metadata["masks"]):
        read[f"crop {row}"] = crops.crop(row).pixels
        read[f"verdict {row}"] = np.array(masks.verdict)
        if masks.segmented is not None:
            read[f"mask {row}"] = masks.segmented
    return {name: np.asarray(value) for name, value in read.items()}, parser


def is_same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays are equal to the last bit."""
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


SMALL = {"hidden_dim": 8, "channels": 2, "num_samples": 4}
METHODS: dict[str, tuple[MethodSpecification, dict[str, Any]]] = {
    "hand-uvnerf": (
        hand_uvnerf,
        {**SMALL, "uv_resolutions": (8,), "canonical_resolutions": (8,), "refine_poses": True, "refine_cameras": True},
    ),
    "hand-canonical": (hand_canonical, {**SMALL, "resolutions": (8,), "skinning": "volume", "volume_resolution": 8}),
    "hand-sdf": (
        hand_sdf,
        {**SMALL, "resolutions": (8,), "subdivisions": 0, "num_searches": 4, "object_searches": 4},
    ),
    "hand-mesh": (hand_mesh, {"subdivisions": 0, "texture_size": 32, "lighting": "per-camera"}),
    "hand-mesh-neural": (
        hand_mesh_neural,
        {"subdivisions": 0, "texture_size": 32, "hidden_dim": 8, "num_layers": 1},
    ),
    "hand-splat": (hand_splat, {"splats_per_hand": 200, "object_splats": 100, "refine_poses": True}),
}
"""Methods, and options that make their models small."""

FRAME_TABLES = ("global_orient", "local_rotations", "translation", "valid", "first_poses")
"""What a model holds with a row a frame: held-out rows are known from what is held out."""


def what_training_learns(layout: str, root: Path, method: str) -> dict[str, np.ndarray]:
    """All numbers of a model after two steps on a capture, and the losses of these, by name."""
    specification, options = METHODS[method]
    config = deepcopy(specification.config.pipeline)
    config.datamanager.dataparser = parser_config(layout, root)
    config.datamanager.train_num_rays_per_batch = 64
    config.model = replace(config.model, **options)
    torch.manual_seed(0)
    pipeline = config.setup(device="cpu", test_mode="val")
    optimizer = torch.optim.Adam(value for value in pipeline.parameters() if value.requires_grad)
    trainer = SimpleNamespace(config=SimpleNamespace(max_num_iterations=2))
    optimizers: Any = SimpleNamespace(optimizers={"all": optimizer})
    callbacks = pipeline.get_training_callbacks(
        TrainingCallbackAttributes(optimizers=optimizers, grad_scaler=None, pipeline=pipeline, trainer=trainer)
    )
    learned = {}
    for step in range(2):
        for callback in callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        _, losses, _ = pipeline.get_train_loss_dict(step)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        learned |= {f"{name} in step {step}": value for name, value in losses.items()}
    trains = pipeline.datamanager.train_dataset.metadata["hands"].train_frames
    for name, value in (*pipeline.model.named_parameters(), *pipeline.model.named_buffers()):
        learned[name] = value[trains] if name.rsplit(".", 1)[-1] in FRAME_TABLES else value
    return {name: value.detach().numpy() for name, value in learned.items()}


@pytest.fixture(scope="module")
def made(quick_fit, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Where a capture lies, as it was made or with one kind of what it holds out changed; each is made once."""

    @cache
    def root_of(layout: str, kind: str | None = None) -> Path:
        root = tmp_path_factory.mktemp("made") / "capture"
        if kind is None and layout == "deephandmesh":
            make_deephandmesh(root, scale=0.5)
        elif kind is None:
            LAYOUTS[layout].make(root)
        else:
            shutil.copytree(root_of(layout), root)
            LAYOUTS[layout].changes[kind](root)
        return root

    return root_of


@pytest.fixture(scope="module")
def before(made) -> Callable[..., dict[str, np.ndarray]]:
    """What training reads of each capture as it was made, or what a method learns from it; worked out once."""

    @cache
    def of(layout: str, method: str | None = None) -> dict[str, np.ndarray]:
        root = made(layout)
        return what_training_learns(layout, root, method) if method else what_training_reads(layout, root)[0]

    return of


def assert_nothing_moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    """All numbers are the same to the last bit."""
    assert before.keys() == after.keys()
    assert [name for name, value in before.items() if not is_same(value, after[name])] == []


CASES = [(layout, kind) for layout, known in LAYOUTS.items() for kind in known.changes]
LEARNT = [
    (layout, kind, method)
    for layout, kind in CASES
    for method in (METHODS if layout == "capture-room" else ("hand-uvnerf", "hand-mesh"))
]
"""What is held out in each layout, with the methods that are tried on it: all where the hand holds an object."""


@pytest.mark.parametrize(("layout", "kind"), CASES)
def test_nothing_that_training_reads_depends_on_what_is_held_out(made, before, layout: str, kind: str):
    known = before(layout)
    found, parser = what_training_reads(layout, made(layout, kind))
    assert_nothing_moved(known, found)
    # Both are there: training rows, whose crops show a hand, and rows that are held out.
    assert any(name.startswith("crop") and value.size for name, value in known.items())
    assert len(parser.get_dataparser_outputs("test").image_filenames)


@pytest.mark.parametrize(("layout", "kind", "method"), LEARNT)
def test_no_number_that_a_model_learns_depends_on_what_is_held_out(made, before, layout: str, kind: str, method: str):
    assert_nothing_moved(before(layout, method), what_training_learns(layout, made(layout, kind), method))


@pytest.mark.parametrize("layout", ["interhand", "deephandmesh"])
def test_whether_a_calibration_fits_is_looked_up_in_training_frames_alone(made, monkeypatch, layout: str):
    pictures = []

    def look(camera, shown, usual, problems):
        pictures.extend(path for _, path in shown)
        return camera

    monkeypatch.setattr("nerfstudio_hands.captures.image_tree.fixed_camera", look)
    config = parser_config(layout, made(layout))
    capture, split = read_and_split(config.data, config)
    training = {frame for frame, trains in zip(capture.frames, split.train_frames, strict=True) if trains}
    assert len(training) < len(capture.frames)
    assert sorted(pictures) == sorted(path for (frame, _), path in capture.images.items() if frame in training)


def test_annotations_are_taken_but_for_the_one_that_is_off(made):
    """What the change of held-out annotations could change is there: trusted ones, and one that is not."""
    _, parser = what_training_reads("interhand with MANO", made("interhand with MANO"))
    report = parser.record.fit.report["mano_annotations"]
    assert report["used"] == 7 and [row[:2] for row in report["refitted_outliers"]] == [[f"{ROM03}/36", "right"]]
