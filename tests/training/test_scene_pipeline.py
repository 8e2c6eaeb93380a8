"""Methods that see a hand and what it holds, from training to surfaces, as small as they get."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh
from helpers.in_process import ns_hands, ns_train
from helpers.run_files import weights
from nerfstudio.scripts.render import DatasetRender
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.datamanagers.scene_batches import SceneBatches
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetwork
from nerfstudio_hands.export import seen_surface
from nerfstudio_hands.model_components.scene_network_file import SHIPPED, load_scene_predictor
from nerfstudio_hands.synthesis.grasp_images import SyntheticGrasps, SyntheticGraspsOptions

STEPS = 4
PEOPLE = ("hand-object-data", "--drawn", "24", "--drawn-size", "64", "--drawn-people", "1", "--shown", "2")
TINY = (
    *("--machine.device-type", "cpu", "--vis", "tensorboard", "--steps-per-save", "2"),
    *("--pipeline.datamanager.batch-size", "2", "--pipeline.datamanager.size", "64"),
    *("--pipeline.datamanager.workers", "0", "--pipeline.model.cells", "8"),
    *(f"--optimizers.{group}.scheduler.max-steps={STEPS}" for group in ("encoder", "heads", "distances")),
)
SMALL_HEADS = (
    *("--pipeline.model.hidden-dim", "16", "--pipeline.model.num-layers", "2", "--pipeline.model.voxel", "0.02"),
    *("--pipeline.surface-samples", "500"),
)


def train(method: str, folder: Path, name: str, steps: int, *options: str | Path, data: tuple[str, ...] = ()) -> Path:
    """A training's config.yml."""
    ns_train(
        *(method, "--output-dir", folder, "--experiment-name", name, "--timestamp", "run"),
        *("--max-num-iterations", steps, *TINY, *options, *PEOPLE, "--max-eval-images", "2", *data),
    )
    return folder / name / method / "run" / "config.yml"


@pytest.fixture(scope="module")
def pose_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("hand-object-pose", tmp_path_factory.mktemp("poses"), "pose", 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pose_run: Path) -> Path:
    return train("hand-object-sdf", tmp_path_factory.mktemp("runs"), "whole", STEPS, *_with_poses(pose_run))


def ball(self: DistanceNetwork, seen, skeleton, points):
    """Distances from a ball round the wrist."""
    return (points - skeleton.joints[:, :1]).norm(dim=-1) - 0.04


def _with_poses(pose_run: Path) -> tuple[str | Path, ...]:
    points = ("--pipeline.datamanager.points", "32")
    return "--pipeline.model.pose-run", pose_run.parent / "nerfstudio_models", *SMALL_HEADS, *points


def test_a_training_that_is_gone_on_from_ends_where_an_uninterrupted_one_does(
    run: Path, pose_run: Path, tmp_path: Path
):
    half = train("hand-object-sdf", tmp_path, "half", 2, *_with_poses(pose_run))
    load = ("--load-dir", half.parent / "nerfstudio_models")
    rest = train("hand-object-sdf", tmp_path, "rest", STEPS, *_with_poses(pose_run), *load)
    whole, resumed, before = weights(run), weights(rest), weights(half)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6)
    assert not torch.equal(
        before["_model.network.distance.image.weight"], whole["_model.network.distance.image.weight"]
    )


def test_the_pose_network_is_kept_as_it_was_trained(run: Path, pose_run: Path):
    poses, kept = weights(pose_run), weights(run)
    for name, value in poses.items():
        if name.startswith("_model.network."):
            assert torch.equal(kept[name.replace("_model.network.", "_model.network.pose.")], value)


