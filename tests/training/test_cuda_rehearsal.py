"""Trainings on CUDA, rehearsed without a GPU by `helpers.pretend_cuda`: nothing is on two devices, and the processor
waits for the GPU no oftener than is known. None of it has ever run on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import pretend_cuda
from helpers.pretend_cuda import DeviceMismatch, PretendCuda
from helpers.pretend_gsplat import pretend_gsplat
from helpers.rehearsal import PARTS, Rehearsal

from nerfstudio_hands.dataparsers.registrations import hands_data
from nerfstudio_hands.files.checkpoints import checkpoint_path
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.raster.rasterize import rasterize
from nerfstudio_hands.method_configs.hand_canonical import hand_canonical
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh, hand_mesh_neural
from nerfstudio_hands.method_configs.hand_monocular import hand_monocular
from nerfstudio_hands.method_configs.hand_object_sdf import hand_object_pose, hand_object_sdf
from nerfstudio_hands.method_configs.hand_sdf import hand_sdf
from nerfstudio_hands.method_configs.hand_splat import hand_splat
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.training.trainer import HandTrainerConfig

pytestmark = pytest.mark.skipif(not pretend_cuda.AVAILABLE, reason="this torch has no backends in Python")

METHODS = {
    spec.config.method_name: spec.config
    for spec in (
        *(hand_uvnerf, hand_canonical, hand_mesh, hand_mesh_neural, hand_sdf, hand_splat),
        *(hand_monocular, hand_object_pose, hand_object_sdf),
    )
}
LENGTH = 100
"""Steps of a training, of which the first and the last are gone."""

MESH: dict[str, Any] = {"subdivisions": 1, "texture_size": 32, "displace_from": 0.0}
REFINED = {"refine_poses": True, "refine_cameras": True}
SMALL_HEADS = {"cells": 8, "hidden_dim": 16, "num_layers": 2}

CASES: dict[str, tuple[str, dict[str, Any], tuple[int, int, int, int]]] = {
    "hand-uvnerf": ("hand-uvnerf", {}, (15, 1, 4, 0)),
    "hand-uvnerf, refined": ("hand-uvnerf", REFINED, (15, 10, 4, 1)),
    "hand-canonical": ("hand-canonical", {}, (15, 1, 4, 0)),
    "hand-canonical, volume": ("hand-canonical", {"skinning": "volume", "volume_resolution": 12}, (15, 2, 4, 0)),
    "hand-mesh": ("hand-mesh", MESH, (15, 34, 4, 0)),
    "hand-mesh-neural": ("hand-mesh-neural", MESH, (15, 34, 4, 0)),
    "hand-sdf": ("hand-sdf", {"subdivisions": 1}, (15, 2, 4, 0)),
    "hand-splat": ("hand-splat", {"splats_per_hand": 500}, (15, 2, 4, 0)),
    "hand-monocular": ("hand-monocular", {"rendered": 1}, (22, 5, 49, 1)),
    "hand-object-pose": ("hand-object-pose", {"cells": 8}, (25, 5, 3, 0)),
    "hand-object-sdf": ("hand-object-sdf", {**SMALL_HEADS, "mean_hand": False}, (28, 4, 1, 0)),
    # The mean hand's hierarchy follows the bones of every batch.
    "hand-object-sdf, mean hand": ("hand-object-sdf", SMALL_HEADS, (28, 7, 1, 0)),
}
"""Method, options of its model, and how often each of the `PARTS` of a step waits for the GPU at most: lower these as
waits are removed, never raise them."""


@pytest.fixture(autouse=True)
def true_fits(true_fit_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(true_fit_cache))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pose_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoint of a `hand-object-pose` that has learned nothing lies."""
    folder = tmp_path_factory.mktemp("poses")
    pipeline = tiny("hand-object-pose", CASES["hand-object-pose"][1], folder, folder).pipeline
    made = pipeline.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    torch.save({"step": 0, "pipeline": made.state_dict()}, folder / "step-000000000.ckpt")
    assert checkpoint_path(folder)
    return folder


def tiny(method: str, options: dict[str, Any], capture: Path, pose_run: Path) -> HandTrainerConfig:
    """A training of the method that is as small as it gets."""
    config = deepcopy(METHODS[method])
    if method == "hand-object-sdf":
        options = {**options, "pose_run": pose_run}
    config.pipeline.model = replace(config.pipeline.model, **options)
    config.max_num_iterations = LENGTH
    data: Any = config.pipeline.datamanager
    if hasattr(data, "batch_size"):
        data.batch_size, data.workers, data.size = 2, 0, 64
        data.dataparser = replace(data.dataparser, drawn=4, drawn_size=48, drawn_people=1, max_eval_images=1)
        if getattr(data, "points", 0):
            data.points = 32
    else:
        config.data = data.data = capture
        data.dataparser = replace(hands_data.config, data=capture, resolution_scale=0.25)
        data.train_num_rays_per_batch = 64
    return config


