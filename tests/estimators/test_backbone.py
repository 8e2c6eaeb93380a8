"""Encoders, and the weights that they begin with."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.backbone import PACKAGES, Backbone, load_imagenet


def test_an_encoder_that_timm_does_not_know_is_named():
    with pytest.raises(HandsError, match="--pipeline.model.backbone: expected a model of timm .* found 'handnet'"):
        Backbone("handnet")


def test_weights_of_another_encoder_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(HandsError, match="weights.pth: expected the layers of efficientnet_lite0, found others"):
        load_imagenet(Backbone(), path)
    path.write_bytes(b"nothing")
    with pytest.raises(HandsError, match="weights.pth: expected weights of efficientnet_lite0, found a file"):
        load_imagenet(Backbone(), path)


@pytest.mark.skipif(
    importlib.util.find_spec(PACKAGES["efficientnet_lite0"]) is None, reason="the extra `backbones` is not installed"
)
def test_the_packages_weights_lie_in_the_layers_that_they_were_trained_in():
    """Statistics of layers fit what goes through them only where each has its own."""
    backbone = Backbone().eval()
    assert load_imagenet(backbone)
    natural = torch.rand(2, 3, 8, 8).repeat_interleave(16, 2).repeat_interleave(16, 3)
    features = backbone(natural)
    assert [feature.shape[1] for feature in features] == [16, 24, 40, 112, 320]
    assert all(0.05 < float(feature.detach().std()) < 20 for feature in features)


def test_an_encoder_without_a_package_begins_as_it_is():
    assert not load_imagenet(Backbone("mobilenetv3_small_100"))


def test_what_timm_does_without_can_be_loaded_by_others():
    Backbone()
    assert sys.modules.get("wandb", sys) is not None
