"""Hands that are drawn: the same for the same step, and of no training where they are judged by."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.datamanagers import joint_batches
from nerfstudio_hands.datamanagers.joint_batches import JointBatch, JointBatches, RightHand, SampleHands
from nerfstudio_hands.hand_model import default_hand, pose_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes

HAND = RightHand(default_hand("right"))


def batches(**options) -> JointBatches:
    return JointBatches(HAND, **{"batch_size": 6, "detailed": 2, "detailed_every": 3, "seed": 5, **options})


def same(one: JointBatch, other: JointBatch) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one)


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_batches, "POOL", 4)


def test_a_step_has_its_batch_wherever_a_training_begins():
    whole = batches()
    through = [whole[step] for step in range(40)]
    for begin in (1, 17, 38):
        resumed = batches()
        assert all(same(resumed[step], through[step]) for step in range(begin, 40))
    assert [len(batch["vertices"]) for batch in through[:6]] == [0, 0, 2, 0, 0, 2]
    assert not same(batches(seed=6)[2], through[2]) and not same(batches(rank=1)[2], through[2])
    assert not same(through[2], through[5])


def test_joints_alone_are_seen_some_four_times_and_then_let_go():
    drawn = batches()
    steps = 400
    seen = [drawn.entry_of(number) for number in range(steps)]
    assert max(seen) == 3 + (steps - 4) // 4
    newest = [4 + number // 4 for number in range(steps - 4)]
    assert all(last - 3 <= entry <= last for entry, last in zip(seen[4:], newest, strict=True))
    for step in range(60):
        drawn[step]
    assert len(drawn._pool) <= 4


def test_a_batch_says_how_its_hands_are_posed():
    batch = batches(batch_size=5)[2]
    local = angles_to_rotations(joint_axes(HAND.hand), batch["angles"])
    zero = torch.zeros(5, 3)
    posed = pose_hand(HAND.hand, zero, local, zero, batch["shape"])
    scale = batch["scale"][:, None, None]

    def placed(points: torch.Tensor) -> torch.Tensor:
        return (points - posed.keypoints[:, :1]) / scale @ batch["rotation"].mT + batch["joints"][:, :1]

    torch.testing.assert_close(batch["joints"], placed(posed.keypoints), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch["vertices"], placed(posed.vertices)[:2], atol=1e-5, rtol=0)


def test_poses_of_real_hands_are_a_third():
    known = torch.full((1, 15, 3), 0.123)
    angles = batches(batch_size=600, detailed_every=1, known_angles=known)[0]["angles"]
    assert 0.27 < (angles == 0.123).all(-1).all(-1).float().mean() < 0.4


def test_judged_hands_are_the_same_however_their_joints_are_given():
    samples = SampleHands(HAND, shown=3, held_out=8)
    clean, corrupted = (samples.of("test", is_corrupted=flag) for flag in (False, True))
    assert torch.equal(clean["angles"], corrupted["angles"]) and torch.equal(clean["shape"], corrupted["shape"])
    torch.testing.assert_close(clean["given"], clean["joints"])
    assert corrupted["given"].isnan().any() and len(corrupted["vertices"]) == 8
    assert not torch.equal(clean["angles"], samples.of("val")["angles"])
    assert len(samples.of("train")["vertices"]) == 3
