"""Cameras and hands adjusted together, where hands keep the lengths of their bones.

What two cameras alone leave open, an angle for a depth, is told by a hand that is as large near as far, and however it
is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jacfwd, vmap
from torch.nn import functional

from nerfstudio_hands.hand_model.joints import BONES, JOINT_PARENTS

TOLERATED = (8.0, 2.0, 1.0)
"""Scatters from which on landmarks count for little, stage by stage: hands that wrong ones have bent stay bent where
these count for nothing from the beginning."""

ROUNDS = 12
"""Steps of a stage, at most."""

ENOUGH = 1e-5
"""Part of the loss by which it has to fall in a step, for there to be another one."""

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e-8, 1e8
"""Of steps, relative to the curvature (Levenberg and Marquardt)."""

NEAREST = 1e-3
"""Depth that joints have at least, as a part of the cameras' distance."""


def adjusted_by_bones(
    placed: Float[np.ndarray, "C 4 4"],
    landmarks: Float[np.ndarray, "H C 21 2"],
    joints: Float[np.ndarray, "H 21 3"],
    sides: Int[np.ndarray, " H"],
    scatter: Float[np.ndarray, " C"],
) -> tuple[Float[np.ndarray, "C 4 4"], Float[np.ndarray, "H 21 3"]]:
    """All cameras but the first, and hands, moved until landmarks lie on joints whose bones have one length a side.

    Bundle adjustment (Triggs et al., "Bundle adjustment: a modern synthesis", 1999) under a Cauchy loss. A hand is its
    wrist and the directions of its bones, and eliminated from the equations, so that these stay as small as the number
    of cameras.

    Args:
        placed: World to camera, in any unit.
        landmarks: Where rays meet the plane of depth one of their camera; NaN where absent.
        joints: In the world, to begin with.
        sides: 0 or 1, of each hand.
        scatter: Of each camera's landmarks, radians.

    Returns:
        Cameras and joints, in about the same unit.
    """
    bones = joints[:, 1:] - joints[:, JOINT_PARENTS[1:]]
    long = np.linalg.norm(bones, axis=-1)
    lengths = np.stack([np.median(long[sides == side if side in sides else sides >= 0], axis=0) for side in (0, 1)])
    found = _State(placed, *(torch.from_numpy(part) for part in (joints[:, 0], bones / long[..., None], lengths)))
    seen = _Seen(
        torch.from_numpy(np.nan_to_num(landmarks)),
        torch.from_numpy(np.isfinite(landmarks).all(-1) / scatter[:, None]),
        functional.one_hot(torch.from_numpy(sides).long(), 2).double(),
        NEAREST * float(np.linalg.norm(placed[1:, :3, 3], axis=-1).max()),
    )
    for tolerated in TOLERATED:
        found = _descended(found, seen, tolerated)
    return found.placed, _posed(found.wrists, found.directions, seen.sides @ found.lengths).numpy()


def moved(placed: Float[np.ndarray, "C 4 4"], values: Float[np.ndarray, " P"]) -> Float[np.ndarray, "C 4 4"]:
    """Transforms after a turn (axis times angle) and a shift of each camera but the first."""
    placed = placed.copy()
    for matrix, move in zip(placed[1:], values.reshape(-1, 6), strict=True):
        matrix[:3, :3] = cv2.Rodrigues(move[:3].copy())[0] @ matrix[:3, :3]
        matrix[:3, 3] += move[3:]
    return placed


@dataclass(frozen=True)
class _State:
    """What is looked for: cameras, wrists, unit vectors along bones, and the lengths of these of both sides."""

    placed: Float[np.ndarray, "C 4 4"]
    wrists: Float[Tensor, "H 3"]
    directions: Float[Tensor, "H 20 3"]
    lengths: Float[Tensor, "2 20"]

    def unknowns(self) -> tuple[Float[Tensor, "H 63"], Float[Tensor, " P"]]:
        """Of each hand, and of all: moves of the cameras, which are none, and lengths."""
        moves = self.lengths.new_zeros(6 * (len(self.placed) - 1))
        return torch.cat([self.wrists, self.directions.flatten(1)], 1), torch.cat([moves, self.lengths.flatten()])

    def after(self, hands: Float[Tensor, "H 63"], shared: Float[Tensor, " P"]) -> _State:
        """After a step."""
        moves, lengths = shared.split([6 * (len(self.placed) - 1), self.lengths.numel()])
        return _State(
            moved(self.placed, moves.numpy()),
            self.wrists + hands[:, :3],
            functional.normalize(self.directions + hands[:, 3:].view(-1, 20, 3), dim=-1),
            self.lengths + lengths.view(2, -1),
        )


@dataclass(frozen=True)
class _Seen:
    """Landmarks of each hand, the inverse of their scatter (0 where absent), its side, and the least depth."""

    landmarks: Float[Tensor, "H C 21 2"]
    weights: Float[Tensor, "H C 21"]
    sides: Float[Tensor, "H 2"]
    near: float


