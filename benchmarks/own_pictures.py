"""How near do hands come to the truth that are fitted to a phone's videos, from the video to the fit?

On the videos of `ns-hands synthesize phone`, whose truth lies beside them, by the commands that people type:

- `board` and `motion`: the video round a still hand, `ns-hands calibrate` by the printed board or by structure from
  motion, `ns-hands prepare`, `ns-hands fit`: how far cameras are from the true ones after similarity alignment, and the
  fitted skin from the true surface after rigid alignment, and after one of similarity;
- `film`: one phone that stands still, its lens known, a hand that moves: joints against the true ones, and where the
  error lies.

Landmarks are those that MediaPipe's networks find in the drawn pictures. Scale is the hand's true length, as a person
would give it who has measured the own hand.

    ns-hands synthesize phone --output made --resolution 640 --subdivisions 1
    python benchmarks/own_pictures.py --data made --output captures
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Tuple

import numpy as np
import torch
import tyro
from calibration import faults
from captures import title_of
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.capture_options import CaptureOptions
from nerfstudio_hands.cli.calibrate import calibrate
from nerfstudio_hands.cli.detect import detect
from nerfstudio_hands.dataparsers.fit_options import fit_options
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_pose_metrics import best_similarity, hand_pose_metrics
from nerfstudio_hands.fitting import HandFit, fit_or_load
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_model import SIDES, HandSurface, load_surface
from nerfstudio_hands.hand_model.joints import FINGERS
from nerfstudio_hands.preparation.chosen_capture import read_and_split
from nerfstudio_hands.preparation.options import PrepareOptions
from nerfstudio_hands.preparation.prepare import prepare
from nerfstudio_hands.synthesis.phone import true_hand_length
from nerfstudio_hands.transforms.projection import project
from nerfstudio_hands.transforms.rigid import apply_rigid
from nerfstudio_hands.transforms.rotations import rigid_registration

FARTHEST = 0.05
"""Meters at which a surface is looked for."""

Part = Literal["board", "motion", "film"]


@dataclass
class OwnPictures(Recorded):
    """Videos of `ns-hands synthesize phone`, and what to make of them."""

    data: Path
    """Folder of the videos."""
    output: Path
    """Folder for calibrations, captures and fits, and how long they took; what is there is not made again."""
    parts: Tuple[Part, ...] = ("board", "motion", "film")
    """Ways to go."""
    square: float = 25.0
    """Millimeters of a square of the board."""


@dataclass
class Prepared:
    """A capture with its fit."""

    capture: Capture
    fit: HandFit
    surface: HandSurface

    @property
    def side(self) -> str:
        return self.fit.sides[0]


@contextmanager
def timed(args: OwnPictures, way: str, step: str) -> Iterator[None]:
    """Keeps how long a step takes, for when its result is there already."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    spent = {f"{step}, s": time.monotonic() - wall, f"{step}, s of one core": time.process_time() - cpu}
    file = args.output / f"{way}-seconds.json"
    file.write_text(json.dumps(seconds(args, way) | spent))


def seconds(args: OwnPictures, way: str) -> dict[str, float]:
    """What `timed` kept."""
    file = args.output / f"{way}-seconds.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def prepared(args: OwnPictures, way: str, options: PrepareOptions) -> Prepared:
    """The capture of some pictures, fitted."""
    folder, path = args.output / f"{way}-capture", args.output / f"{way}.npz"
    if not folder.exists():
        with timed(args, way, "prepare"):
            for sentence in prepare(options, folder).sentences:
                print(f"- {sentence}")
    capture, split = read_and_split(folder, CaptureOptions())
    how = fit_options(CaptureOptions(), split)
    if not path.exists():
        with timed(args, way, "fit"):
            fit_or_load(capture, how, path=path)
    fit = fit_or_load(capture, how, path=path)
    return Prepared(capture, fit, load_surface(fit.sides, how.hand))


def orbit_figures(args: OwnPictures, method: Literal["board", "motion"]) -> dict[str, float]:
    """The figures of the video round a still hand."""
    video, file = args.data / "orbit.mp4", args.output / f"{method}.json"
    length, landmarks = 1000 * true_hand_length(args.data), args.output / "landmarks"
    if method == "motion" and not landmarks.exists():
        detect(output=landmarks, videos=(video,))
    if not file.exists():
        with timed(args, method, "calibrate"):
            calibrate(
                output=file, method=method, videos=(video,), square=args.square, every=1, hand_length=length,
                landmarks=landmarks if method == "motion" else None,
            )  # fmt: skip
    frames = file.with_name(f"{file.stem}_frames")
    made = prepared(args, method, PrepareOptions(images=(frames,), calibration=file, hand_length=length))
    found, true = read_calibration(file).images, read_calibration(args.data / "truth" / "orbit.json").images
    names = sorted({Path(name).stem for name in found} & {Path(name).stem for name in true})
    by_stem = [{Path(name).stem: camera for name, camera in cameras.items()} for cameras in (found, true)]
    degrees, off, scale = faults(*([cameras[name] for name in names] for cameras in by_stem))
    lens = by_stem[0][names[0]], by_stem[1][names[0]]
    figures = {
        "pictures": len(names),
        "cameras, median degrees": float(np.median(degrees)),
        "worst": float(degrees.max()),
        "median % of distance": 100 * float(np.median(off)),
        "focal length, %": 100 * abs(lens[0].intrinsics[0, 0] / lens[1].intrinsics[0, 0] - 1),
        "scale of the cameras": scale,
    }
    return figures | surface_figures(args, made) | seconds(args, method)


