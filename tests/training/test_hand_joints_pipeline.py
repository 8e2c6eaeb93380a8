"""`hand-from-joints`, from training to its network's file, as small as it gets."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.in_process import ns_hands, ns_train
from helpers.rehearsal import Rehearsal
from helpers.run_files import weights
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.eval_utils import eval_setup

from nerfstudio_hands.cli.predict import predict
from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.datamanagers import hand_joints_datamanager
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.prediction import predict_vertices
from nerfstudio_hands.estimators.weights_file import load_network
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.method_configs.hand_from_joints import hand_from_joints
from nerfstudio_hands.models.hand_from_joints import HandFromJointsModel
from nerfstudio_hands.training.soundness import require_sound

STEPS = 6
TINY = (
    *("--machine.device-type", "cpu", "--vis", "tensorboard", "--steps-per-save", "2"),
    *("--optimizers.network.scheduler.max-steps", str(STEPS), "--pipeline.datamanager.batch-size", "8"),
    *("--pipeline.datamanager.detailed", "2", "--pipeline.datamanager.detailed-every", "2"),
    *("--pipeline.datamanager.held-out", "5", "--pipeline.datamanager.shown", "3"),
)


def train(folder: Path, name: str, steps: int, *options: str | Path) -> Path:
    """A training's config.yml."""
    ns_train(
        *("hand-from-joints", "--output-dir", folder, "--experiment-name", name, "--timestamp", "run"),
        *("--max-num-iterations", steps, *TINY, *options),
    )
    return folder / name / "hand-from-joints" / "run" / "config.yml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "whole", STEPS)


def test_a_training_that_is_gone_on_from_ends_where_an_uninterrupted_one_does(run: Path, tmp_path: Path):
    half = train(tmp_path, "half", 3)
    rest = train(tmp_path, "rest", STEPS, "--load-dir", half.parent / "nerfstudio_models")
    whole, resumed, before = weights(run), weights(rest), weights(half)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6)
    for part in ("parameters_head.weight", "last.weight.weight"):
        assert not torch.equal(before[f"_model.network.{part}"], whole[f"_model.network.{part}"])


def test_evaluation_says_millimeters_and_draws_hands(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["ns-eval", "--load-config", str(run)])
    _, pipeline, _, _ = eval_setup(run, test_mode="test")
    figures = pipeline.get_average_eval_image_metrics(output_path=tmp_path)
    names = {"joints", "vertices", "posed_vertices", "rest_joints"}
    assert figures.keys() == {f"{case}_{name}_mm" for case in ("clean", "corrupted") for name in names}
    json.dumps(figures)
    # By hand: the network of the pipeline on true joints in the world.
    manager, network = pipeline.datamanager, pipeline.model.network
    hands = manager.samples.of("test", is_corrupted=False)
    scale = hands["scale"][:, None, None]
    found = predict_vertices(network, scale * hands["joints"], "right")
    off = (found - scale * hands["vertices"]).norm(dim=-1).mean()
    assert figures["clean_vertices_mm"] == pytest.approx(1000 * float(off), rel=1e-3)
    assert 5 < figures["clean_rest_joints_mm"] < 60
    assert len(list(tmp_path.glob("img_*.png"))) == 5
    account = json.loads((tmp_path / "figures.json").read_text())
    assert [one["row"] for one in account] == [0, 1, 2, 3, 4] and account[0]["figures"]["joints_mm"] > 0


def test_a_camera_sees_the_hand_and_the_joints_that_are_given(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["ns-viewer", "--load-config", str(run)])
    _, pipeline, _, _ = eval_setup(run, test_mode="test")
    model, manager = pipeline.model, pipeline.datamanager
    own = manager.eval_dataset.cameras[1:2]
    outputs = model.get_outputs_for_camera(own)
    assert outputs["rgb"].shape == outputs["truth"].shape == (224, 224, 3)
    assert outputs["depth"].shape == outputs["accumulation"].shape == (224, 224, 1)
    # Straight ahead of its own camera a hand shows its palm, fingers up: x_hand is down, z_hand to the right.
    batch = manager.sample(1, "test")
    points = torch.stack([batch["joints"], batch["given"]])[:, 0] * batch["scale"]
    place = points[..., [2, 0, 1]] + torch.tensor([0.0, 0.03, 0.45])
    pixels = (400 * place[..., :2] / place[..., 2:] + 112).floor().long()
    true_joints, given = pixels
    assert true_joints[0, 1] > true_joints[12, 1]
    inside = (outputs["truth"] < 1).any(-1)
    assert inside[true_joints[1:, 1], true_joints[1:, 0]].float().mean() > 0.8 and not inside[0].any()
    present = given[batch["given"][0].isfinite().all(-1)].clamp(0, 223)
    shown = outputs["rgb"][present[:, 1], present[:, 0]]
    assert (shown[:, 2] > shown[:, 0] + 0.1).float().mean() > 0.8
    # Each surface is drawn; the true one is that of `truth`.
    model.surface_control.value = "true"
    torch.testing.assert_close(model.get_outputs_for_camera(own)["rgb"], outputs["truth"])
    assert not torch.allclose(outputs["rgb"], outputs["truth"])
    # Another camera looks at the hand that the slider names.
    moved = manager.train_dataset.cameras[2:3].camera_to_worlds.clone()
    moved[:, 1, 3] -= 0.3
    model.sample_control.value = 2
    far = model.get_outputs_for_camera(Cameras(moved, own.fx / 4, own.fy / 4, own.cx / 4, own.cy / 4, 56, 56))
    covered = far["accumulation"][..., 0] > 0.5
    assert 0.005 < covered.float().mean() < 0.3 and covered[20:36, 20:36].any()
    assert far["depth"][covered].mean() == pytest.approx(0.75, abs=0.08)
    camera = model._sample_camera()
    assert camera.index == 2 and camera.focal == pytest.approx(400 / 224)
    np.testing.assert_allclose(camera.center, manager.train_dataset.cameras.camera_to_worlds[2, :, 3])


