"""`hand-monocular` with NIMBLE's hand, from training to what it predicts, with made-up files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.in_process import ns_hands, ns_train
from helpers.made_up_nimble import write_nimble_files
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.checkpoints import HAND, spelled
from nerfstudio_hands.hand_model.nimble import pose_nimble
from nerfstudio_hands.hand_model.nimble_file import read_nimble_hand
from nerfstudio_hands.synthesis.made_up_mano import write_made_up_mano
from nerfstudio_hands.training.trained_network import predictor_of_run
from nerfstudio_hands.transforms.rotations import rotation_matrix

OPTIONS = (
    *("--machine.device-type", "cpu", "--vis", "tensorboard", "--max-num-iterations", "2"),
    *("--pipeline.datamanager.batch-size", "2", "--pipeline.datamanager.size", "64"),
    *("--pipeline.datamanager.workers", "0", "--pipeline.model.rendered", "1"),
    *("hand-images-data", "--drawn", "4", "--drawn-size", "64", "--drawn-people", "1", "--max-eval-images", "2"),
    *("--shown", "1"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's config.yml; NIMBLE's files, and MANO's below, are in `nimble` beside it."""
    folder = tmp_path_factory.mktemp("nimble")
    write_made_up_mano(write_nimble_files(folder / "nimble"), "right")
    ns_train(
        *("hand-monocular", "--output-dir", folder, "--experiment-name", "own", "--timestamp", "run"),
        *("--pipeline.model.hand-model", folder / "nimble", *OPTIONS),
    )
    return folder / "own" / "hand-monocular" / "run" / "config.yml"


def test_nimble_is_judged_by_manos_vertices(run: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ns-eval", "--load-config", str(run)])
    _, pipeline, _, _ = eval_setup(run, test_mode="test")
    figures = pipeline.get_average_eval_image_metrics()
    # The mean hand, which a network without training says, is about that of the pictures.
    assert figures["pa_mpvpe_mm"] < 30 and figures["pa_mpjpe_mm"] < 30
    state = {f"_model.{name}": value for name, value in pipeline.model.state_dict().items() if name != HAND}
    pipeline.load_pipeline(state, 0)
    with pytest.raises(SystemExit, match="expected weights for the hand model 'nimble', found those for 'default'"):
        pipeline.load_pipeline({**state, f"_model.{HAND}": spelled("default")}, 0)


def test_predictions_have_nimbles_own_parameters(run: Path, tmp_path: Path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    network, files = tmp_path / "network.npz", run.parents[3] / "nimble"
    given = ("predict", "--images", tmp_path / "a.png", "--whole-image", "--side", "left")
    ns_hands(*given, "--load-config", run, "--output-dir", tmp_path / "out", "--save-network", network)
    found = read_hand(tmp_path / "out")
    assert found["side"] == "left" and found["hand_model"] == "nimble" and "no parameters in MANO's" in found["mano"]
    assert not {"global_orient", "hand_pose", "betas", "transl"} & found.keys()
    assert (tmp_path / "out" / "meshes" / "a_left.glb").is_file()
    # The parameters, mirrored, are those of the joints.
    own = {name: torch.tensor(value) for name, value in found["nimble"].items()}
    posed = pose_nimble(read_nimble_hand(files), own["pose"][None], own["shape"][None])
    flip = torch.tensor([-1.0, 1.0, 1.0])
    joints, center = posed.keypoints[0] * flip, posed.center[0] * flip
    turned = (joints - center) @ rotation_matrix(own["orient"]).T + center + own["transl"]
    torch.testing.assert_close(turned, torch.tensor(found["joints"]), atol=1e-4, rtol=0)

    ns_hands(*given, "--network", network, "--hand-model", files, "--output-dir", tmp_path / "again")
    np.testing.assert_allclose(read_hand(tmp_path / "again")["joints"], found["joints"], atol=0.01)
    with pytest.raises(SystemExit, match="expected a network for the hand 'default' .* found one for 'nimble'"):
        ns_hands(*given, "--network", network, "--output-dir", tmp_path / "other")
    with pytest.raises(SystemExit, match="--hand-model: expected --network with it"):
        ns_hands(*given, "--hand-model", files, "--output-dir", tmp_path / "other")


def test_a_run_of_nimble_is_not_taken_for_one_of_another_hand(run: Path):
    other = run.with_name("other.yml")
    text = run.read_text()
    files = str(run.parents[3] / "nimble")
    assert files in text
    other.write_text(text.replace(f"hand_model: {files}", "hand_model: default"))
    with pytest.raises(HandsError, match="expected weights for the hand model 'default', found those for 'nimble'"):
        predictor_of_run(other)


def read_hand(folder: Path) -> dict:
    return json.loads((folder / "hands.json").read_text())["pictures"]["a"]["hands"][0]