def surface_figures(args: OwnPictures, made: Prepared) -> dict[str, float]:
    """How far the fitted skin lies from the true one, mm."""
    with np.load(args.data / "truth" / "orbit.npz") as file:
        true = torch.from_numpy(file["vertices"][0, SIDES.index(made.side)]).double()
    posed = made.surface.pose(made.fit.pose, made.fit.shape, made.fit.displacement)
    own = posed.vertices[0].double()
    chosen = made.surface.vertex_is_hand
    rotation, shift = rigid_registration(own[chosen], true[chosen])
    faces = torch.from_numpy(np.load(args.data / "truth" / "subject.npz")[f"faces_{made.side}"]).long()
    skin = Surfaces(faces, true[None].float())

    def distances(vertices: torch.Tensor) -> torch.Tensor:
        return 1000 * skin.closest(vertices[chosen].float(), max_distance=FARTHEST).signed_distance.abs()

    similar = best_similarity(own[chosen].numpy()[None], true[chosen].numpy()[None])
    rigid, alike = distances(own @ rotation.T + shift), distances(torch.from_numpy(similar(own.numpy()[None])[0]))
    return {
        "skin to truth, rigid, mean mm": float(rigid.mean()),
        "95 % mm": float(rigid.quantile(0.95)),
        "with scale, mean mm": float(alike.mean()),
        "scale of the hand": float((similar.scale * similar.true_norm / similar.predicted_norm)[0, 0, 0]),
    }


def film_figures(args: OwnPictures) -> tuple[dict[str, float], Table]:
    """The figures of the moving hand, and where its error lies."""
    calibration = args.data / "truth" / "film.toml"
    length = 1000 * true_hand_length(args.data)
    videos = (args.data / "film.mp4",)
    made = prepared(args, "film", PrepareOptions(videos=videos, calibration=calibration, hand_length=length))
    camera = made.capture.cameras[0]
    posed = made.surface.pose(made.fit.pose, made.fit.shape, made.fit.displacement)
    with np.load(args.data / "truth" / "film.npz") as file:
        everything = file["keypoints"][:, SIDES.index(made.side)].astype(float)
    if len(everything) != len(made.capture.frames):
        raise HandsError(f"{args.data}: expected a film of at most 300 frames, found {len(everything)}.")
    valid = made.fit.pose.valid[:, 0].numpy()
    found = posed.keypoints[:, 0].double().numpy()
    own, true = (apply_rigid(camera.world_to_camera, points[valid]) for points in (found, everything))
    figures = {"frames": int(valid.sum())} | hand_pose_metrics(own, true)
    table = Table("finger", "across mm", "in depth mm", "landmarks px", title="film: error about the wrist, means")
    pixels = made.capture.detections[:, 0, SIDES.index(made.side)][valid]
    wanted, _ = project(true, camera.intrinsics, np.eye(4))
    missed = np.linalg.norm(pixels - wanted, axis=-1)
    off = (own - own[:, :1]) - (true - true[:, :1])
    for finger, name in enumerate(FINGERS):
        part = slice(1 + 4 * finger, 5 + 4 * finger)
        across, depth = np.linalg.norm(off[:, part, :2], axis=-1), np.abs(off[:, part, 2])
        numbers = (1000 * across.mean(), 1000 * depth.mean(), np.nanmean(missed[:, part]))
        table.add_row(name, *(f"{number:.1f}" for number in numbers))
    figures["landmarks, median px"] = float(np.nanmedian(missed))
    return figures | seconds(args, "film"), table


def as_table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    """A column for each way."""
    table = Table("", *rows, title=title)
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        table.add_row(name, *(f"{row[name]:.4g}" if name in row else "" for row in rows.values()))
    return table


def main(args: OwnPictures) -> None:
    """Goes the ways, and compares."""
    args.output.mkdir(parents=True, exist_ok=True)
    orbits = {part: orbit_figures(args, part) for part in args.parts if part != "film"}
    tables = [as_table(f"{title_of(args.data)}: round a still hand", orbits)] if orbits else []
    figures = dict(orbits)
    if "film" in args.parts:
        figures["film"], fingers = film_figures(args)
        tables += [as_table(f"{title_of(args.data)}: one phone that stands still", {"film": figures["film"]}), fingers]
    record(__file__, args, tables, notes=[NOTE], figures=figures)


NOTE = (
    "Synthetic: rendered from the template and skinning weights that are then fitted; no photograph took part. "
    "Landmarks are what MediaPipe's networks found in the drawn pictures; the hand's true length is given."
)


if __name__ == "__main__":
    main(tyro.cli(OwnPictures))
