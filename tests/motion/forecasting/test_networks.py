"""Networks, heads and baselines: shapes, what they are equal to, and what they must not see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.made_up_motion import swinging
from torch import nn

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.motion.forecasting.baselines import ConstantVelocity, LastPose
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.mixer import (
    Harmonics,
    LineConvolution,
    Mixer,
    MixerConfig,
    SqueezeTime,
    dct_matrix,
)
from nerfstudio_hands.motion.forecasting.track_states import recordings_of

SMALL = MixerConfig(embedding=16, channels=2, blocks=1, pose_kernel=7)


def past(count: int = 3) -> torch.Tensor:
    (recording,) = recordings_of(swinging(), [default_hand("right")], 30.0)
    return torch.stack([recording.states[7 * k : 7 * k + 10] for k in range(count)])


@pytest.mark.parametrize(("kernel", "axis"), [((9, 1), 2), ((1, 31), 3), ((1, 1), 2)])
def test_a_convolution_along_a_line_is_torchs(kernel: tuple[int, int], axis: int) -> None:
    ours, theirs = LineConvolution(3, max(kernel), axis), nn.Conv2d(3, 3, kernel, padding="same")
    theirs.weight.data = ours.weight.data.view(theirs.weight.shape)
    theirs.bias.data = ours.bias.data
    hidden = torch.randn(2, 3, 10, 20)
    torch.testing.assert_close(ours(hidden), theirs(hidden), atol=1e-5, rtol=0)


def test_the_cosine_transform_is_scipys() -> None:
    from scipy.fft import dct

    values = torch.randn(12, 5)
    expected = torch.from_numpy(dct(values.numpy(), type=2, axis=0, norm="ortho"))
    torch.testing.assert_close(dct_matrix(12) @ values, expected, atol=1e-5, rtol=0)


def test_harmonics_keep_the_number_itself() -> None:
    found = Harmonics(2)(torch.tensor([[3.0]]))
    expected = torch.tensor([0.3, 0.6])
    torch.testing.assert_close(found[0], torch.cat([torch.tensor([3.0]), expected.sin(), expected.cos()]))


def test_squeeze_and_excitation_weighs_whole_frames() -> None:
    hidden = torch.randn(2, 3, 10, 4)
    share = SqueezeTime(10, 8)(hidden) / hidden
    assert ((0 < share) & (share < 1)).all()
    torch.testing.assert_close(share, share[:, :1, :, :1].expand_as(share), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        {}, {"mix_time": False}, {"mix_pose": False}, {"squeeze": 0}, {"harmonics": 2}, {"matrices": 0},
        {"cross_kernel": 3}, {"activation": "mish"}, {"regularization": "batchnorm"}, {"regularization": "dropout"},
    ],
    ids=str,
)  # fmt: skip
def test_every_mixer_begins_near_the_last_pose_and_learns(change: dict) -> None:
    torch.manual_seed(0)
    mixer = Mixer(6, 10, 4, 2, replace(SMALL, **change))
    features = torch.randn(5, 10, 6)
    said = mixer(features)
    assert said.shape == (5, 2, 4, 6)
    if mixer.along is None:
        torch.testing.assert_close(said, features[:, None, -1:].expand_as(said))
    said.square().sum().backward()
    assert mixer.decoder.weight.grad.abs().max() > 0


@pytest.mark.parametrize("network", ["mixer", "simlpe"])
@pytest.mark.parametrize("step", [25, 5])
def test_forecasts_go_on_for_as_long_as_wanted(network: str, step: int) -> None:
    forecaster = Forecaster(ForecasterConfig(network=network, step=step, mixer=SMALL)).eval()
    for parameter in forecaster.parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    long = forecaster.forecast(past(), 60)
    assert long.shape == (3, 60, 57) and long.isfinite().all()
    torch.testing.assert_close(forecaster.forecast(past(), 7), long[:, :7])


def test_autoregression_reads_what_it_said_unless_it_is_told_the_truth() -> None:
    forecaster = Forecaster(ForecasterConfig(step=5, frames_out=10, mixer=SMALL)).eval()
    nn.init.normal_(forecaster.network.decoder.weight, std=0.1)
    features, truth = torch.randn(2, 10, 51), torch.randn(2, 10, 51)
    own, forced = forecaster.continued(features, 10), forecaster.continued(features, 10, truth)
    torch.testing.assert_close(own[:, :5], forced[:, :5])
    assert (own[:, 5:] - forced[:, 5:]).abs().max() > 1e-3
    told = torch.cat([features, truth], dim=1)[:, 5:15]
    torch.testing.assert_close(forced[:, 5:], forecaster.network(told)[:, 0])


def test_baselines() -> None:
    representation = ForecasterConfig().representation
    given = past()
    assert torch.equal(LastPose(representation)(given, 4), given[:, -1:].expand(-1, 4, -1))
    said = ConstantVelocity(representation)(given, 4)
    place = given[..., -3:]
    torch.testing.assert_close(said[:, 3, -3:], place[:, -1] + 4 * (place[:, -1] - place[:, -2]), atol=1e-5, rtol=0)
    # Angles go on as well, and an orientation stays one.
    torch.testing.assert_close(said[:, 1, :45], 3 * given[:, -1, :45] - 2 * given[:, -2, :45], atol=1e-5, rtol=0)
    turned = said[..., 45:54].unflatten(-1, (3, 3))
    torch.testing.assert_close(turned.mT @ turned, torch.eye(3).expand_as(turned), atol=1e-5, rtol=0)


def test_contradictions_are_refused() -> None:
    for config in (
        ForecasterConfig(mixer=MixerConfig(mix_time=False, mix_pose=False)),
        ForecasterConfig(mixer=MixerConfig(time_kernel=4)),
        ForecasterConfig(futures=3, step=5),
    ):
        with pytest.raises(HandsError, match="expected .* found"):
            Forecaster(config)
    with pytest.raises(HandsError, match="expected at least 10 frames to go on from, found 4"):
        Forecaster(ForecasterConfig(mixer=SMALL)).forecast(past()[:, :4], 3)
