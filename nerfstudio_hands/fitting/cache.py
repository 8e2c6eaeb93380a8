"""Fits are kept by what they were made from, away from the capture, which may be read-only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nerfstudio_hands.dataparsers.capture import Capture, select_cameras
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.fit import fit_capture
from nerfstudio_hands.fitting.record import FIT_VERSION, HandFit
from nerfstudio_hands.hand_model import SIDES

CONSOLE = Console(width=120)


def cache_folder() -> Path:
    """`$NERFSTUDIO_HANDS_CACHE`, or `~/.cache/nerfstudio_hands`."""
    named = os.environ.get("NERFSTUDIO_HANDS_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "nerfstudio_hands"


def cache_path(capture: Capture, cameras: Sequence[str], **options: object) -> Path:
    """File that belongs to a fit of these cameras with these options: its name hashes all that the fit depends on."""
    seen = select_cameras(capture, list(cameras))
    digest = hashlib.sha256()
    hand = options.get("hand", "default")
    settings = {"version": FIT_VERSION, "cameras": list(cameras), "frames": capture.frames}
    digest.update(json.dumps({**settings, **options}, sort_keys=True, default=str).encode())
    for camera in seen.cameras:
        digest.update(camera.intrinsics.tobytes() + camera.world_to_camera.tobytes())
    digest.update(seen.detections.tobytes())
    # Masks of all cameras, because the report speaks of all of them.
    for key in sorted(capture.masks):
        digest.update(repr(key).encode() + capture.masks[key].read_bytes())
    # Pictures, because hands are cut out of them where masks are bad.
    for key in sorted(seen.images) if options.get("refine_masks", True) else ():
        digest.update(repr(key).encode() + seen.images[key].read_bytes())
    if str(hand) != "default":
        for path in sorted(Path(str(hand)).glob("MANO_*.pkl")) if Path(str(hand)).is_dir() else [Path(str(hand))]:
            digest.update(path.read_bytes() if path.is_file() else b"")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(capture.root.resolve().parts[-2:]).strip("/"))
    return cache_folder() / f"{name}-{digest.hexdigest()[:16]}.npz"


def fit_or_load(
    capture: Capture,
    cameras: Sequence[str],
    *,
    hand: str | Path = "default",
    sides: Sequence[str] = SIDES,
    refine_masks: bool = True,
    refine_cameras: bool = True,
    path: Path | None = None,
    refit: bool = False,
) -> HandFit:
    """The fit of a capture, from the cache where it is there, else made with a progress bar and kept.

    Args:
        capture: The capture.
        cameras: Names of the cameras that take part.
        hand: Hand model, "default" or a path.
        sides: The hands to fit.
        refine_masks: Whether to refine on the outlines of good masks.
        refine_cameras: Whether cameras may be turned.
        path: A file that the user named: it is read if it exists, and must then be of this version.
        refit: Whether to fit anew whatever is kept.

    Raises:
        HandsError: The hands cannot be fitted, the named file is not of this version, or the cache cannot be written.
    """
    options = {"hand": hand, "sides": list(sides), "refine_masks": refine_masks, "refine_cameras": refine_cameras}
    file = path or cache_path(capture, cameras, **options)
    if file.exists() and not refit:
        try:
            return HandFit.load(file)
        except HandsError as error:
            if path is not None:
                raise
            CONSOLE.print(f"[yellow]Fitting the hands again: {error}")
    _check_writable(file)
    with Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
    ) as bar:
        task = bar.add_task("Fitting hands", total=1.0)
        fit = fit_capture(
            capture,
            cameras=cameras,
            hand=hand,
            sides=sides,
            refine_masks=refine_masks,
            refine_cameras=refine_cameras,
            progress=lambda stage, share: bar.update(task, description=stage, completed=share),
        )
    fit.save(file)
    CONSOLE.print(f"Fitted {' and '.join(fit.sides)} hand in {fit.report['seconds']:.0f} s, kept in {file}")
    return fit


def _check_writable(file: Path) -> None:
    """Finds out before minutes are spent whether the result can be kept."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file.parent, os.W_OK):
            raise PermissionError("Permission denied")
    except OSError as error:
        raise HandsError(
            f"{file.parent}: expected a folder to keep fitted hands in, found '{error.strerror or error}': set "
            "NERFSTUDIO_HANDS_CACHE to a folder that can be written."
        ) from error
