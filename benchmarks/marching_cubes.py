"""What it costs to mesh a hand's signed distance: a dense grid against a narrow band, seconds and peak memory.

    ns-train hand-sdf --data ... hands-data
    python benchmarks/marching_cubes.py --load-config outputs/.../config.yml

Every row runs in a process of its own; its memory is what the peak exceeds the process with the loaded model by.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal, Optional

import torch
import trimesh
import tyro
from captures import notes_on, title_of
from recording import Recorded, record
from rich.table import Table
from skimage.measure import marching_cubes

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.geometry.isosurface import POINTS_AT_ONCE, DistanceFn, extract_isosurface

ROWS = ("dense", "narrow band")


@dataclass
class MarchingCubes(Recorded):
    """Seconds and memory of both ways to mesh the same field."""

    load_config: Path
    """config.yml of a run of hand-sdf."""
    voxel: float = 0.5
    """Edge of the voxels in millimetres."""
    row: Optional[Literal["dense", "narrow band"]] = None
    """Only this row, as JSON: what the script calls itself with."""


def main(args: MarchingCubes) -> None:
    if args.row is not None:
        print(json.dumps(measure(args)))
        return
    table, data = Table(), ""
    for column in ("", "seconds", "peak memory GB", "points", "vertices", "closed"):
        table.add_column(column, no_wrap=True)
    for row in ROWS:
        found = json.loads(
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--row", row], check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
        )
        seconds, memory = f"{found['seconds']:.1f}", f"{found['bytes'] / 1e9:.2f}"
        table.add_row(row, seconds, memory, f"{found['points']:,}", f"{found['vertices']:,}", str(found["closed"]))
        data = found["data"]
    table.title = f"{title_of(Path(data))}: the zero level in voxels of {args.voxel} mm"
    record(__file__, args, [table], notes=notes_on(Path(data)))


def measure(args: MarchingCubes) -> dict[str, float | str]:
    """One row."""
    config, pipeline = load_run(args.load_config)
    model = pipeline.model.eval()
    posed = model.hands.at_pose(model.hands.pose_of(model.hands.train_frames[:1]))
    there = posed.surfaces.vertices[0].detach()
    reach = model.config.shell + 2 * args.voxel / 1000
    low, high = there.amin(dim=0) - reach, there.amax(dim=0) + reach
    model.field.distance(there[:1000])  # The first call compiles.
    way = dense if args.row == "dense" else narrow
    before, start = _peak(), perf_counter()
    vertices, faces, points = way(model.field.distance, low, high, args.voxel / 1000)
    seconds, memory = perf_counter() - start, _peak() - before
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return {
        "seconds": seconds,
        "bytes": memory,
        "points": points,
        "vertices": len(vertices),
        "closed": bool(mesh.is_watertight),
        "data": str(config.pipeline.datamanager.data),
    }


def dense(distance: DistanceFn, low: torch.Tensor, high: torch.Tensor, voxel: float):
    """Marching cubes on all points of the box."""
    shape = [int(n) + 1 for n in ((high - low) / voxel).ceil()]
    values = torch.empty(torch.Size(shape).numel())
    for start in range(0, len(values), POINTS_AT_ONCE):
        index = torch.arange(start, min(start + POINTS_AT_ONCE, len(values)))
        grid = torch.stack(torch.unravel_index(index, shape), dim=-1)
        values[index] = distance(low + grid * voxel).cpu()
    vertices, faces, _, _ = marching_cubes(values.view(shape).numpy(), 0.0, gradient_direction="descent")
    return vertices * voxel + low.cpu().numpy(), faces, len(values)


def narrow(distance: DistanceFn, low: torch.Tensor, high: torch.Tensor, voxel: float):
    """What `ns-hands export` does."""
    found = extract_isosurface(distance, low, high, voxel=voxel)
    return found.vertices, found.faces, found.num_points


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(tyro.cli(MarchingCubes))
