"""A method that looks at pictures, from training to what it predicts, as small as it gets."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.in_process import ns_hands, ns_train
from helpers.run_files import weights
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.cli.predict import predict
from nerfstudio_hands.datamanagers.crop_batches import CropBatches
from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManagerConfig
from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.export import seen_surface
from nerfstudio_hands.files import formatted_npz
from nerfstudio_hands.files.guarded_files import read_npz
from nerfstudio_hands.method_configs.hand_monocular import hand_monocular
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions
from nerfstudio_hands.training.soundness import require_sound

STEPS = 4
TINY = (
    *("--machine.device-type", "cpu", "--vis", "tensorboard", "--steps-per-save", "2"),
    *("--pipeline.datamanager.batch-size", "4", "--pipeline.datamanager.size", "64"),
    *("--pipeline.datamanager.workers", "0", "--pipeline.model.rendered", "1"),
    *("--optimizers.encoder.scheduler.max-steps", str(STEPS), "--optimizers.heads.scheduler.max-steps", str(STEPS)),
    *("hand-images-data", "--drawn", "24", "--drawn-size", "64", "--drawn-people", "1", "--max-eval-images", "3"),
    *("--shown", "2"),
)


def train(folder: Path, name: str, steps: int, *options: str | Path) -> Path:
    """A training's config.yml."""
    ns_train(
        *("hand-monocular", "--output-dir", folder, "--experiment-name", name, "--timestamp", "run"),
        *("--max-num-iterations", steps, *options, *TINY),
    )
    return folder / name / "hand-monocular" / "run" / "config.yml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "whole", STEPS)


def test_a_training_that_is_gone_on_from_ends_where_an_uninterrupted_one_does(run: Path, tmp_path: Path):
    half = train(tmp_path, "half", 2)
    rest = train(tmp_path, "rest", STEPS, "--load-dir", half.parent / "nerfstudio_models")
    whole, resumed, before = weights(run), weights(rest), weights(half)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6)
    name = "_model.network.parameters_head.weight"
    assert not torch.equal(before[name], whole[name])


def test_evaluation_says_figures_and_draws_what_was_predicted(run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ns-eval", "--load-config", str(run)])
    _, pipeline, _, _ = eval_setup(run, test_mode="test")
    figures = pipeline.get_average_eval_image_metrics(output_path=tmp_path)
    assert all(isinstance(value, float) and np.isfinite(value) for value in figures.values())
    json.dumps(figures)
    # What the network has to be better than comes from training hands: not the truth, but no wild hand either.
    assert 2 < figures["mean_pose_pa_mpjpe_mm"] < 30
    found = np.load(tmp_path / "predictions.npz")
    assert found["joints"].shape == found["true_joints"].shape == (3, 21, 3)
    # In the axes of the pictures' cameras the truth is that of the source.
    source = pipeline.datamanager.sources["test"]
    for row, truth in zip(found["rows"], found["true_joints"], strict=True):
        np.testing.assert_allclose(truth, source.labels(int(row)).joints, atol=1e-5)
    assert len(list(tmp_path.glob("img_*.png"))) == 3
    # The viewer's cameras: a picture's own, and one from elsewhere.
    own = pipeline.datamanager.eval_dataset.cameras[0:1]
    outputs = pipeline.model.get_outputs_for_camera(own)
    assert outputs["rgb"].shape == (224, 224, 3) and outputs["depth"].shape == (224, 224, 1)
    assert (outputs["picture"] < 1).any()
    moved = own.camera_to_worlds.clone()
    moved[:, 1, 3] -= 0.3
    other = Cameras(moved, own.fx / 4, own.fy / 4, own.cx / 4, own.cy / 4, 56, 56, metadata={"cam_idx": 1})
    elsewhere = pipeline.model.get_outputs_for_camera(other)
    assert elsewhere.keys() == outputs.keys() and elsewhere["rgb"].shape == (56, 56, 3)
    assert (elsewhere["picture"] == 1).all()


def test_hands_are_predicted_in_images_of_ones_own(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import cv2

    source = SyntheticHands(SyntheticHandsOptions(count=2, people=1, size=80))
    (tmp_path / "images").mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), source.read(index).rgb[..., ::-1])
    network = tmp_path / "network.npz"
    ns_hands(
        *("predict", "--load-config", run, "--images", tmp_path / "images", "--output-dir", tmp_path / "out"),
        *("--whole-image", "--side", "left", "--intrinsics", "100", "100", "40", "40"),
    )
    ns_hands("predict", "--load-config", run, "--save-network", network)
    with pytest.raises(HandsError, match="--images: expected pictures"):
        predict(load_config=run)
    found = json.loads((tmp_path / "out" / "hands.json").read_text())["pictures"]
    assert found.keys() == {"0", "1"} and found["0"]["hands"][0]["side"] == "left"
    # Pixels of 80, 100 of focal length: a border of one lies 40 pixels from the middle.
    assert np.array(found["0"]["intrinsics"]).shape == (3, 3)
    assert np.allclose(np.diag(found["0"]["ndc_projection"])[:2], 2.5)
    assert len(list((tmp_path / "out" / "meshes").glob("*_left.glb"))) == 2
    assert (tmp_path / "out" / "overview.jpg").is_file()
    # The network's file says the same, up to its half precision.
    read = []
    monkeypatch.setattr(seen_surface, "FRAMES", 4)
    monkeypatch.setattr(formatted_npz, "read_npz", lambda path: read.append(path) or read_npz(path))
    joints = []
    # What is laid on joints that nothing has been learned of hangs on the last digit.
    for name, options in {"run": ("--load-config", run), "again": ("--network", network, "--turntables")}.items():
        ns_hands(
            *("predict", *options, "--images", tmp_path / "images" / "0.png", "--output-dir", tmp_path / name),
            *("--whole-image", "--side", "left", "--intrinsics", "100", "100", "40", "40", "--meshes", "none"),
            "--no-refine",
        )
        again = json.loads((tmp_path / name / "hands.json").read_text())["pictures"]
        joints.append(again["0"]["hands"][0]["joints"])
    np.testing.assert_allclose(*joints, atol=0.005)
    assert not (tmp_path / "again" / "meshes").exists()
    assert read == [network]
    with Image.open(tmp_path / "again" / "turntables" / "0.webp") as turning:
        first = np.asarray(turning.convert("RGB")).astype(int)
        turning.seek(1)
        quarter = np.asarray(turning.convert("RGB")).astype(int)
    for seen in (first, quarter):
        assert seen[[0, -1]].min() > 240 and (seen.min(-1) < 200).mean() > 0.05
    assert np.abs(first - quarter).mean() > 0.5


