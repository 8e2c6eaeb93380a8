"""Batches of hands that are drawn, and the joints that a detector would give of them: the same for the same step,
wherever a training is gone on from."""

from __future__ import annotations

from typing import TypedDict, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.joint_frame import frame_of, reference_joints
from nerfstudio_hands.estimators.pose_samples import Corruption, corrupted, held_out_angles, training_angles
from nerfstudio_hands.fitting.joints.keypoint_chain import keypoints_only
from nerfstudio_hands.hand_images.sources import SPLITS
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.hand_model.model import HandModel, pose_hand, with_tensors

POOL, REUSE = 200, 4
"""Batches of joints that a training keeps at hand, and how often it sees each on average: drawing them costs more than
learning of them."""

SAMPLES, TRAINING = 1, 2
"""What a generator draws for, the first number of its seed: what is shown and judged, what is learned."""

WHOLE, ALONE, CHOICE = 1, 2, 3
"""What a training draws: a batch with vertices, one of joints alone, one of the latter that is at hand."""


class JointBatch(TypedDict):
    """N right hands in the frames of the joints that are given of them (`joint_frame`), units of about 0.1 m; vertices
    are known of the first D."""

    given: Float[Tensor, "N 21 3"]
    """What the network sees: with noise and outliers, NaN where absent."""
    scale: Float[Tensor, " N"]
    """Meters a unit."""
    angles: Float[Tensor, "N 15 3"]
    """Flexion, spread and twist, radians."""
    rotation: Float[Tensor, "N 3 3"]
    """Of the wrist."""
    shape: Float[Tensor, "N K"]
    joints: Float[Tensor, "N 21 3"]
    """True ones."""
    vertices: Float[Tensor, "D V 3"]


class RightHand(nn.Module):
    """A right hand that is posed by angles, and what of it is computed once.

    Attributes:
        hand: The model.
        low: Least angles, radians.
        range: Largest angles less the least ones.
        reference: Joints that frames are laid on.

    Args:
        hand: The model; its side must be right.
    """

    axes: Tensor
    low: Tensor
    range: Tensor
    reference: Tensor

    def __init__(self, hand: HandModel) -> None:
        super().__init__()
        self.hand, self._keypoints = hand, keypoints_only(hand)
        low, high = joint_limits(hand).unbind(-1)
        self.register_buffer("axes", joint_axes(hand), persistent=False)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("range", high - low, persistent=False)
        self.register_buffer("reference", reference_joints(resting_joints(hand)), persistent=False)

    def _apply(self, fn, recurse: bool = True) -> RightHand:
        super()._apply(fn, recurse)
        self.hand, self._keypoints = with_tensors(self.hand, fn), with_tensors(self._keypoints, fn)
        return self

    def posed(
        self, angles: Float[Tensor, "N 15 3"], shape: Float[Tensor, "N K"], detailed: int
    ) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "D V 3"]]:
        """Joints of unturned hands, and vertices of the first `detailed` of them; meters from the wrist."""
        local = angles_to_rotations(self.axes, angles)
        zero = torch.zeros_like(local[:, 0])
        joints = pose_hand(self._keypoints, zero, local, zero, shape).keypoints
        few = slice(detailed)
        vertices = pose_hand(self.hand, zero[few], local[few], zero[few], shape[few]).vertices
        return joints - joints[:, :1], vertices - joints[few, :1]


def drawn_batch(
    hand: RightHand,
    angles: Float[Tensor, "N 15 3"],
    generator: torch.Generator,
    *,
    detailed: int,
    corruption: Corruption | None,
) -> JointBatch:
    """Hands of random shape; no turns are drawn, because the frame takes any out.

    Args:
        hand: On the CPU.
        angles: Of the hands, radians.
        generator: Draws shape and corruption.
        detailed: Hands whose vertices are wanted, the first ones; what is drawn does not depend on it.
        corruption: Of the joints that are given; without, they are the true ones.
    """
    shape = torch.randn(len(angles), hand.hand.num_shape, generator=generator)
    joints, vertices = hand.posed(angles, shape, detailed)
    given = joints if corruption is None else corrupted(joints, corruption, generator)
    frame = frame_of(hand.reference, given, given.isfinite().all(-1))
    return JointBatch(
        given=frame.to_frame(given),
        scale=frame.scale,
        angles=angles,
        rotation=frame.rotation.mT,
        shape=shape,
        joints=frame.to_frame(joints),
        vertices=frame.at(slice(len(vertices))).to_frame(vertices),
    )


