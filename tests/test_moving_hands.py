"""All methods from end to end on a synthetic capture in InterHand2.6M's layout: two hands that interact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from helpers.grainy import dim_avatars, grainy
from helpers.held_out_fits import end_early
from helpers.in_process import ns_train
from nerfstudio.pipelines.base_pipeline import Pipeline
from nerfstudio.scripts import exporter, render
from nerfstudio.scripts.eval import ComputePSNR
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image
from scipy.spatial import KDTree

from nerfstudio_hands.cli.export import export
from nerfstudio_hands.model_components import registered_cameras
from nerfstudio_hands.synthesis.interhand import synthesize_interhand
from nerfstudio_hands.synthesis.options import InterHandOptions

METHODS = {
    "hand-uvnerf": ["hand-uvnerf", "--pipeline.model.refine-poses", "True"],
    "nearest": ["hand-canonical"],
    "volume": ["hand-canonical", "--pipeline.model.skinning", "volume"],
    "hand-sdf": ["hand-sdf", "--pipeline.model.subdivisions", "0", "--pipeline.model.refine-poses", "True"],
    "hand-mesh": ["hand-mesh", "--pipeline.model.subdivisions", "1", "--pipeline.model.refine-poses", "True"],
    "hand-mesh-neural": ["hand-mesh-neural", "--pipeline.model.subdivisions", "1", "--pipeline.model.shader", "unet"],
}

EXPORTED = [name for name in METHODS if name != "volume"]
"""Skinning by a volume is that of rays: files are made of the same surface without it."""

VOXEL = 5.0
"""Millimetres; wide enough for a sequence of meshes of a signed distance to be quick."""


@pytest.fixture(scope="module", autouse=True)
def few_directions() -> Iterator[None]:
    with dim_avatars():
        yield


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cameras, four frames, the fingertips of both hands near each other."""
    options = InterHandOptions(
        num_cameras=3, frames=4, sequences=("ROM09_Interaction_Fingers_Touching",), supersampling=1, subdivisions=2
    )
    with grainy():
        return synthesize_interhand(tmp_path_factory.mktemp("moving") / "hands", options)