def test_prediction_asks_for_one_network(run: Path, tmp_path: Path):
    with pytest.raises(SystemExit, match="expected one network, found both"):
        ns_hands("predict", "--images", tmp_path, "--load-config", run, "--network", tmp_path / "network.npz")


def test_another_file_is_no_network(tmp_path: Path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / "0.png")
    np.savez(tmp_path / "other.npz", format="something else")
    asked = ("predict", "--images", tmp_path / "images", "--output-dir", tmp_path / "out")
    with pytest.raises(
        SystemExit, match="other.npz: expected the format '.*monocular network 1' or '.*hand-object network 1', found"
    ):
        ns_hands(*asked, "--network", tmp_path / "other.npz")
    assert not (tmp_path / "out").exists()


def test_an_avatars_commands_say_what_such_a_run_is_for(run: Path, tmp_path: Path):
    with pytest.raises(
        SystemExit, match="expected the run of an avatar, found one of hand-monocular.*ns-hands predict"
    ):
        ns_hands("export", "--load-config", run, "--output-dir", tmp_path / "exports")


def batches(**options) -> CropBatches:
    source = SyntheticHands(SyntheticHandsOptions(count=20, people=1, size=64))
    given = {"size": 64, "batch_size": 4, "seed": 7, "augmentation": None} | options
    return CropBatches(source, **given)


def test_an_epoch_sees_every_image_once_whatever_the_number_of_processes():
    alone = batches()
    seen = [row for step in range(5) for row in alone.rows(step)]
    assert alone.steps_of_an_epoch == 5 and sorted(seen) == list(range(20))
    assert sorted(row for step in range(5, 10) for row in alone.rows(step)) == list(range(20))
    assert seen != [row for step in range(5, 10) for row in alone.rows(step)]
    shared = [batches(batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    assert sorted(row for part in shared for step in range(5) for row in part.rows(step)) == list(range(20))


def test_epochs_become_steps():
    config = deepcopy(hand_monocular.config.pipeline.datamanager)
    assert config.epochs is None
    tiny = HandImageDataManagerConfig(
        dataparser=HandImagesDataParserConfig(drawn=40, drawn_size=64, drawn_people=1, shown=1, max_eval_images=1),
        batch_size=4,
        crops_per_image=2,
    )
    assert tiny.setup(device="cpu").train_batches.steps_of_an_epoch == 20


def test_a_data_parser_of_captures_is_refused(demo_capture: Path):
    from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig

    config = deepcopy(hand_monocular.config)
    config.machine.device_type = "cpu"
    config.pipeline.datamanager.dataparser = HandsDataParserConfig(data=demo_capture)
    with pytest.raises(HandsError, match="expected a data parser of labelled pictures"):
        require_sound(config)
