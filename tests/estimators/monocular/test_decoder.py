"""What the network says means what the labels mean."""

from __future__ import annotations

import pytest
import torch
from helpers.made_up_nimble import write_nimble_files

from nerfstudio_hands.estimators.monocular.decoder import ManoDecoder, NimbleDecoder
from nerfstudio_hands.estimators.monocular.network import MonocularNetwork, MonocularOutput, palm_axes, resting_axes
from nerfstudio_hands.estimators.soft_argmax import soft_argmax
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.hand_model.nimble import pose_nimble
from nerfstudio_hands.hand_model.nimble_file import read_nimble_hand
from nerfstudio_hands.transforms.rotations import rotation_matrix, rotation_vector

COUNT = 5


@pytest.fixture(scope="module")
def decoder() -> ManoDecoder:
    return ManoDecoder(default_hand("right"))


def test_true_numbers_give_back_the_hand_in_space(decoder):
    generator = torch.Generator().manual_seed(2)
    low, high = decoder.limits.unbind(-1)
    fractions = torch.rand(COUNT, 15, 3, generator=generator)
    local = angles_to_rotations(decoder.axes, low + (high - low) * fractions)
    rotvec = 2 * torch.randn(COUNT, 3, generator=generator)
    shape = torch.randn(COUNT, 10, generator=generator)
    place = torch.tensor([0.03, -0.02, 0.6]) + 0.05 * torch.randn(COUNT, 3, generator=generator)
    truth = pose_hand(decoder.hand, rotvec, local, place, shape)
    focal = torch.linspace(1.5, 4.0, COUNT)
    joints = truth.keypoints
    output = MonocularOutput(
        log_maps=torch.zeros(COUNT, 21, 1, 1),
        points=torch.zeros(COUNT, 21, 2),
        depths=torch.zeros(COUNT, 21),
        log_scale=torch.zeros(COUNT, 21),
        fractions=decoder.fractions_of(local),
        rotation=rotation_matrix(rotvec),
        root=2 * focal[:, None] * joints[:, 9, :2] / joints[:, 9, 2:],
        log_size=decoder.log_size_of(joints, focal),
        shape=shape,
        texture=torch.zeros(COUNT, 1),
        light=torch.zeros(COUNT, 9, 3),
    )
    hand = decoder(output, focal)
    torch.testing.assert_close(output.fractions, fractions.flatten(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(hand.vertices, truth.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(hand.joints, joints, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        hand.pixels, 2 * focal[:, None, None] * joints[..., :2] / joints[..., 2:], atol=1e-4, rtol=0
    )
    again = pose_hand(decoder.hand, rotation_vector(hand.rotation), hand.local_rotations, hand.translation, shape)
    torch.testing.assert_close(again.vertices, truth.vertices, atol=1e-5, rtol=0)


def test_the_palms_axes_are_those_that_the_hand_is_turned_by(decoder):
    """Of the mean hand far away, whatever its pose, the turn that is left to say is the same."""
    generator = torch.Generator().manual_seed(4)
    rotvec = 2 * torch.randn(COUNT, 3, generator=generator)
    local = 0.2 * torch.randn(COUNT, 15, 3, generator=generator)
    place = torch.tensor([0.0, 0.0, 1000.0]).expand(COUNT, 3)
    joints = pose_hand(decoder.hand, rotvec, local, torch.zeros(COUNT, 3), torch.zeros(10)).keypoints
    palm = (joints[:, 9] - joints[:, 0]).norm(dim=-1)
    focal = torch.full((COUNT,), 4000.0)
    points = 2 * focal[:, None, None] * joints[..., :2] / place[:, None, 2:]
    depths = (joints[..., 2] - joints[:, 9:10, 2]) / palm[:, None]
    axes, own = palm_axes(points, depths, (focal * palm / place[:, 2]).log())
    left = axes.mT @ rotation_matrix(rotvec)
    torch.testing.assert_close(left, left[:1].expand_as(left), atol=1e-4, rtol=0)
    assert (left[0].diagonal() > 0.8).all()
    expected = (joints - joints[:, 9:10]) / palm[:, None, None]
    torch.testing.assert_close(own, expected @ axes, atol=1e-3, rtol=0)


def test_soft_argmax_finds_the_middle_of_a_bump():
    places = (torch.arange(16) + 0.5) / 8 - 1
    wanted = torch.tensor([0.21, -0.33])
    squared = (places[None, :] - wanted[0]) ** 2 + (places[:, None] - wanted[1]) ** 2
    points, weights = soft_argmax(-squared[None, None] / (2 * 0.1**2))
    torch.testing.assert_close(points[0, 0], wanted, atol=1e-3, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1))


def test_a_new_network_says_a_hand_in_the_middle_of_the_crop(decoder):
    network = MonocularNetwork(frozen_stages=1).eval()
    output = network(torch.rand(2, 3, 64, 64))
    hand = decoder(output, torch.full((2,), 2.0))
    assert hand.vertices.isfinite().all() and hand.vertices[..., 2].min() > 0.2 and hand.vertices[..., 2].max() < 1.5
    low, high = decoder.limits.unbind(-1)
    assert ((hand.pose > low.flatten()) & (hand.pose < high.flatten())).all()


def test_frozen_parts_keep_their_weights_and_statistics():
    network = MonocularNetwork(frozen_stages=2).train()
    stem = network.encoder.features.bn1
    before = stem.running_mean.clone()
    network(torch.rand(2, 3, 64, 64)).points.sum().backward()
    assert torch.equal(stem.running_mean, before) and stem.weight.grad is None
    assert network.encoder.features.blocks[3][0].conv_pw.weight.grad is not None


@pytest.fixture(scope="module")
def nimble(tmp_path_factory: pytest.TempPathFactory) -> NimbleDecoder:
    return NimbleDecoder(read_nimble_hand(write_nimble_files(tmp_path_factory.mktemp("nimble"))))


def test_nimbles_hand_rests_in_the_axes_of_manos(nimble, decoder):
    """What a network says of a turned hand means the same for either, and the joints are where they should be."""
    output = MonocularNetwork(num_pose=30, num_shape=20).eval()(torch.rand(COUNT, 3, 64, 64))
    output.fractions, output.shape = torch.full((COUNT, 30), 0.5), torch.zeros(COUNT, 20)
    focal = torch.linspace(1.5, 4.0, COUNT)
    hand = nimble(output, focal)
    torch.testing.assert_close(resting_axes(hand.joints), output.rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(nimble.log_size_of(hand.joints, focal), output.log_size, atol=1e-4, rtol=0)
    torch.testing.assert_close(hand.pixels[:, 9], output.root, atol=1e-4, rtol=0)


def test_nimbles_own_parameters_give_back_the_hand(nimble):
    output = MonocularNetwork(num_pose=30, num_shape=20).eval()(torch.rand(COUNT, 3, 64, 64))
    output.fractions, output.shape = torch.rand(COUNT, 30), torch.randn(COUNT, 20)
    hand = nimble(output, torch.full((COUNT,), 2.0))
    assert hand.pose.abs().max() > 2 and hand.pose.abs().max() <= 3
    own = pose_nimble(nimble.hand, hand.pose, hand.shape)
    placed = (own.vertices - own.center[:, None]) @ hand.rotation.mT + (own.center + hand.translation)[:, None]
    torch.testing.assert_close(placed, hand.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(hand.vertices_of(1609), hand.vertices[:, :-1], atol=1e-5, rtol=0)
    assert hand.vertices_of(778) is None and hand.vertices_of(0) is None
