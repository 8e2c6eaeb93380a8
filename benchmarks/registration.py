"""How near do fitted hands come to the true ones, by joints alone and registered to the pictures?

On a capture of `ns-hands synthesize interhand`, whose truth lies beside it: distance of the fitted skin, where a camera
that trains sees it, from the true surface; IoU of the drawn silhouette with the true mask of the hand, in the cameras
that train and in the held-out ones, for frames that train and held-out ones (their poses are registered to the pictures
of the cameras that train, or come from joints alone with `--held-out-poses joints`); and how far the cameras are from
the true ones. Both fits are made anew.

    ns-hands synthesize interhand --output OUT --num-cameras 8 --frames 60 --subject.finger-thickness 1.15 \\
        --subject.palm-thickness 1.12 --landmarks.bias 4 --landmarks.scatter 1
    python benchmarks/registration.py --data OUT --eval-cameras 400264 400267
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Tuple

import numpy as np
import torch
import tyro
from captures import title_of
from jaxtyping import Bool, Float
from PIL import Image
from recording import Recorded, record
from rich.table import Table
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.dataparsers.fit_options import fit_options
from nerfstudio_hands.fitting import HandFit
from nerfstudio_hands.fitting.capture_joints import fit_capture_joints
from nerfstudio_hands.fitting.silhouettes.boundary_fit import silhouette_at, silhouette_mesh
from nerfstudio_hands.fitting.silhouettes.mask_refinement import camera_tensors
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, load_surface
from nerfstudio_hands.preparation.chosen_capture import read_and_split
from nerfstudio_hands.program.progress import show_progress

SUPERSAMPLING = 4
FARTHEST = 0.05
"""Meters at which a surface is looked for."""


@dataclass
class Registration(Recorded):
    """Fits of a synthetic capture in InterHand2.6M's layout beside its truth."""

    data: Path
    """Folder of the capture."""
    eval_cameras: Tuple[str, ...]
    """Cameras to hold out."""
    eval_frame_fraction: float = 1 / 3
    """Share of the frames to hold out."""
    held_out_poses: Literal["pictures", "joints"] = "pictures"
    """Where the poses of held-out frames come from."""


@dataclass
class Truth:
    """What was rendered: true vertices of each (frame, side), faces of each side, and cameras."""

    vertices: dict[tuple[str, str], Float[Tensor, "V 3"]]
    faces: dict[str, Tensor]
    world_to_camera: dict[str, Float[np.ndarray, "4 4"]]


def read_truth(capture: Capture) -> Truth:
    """Truth of the frames of a capture."""
    folder = capture.root / "truth"
    subject = np.load(folder / "subject.npz")
    vertices = {}
    for sequence in set(capture.sequences):
        with np.load(folder / f"{sequence}.npz") as file:
            for number, frame in enumerate(file["frames"]):
                for index, side in enumerate(SIDES):
                    vertices[f"{sequence}/{frame}", side] = torch.from_numpy(file["vertices"][number, index])
    faces = {side: torch.from_numpy(subject[f"faces_{side}"]).long() for side in SIDES}
    cameras = json.loads((folder / "cameras.json").read_text())
    true = {name: np.array(entry["world_to_camera"]) for name, entry in cameras.items() if "world_to_camera" in entry}
    return Truth(vertices, faces, true)


