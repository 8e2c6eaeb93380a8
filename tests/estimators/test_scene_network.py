"""The networks of hand and object."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nerfstudio_hands.estimators.hand_object.clip_transformer import ClipTransformer
from nerfstudio_hands.estimators.hand_object.distance_network import (
    HAND_FRAMES,
    OBJECT_FRAMES,
    DistanceNetworkOptions,
)
from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.estimators.hand_object.pose_network import ScenePoseNetwork, placed
from nerfstudio_hands.estimators.hand_object.scene_network import SceneNetwork
from nerfstudio_hands.estimators.hand_object.volume import (
    depth_of_known_lengths,
    rays_of,
    seen_at,
    soft_argmax_volume,
)
from nerfstudio_hands.estimators.monocular.network import MonocularNetwork
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand

HAND = default_hand("right")
REST = resting_joints(HAND)
MEAN_HAND = MeanHand.of(HAND)
SMALL = DistanceNetworkOptions(cells=8, hidden_dim=16, num_layers=2, image_features=8)


def hands_before_cameras(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints half a meter away, and focal lengths in sides of their crops."""
    generator = torch.Generator().manual_seed(4)
    turns = 0.4 * torch.randn(count, 16, 3, generator=generator)
    place = torch.tensor([0.01, -0.02, 0.5]) + 0.05 * torch.randn(count, 3, generator=generator)
    return pose_hand(HAND, turns[:, 0], turns[:, 1:], place, torch.zeros(1)).keypoints, torch.full((count,), 2.0)


def test_a_bump_in_a_volume_is_found_at_its_center():
    cells, size, center = 16, 24, torch.tensor([0.3, -0.45, 0.6])
    axes = [torch.linspace(-1 + 1 / count, 1 - 1 / count, count) for count in (size, size, cells)]
    squares = [-((axis - place) ** 2) / 0.02 for axis, place in zip(axes, center, strict=True)]
    volume = squares[2][:, None, None] + squares[1][None, :, None] + squares[0]
    found = soft_argmax_volume(volume[None], cells)
    assert torch.allclose(found.places[0, 0], center, atol=2e-2)
    assert torch.allclose(found.log_maps.exp().sum((2, 3)), torch.ones(1, 1), atol=1e-5)
    assert found.log_depths[0, 0].argmax() == (axes[2] - center[2]).abs().argmin()


def test_places_and_rays_are_inverse():
    joints, focal = hands_before_cameras()
    rays = rays_of(seen_at(joints, focal), focal)
    assert torch.allclose(rays * joints[..., 2:], joints, atol=1e-6)


def test_bones_of_known_length_say_how_far_away_a_hand_is():
    joints, focal = hands_before_cameras()
    pairs = torch.tensor([[0, 5], [0, 17], [5, 17], [9, 10]])
    lengths = (joints[0, pairs[:, 0]] - joints[0, pairs[:, 1]]).norm(dim=-1)
    rays, depths = rays_of(seen_at(joints, focal), focal), joints[..., 2] - joints[:, :1, 2]
    found = depth_of_known_lengths(rays[:1, pairs], depths[:1, pairs], lengths)
    assert torch.allclose(found, joints[:1, 0, 2], atol=1e-4)
    # A smaller hand that looks the same is nearer by as much.
    nearer = depth_of_known_lengths(rays[:1, pairs], depths[:1, pairs] / 1.1, lengths / 1.1)
    assert torch.allclose(1.1 * nearer, found, atol=1e-4)


def test_joints_are_looked_for_where_another_networks_heat_maps_have_them():
    torch.manual_seed(3)
    learned = MonocularNetwork().eval()
    network = ScenePoseNetwork(REST, cells=8).eval()
    network.begin_with(learned)
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(picture).places[:, :21], learned(picture).points, atol=1e-5, rtol=0)


def test_the_pose_network_keeps_its_depth_with_its_weights():
    network = ScenePoseNetwork(REST, cells=8).eval()
    network.reach.fill_(0.13)
    other = ScenePoseNetwork(REST, cells=8).eval()
    other.load_state_dict(network.state_dict())
    picture, focal, wrist = torch.rand(1, 3, 64, 64), torch.tensor([2.0]), torch.tensor([[0.0, 0.0, 0.5]])
    for found, truth in zip(placed(other(picture), focal, wrist), placed(network(picture), focal, wrist), strict=True):
        assert torch.equal(found, truth)
    assert float(other(picture).depths.abs().max()) <= 2 * 0.13


