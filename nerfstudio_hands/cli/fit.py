"""`ns-hands fit DATA`: fit the hands of a capture and keep the result."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Optional

import tyro

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.cli.input_paths import check_capture_folder, check_hand_model
from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.program.progress import say


def fit(
    data: Annotated[Path, tyro.conf.Positional],
    *,
    hand: Literal["left", "right", "both"] = "both",
    output: Optional[Path] = None,
    overwrite: bool = False,
    options: tyro.conf.OmitArgPrefixes[InterHandOptions] = InterHandOptions(layout="auto"),  # noqa: B008
) -> None:
    """Fit the hand model to a capture: pose, shape and placement of each hand, small camera rotations, smooth detail.

    Joints are triangulated from the detections, or come with the capture (InterHand2.6M). The model is fitted to them,
    and then to the outlines of the masks and, where those are bad or there are none, of the pictures themselves. The
    result is kept in the cache that training uses, and printed as a table; the last line says whether the hands lie on
    their pictures, as `ns-hands check` judges it in three frames. Nothing is written into the capture. What is read and
    held out is chosen as in training, by the same options, so that training finds the fit in the cache.

    Args:
        data: Folder of the capture.
        hand: Which hand to fit; of both, one that was never detected is left out. Training looks for both.
        output: File (.npz) to write the fit to instead of the cache; it is read where it exists.
        overwrite: Fit again even if a fit is there.
        options: What is read and what is held out.
    """
    check_ranges(options)
    check_capture_folder(data)
    check_hand_model(options.hand_model)
    if output is not None:
        check_can_be_made(output.parent, "--output")
        _check_outside(output, data)
    say(f"Reading the capture {data} ...")

    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.captures.capture import require_side
    from nerfstudio_hands.dataparsers.fit_options import fit_options
    from nerfstudio_hands.fitting import fit_contour_distances, fit_or_load
    from nerfstudio_hands.hand_model import SIDES, load_surface
    from nerfstudio_hands.inspection.looking import look_at
    from nerfstudio_hands.preparation.chosen_capture import options_for, read_and_split

    capture, split = read_and_split(data, options_for(data, options))
    for problem in capture.problems:
        CONSOLE.print(f"- {problem}", markup=False, highlight=False, soft_wrap=True)
    if hand != "both":
        require_side(capture, hand)
    chosen = replace(fit_options(options, split), sides=SIDES if hand == "both" else (hand,))
    result = fit_or_load(capture, chosen, path=output, refit=overwrite)
    if capture.masks:
        CONSOLE.print(
            _table(result, fit_contour_distances(capture, result, hand=options.hand_model), split.eval_cameras)
        )
    joints = "given" if capture.detections is None else "triangulated"
    CONSOLE.print(
        f"Joints {result.report['joint_distance_mm']} mm from the {joints} ones, displacement "
        f"{result.report['displacement_mm']} mm (means); `ns-hands check` draws the hands over the photographs."
    )
    report = look_at(capture, result, load_surface(result.sides, options.hand_model), split)
    CONSOLE.print(report.verdict, markup=False, highlight=False, soft_wrap=True)


def _check_outside(output: Path, data: Path) -> None:
    if output.expanduser().resolve().is_relative_to(data.expanduser().resolve()):
        raise HandsError(f"{output}: expected a file outside of the capture {data}, found one inside: give another.")


def _table(fit, distances, held_out):
    """One row a picture with a mask."""
    from rich.table import Table

    table = Table(title="Outlines of the fitted hands against the masks (full-resolution pixels, matched points)")
    for heading in ("frame", "camera", "role", "turned", "focal length", "mask", "mean px", "matched"):
        table.add_column(heading, justify="left" if heading in ("frame", "camera", "role", "mask") else "right")
    for (frame, name), distance in distances.items():
        verdict = fit.mask_verdict((frame, name))
        turned = fit.report["camera_rotation_degrees"].get(name)
        zoomed = math.expm1(fit.camera_zoom.get(name, 0.0))
        role = "held out" if name in held_out else "training" if turned is not None else "left out"
        table.add_row(
            frame,
            name,
            role,
            "" if turned is None else f"{turned:.2f}°",
            "" if turned is None else f"{zoomed:+.1%}",
            verdict,
            f"{distance['mean']:.1f}" if verdict != "useless" else "-",
            f"{distance['matched']:.0%}",
        )
    return table