def test_surfaces_are_judged_written_and_drawn(run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ns-eval", "--load-config", str(run)])
    _, pipeline, _, _ = eval_setup(run, test_mode="test")
    # A network that has learned nothing says a ball round the hand's middle, and a nearly whole cube.
    network, rest = pipeline.model.network.distance, pipeline.model.network.rest
    middle = rest[9] - rest[0]

    def round_middle(seen, skeleton, points):
        return (points - skeleton.joints[:, :1] - middle).norm(dim=-1) - 0.05

    monkeypatch.setattr(network, "hand_distances", round_middle)
    monkeypatch.setattr(network, "object_distances", lambda *seen: round_middle(*seen) + 1)
    figures = pipeline.get_average_eval_image_metrics(output_path=tmp_path)
    json.dumps(figures)
    assert figures["missing_object"] == 2 and figures["missing_hand"] == 0
    # Where its middle is says a network of two steps.
    assert 0 < figures["f_hand_5mm_icp"] < 1 and figures["e_h_cm"] > 0 and figures["e_o_cm"] > 0
    assert len(list((tmp_path / "meshes").glob("*_hand.ply"))) == 2
    assert len(list(tmp_path.glob("img_*.png"))) == 2
    for path in (tmp_path / "sides").iterdir():
        # A ball was found, from both sides, and looks like neither side of the truth.
        _, right, behind, true_right, true_behind = np.split(np.asarray(Image.open(path), float), 5, axis=1)
        covered = [(view.min(-1) < 230).mean() for view in (right, behind, true_right, true_behind)]
        assert 0.6 < covered[0] < 0.75 and covered[0] == pytest.approx(covered[1], rel=0.05)
        assert all(0.05 < share < 0.6 for share in covered[2:]) and np.abs(true_right - true_behind).mean() > 5
    outputs = pipeline.model.get_outputs_for_camera(pipeline.datamanager.eval_dataset.cameras[0:1])
    assert outputs["rgb"].shape == (224, 224, 3) and outputs["accumulation"].max() == 1


def test_surfaces_can_be_shown_without_what_the_picture_says(run: Path, monkeypatch):
    """A head that says a larger ball where it sees nothing of a picture."""
    monkeypatch.setattr("sys.argv", ["ns-viewer", "--load-config", str(run)])
    model = eval_setup(run, test_mode="val")[1].model

    def by_sight(seen, skeleton, points):
        return ball(model.network.distance, seen, skeleton, points) - 0.03 * (seen.maps is None)

    monkeypatch.setattr(model.network.distance, "hand_distances", by_sight)
    monkeypatch.setattr(model.network.distance, "object_distances", lambda *seen: ball(None, *seen) + 1)
    _, prediction = model._of(0, "train")
    intrinsics, shown = torch.tensor([[64.0, 0, 32], [0, 64, 32], [0, 0, 1]]), {}
    for known in model.sight_control.options:
        model.sight_control.value = known
        drawn = model.draw(prediction, intrinsics, torch.eye(4), 64, 64)
        shown[known] = float(drawn["accumulation"].sum())
    assert shown["bones alone"] > 2 * shown["picture and bones"] > 0


def test_ns_render_draws_the_images_of_every_split(run: Path, tmp_path: Path, monkeypatch):
    """Rows and places of splits are the same ones; pictures are not."""
    monkeypatch.setattr("sys.argv", ["ns-render", "dataset", "--load-config", str(run)])
    monkeypatch.setattr(DistanceNetwork, "hand_distances", ball)
    monkeypatch.setattr(DistanceNetwork, "object_distances", ball)
    for split in ("train+test", "val"):
        DatasetRender(run, image_format="png", output_path=tmp_path, split=split).main()
    shown, splits = {}, ("train", "val", "test")
    for split in splits:
        folders = {path.name: sorted(path.glob("*.png")) for path in (tmp_path / split).iterdir()}
        assert folders.keys() == {"gt-rgb", "rgb", "overlay", "picture", "accumulation", "depth"}
        assert [path.name for path in folders["rgb"]] == [path.name for path in folders["gt-rgb"]]
        assert len(folders["rgb"]) == 2
        # What the network saw, which is smaller, is the picture of that place.
        for name in ("gt-rgb", "picture"):
            shown[split, name] = np.stack([np.asarray(Image.open(path), float) for path in folders[name]])
    for split in splits:
        off = {other: np.abs(shown[split, "gt-rgb"] - shown[other, "picture"]).mean() for other in splits}
        assert min(off, key=off.__getitem__) == split and off[split] < 6


def test_joints_and_centers_are_judged(pose_run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ns-eval", "--load-config", str(pose_run)])
    _, pipeline, _, _ = eval_setup(pose_run, test_mode="test")
    figures = pipeline.get_average_eval_image_metrics(output_path=tmp_path)
    assert {"e_h_cm", "e_o_cm"} <= figures.keys() and all(np.isfinite(value) for value in figures.values())
    predicted = np.load(tmp_path / "predictions.npz")
    assert predicted["center"].shape == (2, 1, 3)
    # Left hands, which the network sees mirrored, are left hands in the result file.
    side = np.where(predicted["is_mirrored"], -1, 1)[:, None, None] * [[[1, 0, 0]]] + [[[0, 1, 1]]]
    sent = np.loadtxt(tmp_path / "dexycb.txt", delimiter=",")
    assert sent[:, 0].tolist() == predicted["rows"].tolist()
    assert np.allclose(sent[:, 1:].reshape(-1, 21, 3), 1000 * side * predicted["joints"], atol=1e-3)
    given = figures["e_h_cm"]
    pipeline.model.config.wrist = "predicted"
    assert pipeline.get_average_eval_image_metrics()["e_h_cm"] != given


def test_clips_are_looked_at_together(pose_run: Path, tmp_path: Path):
    clip = ("--pipeline.datamanager.clip", "2", "--pipeline.model.clip-depth", "1")
    config = train(
        "hand-object-sdf-video", tmp_path, "clip", 1, *_with_poses(pose_run), *clip, data=("--drawn-frames", "4")
    )
    assert "_model.network.distance.clip.position" in weights(config)


def test_heads_learn_without_images_and_others_begin_with_them(pose_run: Path, tmp_path: Path):
    blind = ("--pipeline.model.skeleton", "truth", "--pipeline.model.image", "none", "--pipeline.datamanager.sees")
    heads = train("hand-object-sdf", tmp_path, "heads", 1, *_with_poses(pose_run), *blind, "False")
    begun = ("--pipeline.model.heads-run", heads.parent / "nerfstudio_models")
    still = (f"--optimizers.{group}.optimizer.lr=1e-12" for group in ("encoder", "heads", "distances"))
    config = train("hand-object-sdf", tmp_path, "begun", 1, *_with_poses(pose_run), *begun, *still)
    found, learned, poses = weights(config), weights(heads), weights(pose_run)
    name = "_model.network.distance.hand.layers.1.parametrizations.weight.original1"
    torch.testing.assert_close(found[name], learned[name], atol=1e-6, rtol=0)
    # They go on from where they were: without a picture.
    assert found["_model.network.distance.image.weight"].abs().max() < 1e-6
    # What sees begins as the pose network sees, also the object's center, the last of its volumes.
    stem = "encoder.features.conv_stem.weight"
    torch.testing.assert_close(
        found[f"_model.network.distance.{stem}"], poses[f"_model.network.{stem}"], atol=1e-6, rtol=0
    )
    center, volumes = found["_model.network.distance.center.bias"], poses["_model.network.volumes.bias"]
    torch.testing.assert_close(center, volumes[-len(center) :], atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", ["hand-object-grasping-field", "hand-object-alignsdf"])
def test_baselines_are_the_same_code(method: str, pose_run: Path, tmp_path: Path):
    assert train(method, tmp_path, "baseline", 1, *_with_poses(pose_run)).is_file()


def test_without_a_pose_network_it_does_not_begin(tmp_path: Path):
    with pytest.raises(SystemExit, match="pose-run: expected the nerfstudio_models folder.*found none"):
        train("hand-object-sdf", tmp_path, "none", 1, *SMALL_HEADS)
    with pytest.raises(SystemExit, match="expected checkpoints named step"):
        train("hand-object-sdf", tmp_path, "none", 1, *SMALL_HEADS, "--pipeline.model.pose-run", tmp_path)


def test_a_training_goes_on_from_a_whole_network(run: Path, pose_run: Path, tmp_path: Path):
    ns_hands("predict", "--load-config", run, "--save-network", tmp_path / "whole.npz")
    still = (f"--optimizers.{group}.optimizer.lr=1e-12" for group in ("encoder", "heads", "distances"))
    begun = ("--pipeline.model.begin-with", tmp_path / "whole.npz", "--pipeline.datamanager.points", "32")
    config = train("hand-object-sdf", tmp_path, "on", 1, *SMALL_HEADS, *begun, *still)
    found, known = weights(config), weights(run)
    for name in ("distance.hand.layers.0.bias", "distance.mean_hand.template", "pose.volumes.weight"):
        name = f"_model.network.{name}"
        torch.testing.assert_close(found[name], known[name], atol=1e-3, rtol=1e-3)
    with pytest.raises(SystemExit, match="expected the weights of this method with these options"):
        train("hand-object-sdf", tmp_path, "other", 1, *begun)


def test_the_network_that_comes_along_learns_to_look_at_pictures(tmp_path: Path):
    """It has looked at none; its heads go on from there."""
    still = (f"--optimizers.{group}.optimizer.lr=1e-12" for group in ("encoder", "heads", "distances"))
    begun = ("--pipeline.model.begin-with", "shipped", "--pipeline.model.cells", "32")
    small = ("--pipeline.model.voxel", "0.02", "--pipeline.surface-samples", "500")
    points = ("--pipeline.datamanager.points", "32")
    found = weights(train("hand-object-sdf", tmp_path, "on", 1, *begun, *small, *points, *still))
    known = load_scene_predictor(SHIPPED).network.state_dict()
    for name in ("distance.hand.layers.0.bias", "distance.object.layers.0.bias", "pose.volumes.weight"):
        torch.testing.assert_close(found[f"_model.network.{name}"], known[name], atol=1e-6, rtol=0)
    assert found["_model.network.distance.image.weight"].abs().max() < 1e-6
    stem = "encoder.features.conv_stem.weight"
    torch.testing.assert_close(found[f"_model.network.distance.{stem}"], known[f"pose.{stem}"], atol=1e-6, rtol=0)


def test_a_capture_is_refused(demo_capture: Path):
    with pytest.raises(HandsError, match="expected pictures that say what a hand holds.*found the layout capture"):
        HandObjectDataParserConfig(data=demo_capture).recognized()


def test_points_have_their_distances_and_clips_their_order():
    source = SyntheticGrasps(SyntheticGraspsOptions(count=16, people=1, size=64, frames=4))
    options = {"size": 64, "batch_size": 1, "seed": 7, "augmentation": None, "margin": 1.8}
    batches = SceneBatches(source, points=64, reach=0.28, clip=3, sees=False, **options)
    batch = batches.plain([2])
    assert batch["image"].shape == (3, 3, 64, 64) and batch["points"].shape == (3, 64, 3)
    assert batch["row"].tolist() == source.clip(2, 3) and int(batch["clip"]) == 3
    assert torch.equal(batch["distances"], batches.plain([2])["distances"])
    distances = batch["distances"]
    near = torch.where(batch["of_object"], distances[..., 1], distances[..., 0]).abs()
    assert distances.isfinite().all() and near.median() < 0.006 and (distances < 0).any((0, 1)).all()
    # Vertices of the hand lie on its surface, whatever is made of them.
    hand = torch.cdist(batch["points"], batch["vertices"]).amin(-1)
    assert (hand + 1e-5 >= distances[..., 0].abs()).all()


def test_surfaces_are_predicted_in_images_of_ones_own(run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(DistanceNetwork, "hand_distances", ball)
    monkeypatch.setattr(seen_surface, "FRAMES", 4)
    source = SyntheticGrasps(SyntheticGraspsOptions(count=2, people=1, size=80))
    (tmp_path / "images").mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), source.read(index).rgb[..., ::-1])
    asked = ("predict", "--images", tmp_path / "images", "--whole-image", "--side", "left")
    kept = tmp_path / "network.npz"
    ns_hands(*asked, "--load-config", run, "--output-dir", tmp_path / "out", "--save-network", kept)
    found = json.loads((tmp_path / "out" / "hands.json").read_text())["pictures"]
    assert found.keys() == {"0", "1"} and found["0"]["hands"][0]["has_hand_surface"]
    mesh = trimesh.load(tmp_path / "out" / "meshes" / "0_left.glb").geometry["hand"]
    # glTF's y points up and z to the viewer; a ball stays one in a mirror, and its faces look outward.
    middle = np.array(found["0"]["hands"][0]["joints"][0]) * [1, -1, -1]
    assert np.allclose(mesh.bounds.mean(0), middle, atol=0.005) and mesh.volume > 0
    assert (tmp_path / "out" / "overview.jpg").is_file()
    # A file of the network, of half precision, says the same.
    ns_hands(*asked, "--network", kept, "--output-dir", tmp_path / "again", "--meshes", "none", "--turntables")
    again = json.loads((tmp_path / "again" / "hands.json").read_text())["pictures"]
    joints, same = (np.array(one["0"]["hands"][0]["joints"]) for one in (found, again))
    assert np.allclose(joints, same, atol=2e-3) and not np.array_equal(joints, same)
    with Image.open(tmp_path / "again" / "turntables" / "0.webp") as turning:
        first = np.asarray(turning.convert("RGB")).astype(int)
        turning.seek(1)
        quarter = np.asarray(turning.convert("RGB")).astype(int)
    for seen in (first, quarter):
        border = np.concatenate([seen[[0, -1]], seen[:, [0, -1]].swapaxes(0, 1)])
        assert border.min() > 240 and (seen.min(-1) < 200).mean() > 0.1
    assert np.abs(first - quarter).mean() > 0.5
