"""The network that comes with the package, on hands that it was not trained on; its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.network import PoseNetwork, new_network
from nerfstudio_hands.estimators.pose_samples import (
    GESTURES,
    HELD_OUT_GESTURES,
    Corruption,
    corrupted,
    held_out_angles,
)
from nerfstudio_hands.estimators.prediction import predict_hands, predict_vertices
from nerfstudio_hands.estimators.weights_file import (
    SHIPPED,
    JointPredictor,
    load_network,
    save_network,
    shipped_network,
)
from nerfstudio_hands.hand_model import default_hand, mirror_hand, pose_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits

RIGHT = default_hand("right")
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def held_out(count: int, seed: int = 99) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Joints, vertices and angles of right hands, turned any way round."""
    generator = torch.Generator().manual_seed(seed)
    angles = held_out_angles(RIGHT, count, generator)
    turns = torch.from_numpy(Rotation.random(count, random_state=seed).as_rotvec()).float()
    local = angles_to_rotations(joint_axes(RIGHT), angles)
    shape = torch.randn(count, RIGHT.num_shape, generator=generator)
    posed = pose_hand(RIGHT, turns, local, torch.randn(count, 3, generator=generator), shape)
    return posed.keypoints, posed.vertices, angles


@pytest.fixture(scope="module")
def small() -> PoseNetwork:
    return new_network(RIGHT)


def test_shapes(small):
    joints, vertices, _ = held_out(4)
    found = predict_hands(small, joints, "right")
    assert found.fractions.shape == (4, 15, 3)
    assert found.shape.shape == (4, RIGHT.num_shape)
    identity = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(found.orientation.mT @ found.orientation, identity, atol=1e-5, rtol=0)
    assert predict_vertices(small, joints, "right").shape == vertices.shape


def test_a_turned_hand_gives_the_turned_prediction(small):
    joints, _, _ = held_out(3)
    turn = torch.from_numpy(Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()).float()
    moved = joints @ turn.T + torch.tensor([0.2, 0.0, -0.4])
    expected = predict_vertices(small, joints, "right") @ turn.T + torch.tensor([0.2, 0.0, -0.4])
    torch.testing.assert_close(predict_vertices(small, moved, "right"), expected, atol=1e-4, rtol=0)


def test_a_mirrored_hand_gives_the_mirrored_prediction():
    network, left = shipped_network(), mirror_hand(RIGHT)
    joints, _, _ = held_out(3)
    ours, theirs = predict_hands(network, joints, "right"), predict_hands(network, joints * MIRROR, "left")
    torch.testing.assert_close(
        predict_vertices(network, joints * MIRROR, "left"), predict_vertices(network, joints, "right") * MIRROR
    )
    limits = joint_limits(RIGHT)
    posed = []
    for hand, found in ((RIGHT, ours), (left, theirs)):
        angles = limits[..., 0] + found.fractions * (limits[..., 1] - limits[..., 0])
        turns = torch.from_numpy(Rotation.from_matrix(found.orientation).as_rotvec()).float()
        local = angles_to_rotations(joint_axes(hand), angles)
        posed.append(pose_hand(hand, turns, local, torch.zeros(3, 3), found.shape).keypoints)
    torch.testing.assert_close(posed[1], posed[0] * MIRROR, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "corruption, joint_bar, vertex_bar",
    [(Corruption(0.0, 1, 1, 0.0), 0.005, 0.007), (Corruption(0.006, 9, 4, 0.15), 0.010, 0.011)],
)
def test_held_out_hands(corruption, joint_bar, vertex_bar):
    """The middle of all limits, in the hand's true place, misses joints by more than 20 mm."""
    network = shipped_network()
    joints, vertices, angles = held_out(400)
    given = corrupted(joints, corruption, torch.Generator().manual_seed(4))
    assert (predict_vertices(network, given, "right") - vertices).norm(dim=-1).mean() < vertex_bar

    def joints_of(angles: torch.Tensor) -> torch.Tensor:
        local = angles_to_rotations(joint_axes(RIGHT), angles)
        turns = torch.from_numpy(Rotation.from_matrix(found.orientation).as_rotvec()).float()
        posed = pose_hand(RIGHT, turns, local, torch.zeros(len(angles), 3), found.shape).keypoints
        return posed - posed[:, :1] + found.wrist[:, None]

    found = predict_hands(network, given, "right")
    low, high = joint_limits(RIGHT).unbind(-1)
    error = (joints_of(low + found.fractions * (high - low)) - joints).norm(dim=-1).mean()
    mean_error = (joints_of(((low + high) / 2).expand(len(joints), -1, -1)) - joints).norm(dim=-1).mean()
    assert error < joint_bar < 0.5 * mean_error


def test_held_out_gestures_are_held_out():
    for gesture in HELD_OUT_GESTURES:
        assert all(np.abs(gesture - other).max() > 10 for other in GESTURES)


def test_a_network_comes_back_from_its_file(small, tmp_path: Path):
    file = tmp_path / "network.npz"
    save_network(file, JointPredictor(small, RIGHT.faces), {"made_of": "nothing"})
    joints, _, _ = held_out(3)
    again = load_network(file, default_hand("left").faces)
    expected = predict_vertices(small, joints, "right")
    torch.testing.assert_close(predict_vertices(again, joints, "right"), expected, atol=1e-3, rtol=0)


def test_the_shipped_file_is_small_and_belongs_to_the_built_in_hand():
    assert SHIPPED.stat().st_size < 1_000_000
    load_network(SHIPPED, RIGHT.faces)


def test_files_that_are_no_network(small, tmp_path: Path):
    whole = SHIPPED.read_bytes()
    file = tmp_path / "network.npz"
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HandsError, match=r"network.npz: expected a pose network, found File is not a zip file: train"):
        load_network(file)
    with pytest.raises(HandsError, match="expected a pose network for a hand model with 3000 triangles"):
        load_network(SHIPPED, RIGHT.faces[:3000])
    np.savez(file, format="something else")
    with pytest.raises(HandsError, match="expected the format 'nerfstudio-hands pose network 1', found 'something"):
        load_network(file)
    with np.load(SHIPPED) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["weight/trunk.0.bias"] = arrays["weight/trunk.0.bias"][:5]
    np.savez(file, **arrays)
    with pytest.raises(HandsError, match="expected the layers of .*train one with"):
        load_network(file)
