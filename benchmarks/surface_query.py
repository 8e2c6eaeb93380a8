"""Signed distance and nearest point of many points: ours, Open3D, libigl and brute-force torch, in one run.

    python benchmarks/surface_query.py

The surface is the default hand (closed at the wrist). Points are drawn once and given to all: `near` lie within 1 cm of
the surface (a random surface point plus an offset uniform in a ball of 1 cm), `box` are uniform in the bounding box
widened by a tenth. Every repetition times each library once, one after the other, so that a busy machine slows all;
the table has the median time of each and the median over repetitions of peer time / our time (above 1: we are faster).
What is timed is what a caller pays for one new pose: refit or rebuild of the search structure, then signed distance,
nearest point and face of all points, for each library as its documentation says. Brute force is timed on a part of the
points and scaled up, which is said in the table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import igl
import numpy as np
import open3d as o3d
import torch
from recording import record
from rich.table import Table
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.barycentric import closest_barycentric
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model import default_hand, pose_hand

BRUTE_FORCE_POINTS = 128


def poses(count: int) -> tuple[Tensor, Tensor]:
    """Closed default hand, (F, 3) faces and (count, V, 3) vertices, bent more from pose to pose."""
    hand = default_hand("right")
    rotations = torch.zeros(count, 15, 3)
    rotations[:, :, 2] = torch.linspace(0, 0.6, count)[:, None]
    generator = torch.Generator().manual_seed(0)
    rotations += 0.1 * torch.randn(rotations.shape, generator=generator)
    orientation = torch.randn(count, 3, generator=generator)
    posed = pose_hand(hand, orientation, rotations, torch.zeros(count, 3), torch.zeros(hand.shape_dirs.shape[-1]))
    return torch.cat([hand.faces, closing_faces(hand.faces)]), posed.vertices.float().contiguous()


def draw(kind: str, count: int, faces: Tensor, vertices: Tensor) -> Tensor:
    """`count` query points of the distribution `kind` for one surface."""
    generator = torch.Generator().manual_seed(1)
    if kind == "box":
        low, high = vertices.amin(0), vertices.amax(0)
        return low + (high - low) * (1.2 * torch.rand(count, 3, generator=generator) - 0.1)
    weights = torch.distributions.Dirichlet(torch.ones(3)).sample((count,))
    corners = vertices[faces[torch.randint(len(faces), (count,), generator=generator)]]
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    radius = 0.01 * torch.rand(count, 1, generator=generator) ** (1 / 3)
    return (weights[..., None] * corners).sum(1) + radius * direction


def ours(faces: Tensor, first_pose: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Refit, then one call for all surfaces."""
    surfaces = Surfaces(faces, first_pose)

    def run(vertices: Tensor, points: Tensor) -> Tensor:
        surfaces.update(vertices)
        count = points.shape[1]
        surface = torch.arange(len(vertices)).repeat_interleave(count) if len(vertices) > 1 else None
        return surfaces.closest(points.reshape(-1, 3), surface).signed_distance.reshape(-1, count)

    return run