def test_its_network_is_written_and_predicts(run: Path, tmp_path: Path):
    file = tmp_path / "network.npz"
    ns_hands("predict", "--load-config", run, "--save-network", file)
    network = load_network(file, default_hand("left").faces)
    trained = weights(run)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, trained[f"_model.network.{name}"], atol=2e-3, rtol=1e-3)
    assert predict_vertices(network, torch.rand(2, 21, 3), "left").isfinite().all()
    with np.load(file) as arrays:
        assert json.loads(str(arrays["about"]))["made_of"] == "whole/hand-from-joints/run"


def test_pictures_are_refused(run: Path, tmp_path: Path):
    picture = tmp_path / "hand.png"
    import cv2

    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(HandsError, match="--images: expected none with a run of hand-from-joints"):
        predict(load_config=run, images=picture, output_dir=tmp_path / "out", whole_image=True, side="left")
    assert not (tmp_path / "out").exists()
    with pytest.raises(HandsError, match="expected the run of an avatar, found one of hand-from-joints"):
        load_run(run)


def test_learning_lowers_the_errors():
    config = deepcopy(hand_from_joints.config)
    data = config.pipeline.datamanager
    data.batch_size, data.detailed, data.detailed_every, data.held_out = 24, 4, 2, 24
    config.max_num_iterations = 60
    torch.manual_seed(0)
    training = Rehearsal(config, "cpu")
    before = training.pipeline.get_average_eval_image_metrics(step=0)
    for step in range(60):
        training.step(step)
    after = training.pipeline.get_average_eval_image_metrics(step=60)
    for name in ("clean_joints_mm", "clean_vertices_mm", "corrupted_joints_mm"):
        assert after[name] < 0.9 * before[name], name
    assert after["clean_rest_joints_mm"] == before["clean_rest_joints_mm"]


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(HandFromJointsModel, "_parameters_loss", lambda self, found, batch: torch.tensor(torch.nan))
    with pytest.raises(SystemExit, match="error: training: expected finite losses, found nan for 'parameters' at step"):
        train(tmp_path, "broken", 2)


def test_options_that_do_not_fit(tmp_path: Path):
    config = deepcopy(hand_from_joints.config)
    config.machine.device_type, config.output_dir = "cpu", tmp_path / "runs"
    assert require_sound(config) == "drawn hands, one step in 9 with vertices"
    config.pipeline.datamanager.data = tmp_path
    with pytest.raises(HandsError, match="--data: expected none, .* --pipeline.datamanager.captures"):
        require_sound(config)
    config.pipeline.datamanager.data = None
    config.pipeline.datamanager.captures = (tmp_path / "none",)
    with pytest.raises(HandsError, match="--pipeline.datamanager.captures: expected folders .* found none at .*none"):
        require_sound(config)
    config.pipeline.datamanager.captures = ()
    config.pipeline.datamanager.detailed_every = 0
    with pytest.raises(HandsError, match="--pipeline.datamanager.detailed-every: expected a number from 1"):
        require_sound(config)


def test_poses_of_captures_are_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def captured(folders, hand_model):
        asked.append((folders, hand_model))
        return torch.full((1, 15, 3), 0.123)

    monkeypatch.setattr(hand_joints_datamanager, "captured_angles", captured)
    config = deepcopy(hand_from_joints.config.pipeline.datamanager)
    config.captures, config.batch_size = (tmp_path,), 200
    _, batch = config.setup(device="cpu", test_mode="val").next_train(0)
    assert (batch["angles"] == 0.123).all(-1).all(-1).float().mean() > 0.2
    assert asked == [((tmp_path,), "default")]
    # Who looks at a run has no use for them.
    config.setup(device="cpu", test_mode="test")
    assert len(asked) == 1
