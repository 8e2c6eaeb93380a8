"""Poses, and one shape, from 3D joints over thousands of frames: Levenberg-Marquardt steps for many hands at once.

Every hand is a small problem of its own (51 unknowns, 63 coordinates); only the person's shape and the places of the
landmarks are shared. These are found first, from a sample of the frames, together with the poses of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.joints.keypoint_chain import POSE_SIZE, ChainPose, KeypointChain, PosedChain, carried_by
from nerfstudio_hands.fitting.joints.partial_track import PartialTrack
from nerfstudio_hands.fitting.joints.pose_fit import (
    LANDMARK_OFFSET_METERS,
    LIMIT_RADIANS,
    MIN_JOINTS,
    PALM,
    SHAPE_PRIOR,
)
from nerfstudio_hands.fitting.joints.pose_start import PoseStart
from nerfstudio_hands.fitting.variables import geman_mcclure
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.transforms.rotations import rigid_registration, rotation_between, rotation_vector

# Scatter of annotated joints; smaller than that of a detector's, so that a fist is not pulled open by the pose prior.
ANNOTATION_METERS = 0.002
# Rounds of a fit: the distance at which a joint begins to be taken for an outlier, metres, loose while the hand may be
# far, then close; and the step below which a hand rests (largest of its unknowns, radians or metres).
ROUNDS = ((0.03, 0.02), (0.02, 0.001))
# A joint that a fit leaves this far away is an outlier, or the fit is caught in a local minimum.
DOUBTFUL_METERS = 0.02
# Hands from which shape and landmarks are found.
SAMPLE = 200
ITERATIONS = 25
PERSON_ITERATIONS = 8
# Shape and landmarks are found when a step lowers the cost by less than this share.
PERSON_DECREASE = 3e-4
INITIAL_DAMPING, MIN_DAMPING, MAX_DAMPING = 1e-3, 1e-6, 1e6


@dataclass
class JointTrackFit:
    """Hands fitted to 3D joints; T frames, H hands.

    Attributes:
        pose: Poses [T, H]; not valid where too few joints were given.
        shape: Shape of the person.
        landmark_offset: From the model's joints to where the annotation has them, in the axes of the right hand's rest
            pose, carried by the bone; the left hand's are the mirror image. Metres.
        error: Mean distance of the joints given from the model's landmarks, metres; NaN where there is no hand.
    """

    pose: HandPose
    shape: Float[Tensor, " K"]
    landmark_offset: Float[Tensor, "21 3"]
    error: Float[Tensor, "T H"]


@dataclass
class _Targets:
    """Joints that N hands are held against, zero where absent."""

    points: Float[Tensor, "N 21 3"]
    present: Float[Tensor, "N 21"]
    precision: Float[Tensor, "N 21 3 3"] | None = None
    """Root of each joint's information over that of an annotated one; None for joints as good in all directions."""

    @property
    def joints(self) -> Float[Tensor, "N 21 3"]:
        """The joints, NaN where absent."""
        return torch.where(self.present[..., None] > 0, self.points, torch.nan)

    def at(self, chosen: Tensor) -> _Targets:
        precision = None if self.precision is None else self.precision[chosen]
        return _Targets(self.points[chosen], self.present[chosen], precision)

    def weighed(self, derivatives: Float[Tensor, "N 21 3 *K"]) -> Float[Tensor, "N 21 3 *K"]:
        """Residuals, or their derivatives, in units in which each counts as that of an annotated joint."""
        if self.precision is None:
            return derivatives
        return torch.einsum("njab,njb...->nja...", self.precision, derivatives)


