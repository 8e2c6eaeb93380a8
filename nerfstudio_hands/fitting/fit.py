"""From a capture to fitted hands: triangulation, joints, outlines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture, hand_mask, object_pixels
from nerfstudio_hands.captures.joint_checks import FARTHEST, REACH, of_hands
from nerfstudio_hands.captures.misread import misread
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.doubts import doubts, handless_frames, misfits, outlying_cameras
from nerfstudio_hands.fitting.joints.keypoint_chain import joint_distances
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, JointTerms, fit_joints, joint_terms
from nerfstudio_hands.fitting.joints.triangulate import Triangulation, triangulate
from nerfstudio_hands.fitting.joints.wrong_side import hands_of_wrong_side, right_hands, sides_left
from nerfstudio_hands.fitting.options import FitOptions
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouettes.boundary_fit import silhouette_at, silhouette_mesh
from nerfstudio_hands.fitting.silhouettes.contours import away_from, contour_distance, mask_boundary
from nerfstudio_hands.fitting.silhouettes.mask_quality import mask_coverage, mask_spills
from nerfstudio_hands.fitting.silhouettes.mask_refinement import (
    camera_tensors,
    corrected_cameras,
    frames_of,
    refine_on_masks,
    segmented_masks,
)
from nerfstudio_hands.fitting.variables import PER_FRAME, Variables, in_order
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, HandSurface, load_surface
from nerfstudio_hands.program.threads import one_thread
from nerfstudio_hands.transforms.projection import corrected_extrinsics, zoomed_intrinsics

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is behind, 0 to 1."""


@dataclass
class _FittedFrames:
    """Hands of some frames: what was triangulated, what they were held against, where they are; how far joints alone
    left them from their joints, metres, and which are left out because their joints are the other hand's."""

    found: Triangulation
    terms: JointTerms
    variables: Variables
    error: Float[Tensor, "T H"]
    wrong_side: Bool[Tensor, "T H"]


def fit_capture(capture: Capture, options: FitOptions, *, progress: Progress = lambda stage, fraction: None) -> HandFit:
    """Fits the hands of a capture to its detections and masks.

    What all frames share (shape, displacement, cameras, places of landmarks, and which hands there are) is learnt from
    `options.shape_frames` alone; the other frames are fitted afterwards, with all of it fixed.

    Args:
        capture: Any number of frames.
        options: How.
        progress: Receives the stage and the fraction done.

    Raises:
        HandsError: No hand can be triangulated, or a single one that was asked for was not.
    """
    started = time.monotonic()
    with one_thread():
        seen = options.images_of(capture)
        learning = options.learning_frames(seen)
        others = [frame for frame in range(len(seen.frames)) if frame not in set(learning)]
        fraction = len(learning) / len(seen.frames)

        progress("Triangulating joints", 0.0)
        part = frames_of(seen, learning)
        found = triangulate(*_measured(part), refine_rotations=options.refine_cameras)
        require_size_of_hands(part, found.points)
        fitted = _fittable_sides(part, found, options.sides)
        surface = load_surface(fitted, options.hand)

        def fit_frames(part: Capture, found: Triangulation, known: Variables | None, behind: float, fraction: float):
            return _fit_frames(
                part,
                surface,
                found,
                options,
                known=known,
                progress=lambda stage, done: progress(stage, behind + fraction * done),
            )

        hands = fit_frames(part, found, None, 0.0, fraction)
        if (rest := sides_left(fitted, hands.variables.valid)) != fitted:
            fit = fit_capture(capture, replace(options, sides=rest), progress=progress)
            said = misfits(hands.error, hands.wrong_side, part.frames, fitted)
            fit.report["doubts"] = [*said, *fit.report["doubts"]]
            return fit
        if others:
            part = frames_of(seen, others)
            found = _triangulate_again(part, hands.variables)
            more = fit_frames(part, found, hands.variables, fraction, 1 - fraction)
            hands = _in_order(hands, more, [*learning, *others])
        variables = hands.variables
        coverage = mask_coverages(capture, seen, surface, variables)
        segmented = {}
        if options.refine_masks:
            progress("Cutting hands out of the pictures", 0.98)
            segmented = segmented_masks(seen, surface, variables)
        report = _report(capture, seen, surface, hands)
        report["seconds"] = round(time.monotonic() - started, 1)
        progress("Fitted", 1.0)
    return HandFit.of(
        fitted,
        capture.frames,
        seen.camera_names,
        variables,
        keypoints_3d=hands.found.points.numpy(),
        segmented_masks=segmented,
        mask_coverage=coverage,
        report=report,
    )


