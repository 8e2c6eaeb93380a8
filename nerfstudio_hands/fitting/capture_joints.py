"""From a capture that comes with 3D joints, or MANO parameters, to fitted hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.doubts import frames_out_of_sight, misfits
from nerfstudio_hands.fitting.fit import mask_coverages, turns_of_cameras
from nerfstudio_hands.fitting.joints.joint_track import JointTrackFit, fit_joint_track
from nerfstudio_hands.fitting.joints.keypoint_chain import joint_distances
from nerfstudio_hands.fitting.joints.mano_annotations import AnnotatedPoses, annotated_poses, outlier_threshold
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, space_terms
from nerfstudio_hands.fitting.joints.wrong_side import hands_of_wrong_side, right_hands, sides_left
from nerfstudio_hands.fitting.options import FitOptions
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouettes.mask_refinement import refine_on_masks
from nerfstudio_hands.fitting.silhouettes.partial_registration import registration_file
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.hand_model import SIDES, HandModel, HandPose, HandSurface, load_hand
from nerfstudio_hands.hand_model.mano_file import mano_file_in
from nerfstudio_hands.program.threads import one_thread


def fit_capture_joints(
    capture: Capture,
    options: FitOptions,
    *,
    partial: Path | None = None,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> HandFit:
    """Fits the hands of a capture whose joints are known to these, then to its pictures.

    Where the hand model is MANO's and the capture has MANO annotations, poses come from these; frames whose annotation
    is absent or disagrees with the joints are fitted to the joints.

    Args:
        capture: With `stored_keypoints`.
        options: How.
        partial: File that an interrupted fit goes on from, and is left behind by it.
        progress: Receives the stage and the fraction done.

    Raises:
        HandsError: No frame has joints of a hand, or the hand model cannot be read or is of the other side.
    """
    started = time.monotonic()
    fitted = _fittable_sides(capture, options.sides, options.shape_frames)
    surface = HandSurface(tuple(_load_own_hand(options.hand, side) for side in fitted))
    joints = torch.from_numpy(capture.stored_keypoints[:, [SIDES.index(side) for side in fitted]]).double()
    annotated = None
    with one_thread():
        if capture.mano_annotations is not None and surface.hands[0].name.startswith("mano"):
            annotated = annotated_poses(
                surface,
                capture.mano_annotations,
                capture.stored_keypoints,  # pyright: ignore[reportArgumentType]
                shape_frames=options.shape_frames,
            )
        if annotated is None or annotated.shape is None:
            track = fit_joint_track(
                surface,
                joints,
                shape_frames=options.shape_frames,
                start=options.start,
                partial=partial,
                progress=progress,
            )
        else:
            track = _complete(surface, joints, annotated, options, partial, progress)
        error = joint_distances(surface, joints, track.pose, track.shape, track.landmark_offset).nanmean(-1)
        learning = options.learning_frames(capture)
        wrong_side = hands_of_wrong_side(surface, joints, error, track.shape, track.landmark_offset, learning)
        right = right_hands(track.pose.valid, wrong_side, learning)
        said = misfits(error, wrong_side, capture.frames, surface.sides)
        if wrong_side.any() and (rest := sides_left(fitted, right[learning])) != fitted:
            fit = fit_capture_joints(capture, replace(options, sides=rest), progress=progress)
            fit.report["doubts"] = [*said, *fit.report["doubts"]]
            return fit
        track.pose.valid &= right
        seen = options.images_of(capture)
        variables = _registered(capture, seen, surface, joints, track, options, partial, progress)
        coverage = mask_coverages(capture, seen, surface, variables)
        kept = torch.where(track.pose.valid, error, torch.nan)
        report = _report(capture, surface, joints, track, kept, variables, annotated, time.monotonic() - started)
        report["doubts"] = [
            *said,
            *frames_out_of_sight(seen, joints),
        ]
        report["camera_rotation_degrees"] = turns_of_cameras(seen.camera_names, variables)
    return HandFit.of(
        fitted,
        capture.frames,
        seen.camera_names,
        variables,
        keypoints_3d=capture.stored_keypoints,
        mask_coverage=coverage,
        report=report,
    )


def _registered(
    capture: Capture,
    seen: Capture,
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    track: JointTrackFit,
    options: FitOptions,
    partial: Path | None,
    progress: Callable[[str, float], None],
) -> Variables:
    """The hands of a track, registered to the pictures of the cameras that take part."""
    variables = Variables(
        track.pose.global_orient,
        track.pose.local_rotations,
        track.pose.translation,
        track.shape,
        torch.zeros(surface.num_vertices, 3),
        torch.zeros(len(seen.cameras), 3),
        torch.zeros(len(seen.cameras)),
        track.landmark_offset,
        track.pose.valid,
    )
    if not (options.refine_masks and seen.images):
        return variables
    extrinsics = torch.from_numpy(np.stack([camera.world_to_camera for camera in seen.cameras]))
    learning = _shape_frames(capture, options)
    registered = refine_on_masks(
        seen,
        surface,
        space_terms(joints, extrinsics),
        variables,
        mask_coverages(seen, seen, surface, variables),
        learning=learning,
        others=options.register_held_out,
        refine_cameras=options.refine_cameras,
        partial=None if partial is None else registration_file(partial),
        progress=progress,
    )
    if options.register_held_out or options.shape_frames is None:
        return registered
    others = [frame for frame in range(len(joints)) if frame not in set(options.shape_frames)]
    again = fit_joint_track(
        surface,
        joints[others],
        shape=registered.shape,
        landmark_offset=registered.landmark_offset,
        start=options.start,
    )
    return registered.put(others, replace(registered, **vars(again.pose)))


def _shape_frames(capture: Capture, options: FitOptions) -> list[int]:
    """Frames that what all frames share may be learnt from and that show a hand."""
    return [frame for frame in options.learning_frames(capture) if np.isfinite(capture.stored_keypoints[frame]).any()]


def _fittable_sides(capture: Capture, sides: Sequence[str], shape_frames: Sequence[int] | None) -> tuple[str, ...]:
    learning = slice(None) if shape_frames is None else list(shape_frames)
    joints = np.isfinite(capture.stored_keypoints[learning]).all(-1).sum(-1).max(0, initial=0)
    fitted = tuple(side for side in SIDES if side in sides and joints[SIDES.index(side)] >= MIN_JOINTS)
    if not fitted:
        most = max(int(joints[SIDES.index(side)]) for side in sides)
        raise HandsError(
            f"{capture.root}: expected 3D joints of the {' or '.join(sides)} hand in at least one of "
            f"{len(capture.stored_keypoints[learning])} training frames, found at most {most} of 21 joints in a frame: "
            "read other frames, or ask for the other hand."
        )
    return fitted


def _load_own_hand(hand: str | Path, side: str) -> HandModel:
    """The hand of a side; a MANO file in a folder must hold the side that it is named after."""
    model = load_hand(hand, side)
    if str(hand) == "default" or not Path(hand).is_dir():
        return model
    path = mano_file_in(Path(hand), side)
    if path.stem == f"MANO_{side.upper()}" and model.name != f"mano-{side}":
        raise HandsError(
            f"{path}: expected MANO's {side} hand, found the other one: put the {side} hand under this name."
        )
    return model


def _complete(
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    annotated: AnnotatedPoses,
    options: FitOptions,
    partial: Path | None,
    progress: Callable[[str, float], None],
) -> JointTrackFit:
    """Annotated poses, and poses fitted to the joints of hands that lack them."""
    left = torch.where(annotated.pose.valid[..., None, None], torch.nan, joints)
    fitted = fit_joint_track(
        surface,
        left,
        shape=annotated.shape,
        landmark_offset=annotated.landmark_offset,
        shape_frames=options.shape_frames,
        start=options.start,
        partial=partial,
        progress=progress,
    )
    given = annotated.pose.to(dtype=torch.float32)
    trusted = given.valid
    pose = HandPose(
        torch.where(trusted[..., None], given.global_orient, fitted.pose.global_orient),
        torch.where(trusted[..., None, None], given.local_rotations, fitted.pose.local_rotations),
        torch.where(trusted[..., None], given.translation, fitted.pose.translation),
        trusted | fitted.pose.valid,
    )
    error = torch.where(trusted, annotated.deviation.float(), fitted.error)
    return JointTrackFit(pose, fitted.shape, fitted.landmark_offset, error)


def _report(
    capture: Capture,
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    track: JointTrackFit,
    error: Float[Tensor, "T H"],
    variables: Variables,
    annotated: AnnotatedPoses | None,
    seconds: float,
) -> dict:
    distance = joint_distances(surface, joints, variables.pose, variables.shape)
    known = error[error.isfinite()] * 1000
    count = int(track.pose.valid.sum())

    def listed(chosen: Tensor, values: Tensor) -> list:
        return [
            [capture.frames[t], surface.sides[h], round(float(values[t, h]) * 1000, 1)]
            for t, h in chosen.nonzero().tolist()
        ]

    report = {
        "hand_model": surface.hands[0].name,
        "joint_distance_mm": round(float(distance.nanmean()) * 1000, 2),
        "joint_error_mm": {
            "mean": round(float(known.mean()), 2),
            "median": round(float(known.median()), 2),
            "95 %": round(float(known.quantile(0.95)), 2),
        },
        "landmark_offset_mm": [[round(x * 1000, 2) for x in row] for row in variables.landmark_offset.tolist()],
        "outlier_frames": listed(error > outlier_threshold(error), error),
        "hands": count,
        "hands_per_second": round(count / seconds, 1),
        "seconds": round(seconds, 1),
        "displacement_mm": round(float(variables.displacement.norm(dim=-1).mean()) * 1000, 3),
        "outlier_detections": [],
    }
    if annotated is not None:
        trusted = annotated.pose.valid & (annotated.shape is not None)
        report["mano_annotations"] = {
            "used": int(trusted.sum()),
            "used_unchecked": int((trusted & annotated.deviation.isnan()).sum()),
            "refitted_without_annotation": int((track.pose.valid & ~trusted & ~annotated.is_outlier).sum()),
            "refitted_wrong_side": listed(annotated.is_wrong_side, annotated.deviation),
            "refitted_outliers": listed(annotated.is_outlier & ~annotated.is_wrong_side, annotated.deviation),
        }
    return report