def fit_joint_track(
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    *,
    precision: Float[Tensor, "T H 21 3 3"] | None = None,
    shape: Float[Tensor, " K"] | None = None,
    landmark_offset: Float[Tensor, "21 3"] | None = None,
    shape_frames: Sequence[int] | None = None,
    start: PoseStart | None = None,
    lifted: bool = False,
    batch: int = 256,
    partial: Path | None = None,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> JointTrackFit:
    """Fits hands to 3D joints, every frame by itself.

    Hands of `shape_frames` are fitted before the others and never in one batch with them: a batch decides the last bit.

    Args:
        surface: The H hands.
        joints: World frame, metres, NaN where absent. A hand with fewer than `MIN_JOINTS` is taken as absent.
        precision: How well each joint is known, in directions: its error, times this, is `ANNOTATION_METERS` or so. By
            default all are as good as annotated ones.
        shape: Where it is known; only poses are fitted then.
        landmark_offset: Goes with a known shape; zero if not given.
        shape_frames: Frames from which shape and landmarks may be learnt; by default all.
        start: Where hands begin again that came to rest far from a joint; by default they stay there.
        lifted: Whether joints are known from one picture each, see `JointTerms.lifted`.
        batch: Hands fitted at once.
        partial: File that keeps the hands done so far: if it is there, the fit goes on from it.
        progress: Receives the stage and the fraction done.

    Raises:
        HandsError: No frame has a hand, or none of `shape_frames` has.
    """
    chain = KeypointChain(surface, lifted=lifted)
    joints = joints.to("cpu", torch.float64)
    finite = torch.isfinite(joints).all(-1)
    valid = finite.sum(-1) >= MIN_JOINTS
    frames, hands = valid.nonzero(as_tuple=True)
    allowed = _allowed(len(valid), shape_frames)
    learnt = allowed[frames]
    order = (~learnt).int().argsort(stable=True)
    frames, hands, first = frames[order], hands[order], int(learnt.sum())
    roots = None if precision is None else precision.to("cpu", torch.float64)[frames, hands]
    targets = _Targets(joints.nan_to_num(0.0)[frames, hands], finite[frames, hands].double(), roots)
    with PartialTrack(partial, len(hands)) as done:
        if shape is not None:
            offset = torch.zeros(21, 3) if landmark_offset is None else landmark_offset
        elif done.shape is not None:
            shape, offset = done.shape, done.landmark_offset
        else:
            progress("Fitting the shape of the hand", 0.0)
            sample = _sample(first, int(allowed.sum()))
            shape, offset = _fit_person(chain, targets.at(sample), hands[sample])
        shape, offset = shape.double(), offset.double()
        done.shape, done.landmark_offset = shape, offset
        while done.count < len(hands):
            progress("Fitting poses to joints", done.count / len(hands))
            part = torch.arange(done.count, min(done.count + batch, first if done.count < first else len(hands)))
            fitted, error = _fit_poses(chain, targets.at(part), hands[part], shape, offset, start)
            done.add(chain.to_hand_pose(fitted), error)
        progress("Fitting poses to joints", 1.0)
    pose = HandPose.rest(surface.num_hands, (len(joints),), dtype=torch.float64)
    pose.valid = valid
    errors = torch.full(valid.shape, torch.nan, dtype=torch.float64)
    for name, values in (*vars(pose).items(), ("error", errors)):
        if name in done.arrays:
            values[frames, hands] = done.arrays[name]
    return JointTrackFit(pose.to(dtype=torch.float32), shape.float(), offset.float(), errors.float())


def _allowed(count: int, shape_frames: Sequence[int] | None) -> Bool[Tensor, " T"]:
    """Whether each of so many frames may be learnt from."""
    if shape_frames is None:
        return torch.ones(count, dtype=torch.bool)
    return torch.isin(torch.arange(count), torch.as_tensor(list(shape_frames)))


def _sample(count: int, num_frames: int) -> Int[Tensor, " S"]:
    """Indices of some of so many hands, of that many frames that may be learnt from, evenly spread."""
    if not count:
        raise HandsError(
            f"3D joints: expected a frame with at least {MIN_JOINTS} joints of a hand among {num_frames} frames, "
            "found none: choose other frames or another hand."
        )
    return torch.linspace(0, count - 1, min(SAMPLE, count)).round().long()


def _fit_person(chain: KeypointChain, targets: _Targets, hand: Tensor) -> tuple[Tensor, Tensor]:
    """Shape and landmark offset by Gauss-Newton steps on them and all poses together.

    The poses are eliminated hand by hand (Schur complement). The priors of what is shared grow with the number of
    hands: that of the landmarks as fast, else those of a long track would move wherever that makes its poses more
    common; that of the shape as its root, because joints say well how large a hand is, and little of its finer form.
    """
    shape = torch.zeros(chain.shape_dirs.shape[-1], dtype=torch.float64)
    offset = torch.zeros(21, 3, dtype=torch.float64)
    pose = _minimize(chain, targets, start_from_bones(chain, targets, hand, shape), shape, offset, *ROUNDS[0])
    size, count = len(shape), len(hand)
    weight = torch.cat(
        [
            torch.full((size,), SHAPE_PRIOR * count**0.5).double(),
            torch.full((63,), 0.5 * count / LANDMARK_OFFSET_METERS**2).double(),
        ]
    )
    shared = torch.zeros(size + 63, dtype=torch.float64)
    damping = INITIAL_DAMPING
    for scale, _ in ROUNDS:
        for _ in range(PERSON_ITERATIONS):
            rest, offsets = _rest_and_offsets(chain, pose, shared[:size], shared[size:].reshape(21, 3))
            posed = chain.pose(pose, rest, offsets)
            normal, gradient, weighted = _normal_equations(chain, targets, pose, posed, scale)
            jacobian = targets.weighed(_shared_jacobian(chain, pose, posed)).flatten(1, 2)
            worth = _worth(targets, posed, scale).repeat_interleave(3, -1)[..., None]
            residual = _residuals(targets, posed).reshape(-1, 1)
            cross = weighted.mT.contiguous() @ jacobian
            flat = jacobian.flatten(0, 1)
            shared_normal = flat.T @ (worth * jacobian).flatten(0, 1) + weight.diag()
            shared_gradient = (flat.T @ (worth.reshape(-1, 1) * residual))[:, 0] + weight * shared
            before = _cost(chain, targets, pose, posed, scale).sum() + (weight * shared**2).sum()
            after = before
            while damping < MAX_DAMPING:
                factor = torch.linalg.cholesky(_damped(normal, damping))
                solved = torch.cholesky_solve(torch.cat([cross, gradient[..., None]], -1), factor)
                reduced = cross.flatten(0, 1).T @ solved.flatten(0, 1)
                remaining = _damped(shared_normal - reduced[:, :-1], damping)
                step = -torch.linalg.solve(remaining, shared_gradient - reduced[:, -1])
                moved = pose.moved(-(solved[..., -1] + solved[..., :-1] @ step))
                trial = shared + step
                rest, offsets = _rest_and_offsets(chain, moved, trial[:size], trial[size:].reshape(21, 3))
                misfit = _cost(chain, targets, moved, chain.pose(moved, rest, offsets), scale).sum()
                after = misfit + (weight * trial**2).sum()
                if after < before:
                    pose, shared, damping = moved, trial, max(damping / 10, MIN_DAMPING)
                    break
                damping *= 10
            if before - after < PERSON_DECREASE * before:
                break
    return shared[:size], shared[size:].reshape(21, 3)


def _shared_jacobian(chain: KeypointChain, pose: ChainPose, posed: PosedChain) -> Float[Tensor, "N 21 3 S"]:
    """Derivatives of the landmarks by the shape and the landmark offset."""
    size = chain.shape_dirs.shape[-1]
    jacobian = torch.zeros(len(pose), 21, 3, size + 63, dtype=torch.float64)
    jacobian[..., :size] = chain.shape_jacobian(pose, posed)
    turned = carried_by(pose, posed) * chain.mirror[pose.hand][:, None, None]
    joint = torch.arange(21)
    jacobian[..., size:].unflatten(-1, (21, 3))[:, joint, :, joint] = turned.transpose(0, 1)
    return jacobian


def _fit_poses(
    chain: KeypointChain, targets: _Targets, hand: Tensor, shape: Tensor, offset: Tensor, start: PoseStart | None
) -> tuple[ChainPose, Float[Tensor, " N"]]:
    """Poses of some hands and their mean distances from the joints.

    A hand that leaves a joint doubtful may have been caught in a local minimum: it is fitted again from another start,
    and the fit of lower cost is kept.
    """
    pose = start_from_bones(chain, targets, hand, shape)
    pose, cost, distance = _fit_from(pose, chain, targets, shape, offset)
    doubtful = (distance.amax(-1) > DOUBTFUL_METERS).nonzero()[:, 0]
    if start is not None and len(doubtful):
        sought = targets.at(doubtful)
        other = start(chain, sought.joints, hand[doubtful], shape)
        other, other_cost, other_distance = _fit_from(other, chain, sought, shape, offset)
        better = other_cost < cost[doubtful]
        pose = pose.put(doubtful[better], other.at(better))
        distance[doubtful[better]] = other_distance[better]
    return pose, distance.sum(-1) / targets.present.sum(-1)


def _fit_from(
    pose: ChainPose, chain: KeypointChain, targets: _Targets, shape: Tensor, offset: Tensor
) -> tuple[ChainPose, Float[Tensor, " N"], Float[Tensor, "N 21"]]:
    """Poses fitted from some start, their costs, and distances from the joints, zero where absent."""
    # Tips that move against their bones are placed anew before each round.
    for scale, still in ROUNDS if chain.is_rigid else (*ROUNDS, ROUNDS[-1]):
        pose = _minimize(chain, targets, pose, shape, offset, scale, still)
    posed = chain.pose(pose, *_rest_and_offsets(chain, pose, shape, offset))
    distance = (posed.landmarks - targets.points).norm(dim=-1) * targets.present
    return pose, _cost(chain, targets, pose, posed, ROUNDS[-1][0]), distance


def _minimize(
    chain: KeypointChain, targets: _Targets, pose: ChainPose, shape: Tensor, offset: Tensor, scale: float, still: float
) -> ChainPose:
    """Levenberg-Marquardt steps, each hand damped by itself, until every hand rests."""
    rest, offsets = _rest_and_offsets(chain, pose, shape, offset)
    damping = torch.full((len(pose),), INITIAL_DAMPING, dtype=torch.float64)
    moving = torch.arange(len(pose))
    for _ in range(ITERATIONS):
        mine, sought = pose.at(moving), targets.at(moving)
        posed = chain.pose(mine, rest[moving], offsets[moving])
        normal, gradient, _ = _normal_equations(chain, sought, mine, posed, scale)
        factor = torch.linalg.cholesky(_damped(normal, damping[moving]))
        step = -torch.cholesky_solve(gradient[..., None], factor)[..., 0]
        moved = mine.moved(step)
        before = _cost(chain, sought, mine, posed, scale)
        after = _cost(chain, sought, moved, chain.pose(moved, rest[moving], offsets[moving]), scale)
        better = after < before
        pose = pose.put(moving[better], moved.at(better))
        changed = torch.where(better, damping[moving] / 10, damping[moving] * 10)
        damping[moving] = changed.clamp_min(MIN_DAMPING)
        resting = (step.abs().amax(-1) < still) | (changed > MAX_DAMPING)
        moving = moving[~resting]
        if not len(moving):
            break
    return pose


def _rest_and_offsets(chain: KeypointChain, pose: ChainPose, shape: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Rest keypoints, and offsets to the landmarks in rest axes; those of the tips as they are in this pose."""
    rest = chain.rest_of(pose.hand, shape)
    shift = chain.tip_shift(pose, shape, chain.pose(pose, rest))
    return rest, chain.offsets_of(pose.hand, offset) + shift


def _residuals(targets: _Targets, posed: PosedChain) -> Float[Tensor, "N 21 3"]:
    return targets.weighed((posed.landmarks - targets.points) * targets.present[..., None])


def _worth(targets: _Targets, posed: PosedChain, scale: float) -> Float[Tensor, "N 21"]:
    """Weight of each joint's squared distance: derivative of the Geman-McClure function."""
    squared = (_residuals(targets, posed) ** 2).sum(-1) / scale**2
    return targets.present / (1 + squared) ** 2 / ANNOTATION_METERS**2


def _beyond(chain: KeypointChain, pose: ChainPose) -> Float[Tensor, "N 5 3 3"]:
    """How far angles are past their limits, with sign; radians."""
    limits = chain.limits[pose.hand]
    return (pose.angles - limits[..., 1]).relu() - (limits[..., 0] - pose.angles).relu()


def _cost(
    chain: KeypointChain, targets: _Targets, pose: ChainPose, posed: PosedChain, scale: float
) -> Float[Tensor, " N"]:
    """Robust misfit of the joints, uncommon angles, angles past the limits."""
    squared = (_residuals(targets, posed) ** 2).sum(-1) / scale**2
    misfit = (targets.present * geman_mcclure(squared)).sum(-1) * (scale / ANNOTATION_METERS) ** 2
    prior = (pose.angles / chain.usual[pose.hand]) ** 2 + (_beyond(chain, pose) / LIMIT_RADIANS) ** 2
    return misfit + prior.flatten(1).sum(-1)


def _normal_equations(
    chain: KeypointChain, targets: _Targets, pose: ChainPose, posed: PosedChain, scale: float
) -> tuple[Float[Tensor, "N 51 51"], Float[Tensor, "N 51"], Float[Tensor, "N 63 51"]]:
    """Half the Hessian of the cost after Gauss and Newton, half the gradient, and the weighted jacobian."""
    jacobian = targets.weighed(chain.pose_jacobian(pose, posed)).flatten(1, 2)
    weighted = jacobian * _worth(targets, posed, scale).repeat_interleave(3, -1)[..., None]
    # The transpose is copied: float64 products of a transposed view are several times slower in torch.
    normal = jacobian.mT.contiguous() @ weighted
    gradient = (weighted.mT @ _residuals(targets, posed).flatten(1, 2)[..., None])[..., 0]
    beyond = _beyond(chain, pose)
    usual = chain.usual[pose.hand]
    curvature = 1 / usual**2 + (beyond != 0) / LIMIT_RADIANS**2
    gradient[:, 6:] += (pose.angles / usual**2 + beyond / LIMIT_RADIANS**2).flatten(1)
    normal.diagonal(dim1=-2, dim2=-1)[:, POSE_SIZE - 45 :] += curvature.flatten(1)
    return normal, gradient, weighted


def _damped(normal: Float[Tensor, "*B M M"], damping: Tensor | float) -> Float[Tensor, "*B M M"]:
    """Marquardt's damping: the diagonal made larger by a share of itself."""
    result = normal.clone()
    share = damping[..., None] if isinstance(damping, Tensor) else damping
    diagonal = result.diagonal(dim1=-2, dim2=-1)
    diagonal += share * diagonal
    return result


def start_from_bones(chain: KeypointChain, targets: _Targets, hand: Tensor, shape: Tensor) -> ChainPose:
    """Poses to start from: the palm by Procrustes, then every bone turned the shortest way to where its joints say.

    Angles are kept within the joint limits; a bone that lacks a joint stays as at rest.
    """
    rest = chain.rest_of(hand, shape)
    pose = _place(chain, targets, _at_rest(hand), shape)
    rest_fingers = rest[:, 1:].unflatten(1, (5, 4))
    points = targets.points[:, 1:].unflatten(1, (5, 4))
    present = targets.present[:, 1:].unflatten(1, (5, 4)) > 0
    for k in range(3):
        # Bones after `k` are still at rest, so the bone of joint k is turned as its parent's.
        bones = chain.pose(pose, rest).bones[:, :, k]
        wanted = (bones.mT @ (points[:, :, k + 1] - points[:, :, k])[..., None])[..., 0]
        known = (present[:, :, k] & present[:, :, k + 1])[..., None]
        turn = rotation_vector(rotation_between(rest_fingers[:, :, k + 1] - rest_fingers[:, :, k], wanted))
        angles = torch.einsum("nfac,nfc->nfa", chain.axes[hand][:, :, k], turn)
        limits = chain.limits[hand][:, :, k]
        pose.angles[:, :, k] = torch.where(known, angles.clamp(limits[..., 0], limits[..., 1]), 0.0)
    return pose


def _at_rest(hand: Tensor) -> ChainPose:
    """Unplaced hands in the zero pose."""
    eye = torch.eye(3, dtype=torch.float64).repeat(len(hand), 1, 1)
    return ChainPose(hand, eye, torch.zeros(len(hand), 3).double(), torch.zeros(len(hand), 5, 3, 3).double())


def _place(chain: KeypointChain, targets: _Targets, pose: ChainPose, shape: Tensor) -> ChainPose:
    """Rotation and translation that lay palms, or whole hands that lack palm joints, on the joints (Kabsch)."""
    rest = chain.rest_of(pose.hand, shape)
    source = chain.pose(pose, rest).landmarks
    palm = torch.zeros(21, dtype=torch.float64)
    palm[list(PALM)] = 1.0
    weights = targets.present * palm
    weights = torch.where((weights.sum(-1, keepdim=True) < 3), targets.present, weights)
    rotation, moved = rigid_registration(source, targets.points, weights)
    wrist = moved + (rotation @ rest[:, 0, :, None])[..., 0]
    return ChainPose(pose.hand, rotation @ pose.orientation, wrist - rest[:, 0], pose.angles)
