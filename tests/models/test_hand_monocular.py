"""What `hand-monocular` learns from which labels."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.datamanagers.crop_batches import CropBatch, CropBatches
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED, load_predictor
from nerfstudio_hands.models.hand_monocular import (
    HandMonocularModel,
    HandMonocularModelConfig,
    WeaklySupervisedModelConfig,
)
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions


def made(config: HandMonocularModelConfig) -> HandMonocularModel:
    torch.manual_seed(0)
    return config.setup(scene_box=SceneBox(torch.zeros(2, 3)), num_train_data=1).eval()


@pytest.fixture(scope="module")
def batch() -> CropBatch:
    source = SyntheticHands(SyntheticHandsOptions(count=4, people=1, size=64))
    return CropBatches(source, size=64, batch_size=3, seed=0, augmentation=None)[0]


@pytest.fixture(scope="module")
def model() -> HandMonocularModel:
    return made(HandMonocularModelConfig(rendered=1, laplacian_loss_weight=0.1))


def losses(model: HandMonocularModel, batch: CropBatch) -> dict[str, torch.Tensor]:
    return model.get_loss_dict(model.predict(batch), batch)


def test_every_term_is_finite_and_reaches_the_network(model, batch):
    found = losses(model, batch)
    assert len(found) == 22 and all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    for name, part in model.get_param_groups().items():
        assert part and all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in part), name
    assert model.network.texture_head.weight.grad.abs().max() > 0
    assert model.network.parameters_head.weight.grad.abs().max() > 0
    model.zero_grad()


def test_labels_of_another_hand_teach_neither_vertices_nor_angles(model, batch):
    other = {**batch, "vertices": batch["vertices"][:, :778]}
    found = losses(model, other)
    assert found["vertices"] == 0 and found["pose"] == 0 and found["norm_joints_3d"] > 0


def test_joints_in_the_image_alone_are_enough_for_weak_supervision(batch):
    model = made(WeaklySupervisedModelConfig(rendered=1))
    hidden = ("joints", "rotations", "shape")
    unknown = {name: torch.full_like(batch[name], torch.nan) for name in hidden}
    seen = {**batch, **unknown, "vertices": torch.zeros(3, 0, 3), "mask": torch.full_like(batch["mask"], 255)}
    found = losses(model, seen)
    assert not {"joints_3d", "norm_joints_3d", "vertices", "log_size", "pose", "heat_map_depth"} & found.keys()
    assert all(value.isfinite() for value in found.values()) and found["photometric"] > 0
    sum(found.values()).backward()
    assert model.network.behind.weight.grad.abs().max() > 0


def test_a_truth_that_is_said_has_no_error(model, batch):
    """Loss terms and metrics agree on what a right hand is: the network's own prediction as the truth."""
    with torch.no_grad():
        outputs = model.predict(batch)
    hand = outputs["hand"]
    truth = {**batch, "joints": hand.joints, "pixels": hand.pixels, "vertices": hand.vertices}
    found = model.get_metrics_dict(outputs, truth)
    assert all(float(value) < 1e-3 for value in found.values())
    terms = model.get_loss_dict(outputs, truth)
    for name in ("joints_2d", "bone_direction", "joints_3d", "norm_joints_3d", "vertices", "log_size"):
        assert float(terms[name]) < 1e-3, name


def test_a_training_begins_with_a_network_that_is_there(tmp_path):
    model = made(HandMonocularModelConfig(begin_with="shipped"))
    assert model.begin()
    shipped = load_predictor(SHIPPED)
    for name, value in shipped.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name
    assert torch.equal(model.skin.mean, shipped.skin.mean)
    with pytest.raises(HandsError, match="--pipeline.model.backbone"):
        made(HandMonocularModelConfig(begin_with="shipped", backbone="mobilenetv3_small_050")).begin()
    with pytest.raises(HandsError, match="nowhere.npz"):
        made(HandMonocularModelConfig(begin_with=str(tmp_path / "nowhere.npz"))).begin()