@pytest.mark.parametrize("hand", HAND_FRAMES)
@pytest.mark.parametrize("image", ["aligned", "global", "none"])
@pytest.mark.parametrize("mean_hand", [None, MEAN_HAND])
def test_every_kind_of_features_gives_distances_that_learn(hand: int, image: str, mean_hand: MeanHand | None):
    held = dict(zip(HAND_FRAMES, OBJECT_FRAMES, strict=True))[hand]
    options = replace(SMALL, hand_features=hand, object_features=held, image=image)
    network = SceneNetwork(options, REST, skeleton="truth", mean_hand=mean_hand)
    joints, focal = hands_before_cameras()
    scene = network(torch.rand(3, 3, 64, 64), focal, joints=joints, center=joints[:, 9])
    points = joints[:, :5] + 0.01
    distances = network.distance.distances(scene.seen, scene.skeleton, points)
    assert distances.shape == (3, 5, 2) and distances.isfinite().all()
    (distances.abs().sum() + scene.center.sum()).backward()
    assert all(p.grad is not None for name, p in network.distance.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("mean_hand", [None, MEAN_HAND])
def test_what_heads_see_goes_with_the_hand(mean_hand: MeanHand | None):
    """A hand that is moved along, with the points and all that is known of it, has the same distances."""
    network = SceneNetwork(replace(SMALL, image="none"), REST, skeleton="truth", mean_hand=mean_hand).eval()
    joints, focal = hands_before_cameras()
    shift = torch.tensor([0.1, -0.05, 0.2])
    found = []
    for move in (torch.zeros(3), shift):
        scene = network(torch.zeros(3, 3, 32, 32), focal, joints=joints + move, center=joints[:, 9] + move)
        found.append(network.distance.distances(scene.seen, scene.skeleton, joints[:, 3:6] + 0.01 + move))
    assert torch.allclose(*found, atol=1e-5)


def test_heads_begin_at_the_mean_hand():
    network = SceneNetwork(replace(SMALL, image="none"), REST, skeleton="truth", mean_hand=MEAN_HAND).eval()
    joints, focal = hands_before_cameras()
    scene = network(torch.zeros(3, 3, 32, 32), focal, joints=joints, center=joints[:, 9])
    points = joints + 0.01 * torch.randn(3, 21, 3, generator=torch.Generator().manual_seed(1))
    truth = MEAN_HAND.distances(joints, scene.skeleton.frames, points)
    for found in (
        network.distance.distances(scene.seen, scene.skeleton, points)[..., 0],
        network.distance.hand_distances(scene.seen, scene.skeleton, points),
    ):
        assert (found - truth).abs().max() < 5e-3 < truth.abs().max()


def test_what_a_pose_network_sees_is_not_told():
    network = SceneNetwork(replace(SMALL, image="none"), REST, cells=8).eval()
    pictures, focal, wrist = torch.rand(2, 3, 64, 64), torch.tensor([2.0, 2.0]), torch.tensor([[0.0, 0.0, 0.5]] * 2)
    told = network(pictures, focal, wrist=wrist, center=wrist + 0.07, joints=wrist[:, None] + REST)
    alone = network(pictures, focal, wrist=wrist)
    assert torch.equal(told.center, alone.center) and torch.equal(told.joints, alone.joints)


def test_the_frozen_pose_network_does_not_learn():
    network = SceneNetwork(SMALL, REST, cells=8).train()
    assert network.pose is not None and not network.pose.training and network.distance.training
    scene = network(torch.rand(2, 3, 64, 64), torch.tensor([2.0, 2.0]))
    network.distance.distances(scene.seen, scene.skeleton, scene.joints[:, :4]).sum().backward()
    assert all(parameter.grad is None for parameter in network.pose.parameters())


@pytest.mark.parametrize("ordered", [False, True])
def test_order_counts_where_it_should(ordered: bool):
    torch.manual_seed(0)
    mixer = ClipTransformer(16, 1, ordered=ordered).eval()
    torch.nn.init.normal_(mixer.out.weight, std=0.1)
    maps = torch.randn(6, 16, 8, 8)
    turned = mixer(maps.unflatten(0, (2, 3)).flip(1).flatten(0, 1), 3).unflatten(0, (2, 3)).flip(1).flatten(0, 1)
    assert torch.allclose(mixer(maps, 3), turned, atol=1e-5) != ordered
    alone = mixer(maps, 1)
    assert not torch.allclose(alone, mixer(maps, 3), atol=1e-5)
