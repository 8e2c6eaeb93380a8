"""How well a hand and what it holds were reconstructed, in the figures that papers on hand and object report.

Chamfer distance, F-scores and alignment are those of gSDF (Chen et al., CVPR 2023) and its forerunners, made from
points on both surfaces. Two samplings of one and the same surface are not at distance zero: what they reach is the
floor, which decides the figures where an error is below a millimetre; `mesh_metrics.surface_errors` measures to the
surface instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh, SurfaceSamples, region_areas, sample_surface
from nerfstudio_hands.geometry.mesh import closing_faces

NUM_SAMPLES = 30_000
"""Points on each surface, as in gSDF's evaluation."""

HAND_THRESHOLDS, OBJECT_THRESHOLDS = (1.0, 5.0), (5.0, 10.0)
"""Millimetres of the F-scores that gSDF reports."""

ALIGNMENT_ROUNDS = 50
STILL_IMPROVING = 1e-7
"""Rounds of the alignment at most, and the metres by which the root of the mean squared distance has to fall in each.

gSDF stops after 10 rounds, or once the root is below 1 mm, which a hand of that accuracy is before the first."""

VOXEL = 1e-3
"""Edge in metres of the cells by which overlap is measured; gSDF takes 5e-3, more than most overlaps are thick."""

CELLS_AT_ONCE = 500_000


@dataclass(frozen=True)
class ShapeScores:
    """A surface against the truth, from points on both."""

    chamfer: float
    """Sum of the mean squared distances to the nearest point of the other surface, both ways, cm2."""
    f_scores: dict[float, float]
    """By threshold in millimetres: harmonic mean of the shares of points, of either surface, that have a point of the
    other nearer than it."""
    normal_consistency: float
    """Mean of |cosine| between normals at nearest points, both ways averaged; 1 is best (Mescheder et al., "Occupancy
    networks", CVPR 2019)."""


@dataclass(frozen=True)
class Penetration:
    """What hand and object share."""

    depth: float
    """Distance from the object's surface to the deepest point of the hand's surface in it, millimetres; 0 without."""
    volume: float
    """Of what both fill, cm3."""


@dataclass(frozen=True)
class Alignment:
    """Takes a point x to scale * x + translation."""

    scale: float
    translation: Float[Tensor, "3"]
    """Metres."""

    def __call__(self, mesh: Mesh) -> Mesh:
        """The mesh moved."""
        return replace(mesh, vertices=self.scale * mesh.vertices + self.translation.to(mesh.vertices))


@dataclass(frozen=True)
class PairScores:
    """A hand and its object against the truth, in one frame of reference."""

    hand: ShapeScores
    object: ShapeScores | None
    penetration: Penetration | None


@dataclass(frozen=True)
class HandObjectScores:
    """A hand, and where there is one its object, as they are and after the alignment of the hand."""

    as_is: PairScores
    after_icp: PairScores
    """The hand scaled and shifted onto the true hand, the object with it, as gSDF reports."""
    floor: PairScores
    """What the truth itself reaches, sampled twice; its penetration is that of the true surfaces."""
    alignment: Alignment

    def figures(self) -> dict[str, float]:
        """All figures by name: `chamfer_hand_cm2`, `f_hand_1mm`, `normals_hand`, likewise `object`,
        `penetration_depth_mm`, `penetration_volume_cm3`; with `_icp` after the alignment, with `_floor` for the
        truth."""
        found = {}
        for suffix, pair in (("", self.as_is), ("_icp", self.after_icp), ("_floor", self.floor)):
            for part, scores in (("hand", pair.hand), ("object", pair.object)):
                if scores is None:
                    continue
                found[f"chamfer_{part}_cm2{suffix}"] = scores.chamfer
                found |= {f"f_{part}_{threshold:g}mm{suffix}": value for threshold, value in scores.f_scores.items()}
                found[f"normals_{part}{suffix}"] = scores.normal_consistency
            if pair.penetration is not None:
                found[f"penetration_depth_mm{suffix}"] = pair.penetration.depth
                found[f"penetration_volume_cm3{suffix}"] = pair.penetration.volume
        return found


def hand_object_scores(
    hand: Mesh,
    true_hand: Mesh,
    held: Mesh | None = None,
    true_held: Mesh | None = None,
    *,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
) -> HandObjectScores:
    """All figures of a hand and the object that it holds, with and without alignment, and their floor.

    Args:
        hand: The reconstructed hand.
        true_hand: The true one, in the same frame.
        held: The reconstructed object, where there is one.
        true_held: The true object.
        num_samples: Points on each surface.
        seed: Of their choice.

    Raises:
        HandsError: A surface or its region has no area, or only one of the two objects is given.
    """
    if (held is None) != (true_held is None):
        found = "the true one" if held is None else "the reconstructed one"
        raise HandsError(
            f"object: expected a reconstructed and a true object or neither, found only {found}; give both meshes."
        )

    def scores(hand: Mesh, held: Mesh | None) -> PairScores:
        return PairScores(
            shape_scores(hand, true_hand, thresholds=HAND_THRESHOLDS, num_samples=num_samples, seed=seed),
            None
            if held is None
            else shape_scores(held, true_held, thresholds=OBJECT_THRESHOLDS, num_samples=num_samples, seed=seed),
            None if held is None else penetration(hand, held),
        )

    alignment = align_scale_and_translation(hand, true_hand, num_samples=num_samples, seed=seed)
    return HandObjectScores(
        as_is=scores(hand, held),
        after_icp=scores(alignment(hand), None if held is None else alignment(held)),
        floor=scores(true_hand, true_held),
        alignment=alignment,
    )


