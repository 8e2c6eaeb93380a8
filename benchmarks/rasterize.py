"""What each pixel sees of a mesh of 102k faces: ours beside ray casting by Open3D (Embree), in one run; and gradients.

    python benchmarks/rasterize.py

The mesh is the default right and left hand, each with sixteen faces for one, side by side. Every repetition times each
in turn, so that a busy machine slows all; the table has medians, and the median over repetitions of Open3D's time over
ours (above 1: we are faster). Both answer the same rays, those of all pixels: face, barycentric coordinates and depth.
Neither the search structures nor the array of rays are in the times. `--clock process` counts processor time of all
threads instead of wall-clock time, for a machine with other work.

The second table is our whole differentiable forward pass (visibility with a graph, colours per vertex interpolated,
colours and mask antialiased, mean square) and its backward pass to vertices and colours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import open3d as o3d
import torch
from recording import record
from rich.table import Table
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces, antialias, interpolate, rasterize_rays
from nerfstudio_hands.geometry.subdivision import loop_subdivision
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.transforms.projection import pixel_rays

DISTANCE = 0.6
"""Metres from the camera to the hands."""

FILL = 0.85
"""Part of the picture's width or height that the hands span."""


def two_hands() -> tuple[Tensor, Tensor]:
    """Vertices in metres about the origin, palms along z, and faces."""
    vertices, faces = [], []
    for side, shift in (("right", -0.06), ("left", 0.06)):
        hand = default_hand(side)
        fine, matrix = loop_subdivision(hand.faces, len(hand.template), 2)
        points = torch.from_numpy(matrix @ hand.template.double().numpy()).float()
        points = points - (points.amax(0) + points.amin(0)) / 2
        faces.append(fine + sum(map(len, vertices)))
        vertices.append(points[:, [2, 0, 1]] + torch.tensor([shift, 0, 0]))
    return torch.cat(vertices), torch.cat(faces)


def rays(vertices: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Origins and directions of a camera that the hands fill."""
    extent = vertices.amax(0) - vertices.amin(0)
    focal = FILL * DISTANCE * min(width / float(extent[0]), height / float(extent[1]))
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    pose = torch.eye(4)
    pose[2, 3] = DISTANCE
    return pixel_rays(intrinsics, pose, width, height)


def open3d_caster(vertices: Tensor, faces: Tensor) -> o3d.t.geometry.RaycastingScene:
    """Scene of one mesh."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices.numpy()), o3d.core.Tensor(faces.numpy().astype(np.uint32)))
    return scene


def measure(
    vertices: Tensor, faces: Tensor, width: int, height: int, repetitions: int, clock: Callable[[], float]
) -> tuple[list[list[str]], list[str]]:
    """Rows of the two tables for one size of picture."""
    origins, directions = rays(vertices, width, height)
    bundle = o3d.core.Tensor(torch.cat([origins, directions], -1).numpy())
    scene = open3d_caster(vertices, faces)
    surfaces = Surfaces(faces, vertices[None])
    leaf = vertices.clone().requires_grad_()
    colours = torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    differentiable = Surfaces(faces, leaf[None])

    def forward() -> Tensor:
        raster = rasterize_rays(differentiable, origins, directions)
        picture = torch.cat([interpolate(colours, raster, faces), (raster.face >= 0).float()[..., None]], dim=-1)
        return antialias(picture, raster, differentiable, origins, directions).square().mean()

    runners = {
        "ours": lambda: rasterize_rays(surfaces, origins, directions),
        "ours, rays cast": lambda: rasterize_rays(surfaces, origins, directions, backend="cast"),
        "Open3D": lambda: scene.cast_rays(bundle),
        "forward": forward,
    }
    times: dict[str, list[float]] = {name: [] for name in [*runners, "backward"]}
    for repetition in range(repetitions + 1):
        for name, run in runners.items():
            start = clock()
            result = run()
            times[name].append(clock() - start)
        start = clock()
        result.backward()
        times["backward"].append(clock() - start)
        if repetition == 0:
            # The first round loads kernels and is left out.
            times = {name: [] for name in times}
    face = runners["ours"]().face
    theirs = runners["Open3D"]()
    missed = torch.from_numpy(np.isinf(theirs["t_hit"].numpy()))
    theirs = torch.from_numpy(theirs["primitive_ids"].numpy().astype(np.int64)).masked_fill(missed, -1)
    setting = f"{width} x {height}"
    rows = []
    for name in ("ours", "ours, rays cast", "Open3D"):
        ratio = statistics.median(peer / own for peer, own in zip(times["Open3D"], times[name], strict=True))
        rows.append([setting, name, f"{1e3 * statistics.median(times[name]):.1f}", f"{ratio:.2f}", ""])
    rows[0][-1] = f"{int((face != theirs).sum())} of {int((face >= 0).sum())}"
    ratio = statistics.median(back / ahead for back, ahead in zip(times["backward"], times["forward"], strict=True))
    medians = [1e3 * statistics.median(times[name]) for name in ("forward", "backward")]
    return rows, [setting, f"{medians[0]:.1f}", f"{medians[1]:.1f}", f"{ratio:.2f}"]


def main() -> None:
    """Print and record the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--sizes", nargs="*", default=["1280x1024", "512x334"], help="width x height")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--name", default="", help="appended to the name of the result's file")
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    vertices, faces = two_hands()
    said = f"{len(faces)} faces, {torch.get_num_threads()} threads, medians of {arguments.repetitions} repetitions"
    seen, whole = (Table(title=f"{said}, {arguments.clock} time: {what}") for what in ("visibility", "gradients"))
    for column in ("picture", "who", "ms", "Open3D / this", "faces that differ from Open3D's"):
        seen.add_column(column)
    for column in ("picture", "whole forward, ms", "backward, ms", "backward / forward"):
        whole.add_column(column)
    for size in arguments.sizes:
        rows, row = measure(vertices, faces, *map(int, size.split("x")), arguments.repetitions, clock)
        for cells in rows:
            seen.add_row(*cells)
        whole.add_row(*row)
    record(__file__, arguments, [seen, whole])


if __name__ == "__main__":
    main()
