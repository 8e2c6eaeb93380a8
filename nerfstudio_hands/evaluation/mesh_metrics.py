"""How far a mesh is from the true surface: distances both ways and angles between normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.mesh import face_areas, vertex_normals


@dataclass(frozen=True)
class Mesh:
    """A surface and the part of it that is judged."""

    vertices: Float[Tensor, "V 3"]
    """Metres."""
    faces: Int[Tensor, "F 3"]
    region: Bool[Tensor, " F"] | None = None
    """Faces from which errors are taken, for instance the hand without the forearm; all of them without."""


@dataclass(frozen=True)
class SurfaceSamples:
    """Points spread over a mesh."""

    points: Float[Tensor, "N 3"]
    """Metres."""
    normals: Float[Tensor, "N 3"]
    """Unit normals, interpolated from those of the vertices."""


@dataclass(frozen=True)
class DistanceSummary:
    """Distances from points on one mesh to the nearest point of the other, millimetres."""

    mean: float
    median: float
    percentile_95: float


@dataclass(frozen=True)
class SurfaceErrors:
    """Errors of a mesh against the truth."""

    to_truth: DistanceSummary
    """From the mesh to the truth: how accurate is what is there."""
    from_truth: DistanceSummary
    """From the truth to the mesh: how much of the truth is there."""
    normal_to_truth: float
    """Mean angle between the normal at a point of the mesh and that at the nearest point of the truth, degrees."""
    normal_from_truth: float
    """The same from points of the truth, degrees."""
    f_scores: dict[float, float] = field(default_factory=dict)
    """By threshold in millimetres: harmonic mean of the shares of points, on either surface, that are nearer than it to
    the other surface."""

    @property
    def chamfer(self) -> float:
        """Chamfer distance: mean of the mean distances both ways, millimetres."""
        return (self.to_truth.mean + self.from_truth.mean) / 2


@torch.no_grad()
def surface_errors(
    mesh: Mesh, truth: Mesh, *, thresholds: Sequence[float] = (), num_samples: int = 100_000, seed: int = 0
) -> SurfaceErrors:
    """Distances and normal errors between two surfaces, from points spread evenly over the region of each.

    Nearest points are looked for on the whole other mesh, so that the border of a region is no error. Normals are
    interpolated between the vertices: those of flat faces would count the tessellation of a smooth surface as error, 2
    to 3 degrees where edges of 1 mm go around a finger.

    Args:
        mesh: What is judged.
        truth: The true surface, in the same frame.
        thresholds: Of the F-scores, millimetres.
        num_samples: Points on each mesh.
        seed: Of the choice of points.

    Raises:
        HandsError: If a region has no area.
    """
    to_truth = _errors(sample_surface(mesh, num_samples, seed=seed), truth)
    from_truth = _errors(sample_surface(truth, num_samples, seed=seed + 1), mesh)
    return SurfaceErrors(
        to_truth=_summary(to_truth[0]),
        from_truth=_summary(from_truth[0]),
        normal_to_truth=float(to_truth[1].mean()),
        normal_from_truth=float(from_truth[1].mean()),
        f_scores={
            float(threshold): f_score(*(float((d < threshold).double().mean()) for d in (to_truth[0], from_truth[0])))
            for threshold in thresholds
        },
    )


def f_score(precision: float, recall: float) -> float:
    """Harmonic mean of two shares; 0 where both are."""
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def sample_surface(mesh: Mesh, count: int, *, seed: int) -> SurfaceSamples:
    """Random points of equal density over the region of a mesh; the same ones on every device.

    Args:
        mesh: Where.
        count: N.
        seed: Of the choice.

    Raises:
        HandsError: If the region has no area.
    """
    area = region_areas(mesh)
    total = area.sum()
    if not (torch.isfinite(total) and total > 0):
        raise HandsError(f"region: expected faces with a finite area, found {float(total)}; choose other faces.")
    u, v, w = torch.rand(3, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(area.device)
    last = int(area.nonzero()[-1, 0])
    face = torch.searchsorted(area.cumsum(0), w * total, right=True).clamp_max(last)
    # Osada et al., "Shape distributions", ACM TOG 2002, section 4.2.
    root = u.sqrt()
    barycentric = torch.stack([1 - root, root * (1 - v), root * v], dim=-1)
    return SurfaceSamples(_interpolate(mesh.vertices, mesh, face, barycentric), _normals(mesh, face, barycentric))


def region_areas(mesh: Mesh) -> Float[Tensor, " F"]:
    """Area of each face in square metres, zero outside of the region."""
    area = face_areas(mesh.vertices.detach().double(), mesh.faces)
    return area if mesh.region is None else area * mesh.region.to(area)


def _errors(samples: SurfaceSamples, other: Mesh) -> tuple[Tensor, Tensor]:
    """Distances in millimetres and angles in degrees."""
    nearest = Surfaces(other.faces, other.vertices.detach()[None]).closest(samples.points.to(other.vertices))
    normals = _normals(other, nearest.face, nearest.barycentric)
    sine = torch.linalg.cross(samples.normals, normals).norm(dim=-1)
    angle = torch.atan2(sine, (samples.normals * normals).sum(-1))
    return nearest.signed_distance.abs() * 1e3, torch.rad2deg(angle)


def _normals(mesh: Mesh, face: Tensor, barycentric: Tensor) -> Tensor:
    normals = vertex_normals(mesh.vertices.detach().double(), mesh.faces)
    return torch.nn.functional.normalize(_interpolate(normals, mesh, face, barycentric.double()), dim=-1)


def _interpolate(values: Tensor, mesh: Mesh, face: Tensor, barycentric: Tensor) -> Tensor:
    return blend_corners(values.detach()[mesh.faces[face]], barycentric)


def _summary(distance: Tensor) -> DistanceSummary:
    # torch.quantile takes no more than 2^24 values.
    ordered = distance.sort().values
    last = len(ordered) - 1
    return DistanceSummary(
        mean=float(distance.mean()),
        median=float(ordered[round(0.5 * last)]),
        percentile_95=float(ordered[round(0.95 * last)]),
    )