class JointBatches:
    """Batches of a training by step: joints alone, and at every so many steps vertices, too.

    Joints alone are of a pool that a new batch is added to, and the oldest one taken from, once in `REUSE` steps.

    Args:
        hand: On the CPU.
        batch_size: Hands of a batch.
        detailed: Hands whose vertices a batch with vertices has.
        detailed_every: Steps from one batch with vertices to the next.
        seed: Of all that is drawn.
        rank: Which of the processes that train together this is; each draws other hands.
        known_angles: Of real hands, radians, drawn from as often as from each other source.
    """

    def __init__(
        self,
        hand: RightHand,
        *,
        batch_size: int,
        detailed: int,
        detailed_every: int,
        seed: int,
        rank: int = 0,
        known_angles: Float[Tensor, "P 15 3"] | None = None,
    ) -> None:
        self.hand, self.batch_size, self.detailed, self.detailed_every = hand, batch_size, detailed, detailed_every
        self.known_angles, self._words = known_angles, (TRAINING, seed, rank)
        self._pool: dict[int, JointBatch] = {}

    def __getitem__(self, step: int) -> JointBatch:
        before, place = divmod(step, self.detailed_every)
        if place == self.detailed_every - 1:
            return self._drawn(WHOLE, before, self.detailed)
        return self._entry(self.entry_of(step - before))

    def entry_of(self, number: int) -> int:
        """Which batch of joints alone the step that is the `number`th to see such a one sees; older ones are let go."""
        newest = number if number < POOL else POOL + (number - POOL) // REUSE
        oldest = max(0, newest - POOL + 1)
        for gone in [entry for entry in self._pool if entry < oldest]:
            del self._pool[gone]
        return int(torch.randint(oldest, newest + 1, (1,), generator=seeded(*self._words, CHOICE, number)))

    def _entry(self, entry: int) -> JointBatch:
        if entry not in self._pool:
            self._pool[entry] = self._drawn(ALONE, entry, 0)
        return self._pool[entry]

    def _drawn(self, what: int, number: int, detailed: int) -> JointBatch:
        generator = seeded(*self._words, what, number)
        angles = training_angles(self.hand.hand, self.batch_size, generator, self.known_angles)
        return drawn_batch(self.hand, angles, generator, detailed=detailed, corruption=Corruption())


class SampleHands:
    """Hands that are shown and judged, with vertices, drawn when they are first asked for: of no training, whatever its
    seed; held-out ones with gestures that none has seen.

    Args:
        hand: On the CPU.
        shown: Hands of the split `train`, which are drawn as a training draws them.
        held_out: Hands of every other split.
    """

    def __init__(self, hand: RightHand, *, shown: int, held_out: int) -> None:
        self.hand, self.shown, self.held_out = hand, shown, held_out
        self._drawn: dict[tuple[str, bool], JointBatch] = {}

    def of(self, split: str, *, is_corrupted: bool = True) -> JointBatch:
        """All hands of a split.

        Args:
            split: train, val or test.
            is_corrupted: Whether joints are given as a detector would give them, or the true ones; the hands do not
                depend on it.
        """
        key = split, is_corrupted
        if key not in self._drawn:
            generator = seeded(SAMPLES, SPLITS.index(split))
            draw, count = (training_angles, self.shown) if split == "train" else (held_out_angles, self.held_out)
            angles = draw(self.hand.hand, count, generator)
            corruption = Corruption() if is_corrupted else None
            self._drawn[key] = drawn_batch(self.hand, angles, generator, detailed=count, corruption=corruption)
        return self._drawn[key]


def rows_of(batch: JointBatch, rows: slice) -> JointBatch:
    """Some hands of a batch whose vertices are all known."""
    return cast(JointBatch, {name: value[rows] for name, value in batch.items()})  # pyright: ignore[reportIndexIssue]


def seeded(*words: int) -> torch.Generator:
    """A generator of its own for each sequence of numbers."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]))
