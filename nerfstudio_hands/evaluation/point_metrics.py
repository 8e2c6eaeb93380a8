"""How near points on two surfaces lie to each other: Chamfer distance and F-scores as papers report them.

Figures are those of gSDF (Chen et al., CVPR 2023) and its forerunners, made from points on both surfaces. Two samplings
of one and the same surface are not at distance zero: what they reach is the floor, which decides the figures where an
error is below a millimetre; `mesh_metrics.surface_errors` measures to the surface instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import KDTree

from nerfstudio_hands.evaluation.mesh_metrics import Mesh, SurfaceSamples, f_score, region_areas, sample_surface

NUM_SAMPLES = 30_000
"""Points on each surface, as in gSDF's evaluation."""


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
    found = sample_region_and_rest(mesh, num_samples, seed=2 * seed)
    true = sample_region_and_rest(truth, num_samples, seed=2 * seed + 1)
    to_truth, from_truth = _nearest(found, true, num_samples), _nearest(true, found, num_samples)
    return ShapeScores(
        chamfer=float((to_truth[0] ** 2).mean() + (from_truth[0] ** 2).mean()) * 1e4,
        f_scores={
            float(threshold): f_score((to_truth[0] * 1e3 < threshold).mean(), (from_truth[0] * 1e3 < threshold).mean())
            for threshold in thresholds
        },
        normal_consistency=float((to_truth[1].mean() + from_truth[1].mean()) / 2),
    )


def sample_region_and_rest(mesh: Mesh, count: int, *, seed: int) -> SurfaceSamples:
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
    distance, index = KDTree(others).query(points[:count])
    cosine = (samples.normals[:count].double().cpu().numpy() * other.normals.double().cpu().numpy()[index]).sum(1)
    return distance, np.abs(cosine)
