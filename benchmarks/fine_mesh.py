"""How much nearer to the true surface a capture brings a hand: `hand-mesh` or `hand-sdf` on a synthetic capture.

Prints point-to-surface distances and normal errors of the fitted template and of the refined mesh against the surface
that was rendered, which has creases, veins and knuckles that the template lacks; for `hand-mesh` also how well albedo
and light agree with the truth up to scale. Only the hand counts, not the forearm.

    ns-hands synthesize capture-room --output room --num-cameras 10 --resolution 512
    ns-train hand-mesh --data room/1 hands-data --eval-cameras 03 07
    python benchmarks/fine_mesh.py --load-config outputs/.../config.yml --truth room/truth
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
import tyro
from captures import SYNTHETIC
from recording import Recorded, record, short_path
from rich.table import Table
from run_meshes import REFINED, TEMPLATE, ZERO_LEVEL, hand_meshes
from synthetic_truth import near_hand, read_truth

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.evaluation.mesh_metrics import Mesh, SurfaceErrors, surface_errors
from nerfstudio_hands.fields.warps import uv_warp
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.self_intersection import intersecting_faces
from nerfstudio_hands.models.hand_mesh import HandMeshModel
from nerfstudio_hands.synthesis.capture_room import room_around
from nerfstudio_hands.synthesis.light import Room, box_irradiance
from nerfstudio_hands.transforms.color import GAMMA
from nerfstudio_hands.transforms.spherical_harmonics import irradiance


@dataclass
class FineMesh(Recorded):
    """Errors of a trained mesh against the truth of the synthetic capture that it was trained on."""

    load_config: Path
    """config.yml of the run."""
    truth: Path
    """Folder `truth` of the capture."""
    frame: int = 0
    """Frame that is compared."""
    voxel: float = 0.5
    """Edge in millimetres of the voxels in which the zero level of `hand-sdf` is meshed."""


def main(args: FineMesh) -> None:
    config, pipeline = load_run(args.load_config)
    model = pipeline.model.eval()
    rendered = read_truth(args.truth)
    truth = rendered.hands(args.frame)
    meshes = hand_meshes(model, args.frame, voxel=args.voxel / 1000)
    title = f"{config.method_name} of SYNTHETIC {short_path(args.truth.parent)}: mesh to truth | truth to mesh"
    table = Table(title=title)
    for column in ("mesh", "vertices", "mean mm", "median mm", "95 % mm", "normals deg", "crossing faces"):
        table.add_column(column, no_wrap=True)
    # The truth has a forearm that no mesh of ours has: its region is what lies near the fitted hand.
    for name, mesh in meshes.items():
        errors = surface_errors(mesh, near_hand(truth, meshes[TEMPLATE]))
        # A zero level crosses itself nowhere.
        crossing = 0 if name == ZERO_LEVEL else len(intersecting_faces(mesh.vertices, mesh.faces))
        table.add_row(name, f"{len(mesh.vertices)}", *_cells(errors), f"{crossing}")
    notes = [SYNTHETIC]
    if isinstance(model, HandMeshModel):
        room = room_around(rendered.subject, rendered.motion, rendered.options)
        notes.append(sentence("Albedo", *albedo(model, meshes[REFINED], args)))
        notes.append(sentence("Light", *light(model, meshes[REFINED], room)))
    record(__file__, args, [table], notes=notes)


def sentence(name: str, found: torch.Tensor, true: torch.Tensor) -> str:
    """How well values [N, 3] agree with the truth."""
    scales, error, correlation = agreement(found, true)
    factors = ", ".join(f"{scale:.2f}" for scale in scales)
    return (
        f"{name} over the true one, a channel: {factors}; up to these factors off by {error:.1%} of its mean on "
        f"average, correlated with it by {correlation:.2f}."
    )


def agreement(found: torch.Tensor, true: torch.Tensor) -> tuple[list[float], float, float]:
    """Scale a channel between values [N, 3], mean difference up to it over the mean, correlation."""
    scale = (found / true).median(dim=0).values
    off = (found / scale - true).abs().mean() / true.mean()
    correlation = torch.corrcoef(torch.stack([(found / scale).flatten(), true.flatten()]))[0, 1]
    return scale.tolist(), float(off), float(correlation)


@torch.no_grad()
def light(model: HandMeshModel, mesh: Mesh, room: Room) -> tuple[torch.Tensor, torch.Tensor]:
    """Irradiance over pi on the normals of the hand, nothing in the way: learned, and true in the room's middle."""
    normals = vertex_normals(mesh.vertices, mesh.faces)
    place = np.broadcast_to(room.center, normals.shape)
    open_view = np.ones((len(normals), len(room.lights)))
    boxes = box_irradiance(room, place, normals.numpy(), open_view)
    true = (boxes + room.wall_irradiance(normals.numpy())) / np.pi
    return irradiance(model.lighting.light(None, model.cameras.seen), normals), torch.from_numpy(true).float()


@torch.no_grad()
def albedo(model: HandMeshModel, mesh: Mesh, args: FineMesh) -> tuple[torch.Tensor, torch.Tensor]:
    """Learned and true albedo (linear) at the true vertices near the mesh."""
    ply = trimesh.load(args.truth / f"mesh_{args.frame + 1}.ply", process=False)
    true = torch.from_numpy(np.array(ply.visual.vertex_colors[:, :3]) / 255.0).float() ** GAMMA
    points = torch.from_numpy(np.array(ply.vertices)).float()
    near = Surfaces(mesh.faces, mesh.vertices[None]).closest(points, max_distance=0.002)
    of_hand = (near.face >= 0) & mesh.region[near.face.clamp(min=0)]
    return model.albedo(uv_warp(model.face_uv, near.face[of_hand], near.barycentric[of_hand])), true[of_hand]


def _cells(errors: SurfaceErrors) -> list[str]:
    rows = [
        (getattr(errors.to_truth, key), getattr(errors.from_truth, key)) for key in ("mean", "median", "percentile_95")
    ]
    rows.append((errors.normal_to_truth, errors.normal_from_truth))
    return [f"{first:.4f} | {second:.4f}" for first, second in rows]


if __name__ == "__main__":
    main(tyro.cli(FineMesh))
