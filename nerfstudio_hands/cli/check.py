"""`ns-hands check DATA`: is this capture good, and where is it not?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import tyro

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.cli.input_paths import check_capture_folder, check_hand_model
from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.program.option_range import check_ranges, require_range
from nerfstudio_hands.program.progress import say

COLUMNS = {
    "camera": "",
    "role": "",
    "turned": "",
    "left px": "left, right: triangulated joints against detections (median), as calibrated > with the camera turned",
    "right px": "",
    "fit px": "fit: joints of the fitted hands against detections, left/right",
    "mask": "mask: share of the projected hands that it covers",
    "outline px": "outline: of the projected hands, from the one that the picture shows, mask or not (share found)",
    "hand": "hand: median brightness, saturated share",
    "gain": "gain: relative exposure in linear light",
}
"""Columns of the table, and what its caption says of them."""

OF_A_RIG = ("left px", "right px", "gain")
"""What says nothing of a single camera: its rays meet no others, and nobody else shows the same skin."""

if TYPE_CHECKING:
    from rich.table import Table

    from nerfstudio_hands.captures.capture import Capture
    from nerfstudio_hands.captures.splits import Split
    from nerfstudio_hands.fitting.record import HandFit
    from nerfstudio_hands.hand_model import HandSurface
    from nerfstudio_hands.inspection.camera_report import CameraReport
    from nerfstudio_hands.inspection.capture_report import CaptureReport
    from nerfstudio_hands.inspection.hand_view import HandView
    from nerfstudio_hands.inspection.view_measures import ViewMeasures


def check(
    data: Annotated[Path, tyro.conf.Positional],
    *,
    frames: Optional[int] = None,
    output: Optional[Path] = None,
    options: tyro.conf.OmitArgPrefixes[InterHandOptions] = InterHandOptions(layout="auto"),  # noqa: B008
) -> None:
    """Check a capture: a table per camera, what is wrong with it, and pictures of the fitted hands.

    Fits the hands on first use (the fit is cached and shared with training), then compares every camera with it:
    calibration, detections, mask, exposure, and the outline that its pictures show, with a mask or without. Nothing is
    written into the capture. What is read of the capture and held out is chosen as in training, by the same options, so
    that training finds the fit in the cache.

    Args:
        data: Folder of the capture.
        frames: How many frames are measured and drawn, evenly spread over those with a hand, 1 to 10000; by default as
            many as have 48 pictures, at least 3. Joints are compared in all frames, and those whose fingers lie
            farthest from their landmarks are drawn, too.
        output: Folder for the pictures; by default outputs/check/<folder above the capture>-<name of the capture>.
        options: What is read and what is held out.
    """
    if frames is not None:
        require_range("--frames", frames, 1, 10000)
    check_ranges(options)
    check_capture_folder(data)
    check_hand_model(options.hand_model)
    folder = Path("outputs", "check", capture_name(data)) if output is None else output
    check_can_be_made(folder, "--output")
    say(f"Reading the capture {data} ...")

    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.captures.splits import nothing_held_out
    from nerfstudio_hands.cli.output_folder import prepare_output_folder, write_bytes
    from nerfstudio_hands.dataparsers.fit_options import fit_options
    from nerfstudio_hands.fitting import fit_or_load
    from nerfstudio_hands.hand_model import load_surface
    from nerfstudio_hands.preparation.chosen_capture import options_for, read_and_split

    capture, split = read_and_split(data, options_for(data, options))
    folder = prepare_output_folder(folder, keep_out_of=data)
    fit = fit_or_load(capture, fit_options(options, split), say_doubts=False)
    surface = load_surface(fit.sides, options.hand_model)
    report = _measure_and_draw(capture, fit, surface, split, frames, folder)

    CONSOLE.print(camera_table(report))
    if report.joints.grade == "good":
        CONSOLE.print(report.joints.sentence, soft_wrap=True)
    unjudged = nothing_held_out(capture, split)
    for finding in (*report.findings, *([unjudged] if unjudged else [])):
        CONSOLE.print(f"- {finding}", markup=False, highlight=False)
    CONSOLE.print(report.verdict, markup=False, highlight=False)
    write_bytes(folder / "report.json", report.to_json().encode())
    CONSOLE.print(
        f"Overlays: {folder / 'contact_sheet.jpg'} (all), {folder}/<frame>_<camera>.jpg; figures: report.json"
    )


def capture_name(data: Path) -> str:
    """A name for a capture that those of others whose scan is called 1, too, do not share."""
    return "-".join(part for part in data.expanduser().resolve().parts[-2:] if part != "/")


def camera_table(report: CaptureReport) -> Table:
    """The report as a table, one row a camera; pixels at full resolution. A single camera is compared with no other."""
    from rich import box
    from rich.table import Table

    shown = [heading for heading in COLUMNS if len(report.cameras) > 1 or heading not in OF_A_RIG]
    table = Table(title="Cameras (px at full resolution)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in shown:
        table.add_column(heading, justify="left" if heading in ("camera", "role") else "right", no_wrap=True)
    table.add_column("verdict", min_width=24)
    for camera in report.cameras:
        row = _row(camera)
        table.add_row(*(row[heading] for heading in shown), camera.verdict, style=None if camera.exposure else "dim")
    table.caption = "; ".join(COLUMNS[heading] for heading in shown if COLUMNS[heading])
    return table


def _row(camera: CameraReport) -> dict[str, str]:
    """The cells of a camera by `COLUMNS`."""
    left, right = camera.errors["left"], camera.errors["right"]
    exposure, mask, outline = camera.exposure, camera.mask, camera.outline
    shown = exposure is not None and not math.isnan(exposure.median)
    found = [
        "-" if math.isnan(e.corrected) else f"{e.as_calibrated:.0f}>{e.corrected:.0f}" for e in (left, right)
    ]
    return {
        "camera": camera.name,
        "role": camera.role,
        "turned": _number(camera.rotation_degrees, "{:.1f}°"),
        "left px": found[0],
        "right px": found[1],
        "fit px": f"{_number(left.fitted)}/{_number(right.fitted)}",
        "mask": "-" if mask is None else f"{mask.coverage:.0%}",
        "outline px": "-" if outline is None else f"{_number(outline.distance, '{:.1f}')} ({outline.matched:.0%})",
        "hand": f"{exposure.median:.0f} {exposure.saturated:.0%}" if shown else "-",
        "gain": _number(exposure.gain, "{:.2f}") if shown else "-",
    }


def _number(value: float, form: str = "{:.0f}") -> str:
    return "-" if math.isnan(value) else form.format(value)


def _measure_and_draw(
    capture: Capture,
    fit: HandFit,
    surface: HandSurface,
    split: Split,
    frames: int | None,
    folder: Path,
) -> CaptureReport:
    """Look at each view once, judge the cameras, then write the pictures with the verdicts on them."""
    from nerfstudio_hands.cli.output_folder import write_image
    from nerfstudio_hands.inspection.capture_overlay import contact_sheet, draw_overlay, with_caption
    from nerfstudio_hands.inspection.looking import look_at

    overlays, measures = {}, {}

    def draw(key: tuple[int, str], view: HandView, found: ViewMeasures) -> None:
        measures[key] = found
        overlays[key] = draw_overlay(view, None if found.outline is None else found.outline.seen)

    report = look_at(capture, fit, surface, split, frames, look=draw)
    keys = list(overlays)
    verdicts = {camera.name: camera for camera in report.cameras}
    captions = [_caption(verdicts[name], capture.frames[t], measures[t, name]) for t, name in keys]
    for (t, name), caption in zip(keys, captions, strict=True):
        file = f"{capture.frames[t]}_{name}.jpg".replace("/", "_")
        write_image(folder / file, with_caption(overlays[t, name], caption))
    write_image(folder / "contact_sheet.jpg", contact_sheet([overlays[key] for key in keys], captions))
    return report


def _caption(camera: CameraReport, frame: str, measures: ViewMeasures) -> list[str]:
    """The frame's own outline and fingers, and the verdict on its camera."""
    row = _row(camera)
    quality = measures.outline and measures.outline.quality
    outline = "no outline seen" if quality is None else f"outline {quality.distance:.1f} px off"
    joints = f"joints {row['fit px']} px off"
    fingers = [f"{one.part} {one.pixels:.0f} px off its landmarks" for one in camera.fingers if one.frame == frame]
    mask = [] if camera.mask is None else [f"mask covers {row['mask']}"]
    return [
        f"{camera.name} ({camera.role}), frame {frame}: {'; '.join([outline, *fingers])}",
        f"camera: {'; '.join([joints, *mask, camera.verdict])}",
    ]
