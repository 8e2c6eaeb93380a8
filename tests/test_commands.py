"""nerfstudio's commands on a run of ours, from the written config and checkpoint."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
import torch
import yaml
from helpers.forked import start_command
from helpers.in_process import ns_train
from nerfstudio.pipelines.base_pipeline import Pipeline
from nerfstudio.scripts import exporter, render
from nerfstudio.scripts.eval import ComputePSNR
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image
from scipy.spatial import KDTree
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from nerfstudio_hands.model_components import registered_cameras


@cache
def loaded(config: Path) -> Pipeline:
    """A trained run, as nerfstudio's commands load it."""
    return eval_setup(config, test_mode="test")[1]


@pytest.fixture(scope="module")
def camera_path(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera path of three pictures, as the viewer writes it, through the held-out cameras' places."""
    poses = loaded(tiny_run).datamanager.eval_dataset.cameras.camera_to_worlds
    frames = []
    for blend in (0.0, 0.5, 1.0):
        matrix = torch.eye(4)
        matrix[:3] = poses[0] + blend * 0.02
        frames.append({"camera_to_world": matrix.flatten().tolist(), "fov": 30.0, "aspect": 1.0})
    path = tmp_path_factory.mktemp("path") / "camera_path.json"
    path.write_text(
        json.dumps(
            {
                "camera_type": "perspective",
                "render_height": 48,
                "render_width": 48,
                "fps": 3,
                "seconds": 1,
                "camera_path": frames,
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def tiny_sdf(demo_capture: Path, kept_true_fit: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.yml of a run of `ns-train hand-sdf` that saw a few small batches."""
    output = tmp_path_factory.mktemp("runs")
    ns_train(
        "hand-sdf", "--data", demo_capture, "--output-dir", output, "--experiment-name", "tiny", "--timestamp", "run",
        "--max-num-iterations", "20", "--vis", "tensorboard",
        "--pipeline.datamanager.train-num-rays-per-batch", "256", "--pipeline.model.subdivisions", "0",
        "hands-data", "--resolution-scale", "0.25",
    )  # fmt: skip
    return output / "tiny" / "hand-sdf" / "run" / "config.yml"


def test_anybody_recomputes_the_figures_of_ns_eval(tiny_run: Path, repository: Path, tmp_path: Path, monkeypatch):
    # Cameras are turned by small pictures; how well is asserted elsewhere.
    monkeypatch.setattr(registered_cameras, "LONGEST_HAND", 24)
    ComputePSNR(load_config=tiny_run, output_path=tmp_path / "m.json", render_output_path=tmp_path / "pictures").main()
    results = json.loads((tmp_path / "m.json").read_text())["results"]
    for key in (
        "psnr", "ssim", "hand_psnr", "hand_ssim", "hand_psnr_calibrated", "mask_iou", "hand_coverage",
        "hand_psnr_registered", "mask_iou_registered",
    ):  # fmt: skip
        assert np.isfinite(results[key]), key
    # The fitted surface alone, without any learning, shows a hand in the right place.
    assert results["mask_iou"] > 0.7
    # Evaluation has the pictures' own size, and says what the training's would give.
    assert results["image_width"] == results["image_height"] == 256 and np.isfinite(results["reduced_hand_psnr"])
    pictures = tmp_path / "pictures"
    figures = runpy.run_path(str(repository / "examples" / "recompute_figures.py"))["figures"]
    found = [
        (entry["figures"], figures(np.load(pictures / entry["pixels"])))
        for entry in json.loads((pictures / "figures.json").read_text())
    ]
    assert len(found) == 2
    for said, again in found:
        assert len(again) == 10
        # Decibels to a hundredth, shares and similarities to a thousandth.
        assert all(abs(said[key] - again[key]) < (0.01 if "psnr" in key else 0.001) for key in again)
    for key in found[0][1]:
        assert np.mean([again[key] for _, again in found]) == pytest.approx(results[key], abs=0.01)


def test_held_out_cameras_are_not_trained(tiny_run: Path):
    pipeline = loaded(tiny_run)
    data = pipeline.datamanager
    names = [set(map(str, d.image_filenames)) for d in (data.train_dataset, data.eval_dataset)]
    assert names[1] and not names[0] & names[1]
    trained = pipeline.model.cameras.seen.nonzero().flatten().tolist()
    held_out = data.eval_dataset.cameras.metadata["camera_index"].flatten().tolist()
    assert trained and not set(trained) & set(held_out)


def test_resume_goes_on_from_the_last_checkpoint(tiny_run: Path, tmp_path: Path):
    checkpoints = tiny_run.parent / "nerfstudio_models"
    assert [p.name for p in checkpoints.iterdir()] == ["step-000000029.ckpt"]
    config = yaml.load(tiny_run.read_text(), Loader=yaml.Loader)
    config.load_dir, config.output_dir, config.max_num_iterations = checkpoints, tmp_path, 35
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    before = trainer.pipeline.model.cameras.gain.clone()
    kept = torch.load(checkpoints / "step-000000029.ckpt", map_location="cpu", weights_only=True)["schedulers"]
    # The schedule goes on as well.
    assert trainer.optimizers.schedulers["fields"].last_epoch == kept["fields"]["last_epoch"] == 30
    trainer.train()
    assert trainer.step == 34
    assert not torch.equal(before, trainer.pipeline.model.cameras.gain)


def test_a_killed_training_leaves_a_whole_checkpoint(tiny_run: Path, tmp_path: Path):
    config = yaml.load(tiny_run.read_text(), Loader=yaml.Loader)
    data = config.pipeline.datamanager.data
    process = start_command(
        "ns-train", "hand-uvnerf", "--data", data, "--output-dir", tmp_path, "--experiment-name", "tiny",
        "--timestamp", "run", "--steps-per-save", "5", "--vis", "tensorboard",
        "--pipeline.datamanager.train-num-rays-per-batch", "64", "hands-data", "--resolution-scale", "0.5",
        log=tmp_path / "log",
    )  # fmt: skip
    checkpoints = tmp_path / "tiny" / "hand-uvnerf" / "run" / "nerfstudio_models"
    deadline = time.monotonic() + 600  # of a machine that is busy with other things
    while not list(checkpoints.glob("step-*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.join()
    newest = sorted(checkpoints.glob("step-*.ckpt"))[-1]
    assert torch.load(newest, map_location="cpu", weights_only=True)["step"] >= 5


@pytest.mark.parametrize("name", ["pointcloud", "poisson", "tsdf", "cameras"])
@pytest.mark.parametrize("which", ["tiny_run", "tiny_sdf"])
def test_exporters(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, name: str
):
    run = request.getfixturevalue(which)
    options = {"load_config": run, "output_dir": tmp_path}
    if name == "cameras":
        exporter.ExportCameraPoses(**options).main()
        poses = json.loads((tmp_path / "transforms_train.json").read_text())
        assert len(poses) > 3 and len(poses[0]["transform"]) == 3
        return
    if name == "tsdf":
        exporter.ExportTSDFMesh(**options, use_bounding_box=False, resolution=[64] * 3, texture_method="tsdf").main()
        written = tmp_path / "tsdf_mesh.ply"
    elif name == "poisson":
        # Cells of a 64th of the hand suit 4000 points; those of a 512th, as nerfstudio has them, take half a minute.
        # One thread: with several Open3D ends in a segmentation fault at times, on a loaded machine more often.
        poisson = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson
        coarser = staticmethod(lambda cloud, depth: poisson(cloud, depth=6, n_threads=1))
        monkeypatch.setattr(o3d.geometry.TriangleMesh, "create_from_point_cloud_poisson", coarser)
        exporter.ExportPoissonMesh(
            **options, use_bounding_box=False, num_points=4000, num_rays_per_batch=2048, texture_method="point_cloud"
        ).main()
        written = tmp_path / "poisson_mesh.ply"
    else:
        exporter.ExportPointCloud(**options, num_points=4000, num_rays_per_batch=2048).main()
        written = tmp_path / "point_cloud.ply"
    points = np.asarray(o3d.io.read_point_cloud(str(written)).points)
    hands = loaded(run).model.hands
    posed = hands.vertices(hands.pose_of(torch.tensor([0])))[0].detach().numpy()
    # What was exported lies on the hand: nearly all of it within the shell and a voxel of a vertex.
    nearest, _ = KDTree(posed).query(points[::7])
    assert len(points) > 500
    assert np.quantile(nearest, 0.9) < 0.012


@pytest.mark.parametrize("kind", ["camera-path", "interpolate", "spiral", "dataset"])
def test_renders(tiny_run: Path, camera_path: Path, tmp_path: Path, kind: str):
    options = {"load_config": tiny_run, "output_path": tmp_path / "pictures", "image_format": "png"}
    if kind == "camera-path":
        render.RenderCameraPath(**options, camera_path_filename=camera_path, output_format="images").main()
    elif kind == "interpolate":
        render.RenderInterpolated(
            **options, pose_source="eval", interpolation_steps=2, output_format="images", downscale_factor=2
        ).main()
    elif kind == "spiral":
        render.SpiralRender(
            **options, seconds=1, frame_rate=3, radius=0.05, output_format="images", downscale_factor=2
        ).main()
    else:
        render.DatasetRender(**options, split="test", rendered_output_names=["rgb", "depth"]).main()
        assert len(list((tmp_path / "pictures" / "test" / "depth").glob("*.png"))) == 2
    pictures = [
        np.asarray(Image.open(path))
        for path in sorted((tmp_path / "pictures").rglob("*.png"))
        if path.parent.name != "depth"
    ]
    assert len(pictures) >= 2
    # A hand and its background, not an empty or a full frame.
    assert all(0.005 < (picture.max(-1) > 20).mean() < 0.7 for picture in pictures)


@pytest.mark.parametrize(
    "command",
    [["ns-viewer", "--viewer.websocket-port"], ["ns-hands", "view", "--port"]],
    ids=["ns-viewer", "ns-hands view"],
)
def test_viewer_serves_the_run(tiny_run: Path, tmp_path: Path, command: list[str]):
    """To its own page, and to no other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    process = start_command(*command, str(port), "--load-config", tiny_run, log=log)
    try:
        deadline = time.monotonic() + 600
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.is_alive(), log.read_text()[-2000:]
            assert time.monotonic() < deadline, "the viewer did not open its port within 600 s"
            time.sleep(0.5)
        with connect(f"ws://127.0.0.1:{port}", origin=f"http://127.0.0.1:{port}", open_timeout=300) as page:
            assert len(page.recv(timeout=300)) > 0
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{port}", origin="https://evil.example", open_timeout=300).__enter__()
    finally:
        process.kill()
        process.join()


def test_the_command_line_does_not_wait_for_torch():
    code = "import sys, nerfstudio_hands.cli.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
