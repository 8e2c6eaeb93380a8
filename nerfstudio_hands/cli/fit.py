"""`ns-hands fit DATA`: fit the hands of a capture and keep the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import tyro


def fit(
    data: Annotated[Path, tyro.conf.Positional],
    *,
    hand: Literal["left", "right", "both"] = "both",
    eval_cameras: Optional[tuple[str, ...]] = None,
    exclude_cameras: tuple[str, ...] = (),
    hand_model: str = "default",
    refine_masks: bool = True,
    refine_cameras: bool = True,
    output: Optional[Path] = None,
    overwrite: bool = False,
) -> None:
    """Fit the hand model to a capture: pose, shape and placement of each hand, small camera rotations, smooth detail.

    Joints are triangulated from the detections, the model is fitted to them, and then to the outlines of the masks and,
    where those are bad, of the pictures themselves. Where the capture comes with joints in space (InterHand2.6M), the
    model is fitted to these. The result is kept in the cache that training uses, and printed
    as a table. Nothing is written into the capture.

    Args:
        data: Folder of the capture.
        hand: Which hand to fit; of both, one that was never detected is left out. Training looks for both.
        eval_cameras: Cameras that take no part, by their names in the files; by default those that training would hold
            out, so that training finds the fit in the cache.
        exclude_cameras: Cameras to leave out altogether.
        hand_model: "default" for the built-in CC0 hand; or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl.
        refine_masks: Refine on outlines; without, the fit ends at the joints.
        refine_cameras: Let cameras turn about their centres, off the shelf for cameras that are a degree off.
        output: File (.npz) to write the fit to instead of the cache; it is read where it exists.
        overwrite: Fit again even if a fit is there.
    """
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.dataparsers.capture import require_side
    from nerfstudio_hands.dataparsers.layouts import read_capture
    from nerfstudio_hands.dataparsers.splits import split_capture
    from nerfstudio_hands.fitting import fit_or_load, fit_outline_distances
    from nerfstudio_hands.hand_model import SIDES

    capture = read_capture(data)
    split = split_capture(capture, exclude_cameras=exclude_cameras, eval_cameras=eval_cameras)
    if hand != "both":
        require_side(capture, hand)
    result = fit_or_load(
        capture,
        split.train_cameras,
        hand=hand_model,
        sides=SIDES if hand == "both" else (hand,),
        refine_masks=refine_masks,
        refine_cameras=refine_cameras,
        shape_frames=split.shape_frames,
        path=output,
        refit=overwrite,
    )
    if capture.masks:
        CONSOLE.print(_table(result, fit_outline_distances(capture, result, hand=hand_model), split.eval_cameras))
    joints = "given" if capture.detections is None else "triangulated"
    CONSOLE.print(
        f"Joints {result.report['joint_distance_mm']} mm from the {joints} ones, displacement "
        f"{result.report['displacement_mm']} mm (means); `ns-hands check` draws the hands over the photographs."
    )


def _table(fit, distances, held_out):
    """One row a picture with a mask."""
    from rich.table import Table

    table = Table(title="Outlines of the fitted hands against the masks (full-resolution pixels, matched points)")
    for heading in ("frame", "camera", "role", "turned", "mask", "mean px", "matched"):
        table.add_column(heading, justify="left" if heading in ("frame", "camera", "role", "mask") else "right")
    verdicts = {(frame, name): verdict for frame, name, verdict in fit.report["mask_verdicts"]}
    for (frame, name), distance in distances.items():
        turned = fit.report["camera_rotation_degrees"].get(name)
        role = "held out" if name in held_out else "training" if turned is not None else "left out"
        table.add_row(
            frame,
            name,
            role,
            "" if turned is None else f"{turned:.2f}°",
            verdicts[frame, name],
            f"{distance['mean']:.1f}" if verdicts[frame, name] != "useless" else "-",
            f"{distance['matched']:.0%}",
        )
    return table
