"""The avatar over the zero pose: the same rendering as `hand-uvnerf`, behind another warp."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.avatars import make_model, rays_to, vertices
from nerfstudio.engine.callbacks import TrainingCallbackLocation

from nerfstudio_hands.model_components.schedules import Schedule
from nerfstudio_hands.models.hand_canonical import HandCanonicalModelConfig


def canonical(**options):
    return make_model(HandCanonicalModelConfig(resolutions=(16,), volume_resolution=32, **options))


@pytest.mark.parametrize("skinning", ["nearest", "volume"])
def test_the_hand_is_there_in_every_pose(skinning):
    model = canonical(skinning=skinning).eval()
    surface = model.hands.surface
    for frame in (0, 1):
        face = surface.face_is_hand.nonzero().flatten()[::40]
        there = vertices(model, frame)[surface.faces[face]].mean(dim=1)
        outputs = model.get_outputs(rays_to(there, frame=frame))
        assert outputs["accumulation"].quantile(0.1) > 0.9
        assert (model.get_outputs(rays_to(there + 0.4, frame=frame))["accumulation"] == 0).all()


@pytest.mark.parametrize("skinning", ["nearest", "volume"])
def test_training_reaches_every_parameter(skinning):
    model = canonical(skinning=skinning).train()
    model.warp.non_rigid.progress.fill_(0.5)
    surface = model.hands.surface
    face = surface.face_is_hand.nonzero().flatten()[::10]
    rays = rays_to(vertices(model)[surface.faces[face]].mean(dim=1))
    outputs = model.get_outputs(rays)
    (outputs["rgb"].sum() + outputs["diffuse"].sum() + outputs["accumulation"].sum() + outputs["penalty"]).backward()
    for name, group in model.get_param_groups().items():
        for parameter in group:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    warp = model.get_param_groups()["warp"]
    assert sum(float(parameter.grad.abs().sum()) for parameter in warp) > 0
    assert (skinning == "volume") == any(parameter.dim() == 5 for parameter in warp)


def test_the_non_rigid_offset_is_admitted_late_and_kept_with_the_weights():
    model = canonical(non_rigid_schedule=Schedule(0.3, 0.4))
    attributes = SimpleNamespace(trainer=SimpleNamespace(config=SimpleNamespace(max_num_iterations=1000)))
    (callback,) = model.get_training_callbacks(attributes)
    assert callback.where_to_run == [TrainingCallbackLocation.BEFORE_TRAIN_ITERATION]
    admitted = []
    for step in (0, 299, 350, 400, 999):
        callback.run_callback(step)
        admitted.append(float(model.warp.non_rigid.progress))
    assert admitted == pytest.approx([0, 0, 0.5, 1, 1])
    other = canonical()
    other.load_state_dict(model.state_dict())
    assert other.warp.non_rigid.progress == 1


def test_without_it_the_offset_is_not_there():
    assert canonical(non_rigid=False).warp.non_rigid is None
    assert "warp" not in canonical(non_rigid=False).get_param_groups()
