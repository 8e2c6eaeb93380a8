"""Meshes brought onto each other before they are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from nerfstudio_hands.evaluation.mesh_metrics import Mesh, sample_surface
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES, sample_region_and_rest
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.transforms.rotations import rigid_registration

STILL_IMPROVING = 1e-7
"""Metres by which the root of the mean squared distance has to fall in each round of a rigid alignment."""

RIGID_SAMPLES, RIGID_ROUNDS = 5_000, 100
"""Points on each surface, and rounds at most, of the rigid alignment."""

COARSE_SAMPLES, COARSE_ROUNDS = 1_000, 20
"""The same while it is found out from where to start."""


@dataclass(frozen=True)
class StoppingRule:
    """When an alignment of scale and translation has gone on for long enough.

    Attributes:
        rounds: At most.
        still_improving: Metres by which the root of the mean squared distance has to fall in each round.
        near_enough: Root of the mean squared distance, metres, that ends it.
    """

    rounds: int
    still_improving: float
    near_enough: float = 0.0


THOROUGH = StoppingRule(50, 1e-7)
"""Until nothing moves: hands that are nearly right would not be aligned at all by `PUBLISHED`."""

PUBLISHED = StoppingRule(100, 1e-5, near_enough=1e-3)
"""That of gSDF's evaluation (Chen et al., CVPR 2023)."""

FAR, FAR_SAMPLES = 5e-3, 3_000
"""Root of the mean squared distance, metres, above which the alignment of scale and translation begins with so many
points on each surface: far ones take many rounds, each of which takes seconds with all points."""


@dataclass(frozen=True)
class Alignment:
    """Takes a point x to scale * x + translation."""

    scale: float
    translation: Float[Tensor, "3"]
    """Metres."""

    def __call__(self, mesh: Mesh) -> Mesh:
        """The mesh moved."""
        return replace(mesh, vertices=self.scale * mesh.vertices + self.translation.to(mesh.vertices))


def align_scale_and_translation(
    mesh: Mesh, truth: Mesh, *, num_samples: int = NUM_SAMPLES, seed: int = 0, rule: StoppingRule = THOROUGH
) -> Alignment:
    """The scale and translation that bring a mesh closest to the truth, by iterated closest points.

    It starts from equal means and spreads; each round then pairs every point with the nearest one of the other surface,
    both ways, and solves for scale and translation (Besl and McKay, TPAMI 1992, without the rotation). Where surfaces
    are far apart few points go ahead, and all of them go on from there.

    Args:
        mesh: What is moved.
        truth: Where to.
        num_samples: Points on each surface.
        seed: Of their choice.
        rule: When it stops.

    Raises:
        HandsError: A surface or its region has no area.
    """
    few, all_ = (_ScalePairing(mesh, truth, count, seed) for count in (min(FAR_SAMPLES, num_samples), num_samples))
    is_far = num_samples > FAR_SAMPLES and few.pairs(few.start())[0] > FAR
    scale, shift = all_.improved(few.improved(few.start(), rule) if is_far else all_.start(), rule)
    return Alignment(scale, torch.from_numpy(shift))


Moved = tuple[float, Float[np.ndarray, "3"]]
"""Scale and translation."""