def _measured(
    seen: Capture, known: Variables | None = None
) -> tuple[Float[Tensor, "T C 2 21 2"], Float[Tensor, "C 3 3"], Float[Tensor, "C 4 4"]]:
    """Detections, K as calibrated or as it is `known`, and extrinsics as calibrated."""
    intrinsics = torch.from_numpy(np.stack([camera.intrinsics for camera in seen.cameras]))
    return (
        torch.from_numpy(seen.detections),
        intrinsics if known is None else zoomed_intrinsics(intrinsics, known.camera_zoom.double()),
        torch.from_numpy(np.stack([camera.world_to_camera for camera in seen.cameras])),
    )


def _fit_frames(
    seen: Capture,
    surface: HandSurface,
    found: Triangulation,
    options: FitOptions,
    *,
    known: Variables | None,
    progress: Progress,
) -> _FittedFrames:
    """Fits the hands of some frames; where what frames share is `known`, their poses alone."""
    detections, intrinsics, extrinsics = _measured(seen, known)
    chosen = [SIDES.index(side) for side in surface.sides]
    terms = joint_terms(detections[:, :, chosen], intrinsics, extrinsics, _of_sides(found, chosen))
    progress("Fitting pose and shape to joints", 0.02)
    variables = fit_joints(surface, terms, found.rotation, known=known)
    error, wrong_side = _joint_errors(surface, terms, variables)
    variables = replace(variables, valid=right_hands(variables.valid, wrong_side))
    if options.refine_masks and (known is None or options.register_held_out):
        variables = refine_on_masks(
            seen,
            surface,
            terms,
            variables,
            mask_coverages(seen, seen, surface, variables),
            learning=range(len(seen.frames)) if known is None else (),
            refine_cameras=options.refine_cameras,
            progress=lambda stage, fraction: progress(stage, 0.15 + 0.83 * fraction),
        )
    return _FittedFrames(found, terms, variables, error, wrong_side)


def _joint_errors(
    surface: HandSurface, terms: JointTerms, variables: Variables
) -> tuple[Float[Tensor, "T H"], Bool[Tensor, "T H"]]:
    """Mean distance of each hand from its joints, metres, NaN where there is none, and whether these are of the other
    side."""
    given = (terms.point_weights > 0) & variables.valid[..., None]
    joints = torch.where(given[..., None], terms.points, torch.nan)
    error = joint_distances(surface, joints, variables.pose, variables.shape, variables.landmark_offset).nanmean(-1)
    return error, hands_of_wrong_side(surface, joints, error, variables.shape, variables.landmark_offset)


def _triangulate_again(seen: Capture, known: Variables) -> Triangulation:
    """Joints of other frames, by the cameras as they have been corrected."""
    detections, intrinsics, extrinsics = _measured(seen, known)
    rotation = known.camera_rotation.double()
    found = triangulate(detections, intrinsics, corrected_extrinsics(extrinsics, rotation), refine_rotations=False)
    return replace(found, rotation=rotation)