def measure(capture: Capture, split: Split, fit: HandFit, truth: Truth) -> dict[str, float]:
    """The figures of one fit."""
    surface = load_surface(fit.sides, "default")
    mesh = silhouette_mesh(surface)
    vertices = surface.pose(fit.pose, fit.shape, fit.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    found = defaultdict(list)
    for t, frame in enumerate(capture.frames):
        frames = "training" if split.train_frames[t] else "held-out"
        seen = torch.zeros(len(vertices[t]), dtype=torch.bool)
        for name in [*split.train_cameras, *split.eval_cameras]:
            camera = fit.corrected(capture.camera(name))
            k, e = camera_tensors(camera)
            if name in split.train_cameras:
                seen |= (normals[t].double() * (-e[:3, :3].T @ e[:3, 3] - vertices[t].double())).sum(-1) > 0
            if (frame, name) in capture.true_masks:
                views = "training" if name in split.train_cameras else "held-out"
                drawn = drawn_mask(mesh, vertices[t], normals[t], k, e, camera.size)
                found[f"IoU, {views} views, {frames} frames"].append(iou(drawn, true_mask(capture, frame, name)))
        for h, side in enumerate(fit.sides):
            part = surface.vertex_slices[h]
            chosen = seen[part] & surface.vertex_is_hand[part]
            if fit.pose.valid[t, h]:
                skin = Surfaces(truth.faces[side], truth.vertices[frame, side][None].float())
                near = skin.closest(vertices[t, part][chosen], max_distance=FARTHEST)
                found["distances"].append(1000 * near.signed_distance.abs())
    distances = torch.cat(found.pop("distances"))
    figures = {"skin to truth, mean mm": float(distances.mean()), "95 % mm": float(distances.quantile(0.95))}
    figures |= {name: float(np.mean(values)) for name, values in sorted(found.items(), reverse=True)}
    return figures | camera_errors(capture, split, fit, truth)


def drawn_mask(mesh, vertices: Tensor, normals: Tensor, k: Tensor, e: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Pixels that a hand covers by half or more."""
    finer = k.clone()
    finer[:2] *= SUPERSAMPLING
    width, height = size
    fine = silhouette_at(mesh, vertices, normals, finer, e, (width * SUPERSAMPLING, height * SUPERSAMPLING)).silhouette
    return fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean((1, 3)) >= 0.5


def true_mask(capture: Capture, frame: str, camera: str) -> Bool[np.ndarray, "H W"]:
    """The hand without its forearm, of the files beside those of the skin that is seen."""
    path = Path(str(capture.true_masks[frame, camera]).replace("mask_skin", "mask_hand"))
    return np.asarray(Image.open(path)) > 0


def iou(first: Bool[np.ndarray, "H W"], second: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def camera_errors(capture: Capture, split: Split, fit: HandFit, truth: Truth) -> dict[str, float]:
    """Largest angles between the cameras that train and the true ones, as calibrated and as fitted, degrees."""
    if not truth.world_to_camera:
        return {}

    def degrees(matrices: dict[str, np.ndarray]) -> float:
        turns = [matrices[name][:3, :3] @ truth.world_to_camera[name][:3, :3].T for name in split.train_cameras]
        return max(float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))) for turn in turns)

    cameras = {name: capture.camera(name) for name in split.train_cameras}
    return {
        "cameras as calibrated, degrees": degrees({name: camera.world_to_camera for name, camera in cameras.items()}),
        "as fitted": degrees({name: fit.corrected(camera).world_to_camera for name, camera in cameras.items()}),
    }


def main(args: Registration) -> None:
    """Fits twice, and compares."""
    options = InterHandOptions(
        eval_cameras=args.eval_cameras,
        eval_frame_fraction=args.eval_frame_fraction,
        held_out_poses=args.held_out_poses,
    )
    capture, split = read_and_split(args.data, options)
    truth, chosen = read_truth(capture), fit_options(options, split)
    rows = {}
    for title, how in (("joints alone", replace(chosen, refine_masks=False)), ("registered to pictures", chosen)):
        started = time.monotonic()
        with show_progress(title, 1.0) as report:
            fit = fit_capture_joints(capture, how, progress=lambda stage, share: report(share, description=stage))
        rows[title] = {"seconds": time.monotonic() - started} | measure(capture, split, fit, truth)
    size = "x".join(map(str, capture.camera(args.eval_cameras[0]).size))
    table = Table(
        title=f"{title_of(args.data)}: {len(capture.frames)} frames ({int(split.train_frames.sum())} train), "
        f"{len(split.train_cameras)} cameras train, {len(split.eval_cameras)} held out, {size}; held-out poses "
        f"by {args.held_out_poses}"
    )
    table.add_column("")
    for title in rows:
        table.add_column(title, justify="right")
    for name in rows["joints alone"]:
        table.add_row(name, *(f"{row[name]:.3f}" if name != "seconds" else f"{row[name]:.0f}" for row in rows.values()))
    record("registration", args, [table], notes=[NOTE], figures=rows)


NOTE = (
    "Synthetic: rendered from the template and skinning weights that are then fitted; no photograph took part. What "
    "the fit's shape space does not hold of the subject, its landmarks and its calibration stands in the capture's "
    "truth/options.json."
)


if __name__ == "__main__":
    main(tyro.cli(Registration))