class _ScalePairing:
    """Points on two surfaces and on what surrounds their regions, which are paired with the nearest of the other's."""

    def __init__(self, mesh: Mesh, truth: Mesh, count: int, seed: int) -> None:
        self.all_source, self.all_target = (
            sample_region_and_rest(surface, count, seed=2 * seed + k).points.double().cpu().numpy()
            for k, surface in enumerate((mesh, truth))
        )
        self.source, self.target = self.all_source[:count], self.all_target[:count]
        self.source_tree, self.target_tree = KDTree(self.all_source), KDTree(self.all_target)

    def start(self) -> Moved:
        """Equal means and spreads."""
        means = self.source.mean(0), self.target.mean(0)
        squares = [((points - mean) ** 2).sum() for points, mean in zip((self.source, self.target), means, strict=True)]
        scale = float(np.sqrt(squares[1] / squares[0]))
        return scale, means[1] - scale * means[0]

    def pairs(self, moved: Moved) -> tuple[float, Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
        """Root of the mean squared distance of pairs, metres, and both their ends, the source's not moved."""
        scale, shift = moved
        forth, forth_index = self.target_tree.query(scale * self.source + shift)
        back, back_index = self.source_tree.query((self.target - shift) / scale)
        error = np.sqrt((np.square(forth).sum() + np.square(scale * back).sum()) / (len(forth) + len(back)))
        here = np.concatenate([self.source, self.all_source[back_index]])
        return float(error), here, np.concatenate([self.all_target[forth_index], self.target])

    def improved(self, start: Moved, rule: StoppingRule) -> Moved:
        """The best of rounds."""
        moved, best, error = start, start, np.inf
        for _ in range(rule.rounds):
            now, here, there = self.pairs(moved)
            if error - now < rule.still_improving:
                break
            best, error = moved, now
            if now < rule.near_enough:
                break
            centered = here - here.mean(0)
            scale = float((centered * (there - there.mean(0))).sum() / (centered**2).sum())
            moved = scale, there.mean(0) - scale * here.mean(0)
        return best


@dataclass(frozen=True)
class RigidMotion:
    """Takes a point x to rotation x + translation."""

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    """Metres."""

    def __call__(self, mesh: Mesh) -> Mesh:
        """The mesh moved."""
        return replace(mesh, vertices=self.points(mesh.vertices.double()).to(mesh.vertices))

    def points(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points moved."""
        return points @ self.rotation.T + self.translation

    def matrix(self) -> Float[Tensor, "4 4"]:
        """The motion as a matrix."""
        matrix = torch.eye(4).double()
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation
        return matrix

    def undo(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points moved back."""
        return (points - self.translation) @ self.rotation


def align_rigidly(mesh: Mesh, truth: Mesh, *, seed: int = 0) -> RigidMotion:
    """The rigid motion that brings a mesh closest to the truth, by iterated closest points.

    Every round pairs points on each of the surfaces with the nearest point of the other one, and solves for the motion
    (Besl and McKay, TPAMI 1992). It begins where the mesh is, and where middle and principal axes lie on those of the
    truth, in each of the four ways; the best of these after `COARSE_ROUNDS` goes on. Both should show the same: a
    forearm that one of them lacks pulls.

    Args:
        mesh: What is moved.
        truth: Where to.
        seed: Of the choice of points.

    Raises:
        HandsError: A surface or its region has no area.
    """
    rough, fine = (_Pairing(mesh, truth, count, seed) for count in (COARSE_SAMPLES, RIGID_SAMPLES))
    tried = [rough.improved(start, COARSE_ROUNDS) for start in rough.starts()]
    best, _ = min(tried, key=lambda found: found[1])
    return fine.improved(best, RIGID_ROUNDS)[0]


class _Pairing:
    """Points on two surfaces, which are paired with the nearest points of the other one."""

    def __init__(self, mesh: Mesh, truth: Mesh, count: int, seed: int) -> None:
        self.source, self.target = (
            sample_surface(surface, count, seed=2 * seed + k).points.double() for k, surface in enumerate((mesh, truth))
        )
        self.mesh, self.truth = (Surfaces(m.faces, m.vertices.detach().float()[None]) for m in (mesh, truth))

    def starts(self) -> Iterator[RigidMotion]:
        """Motions to begin with."""
        yield RigidMotion(torch.eye(3).double(), torch.zeros(3).double())
        middles = self.source.mean(0), self.target.mean(0)
        axes, true_axes = (
            torch.linalg.eigh((points - middle).T @ (points - middle)).eigenvectors
            for points, middle in zip((self.source, self.target), middles, strict=True)
        )
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            turned = true_axes * torch.tensor([*signs, 1.0]).double()
            turned[:, 2] *= torch.det(turned) * torch.det(axes)
            rotation = turned @ axes.T
            yield RigidMotion(rotation, middles[1] - rotation @ middles[0])

    def improved(self, motion: RigidMotion, rounds: int) -> tuple[RigidMotion, float]:
        """The motion after rounds of pairing, and the root of the mean squared distance of pairs, metres."""
        best, error = motion, torch.inf
        for _ in range(rounds):
            there = self.truth.closest(motion.points(self.source).float()).point.double()
            here = self.mesh.closest(motion.undo(self.target).float()).point.double()
            sources, targets = torch.cat([self.source, here]), torch.cat([there, self.target])
            now = float((motion.points(sources) - targets).square().sum(-1).mean().sqrt())
            if error - now < STILL_IMPROVING:
                break
            best, error = motion, now
            motion = RigidMotion(*rigid_registration(sources, targets))
        return best, error