@pytest.fixture(scope="module", params=list(METHODS))
def run(request: pytest.FixtureRequest, capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.yml of a short training."""
    output = tmp_path_factory.mktemp("runs")
    method = METHODS[request.param]
    with pytest.MonkeyPatch.context() as monkeypatch:
        # A fit on which the assertions hold as well; its accuracy is asserted of captures with known skin.
        end_early(monkeypatch)
        ns_train(
            *method, "--data", capture, "--output-dir", output, "--experiment-name", "moving", "--timestamp", "run",
            "--max-num-iterations", "5", "--vis", "tensorboard",
            "--pipeline.datamanager.train-num-rays-per-batch", "256", "interhand-data", "--resolution-scale", "0.5",
            "--eval-resolution", "96",
            "--eval-cameras", camera_names(capture)[-1], "--eval-frame-fraction", "0.25", "--max-eval-images", "1",
        )  # fmt: skip
    return output / "moving" / method[0] / "run" / "config.yml"


@pytest.fixture(scope="module")
def pipeline(run: Path) -> Pipeline:
    """The trained run, as nerfstudio's commands load it."""
    return eval_setup(run, test_mode="test")[1]


def camera_names(capture: Path) -> list[str]:
    """Names of the cameras, as the files have them."""
    annotations = json.loads((capture / "annotations" / "test" / "InterHand2.6M_test_camera.json").read_text())
    return sorted(annotations["0"]["campos"])


def test_new_views_new_poses_and_both_are_evaluated_apart(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Cameras are turned by small pictures; how well is asserted elsewhere.
    monkeypatch.setattr(registered_cameras, "LONGEST_HAND", 24)
    ComputePSNR(load_config=run, output_path=tmp_path / "m.json", render_output_path=tmp_path / "pictures").main()
    results = json.loads((tmp_path / "m.json").read_text())["results"]
    for protocol in ("view", "pose", "both"):
        assert np.isfinite(results[f"{protocol}/hand_psnr"])
        # Two hands in the right place: the fitted surface alone does that.
        assert results[f"{protocol}/mask_iou"] > 0.75
        # Small pictures have few pixels off a hand's edge: these say more there.
        assert results[f"{protocol}/inner_mask_iou"] > 0.8
        assert len(list((tmp_path / "pictures").glob(f"eval_{protocol}_img_*.png"))) == 1


def test_the_path_of_a_camera_plays_the_frames(run: Path, pipeline: Pipeline, tmp_path: Path):
    matrix = torch.eye(4)
    matrix[:3] = pipeline.datamanager.train_dataset.cameras.camera_to_worlds[0]
    cameras = [
        {"camera_to_world": matrix.flatten().tolist(), "fov": 30.0, "aspect": 0.65, "render_time": time}
        for time in (0.0, 0.5, 1.0)
    ]
    path = tmp_path / "path.json"
    path.write_text(
        json.dumps(
            {
                "camera_type": "perspective", "render_height": 96, "render_width": 62, "fps": 3, "seconds": 1,
                "camera_path": cameras,
            }
        )
    )  # fmt: skip
    render.RenderCameraPath(
        load_config=run, output_path=tmp_path / "p", camera_path_filename=path, image_format="png",
        output_format="images",
    ).main()  # fmt: skip
    pictures = [np.asarray(Image.open(file)).astype(int) for file in sorted((tmp_path / "p").glob("*.png"))]
    assert len(pictures) == 3 and all((picture.max(-1) > 20).mean() > 0.01 for picture in pictures)
    assert (abs(pictures[0] - pictures[2]).max(-1) > 24).mean() > 0.01


@pytest.mark.parametrize("run", EXPORTED, indirect=True)
def test_both_hands_are_exported(run: Path, pipeline: Pipeline, tmp_path: Path):
    export(run, tmp_path, frame=2, format=("ply",), texture_size=128, voxel=VOXEL)
    (file,) = tmp_path.glob("*.ply")
    mesh = trimesh.load(file)
    parts = [part for part in mesh.split(only_watertight=False) if len(part.faces) > 500]
    assert len(parts) == 2
    assert mesh.visual.vertex_colors[:, :3].mean() > 20

    exporter.ExportPointCloud(load_config=run, output_dir=tmp_path, num_points=2000, num_rays_per_batch=1024).main()
    points = trimesh.load(tmp_path / "point_cloud.ply").vertices
    hands = pipeline.model.hands
    posed = hands.vertices(hands.pose_of(torch.tensor([0])))[0].detach().numpy()
    # One pose, that of the first frame, and not a mixture of all.
    nearest, _ = KDTree(posed).query(points[::7])
    assert len(points) > 500 and np.quantile(nearest, 0.9) < 0.012


@pytest.mark.parametrize("run", EXPORTED, indirect=True)
def test_rigs_sequences_and_the_flat_pose_are_exported(run: Path, pipeline: Pipeline, tmp_path: Path):
    export(run, tmp_path, format=("glb",), rest=True, rigged=True, sequence="ply", texture_size=64, voxel=VOXEL)
    rig = trimesh.load(tmp_path / "rigged.glb")
    assert len(rig.geometry) == 2
    for part in rig.geometry.values():
        # Only a mesh knows more of the surface than its rig.
        assert (part.visual.material.normalTexture is not None) == ("hand-mesh" in str(run))
    moments = [trimesh.load(file).bounds for file in sorted((tmp_path / "sequence").glob("*.ply"))]
    assert len(moments) == 4 and np.abs(moments[0] - moments[2]).max() > 0.005
    flat = trimesh.load(tmp_path / "hands.glb").to_mesh().vertices
    canonical = pipeline.model.hands.surface.canonical.numpy()
    assert np.abs(np.ptp(flat, axis=0) - np.ptp(canonical, axis=0)).max() < 0.03
