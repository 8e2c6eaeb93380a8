"""Fits are kept by what they were made from, away from the capture, which may be read-only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.fitting.capture_joints import fit_capture_joints
from nerfstudio_hands.fitting.capture_landmarks import fit_capture_landmarks
from nerfstudio_hands.fitting.fit import fit_capture
from nerfstudio_hands.fitting.joints.pose_fit import USUAL_OF_RANGE
from nerfstudio_hands.fitting.options import FitOptions
from nerfstudio_hands.fitting.record import FIT_VERSION, HandFit, require_fit_of
from nerfstudio_hands.fitting.silhouettes.mask_refinement import few_images
from nerfstudio_hands.fitting.silhouettes.partial_registration import registration_file
from nerfstudio_hands.hand_model import load_hand
from nerfstudio_hands.program.progress import show_progress

CONSOLE = Console(width=120)


def fit_key(capture: Capture, options: FitOptions) -> str:
    """Digest of all that a fit depends on; where the capture lies is not part of it."""
    digest = hashlib.sha256()
    learning = None if options.shape_frames is None else sorted(int(frame) for frame in options.shape_frames)
    settings = {
        "version": FIT_VERSION,
        "frames": capture.frames,
        "sides": list(options.sides),
        "shape_frames": learning,
    }
    if capture.has_track:
        settings["start"] = None if options.start is None else options.start.name
    if capture.metric_landmarks is not None:
        settings["usual"] = USUAL_OF_RANGE
    if capture.detections is None:
        _hash_joints(digest, capture)
    if capture.times is not None:
        digest.update(capture.times.tobytes())
    seen = options.images_of(capture)
    if seen.images:
        settings |= {
            "cameras": seen.camera_names,
            "refine_masks": options.refine_masks,
            "register_held_out": options.register_held_out,
            "refine_cameras": options.refine_cameras,
        }
        _hash_images(digest, capture, seen, options.refine_masks)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    _hash_hand(digest, options.hand, options.sides)
    return digest.hexdigest()[:16]


def cache_path(capture: Capture, options: FitOptions, *, key: str | None = None) -> Path:
    """The file in the cache that belongs to a fit.

    Args:
        capture: The capture.
        options: How it is fitted.
        key: `fit_key` of both, where it is known.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(capture.root.resolve().parts[-2:]).strip("/"))
    return cache_folder() / f"{name}-{key or fit_key(capture, options)}.npz"


def fit_or_load(
    capture: Capture,
    options: FitOptions,
    *,
    key: str | None = None,
    path: Path | None = None,
    refit: bool = False,
    say_doubts: bool = True,
) -> HandFit:
    """The fit of a capture, from the cache where it is there, else made with progress shown and kept.

    A capture without detections is fitted to its 3D joints or taken from its MANO annotations; an interrupted fit then
    goes on where it ended.

    Args:
        capture: The capture.
        options: How it is fitted.
        key: `fit_key` of both, where it is known.
        path: A file that the user named: it is read if it exists, and must then be of this version.
        refit: Whether to fit anew whatever is kept.
        say_doubts: Whether to print what makes the fit doubtful; whoever shows its report does.

    Raises:
        HandsError: The hands cannot be fitted, the named file is not of this version, or the cache cannot be written.
    """
    kept = cache_path(capture, options, key=key)
    file = path or kept
    partial = file.with_name(f"{kept.stem}.partial.npz")
    leftovers = (partial, registration_file(partial))
    if file.exists() and not refit:
        try:
            fit = _load_fit_of(capture, file)
            _say(fit.report.get("doubts", []) if say_doubts else [])
            return fit
        except HandsError as error:
            if path is not None:
                raise
            CONSOLE.print(f"[yellow]Fitting the hands again: {error}")
    _check_writable(file)
    if refit:
        _remove(leftovers)
    with show_progress("Fitting hands", 1.0) as report:

        def progress(stage: str, fraction: float) -> None:
            report(fraction, description=stage)

        if capture.times is not None:
            fit = fit_capture_landmarks(capture, options, partial=partial, progress=progress)
        elif capture.detections is None:
            fit = fit_capture_joints(capture, options, partial=partial, progress=progress)
        else:
            fit = fit_capture(capture, options, progress=progress)
    fit.save(file)
    _remove(leftovers)
    CONSOLE.print(f"Fitted {' and '.join(fit.sides)} hand in {fit.report['seconds']:.0f} s, kept in {file}")
    _say(fit.report.get("doubts", []) if say_doubts else [])
    return fit


def _load_fit_of(capture: Capture, file: Path) -> HandFit:
    fit = HandFit.load(file)
    try:
        require_fit_of(capture, fit)
    except ValueError as error:
        raise HandsError(
            f"{file}: expected the hands of {capture.root}, found {error}: name another file, or fit again with "
            "--overwrite."
        ) from error
    return fit


def _say(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        CONSOLE.print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _hash_images(digest: hashlib._Hash, capture: Capture, seen: Capture, pictures: bool) -> None:
    for camera in seen.cameras:
        digest.update(camera.intrinsics.tobytes() + camera.world_to_camera.tobytes())
    if seen.detections is not None:
        digest.update(seen.detections.tobytes())
    if seen.metric_landmarks is not None:
        digest.update(seen.metric_landmarks.tobytes())
    # Masks of all cameras, and where these stand, because the report speaks of all of them.
    for key in sorted(capture.masks):
        camera = capture.camera(key[1])
        digest.update(repr((*key, key in capture.masks_inverted)).encode() + capture.masks[key].read_bytes())
        digest.update(camera.intrinsics.tobytes() + camera.world_to_camera.tobytes())
    for key in sorted(capture.object_masks):
        digest.update(b"object" + repr(key).encode() + capture.object_masks[key].read_bytes())
    # Pictures, because hands are cut out of them where masks are bad; where joints are known, out of some of many.
    looked_at = few_images(seen) if capture.has_track else seen
    for key in sorted(looked_at.images) if pictures else ():
        digest.update(repr(key).encode() + seen.images[key].read_bytes())


def _hash_joints(digest: hashlib._Hash, capture: Capture) -> None:
    digest.update(capture.stored_keypoints.tobytes())
    if capture.mano_annotations is not None:
        for values in vars(capture.mano_annotations).values():
            digest.update(values.tobytes())


def _hash_hand(digest: hashlib._Hash, hand: str | Path, sides: Sequence[str]) -> None:
    """By what was read, not by files: these may have any name, and the built-in hand may change with our version."""
    for side in sides:
        try:
            model = load_hand(hand, side)
        except HandsError:
            # Of a side that no picture shows the file may be absent; of another the fit itself says what is wrong.
            digest.update(b"unreadable")
            continue
        for name, value in vars(model).items():
            content = value.numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode()
            digest.update(name.encode() + content)


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