def open3d_signed(faces: Tensor, _: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Scenes cannot be moved, so each pose builds one; sign by ray parity, as `compute_signed_distance` does."""
    triangles = o3d.core.Tensor(faces.numpy().astype(np.uint32))

    def run(vertices: Tensor, points: Tensor) -> Tensor:
        distances = []
        for surface, query in zip(vertices, points, strict=True):
            scene = o3d.t.geometry.RaycastingScene()
            scene.add_triangles(o3d.core.Tensor(surface.numpy()), triangles)
            distances.append(scene.compute_signed_distance(o3d.core.Tensor(query.numpy())).numpy())
        return torch.from_numpy(np.stack(distances))

    return run


def open3d_unsigned(faces: Tensor, _: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The nearest points alone, without sign."""
    triangles = o3d.core.Tensor(faces.numpy().astype(np.uint32))

    def run(vertices: Tensor, points: Tensor) -> Tensor:
        distances = []
        for surface, query in zip(vertices, points, strict=True):
            scene = o3d.t.geometry.RaycastingScene()
            scene.add_triangles(o3d.core.Tensor(surface.numpy()), triangles)
            nearest = scene.compute_closest_points(o3d.core.Tensor(query.numpy()))["points"].numpy()
            distances.append(np.linalg.norm(nearest - query.numpy(), axis=1))
        return torch.from_numpy(np.stack(distances))

    return run


def libigl(faces: Tensor, _: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Tree built in each call; sign by pseudonormals, as ours."""
    triangles = faces.numpy()

    def run(vertices: Tensor, points: Tensor) -> Tensor:
        distances = [
            igl.signed_distance(query.double().numpy(), surface.double().numpy(), triangles)[0]
            for surface, query in zip(vertices, points, strict=True)
        ]
        return torch.from_numpy(np.stack(distances))

    return run


def brute_force(faces: Tensor, _: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Every face for every point, in chunks and in the precision of the points, without sign."""

    def run(vertices: Tensor, points: Tensor) -> Tensor:
        distances = []
        for surface, query in zip(vertices, points, strict=True):
            corners = surface.to(query)[faces]
            parts = []
            for chunk in query.split(64):
                pairs = corners.expand(len(chunk), -1, -1, -1).reshape(-1, 3, 3)
                weights = closest_barycentric(chunk.repeat_interleave(len(faces), 0), pairs)
                nearest = (weights[..., None] * pairs).sum(1).reshape(len(chunk), -1, 3)
                parts.append((chunk[:, None] - nearest).norm(dim=-1).amin(1))
            distances.append(torch.cat(parts))
        return torch.stack(distances)

    return run


RUNNERS = {
    "ours, signed": ours,
    "Open3D, signed": open3d_signed,
    "Open3D, unsigned": open3d_unsigned,
    "libigl, signed": libigl,
}


def seconds(run: Callable[[Tensor, Tensor], Tensor], vertices: Tensor, points: Tensor) -> tuple[float, Tensor]:
    """Wall-clock time of one call, and its result."""
    start = time.perf_counter()
    result = run(vertices, points)
    return time.perf_counter() - start, result


def measure(kind: str, num_surfaces: int, num_points: int, repetitions: int) -> list[list[str]]:
    """The rows of one setting."""
    faces, vertices = poses(num_surfaces)
    points = torch.stack([draw(kind, num_points, faces, surface) for surface in vertices])
    runners = {name: make(faces, vertices.flip(0)) for name, make in RUNNERS.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    results = {name: run(vertices, points[:, :1000]) for name, run in runners.items()}
    for _ in range(repetitions):
        for name, run in runners.items():
            elapsed, results[name] = seconds(run, vertices, points)
            times[name].append(elapsed)
    some = max(1, BRUTE_FORCE_POINTS // num_surfaces)
    elapsed, _ = seconds(brute_force(faces, vertices), vertices, points[:, :some])
    exact = brute_force(faces, vertices)(vertices, points[:, :some].double())
    setting = [kind, f"{num_surfaces} x {num_points:.0e}".replace("e+0", "e")]
    rows = []
    mine = times["ours, signed"]
    for name in runners:
        ratio = statistics.median(peer / our for peer, our in zip(times[name], mine, strict=True))
        error = (results[name][:, :some].abs() - exact).abs().max()
        rows.append([*setting, name, f"{statistics.median(times[name]):.3f}", f"{ratio:.2f}", f"{error:.1e}"])
    scaled = elapsed * num_points / some
    name = f"torch brute force, {num_surfaces * some} points scaled up"
    return [*rows, [*setting, name, f"{scaled:.0f}", f"{scaled / statistics.median(mine):.0f}", ""]]


def main() -> None:
    """Print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--settings", nargs="*", default=["1x100000", "1x1000000", "16x100000"], help="surfaces x points"
    )
    parser.add_argument("--distributions", nargs="*", default=["near", "box"], help="of the points")
    parser.add_argument("--name", default="", help="appended to the name of the result's file")
    arguments = parser.parse_args()
    num_faces, threads = len(poses(1)[0]), torch.get_num_threads()
    table = Table(title=f"{num_faces} faces, {threads} threads, medians of {arguments.repetitions} repetitions")
    for column in ("points", "surfaces x points", "who", "seconds", "peer / ours", "largest error, m"):
        table.add_column(column)
    for setting in arguments.settings:
        num_surfaces, num_points = map(int, setting.split("x"))
        for kind in arguments.distributions:
            for row in measure(kind, num_surfaces, num_points, arguments.repetitions):
                table.add_row(*row)
    record(__file__, arguments, [table])


if __name__ == "__main__":
    main()