def _descended(state: _State, seen: _Seen, tolerated: float) -> _State:
    """The state after a stage."""
    damping, over_hands = FIRST_DAMPING, (0, None, None, 0, 0, 0, None)
    misses, slopes = vmap(_misses, over_hands), vmap(jacfwd(_misses, (0, 1)), over_hands)

    def at(state: _State) -> tuple:
        cameras = torch.from_numpy(state.placed)
        return *state.unknowns(), cameras, seen.landmarks, seen.weights, seen.sides, seen.near

    def loss_of(values: Tensor) -> float:
        return float(tolerated**2 * torch.log1p((values / tolerated) ** 2).sum())

    values = misses(*at(state))
    for _ in range(ROUNDS):
        to_hands, to_all = slopes(*at(state))
        equations = _Equations(to_hands, to_all, values, 1 / (1 + (values / tolerated) ** 2))
        loss = loss_of(values)
        while True:
            new = state.after(*equations.step(damping))
            values = misses(*at(new))
            fallen = loss - loss_of(values)
            if fallen > 0:
                break
            damping *= 10
            if damping > MOST_DAMPING:
                return state
        state, damping = new, max(damping / 10, LEAST_DAMPING)
        if fallen < ENOUGH * loss:
            break
    return state


class _Equations:
    """Normal equations of weighed least squares.

    Args:
        to_hands: Slopes of the misses by what is of their hand.
        to_all: By what is of all.
        misses: What is to vanish.
        weights: Of these.
    """

    def __init__(
        self,
        to_hands: Float[Tensor, "H R 63"],
        to_all: Float[Tensor, "H R P"],
        misses: Float[Tensor, "H R"],
        weights: Float[Tensor, "H R"],
    ) -> None:
        weighed_hands, weighed_all = to_hands.mT * weights[:, None], to_all.mT * weights[:, None]
        self.own, self.mixed, self.all = weighed_hands @ to_hands, weighed_hands @ to_all, (weighed_all @ to_all).sum(0)
        self.right_own, self.right_all = weighed_hands @ misses[..., None], (weighed_all @ misses[..., None]).sum(0)

    def step(self, damping: float) -> tuple[Float[Tensor, "H 63"], Float[Tensor, " P"]]:
        """The step of hands, and that of what is of all (Schur complement)."""
        solved = torch.linalg.solve(_damped(self.own, damping), torch.cat([self.mixed, self.right_own], -1))
        left = _damped(self.all, damping) - (self.mixed.mT @ solved[..., :-1]).sum(0)
        shared = torch.linalg.solve(left, (self.mixed.mT @ solved[..., -1:]).sum(0) - self.right_all)[:, 0]
        return -solved[..., -1] - solved[..., :-1] @ shared, shared


def _damped(matrices: Float[Tensor, "*B N N"], damping: float) -> Float[Tensor, "*B N N"]:
    """With more of their diagonal, and a little where there is none: what nothing depends on stays."""
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    return matrices + torch.diag_embed(damping * diagonal + 1e-9 * diagonal.amax(-1, keepdim=True))


def _misses(
    hand: Float[Tensor, " 63"],
    shared: Float[Tensor, " P"],
    placed: Float[Tensor, "C 4 4"],
    landmarks: Float[Tensor, "C 21 2"],
    weights: Float[Tensor, "C 21"],
    side: Float[Tensor, " 2"],
    near: float,
) -> Float[Tensor, " R"]:
    """Of one hand's landmarks, in scatters, to first order in the moves of the cameras."""
    moves, lengths = shared.split([6 * (len(placed) - 1), 2 * len(BONES)])
    joints = _posed(hand[:3], hand[3:].view(-1, 3), side @ lengths.view(2, -1))
    turned = torch.einsum("cij,nj->cni", placed[:, :3, :3], joints)
    move = torch.cat([moves.new_zeros(1, 6), moves.view(-1, 6)])[:, None].expand(-1, len(joints), -1)
    local = turned + torch.linalg.cross(move[..., :3], turned) + placed[:, None, :3, 3] + move[..., 3:]
    drawn = local[..., :2] / local[..., 2:].clamp_min(near)
    return ((drawn - landmarks) * weights[..., None]).flatten()


def _posed(
    wrist: Float[Tensor, "*H 3"], directions: Float[Tensor, "*H 20 3"], lengths: Float[Tensor, "*H 20"]
) -> Float[Tensor, "*H 21 3"]:
    """Joints of hands whose bones point so."""
    bones = lengths[..., None] * functional.normalize(directions, dim=-1)
    joints = [wrist]
    for parent, joint in BONES:
        joints.append(joints[parent] + bones[..., joint - 1, :])
    return torch.stack(joints, -2)
