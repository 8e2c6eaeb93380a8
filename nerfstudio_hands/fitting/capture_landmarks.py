"""From films of hands, in which a detector found landmarks, to fitted hands: one camera or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.doubts import doubts, exchanged_sides
from nerfstudio_hands.fitting.fit import mask_coverages, require_size_of_hands, turns_of_cameras
from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.fitting.joints.keypoint_chain import joint_distances
from nerfstudio_hands.fitting.joints.landmarks_in_space import LandmarksInSpace, landmarks_in_space
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, JointTerms, landmarks
from nerfstudio_hands.fitting.joints.smoothing import smooth_track
from nerfstudio_hands.fitting.joints.wrong_side import hands_of_wrong_side
from nerfstudio_hands.fitting.options import FitOptions
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouettes.mask_refinement import frames_of, refine_on_masks
from nerfstudio_hands.fitting.silhouettes.partial_registration import registration_file
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.hand_model import SIDES, HandSurface, load_surface
from nerfstudio_hands.program.threads import one_thread

MIN_CAMERAS_TO_TURN = 3
"""Of two cameras nobody can say which one is turned."""

Progress = Callable[[str, float], None]


@dataclass
class _Film:
    """What a fit knows of a film: which frames may be learnt from, and the landmarks of all frames in space."""

    seen: Capture
    learning: list[int]
    found: LandmarksInSpace

    @property
    def others(self) -> list[int]:
        """Frames that nothing is learnt from."""
        return sorted(set(range(len(self.seen.frames))) - set(self.learning))


def fit_capture_landmarks(
    capture: Capture,
    options: FitOptions,
    *,
    partial: Path | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> HandFit:
    """Fits the hands of a film: landmarks in space, one shape and a pose a frame, smooth in time, then the pictures.

    Hands that two cameras agree on are triangulated. Others are lifted out of the one picture that shows them, by the
    form that the detector gives the hand; how far away they lie then follows from how large a hand is.

    Args:
        capture: With `detections` and `times`, and `metric_landmarks` where one camera must do.
        options: How.
        partial: File that an interrupted fit goes on from, and is left behind by it.
        progress: Receives the stage and the fraction done.

    Raises:
        HandsError: No training frame has landmarks of a hand that can be placed in space.
    """
    started = time.monotonic()
    with one_thread():
        progress("Placing landmarks in space", 0.0)
        sides = _fittable_sides(capture, options)
        surface = load_surface(sides, options.hand)
        film = _film(options.images_of(capture), sides, options)
        variables = _track(film, surface, options, partial=partial, progress=progress)
        error, wrong_side = _joint_errors(film, surface, variables)
        if wrong_side.any():
            # Fitted again: smoothing has drawn their neighbours along.
            fit = fit_capture_landmarks(_without(capture, sides, wrong_side), options, progress=progress)
            said = exchanged_sides(error, wrong_side, capture.frames, sides)
            fit.report["doubts"] = [*said, *fit.report["doubts"]]
            return fit
        if options.refine_masks:
            variables = _registered(capture, film, surface, variables, options, partial, progress)
        coverage = mask_coverages(capture, film.seen, surface, variables)
        points = np.full((len(capture.frames), 2, 21, 3), np.nan)
        points[:, [SIDES.index(side) for side in sides]] = film.found.points.numpy()
        report = _report(film, surface, variables)
        report["seconds"] = round(time.monotonic() - started, 1)
    return HandFit.of(
        sides,
        capture.frames,
        film.seen.camera_names,
        variables,
        keypoints_3d=points,
        mask_coverage=coverage,
        report=report,
    )


def _fittable_sides(capture: Capture, options: FitOptions) -> tuple[str, ...]:
    """Sides with a hand in a training frame that two cameras see, or one that knows its form."""
    part = frames_of(options.images_of(capture), options.learning_frames(capture))
    seen = np.isfinite(part.detections).all(-1).sum(-1) >= MIN_JOINTS  # pyright: ignore[reportArgumentType, reportCallIssue]
    formed = np.zeros_like(seen) if part.metric_landmarks is None else np.isfinite(part.metric_landmarks).all((-1, -2))
    placed = ((seen.sum(1) >= 2) | (seen & formed).any(1)).any(0)
    sides = tuple(side for side in SIDES if side in options.sides and placed[SIDES.index(side)])
    if not sides:
        raise HandsError(
            f"{capture.root}: expected landmarks of the {' or '.join(options.sides)} hand in a training frame, in two "
            f"cameras or with the detector's metric landmarks, found none in {len(part.frames)} frames: ask for the "
            "other hand, hold out fewer frames, or run `ns-hands prepare` on the pictures."
        )
    return sides


def _film(seen: Capture, sides: Sequence[str], options: FitOptions) -> _Film:
    """Landmarks of all frames in space; cameras are corrected by the frames that may be learnt from alone."""
    learning = options.learning_frames(seen)
    chosen = [SIDES.index(side) for side in sides]
    turn = options.refine_cameras and len(seen.cameras) >= MIN_CAMERAS_TO_TURN
    found = landmarks_in_space(frames_of(seen, learning), chosen, None, refine_rotations=turn)
    require_size_of_hands(seen, found.points)
    film = _Film(seen, learning, found)
    if film.others:
        rotation = found.triangulation.rotation
        rest = landmarks_in_space(frames_of(seen, film.others), chosen, rotation, refine_rotations=False)
        film.found = found.with_frames(rest, [*learning, *film.others])
    return film


def _track(
    film: _Film,
    surface: HandSurface,
    options: FitOptions,
    *,
    known: Variables | None = None,
    partial: Path | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> Variables:
    """Hands fitted to landmarks in space, smooth in time: frames that may be learnt from by themselves, then the others
    beside them. What all frames share is learnt, or `known`."""
    points, precision, lifted = film.found.points, film.found.precision, film.found.terms.lifted
    track = fit_joint_track(
        surface,
        points,
        precision=precision,
        shape=None if known is None else known.shape,
        landmark_offset=None if known is None else known.landmark_offset,
        shape_frames=options.shape_frames,
        start=options.start,
        lifted=lifted,
        partial=partial,
        progress=progress,
    )
    variables = Variables(
        track.pose.global_orient,
        track.pose.local_rotations,
        track.pose.translation,
        track.shape,
        torch.zeros(surface.num_vertices, 3) if known is None else known.displacement,
        film.found.triangulation.rotation.float() if known is None else known.camera_rotation,
        torch.zeros(len(film.seen.cameras)) if known is None else known.camera_zoom,
        track.landmark_offset,
        track.pose.valid,
    )
    progress("Smoothing poses in time", 1.0)
    times, learning = torch.from_numpy(film.seen.times), film.learning
    everything = torch.ones(len(learning), dtype=torch.bool)
    smooth = smooth_track(
        surface,
        points[learning],
        precision[learning],
        variables.at(learning),
        times[learning],
        everything,
        lifted=lifted,
    )
    variables = variables.put(learning, smooth)
    if not film.others:
        return variables
    free = ~torch.isin(torch.arange(len(times)), torch.tensor(learning))
    return smooth_track(surface, points, precision, variables, times, free, lifted=lifted)


def _joint_errors(
    film: _Film, surface: HandSurface, variables: Variables
) -> tuple[Float[Tensor, "T H"], Bool[Tensor, "T H"]]:
    """Mean distance of each hand from its landmarks, metres, NaN where there are none, and whether these are of the
    other side."""
    shape, offset = variables.shape, variables.landmark_offset
    error = joint_distances(surface, film.found.points, variables.pose, shape, offset).nanmean(-1)
    return error, hands_of_wrong_side(surface, film.found.points, error, shape, offset, film.learning)


def _without(capture: Capture, sides: Sequence[str], hands: Bool[Tensor, "T H"]) -> Capture:
    """The same capture, in which some hands were not detected."""
    detections = capture.detections.copy()  # pyright: ignore[reportOptionalMemberAccess]
    for t, h in hands.nonzero().tolist():
        detections[t, :, SIDES.index(sides[h])] = np.nan
    return replace(capture, detections=detections)


def _registered(
    capture: Capture,
    film: _Film,
    surface: HandSurface,
    variables: Variables,
    options: FitOptions,
    partial: Path | None,
    progress: Progress,
) -> Variables:
    """The hands registered to the pictures of the cameras that take part."""
    seen = film.seen
    return refine_on_masks(
        seen,
        surface,
        _held_in_depth(film.found.terms, surface, variables),
        variables,
        mask_coverages(seen, seen, surface, variables),
        learning=[frame for frame in film.learning if bool(variables.valid[frame].any())],
        others=options.register_held_out,
        refine_cameras=options.refine_cameras and len(seen.cameras) >= MIN_CAMERAS_TO_TURN,
        partial=None if partial is None else registration_file(partial),
        again=lambda learnt: _track(film, surface, options, known=learnt),
        progress=progress,
    )


def _held_in_depth(terms: JointTerms, surface: HandSurface, variables: Variables) -> JointTerms:
    """The terms, in which lifted landmarks are held where the smooth track has them: it knows their depth better."""
    smooth = landmarks(surface, surface.pose(variables.pose, variables.shape, None), variables.landmark_offset)
    lifted = terms.space_weights[..., None] > 0
    return replace(terms, points=torch.where(lifted, smooth, terms.points))


def _report(film: _Film, surface: HandSurface, variables: Variables) -> dict:
    # A detector's landmarks lie beside the heads of bones; the fit knows by how much.
    places = landmarks(surface, surface.pose(variables.pose, variables.shape, None), variables.landmark_offset)
    terms, found = film.found.terms, film.found.triangulation
    distance = (places - terms.points).norm(dim=-1)[(terms.point_weights > 0) & variables.valid[..., None]]
    lifted = (terms.space_weights > 0).all(-1)
    names, joint_distance_mm = film.seen.camera_names, float(distance.mean()) * 1000
    return {
        "hand_model": surface.hands[0].name,
        "joint_distance_mm": round(joint_distance_mm, 2),
        "doubts": doubts(found, names, joint_distance_mm) if len(names) > 1 else [],
        "displacement_mm": round(float(variables.displacement.norm(dim=-1).mean()) * 1000, 3),
        "camera_rotation_degrees": turns_of_cameras(names, variables),
        "hands": int(variables.valid.sum()),
        "lifted_hands": int((lifted & variables.valid).sum()),
        "outlier_detections": _outliers(film, surface),
    }


def _outliers(film: _Film, surface: HandSurface) -> list[list[str]]:
    """Detections of whole hands that disagree with those of the other cameras."""
    found = film.found.triangulation
    wrong: Float[Tensor, "T C H"] = found.errors.isfinite().any(-1) & ~found.hand_inlier.bool()
    return [[film.seen.frames[t], film.seen.camera_names[c], surface.sides[h]] for t, c, h in wrong.nonzero().tolist()]