def shape_scores(
    mesh: Mesh, truth: Mesh, *, thresholds: Sequence[float], num_samples: int = NUM_SAMPLES, seed: int = 0
) -> ShapeScores:
    """Chamfer distance, F-scores and normal consistency from points on both surfaces.

    Points on the regions are judged; the nearest ones are looked for on all of the other surface, which has points as
    dense, so that the border of a region is no error. Without regions these are the figures of gSDF's evaluation.

    Args:
        mesh: What is judged.
        truth: The true surface, in the same frame.
        thresholds: Of the F-scores, millimetres.
        num_samples: Points on the region of each surface.
        seed: Of their choice; each surface gets points of its own.

    Raises:
        HandsError: A surface or its region has no area.
    """
    found = _sample_all(mesh, num_samples, seed=2 * seed)
    true = _sample_all(truth, num_samples, seed=2 * seed + 1)
    to_truth, from_truth = _nearest(found, true, num_samples), _nearest(true, found, num_samples)
    return ShapeScores(
        chamfer=float((to_truth[0] ** 2).mean() + (from_truth[0] ** 2).mean()) * 1e4,
        f_scores={
            float(threshold): _f_score((to_truth[0] * 1e3 < threshold).mean(), (from_truth[0] * 1e3 < threshold).mean())
            for threshold in thresholds
        },
        normal_consistency=float((to_truth[1].mean() + from_truth[1].mean()) / 2),
    )


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
        _sample_all(surface, num_samples, seed=2 * seed + k).points.double().cpu().numpy()
        for k, surface in enumerate((mesh, truth))
    )
    source, target = all_source[:num_samples], all_target[:num_samples]
    scale = np.sqrt(((target - target.mean(0)) ** 2).sum() / ((source - source.mean(0)) ** 2).sum())
    shift = target.mean(0) - scale * source.mean(0)
    target_tree, source_tree = cKDTree(all_target), cKDTree(all_source)
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


def penetration(hand: Mesh, held: Mesh, *, voxel: float = VOXEL) -> Penetration:
    """How deep a hand reaches into an object, and how much space both fill.

    Regions play no part. Holes of a mesh, such as the wrist, are closed first. The volume is counted in cells.

    Args:
        hand: The hand.
        held: The object.
        voxel: Edge of a cell, metres.
    """
    solid_hand, solid_held = _Solid(hand), _Solid(held)
    points = torch.cat([hand.vertices.detach(), sample_surface(replace(hand, region=None), NUM_SAMPLES, seed=0).points])
    points = points.cpu().numpy()
    deep = solid_held.distance(points[solid_held.holds(points)])
    vertices = [mesh.vertices.detach().cpu().numpy() for mesh in (hand, held)]
    low, high = np.max([v.min(0) for v in vertices], axis=0), np.min([v.max(0) for v in vertices], axis=0)
    counts = np.ceil(np.maximum(high - low, 0) / voxel).astype(int)
    filled = 0
    for start in range(0, counts.prod(), CELLS_AT_ONCE):
        cell = np.stack(np.unravel_index(np.arange(start, min(start + CELLS_AT_ONCE, counts.prod())), counts), axis=1)
        centres = low + (cell + 0.5) * voxel
        filled += int(solid_held.holds(centres[solid_hand.holds(centres)]).sum())
    return Penetration(depth=1e3 * float(deep.max(initial=0)), volume=filled * (voxel * 100) ** 3)


class _Solid:
    """What a mesh encloses once its holes are closed.

    Inside is what a ray leaves through an odd number of faces, by a majority of three rays: at folds of a fine skin the
    sign from normals is wrong even far away.
    """

    def __init__(self, mesh: Mesh) -> None:
        import open3d as o3d  # slow to import

        faces = torch.cat([mesh.faces, closing_faces(mesh.faces).to(mesh.faces)])
        self._scene, self._tensor = o3d.t.geometry.RaycastingScene(), o3d.core.Tensor
        self._scene.add_triangles(
            mesh.vertices.detach().cpu().numpy().astype(np.float32), faces.cpu().numpy().astype(np.uint32)
        )

    def holds(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Which points are inside."""
        return self._scene.compute_occupancy(self._tensor(points.astype(np.float32)), nsamples=3).numpy() > 0

    def distance(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """Metres from the surface."""
        return self._scene.compute_distance(self._tensor(points.astype(np.float32))).numpy()


def _sample_all(mesh: Mesh, count: int, *, seed: int) -> SurfaceSamples:
    """Points of equal density over all of a mesh; the first `count` of them are on its region."""
    judged = sample_surface(mesh, count, seed=seed)
    if mesh.region is None:
        return judged
    rest = replace(mesh, region=~mesh.region)
    more = round(count * float(region_areas(rest).sum() / region_areas(mesh).sum()))
    if more == 0:
        return judged
    others = sample_surface(rest, more, seed=seed)
    return SurfaceSamples(torch.cat([judged.points, others.points]), torch.cat([judged.normals, others.normals]))


def _nearest(samples: SurfaceSamples, other: SurfaceSamples, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the first `count` points: distances in metres to the nearest one of the other surface, and |cosine| between
    the normals there."""
    points, others = (s.points.detach().double().cpu().numpy() for s in (samples, other))
    distance, index = cKDTree(others).query(points[:count])
    cosine = (samples.normals[:count].double().cpu().numpy() * other.normals.double().cpu().numpy()[index]).sum(1)
    return distance, np.abs(cosine)


def _f_score(precision: float, recall: float) -> float:
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0
