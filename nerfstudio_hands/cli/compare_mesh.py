"""`ns-hands compare-mesh MESH --truth TRUTH`: how far a surface is from the true one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Tuple

import tyro

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

if TYPE_CHECKING:
    from rich.table import Table

    from nerfstudio_hands.evaluation.alignment import RigidMotion
    from nerfstudio_hands.evaluation.mesh_metrics import SurfaceErrors

Unit = Literal["m", "cm", "mm"]


def compare_mesh(
    mesh: Annotated[Path, tyro.conf.Positional],
    *,
    truth: Path,
    unit: Unit = "m",
    truth_unit: Optional[Unit] = None,
    align: Literal["none", "rigid"] = "none",
    thresholds: Tuple[float, ...] = (1.0, 5.0),
    samples: int = 100_000,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Compare a mesh with the true surface: distances both ways, Chamfer distance, F-scores, angles between normals.

    Distances are millimetres, from points spread evenly over one surface to the nearest place on the other. All of both
    surfaces counts: cut off what only one of them shows, a forearm for instance.

    Args:
        mesh: What is judged, a .ply, .obj, .glb or .stl file.
        truth: The true surface, likewise.
        unit: Unit of the mesh's coordinates; exports of ours are metres.
        truth_unit: Unit of the truth's; by default the same.
        align: "rigid" first turns and moves the mesh to where it is nearest to the truth, wherever it was; "none"
            takes both as they lie, which judges the placement, too.
        thresholds: Of the F-scores, millimetres: the harmonic mean of the shares of both surfaces that are nearer to
            the other one.
        samples: Points on each surface, 100 to 10000000.
        as_json: Print one JSON object instead of tables, and nothing else.
    """
    require_range("--samples", samples, 100, 10_000_000)
    for threshold in thresholds:
        require_range("--thresholds", threshold, 1e-6, 1e6)

    from nerfstudio_hands.evaluation.alignment import align_rigidly
    from nerfstudio_hands.evaluation.mesh_file import read_mesh
    from nerfstudio_hands.evaluation.mesh_metrics import surface_errors

    judged, true = read_mesh(mesh.expanduser(), unit=unit), read_mesh(truth.expanduser(), unit=truth_unit or unit)
    try:
        motion = align_rigidly(judged, true) if align == "rigid" else None
        placed = judged if motion is None else motion(judged)
        errors = surface_errors(placed, true, thresholds=thresholds, num_samples=samples)
    except HandsError as error:
        raise HandsError(f"{mesh} or {truth}: {error}") from error
    if as_json:
        say(json.dumps(as_record(errors, motion), indent=1))
        return
    from nerfstudio.utils.rich_utils import CONSOLE

    CONSOLE.print(as_table(errors, f"{mesh.name} against {truth.name} (millimetres, degrees)"))
    scores = ", ".join(f"{score:.4f} at {threshold:g} mm" for threshold, score in errors.f_scores.items())
    CONSOLE.print(f"Chamfer distance {errors.chamfer:.4f} mm (mean of both means); F-scores {scores or 'none'}.")
    if motion is not None:
        CONSOLE.print(f"The mesh was {_motion_in_words(motion)} first.")


def as_record(errors: SurfaceErrors, motion: RigidMotion | None) -> dict[str, Any]:
    """All figures by name, millimetres and degrees; the motion as a 4x4 matrix of metres, null without one."""
    return {
        "mesh_to_truth_mm": vars(errors.to_truth),
        "truth_to_mesh_mm": vars(errors.from_truth),
        "chamfer_mm": errors.chamfer,
        "f_scores": {f"{threshold:g} mm": score for threshold, score in errors.f_scores.items()},
        "normals_degrees": {"mesh_to_truth": errors.normal_to_truth, "truth_to_mesh": errors.normal_from_truth},
        "alignment": None if motion is None else motion.matrix().tolist(),
    }


def as_table(errors: SurfaceErrors, title: str) -> Table:
    """A row each way."""
    from rich.table import Table

    table = Table(title=title)
    for heading in ("from", "mean", "median", "95 %", "normals (mean)"):
        table.add_column(heading, justify="left" if heading == "from" else "right")
    for name, distance, angle in (
        ("mesh to truth", errors.to_truth, errors.normal_to_truth),
        ("truth to mesh", errors.from_truth, errors.normal_from_truth),
    ):
        values = (distance.mean, distance.median, distance.percentile_95)
        table.add_row(name, *(f"{value:.4f} mm" for value in values), f"{angle:.2f}°")
    return table


def _motion_in_words(motion: RigidMotion) -> str:
    from nerfstudio_hands.transforms.rotations import rotation_vector

    angle = math.degrees(float(rotation_vector(motion.rotation).norm()))
    return f"turned by {angle:.2f}° and moved by {1000 * float(motion.translation.norm()):.2f} mm"