def _in_order(first: _FittedFrames, second: _FittedFrames, frames: Sequence[int]) -> _FittedFrames:
    """The frames of both, which are these, in order of time; what all frames share is that of the first."""
    return _FittedFrames(
        first.found.with_frames(second.found, frames),
        first.terms.with_frames(second.terms, frames),
        replace(first.variables, **in_order(first.variables, second.variables, frames, PER_FRAME)),
        **in_order(first, second, frames, ("error", "wrong_side")),
    )


def fit_contour_distances(
    capture: Capture, fit: HandFit, *, hand: str | Path = "default"
) -> dict[tuple[str, str], dict]:
    """Distance between projected and mask outlines for every mask of a capture, whether or not its camera took part.

    Args:
        capture: The capture.
        fit: Its fit.
        hand: The hand model that was fitted.

    Returns:
        For each (frame, camera): `projected_to_mask`, `mask_to_projected`, `mean` in full-resolution pixels and
        `matched`,
        the share of the projected outline that has a counterpart.
    """
    surface = load_surface(fit.sides, hand)
    mesh = silhouette_mesh(surface)
    vertices = surface.pose(fit.pose, fit.shape, fit.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    result = {}
    for frame, name in capture.masks:
        camera, t = fit.corrected(capture.camera(name)), capture.frames.index(frame)
        outline = away_from(mask_boundary(hand_mask(capture, (frame, name))), object_pixels(capture, (frame, name)))  # pyright: ignore[reportArgumentType]
        k, e = camera_tensors(camera)
        projected = silhouette_at(mesh, vertices[t], normals[t], k, e, camera.size, spacing=1.0)
        result[frame, name] = vars(contour_distance(projected, outline))
    return result


def require_size_of_hands(seen: Capture, points: Float[Tensor, "T H 21 3"]) -> None:
    """Raise a HandsError where rays of landmarks meet, but in joints of no hand's size or place.

    Args:
        seen: With the cameras that take part.
        points: Where the rays meet, metres, NaN where they do not.
    """
    meets = points.isfinite().all(-1)
    if not meets.any() or of_hands(points.numpy()).any():
        return
    hand = points[meets.sum(-1) == meets.sum(-1).max()][0]
    middle = hand.nanmedian(0).values
    reach = (hand - middle).norm(dim=-1).nan_to_num(0.0).max()
    remedy = misread(seen) or "check focal lengths, which are in pixels, and places of cameras, in metres."
    raise HandsError(
        f"{seen.root}: expected rays of landmarks to meet in joints of a hand, {REACH[0] * 1000:g} to "
        f"{REACH[1] * 1000:g} mm about their middle and within {FARTHEST:g} m of the origin, found "
        f"{float(reach) * 1000:.2g} mm and {float(middle.norm()):.3g} m: {remedy}"
    )


def _fittable_sides(seen: Capture, found: Triangulation, sides: Sequence[str]) -> tuple[str, ...]:
    joints = torch.isfinite(found.points).all(-1).sum(-1).amax(0)
    fitted = tuple(side for side in SIDES if side in sides and joints[SIDES.index(side)] >= MIN_JOINTS)
    if not fitted:
        most = int(max(joints[SIDES.index(side)] for side in sides))
        detected = np.isfinite(seen.detections).all((-1, -2))[:, :, [SIDES.index(side) for side in sides]]  # pyright: ignore[reportArgumentType, reportCallIssue]
        names = [name for name, there in zip(seen.camera_names, detected.any((0, 2)), strict=True) if there]
        raise HandsError(
            f"{seen.root}: expected detections of the {' or '.join(sides)} hand that agree in at least two cameras "
            f"of a frame, found {_found_instead(seen, found, names, most)}"
        )
    return fitted


def _found_instead(seen: Capture, found: Triangulation, names: list[str], most: int) -> str:
    """What there is instead of cameras that agree, and what to do; `names` are those that detected a hand."""
    if len(names) < 2:
        there = f"it in camera {names[0]} alone" if names else "none in any camera"
        return (
            f"{there}: detect it in more cameras, ask for the other hand, or, of a single camera, make a capture of "
            "its film with `ns-hands prepare`."
        )
    outlying = outlying_cameras(found, seen.camera_names)
    culprit = f" (camera {', '.join(outlying)} disagrees with the others)" if outlying else ""
    reading = misread(seen)
    remedy = (
        "they see the hand in different places; check that calibration and detections are of these pictures and "
        "this rig, or ask for the other hand."
        if reading is None
        else f"{reading} Write the calibration as it is read here: metres, world-to-camera, x right, y down."
    )
    return f"{most} of 21 joints in common between cameras {', '.join(names)}{culprit}: {remedy}"


def _of_sides(found: Triangulation, chosen: list[int]) -> Triangulation:
    return Triangulation(
        found.points[:, chosen],
        found.weights[:, :, chosen],
        found.errors[:, :, chosen],
        found.rotation,
        found.hand_inlier[:, :, chosen],
    )


def mask_coverages(
    capture: Capture, seen: Capture, surface: HandSurface, variables: Variables
) -> dict[tuple[str, str], float]:
    """Share of the projected hands that every mask of the capture covers; 0 where it covers all else as well."""
    if not capture.masks:
        return {}
    mesh = silhouette_mesh(surface)
    vertices = surface.pose(variables.pose, variables.shape, variables.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    corrected = {camera.name: camera for camera in corrected_cameras(seen, variables)}
    result = {}
    for frame, name in capture.masks:
        camera, t = corrected.get(name) or capture.camera(name), capture.frames.index(frame)
        k, e = camera_tensors(camera)
        projected = silhouette_at(mesh, vertices[t], normals[t], k, e, camera.size)
        mask = hand_mask(capture, (frame, name))
        spilt = mask_spills(mask, projected.silhouette)  # pyright: ignore[reportArgumentType]
        hidden = object_pixels(capture, (frame, name))
        result[frame, name] = 0.0 if spilt else mask_coverage(mask, projected.silhouette, hidden)  # pyright: ignore[reportArgumentType]
    return result


def _report(
    capture: Capture,
    seen: Capture,
    surface: HandSurface,
    hands: _FittedFrames,
) -> dict:
    terms, variables, found = hands.terms, hands.variables, hands.found
    keypoints = surface.pose(variables.pose, variables.shape, variables.displacement).keypoints
    distance = (keypoints - terms.points).norm(dim=-1)[(terms.point_weights > 0) & variables.valid[..., None]]
    joint_distance_mm = float(distance.mean()) * 1000
    outliers = [
        [frame, camera.name, side]
        for t, frame in enumerate(capture.frames)
        for c, camera in enumerate(seen.cameras)
        for h, side in enumerate(SIDES)
        if torch.isfinite(found.errors[t, c, h]).any() and not found.hand_inlier[t, c, h]
    ]
    rig = doubts(found, seen.camera_names, joint_distance_mm)
    said = [
        *rig,
        *handless_frames(variables.valid | hands.wrong_side, capture.frames),
        *misfits(hands.error, hands.wrong_side, capture.frames, surface.sides),
    ]
    reading = misread(seen) if rig else None
    return {
        "hand_model": surface.hands[0].name,
        "joint_distance_mm": round(joint_distance_mm, 2),
        "doubts": said if reading is None else [*said, reading],
        "displacement_mm": round(float(variables.displacement.norm(dim=-1).mean()) * 1000, 3),
        "camera_rotation_degrees": turns_of_cameras(seen.camera_names, variables),
        "outlier_detections": outliers,
    }


def turns_of_cameras(names: Sequence[str], variables: Variables) -> dict[str, float]:
    """By how many degrees a fit turned each camera."""
    turns = variables.camera_rotation.norm(dim=-1).rad2deg().tolist()
    return {name: round(degrees, 3) for name, degrees in zip(names, turns, strict=True)}