@pytest.mark.parametrize("case", CASES)
def test_a_step_waits_no_oftener_than_is_known(case: str, demo_capture: Path, pose_run: Path) -> None:
    method, options, known = CASES[case]
    with PretendCuda():
        run = Rehearsal(tiny(method, options, demo_capture, pose_run))
        run.step(0)
        # By then all that schedules let in is there.
        _, found = run.step(LENGTH - 1)
    lines = [f"{part}: {number} {line}" for part in PARTS for line, number in found[part].most_common()]
    counts = tuple(found[part].total() for part in PARTS)
    assert all(count <= most for count, most in zip(counts, known, strict=True)), "\n".join([str(counts), *lines])


@pytest.mark.parametrize("method", ["hand-uvnerf", "hand-canonical", "hand-mesh", "hand-sdf", "hand-splat"])
def test_images_and_copies_are_on_one_device(method: str, demo_capture: Path) -> None:
    with PretendCuda():
        run = Rehearsal(tiny(method, CASES[method][1], demo_capture, demo_capture))
        run.step(LENGTH - 1)
        pipeline = run.pipeline.eval()
        model = pipeline.model
        camera = deepcopy(pipeline.datamanager.next_eval_image(0)[0])
        camera.rescale_output_resolution(0.1)
        camera.metadata = None

        def picture(shown: Any, device: str) -> torch.Tensor:
            return shown.to(device).get_outputs_for_camera(camera.to(device))["rgb"].cpu()

        pose = model.hands.pose_of(model.hands.train_frames[:1])
        pose.local_rotations = pose.local_rotations + 0.02
        first = picture(model, "cuda")
        model.hands.set_free_pose(pose)
        bent = picture(model, "cuda")
        model.hands.set_free_pose(pose.to("cpu"))
        assert torch.equal(picture(model, "cuda"), bent)
        model.hands.set_free_pose(None)
        assert torch.allclose(picture(deepcopy(model), "cuda"), first, atol=1e-3)
        on_cpu = picture(model, "cpu")
        again = picture(model, "cuda")
    assert (first > 0).any() and not torch.equal(first, bent)
    assert (on_cpu - first).abs().mean() < 1e-3 and torch.allclose(again, first, atol=1e-3)


def test_faces_are_drawn_on_the_cpu_alone() -> None:
    with PretendCuda():
        vertices = torch.tensor([[[0.0, 0, 1], [1, 0, 1], [0, 1, 1]]], device="cuda")
        surfaces = Surfaces(torch.tensor([[0, 1, 2]], device="cuda"), vertices)
        camera = torch.eye(3, device="cuda"), torch.eye(4, device="cuda"), 4, 4
        assert (rasterize(surfaces, *camera).face >= 0).any()
        with pytest.raises(ValueError, match="backend scan: expected tensors on the CPU, found them on CUDA"):
            rasterize(surfaces, *camera, backend="scan")


@pytest.mark.parametrize("method", ["hand-uvnerf", "hand-splat", "hand-mesh"])
def test_losses_are_those_of_the_cpu(method: str, demo_capture: Path) -> None:
    """What is rehearsed is the training itself; kernels of GPUs and solvers for them add in another order."""
    found = []
    for rehearsed in (False, True):
        config = tiny(method, CASES[method][1], demo_capture, demo_capture)
        torch.manual_seed(0)
        with PretendCuda() if rehearsed else contextlib.nullcontext():
            run = Rehearsal(config, "cuda:0" if rehearsed else "cpu")
            torch.manual_seed(1)
            losses = [run.step(number)[0] for number in range(2)]
        found.append({f"{n} {name}": float(loss) for n, step in enumerate(losses) for name, loss in step.items()})
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-7)


def test_gsplat_draws_on_the_device_alone(demo_capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gsplat's Python functions as they are; for what it compiles for CUDA, torch stands in."""
    pretend_gsplat(monkeypatch)
    found = []
    for rasterizer in ("warp", "gsplat"):
        config = tiny("hand-splat", {"splats_per_hand": 200, "rasterizer": rasterizer}, demo_capture, demo_capture)
        torch.manual_seed(0)
        with PretendCuda():
            run = Rehearsal(config)
            torch.manual_seed(1)
            found.append({name: float(loss) for n in range(2) for name, loss in run.step(n)[0].items()})
    assert found[1] == pytest.approx(found[0], rel=1e-2)


def test_what_cuda_refuses_is_refused() -> None:
    with PretendCuda():
        on_gpu = torch.zeros(3, device="cuda")
        for wrong in (
            lambda: on_gpu @ torch.zeros(3),
            lambda: on_gpu.numpy(),
            lambda: torch.zeros(3)[torch.zeros(1, dtype=torch.long, device="cuda")],
            lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
            lambda: Surfaces(torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 3).cuda()).closest(torch.zeros(2, 3)),
        ):
            with pytest.raises(DeviceMismatch):
                wrong()
        assert (on_gpu + torch.tensor(1.0)).device.type == "cuda"


def test_waits_are_counted() -> None:
    with PretendCuda():
        values = torch.arange(4.0, device="cuda", requires_grad=True)
        pretend_cuda.waits.clear()
        (values * 2).sum().backward()
        assert not pretend_cuda.waits
        values[values > 1], values.sum().item(), values.tolist(), values.cpu(), torch.ones(2).cuda()
        kinds = [line.split("[")[1] for line in pretend_cuda.waits]
    assert kinds == ["boolean index]", "item]", "tolist]", "copy to the CPU]", "copy to the GPU]"]
