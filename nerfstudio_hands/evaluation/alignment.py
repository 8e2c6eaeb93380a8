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

ALIGNMENT_ROUNDS = 50
STILL_IMPROVING = 1e-7
"""Rounds of the alignment at most, and the metres by which the root of the mean squared distance has to fall in each.

gSDF stops after 10 rounds, or once the root is below 1 mm, which a hand of that accuracy is before the first."""

RIGID_SAMPLES, RIGID_ROUNDS = 5_000, 100
"""Points on each surface, and rounds at most, of the rigid alignment."""

COARSE_SAMPLES, COARSE_ROUNDS = 1_000, 20
"""The same while it is found out from where to start."""


@dataclass(frozen=True)
class Alignment:
    """Takes a point x to scale * x + translation."""

    scale: float
    translation: Float[Tensor, "3"]
    """Metres."""

    def __call__(self, mesh: Mesh) -> Mesh:
        """The mesh moved."""
        return replace(mesh, vertices=self.scale * mesh.vertices + self.translation.to(mesh.vertices))


def align_scale_and_translation(mesh: Mesh, truth: Mesh, *, num_samples: int = NUM_SAMPLES, seed: int = 0) -> Alignment:
    """The scale and translation that bring a mesh closest to the truth, by iterated closest points.

    It starts from equal means and spreads; each round then pairs every point with the nearest one of the other surface,
    both ways, and solves for scale and translation (Besl and McKay, TPAMI 1992, without the rotation).

    Args:
        mesh: What is moved.
        truth: Where to.
        num_samples: Points on each surface.
        seed: Of their choice.

    Raises:
        HandsError: A surface or its region has no area.
    """
    all_source, all_target = (
        sample_region_and_rest(surface, num_samples, seed=2 * seed + k).points.double().cpu().numpy()
        for k, surface in enumerate((mesh, truth))
    )
    source, target = all_source[:num_samples], all_target[:num_samples]
    scale = np.sqrt(((target - target.mean(0)) ** 2).sum() / ((source - source.mean(0)) ** 2).sum())
    shift = target.mean(0) - scale * source.mean(0)
    target_tree, source_tree = KDTree(all_target), KDTree(all_source)
    best, error = (scale, shift), np.inf
    for _ in range(ALIGNMENT_ROUNDS):
        forth, forth_index = target_tree.query(scale * source + shift)
        back, back_index = source_tree.query((target - shift) / scale)
        now = np.sqrt((np.square(forth).sum() + np.square(scale * back).sum()) / (len(source) + len(target)))
        if error - now < STILL_IMPROVING:
            break
        best, error = (scale, shift), now
        here = np.concatenate([source, all_source[back_index]])
        there = np.concatenate([all_target[forth_index], target])
        centred = here - here.mean(0)
        scale = (centred * (there - there.mean(0))).sum() / (centred**2).sum()
        shift = there.mean(0) - scale * here.mean(0)
    return Alignment(float(best[0]), torch.from_numpy(best[1]))


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
