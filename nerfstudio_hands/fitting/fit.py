"""From a capture to fitted hands: triangulation, joints, outlines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.dataparsers.capture import Capture, CaptureCamera, read_mask, select_cameras
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.mask_quality import mask_coverage, mask_verdict
from nerfstudio_hands.fitting.outline import mask_outline, outline_distance
from nerfstudio_hands.fitting.pose_fit import FEWEST_JOINTS, JointTerms, fit_joints, joint_terms
from nerfstudio_hands.fitting.projection import corrected_extrinsics
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouette import SCHEDULE, OutlineTarget, outline_at, outline_mesh, refine_on_outlines
from nerfstudio_hands.fitting.triangulate import Triangulation, triangulate
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, HandSurface, load_hand

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is behind, 0 to 1."""

# Threads beyond the real cores of a small machine slow these small matrices down.
THREADS = 1


def fit_capture(
    capture: Capture,
    *,
    cameras: Sequence[str],
    hand: str | Path = "default",
    sides: Sequence[str] = SIDES,
    refine_masks: bool = True,
    refine_cameras: bool = True,
    progress: Progress = lambda stage, share: None,
) -> HandFit:
    """Fits the hands of a capture.

    Args:
        capture: Any number of frames.
        cameras: Names of the cameras that take part; of the others nothing is looked at but, for the report, the masks.
        hand: Hand model, "default" or a path.
        sides: The hands to fit; of two, one that was never detected is left out.
        refine_masks: Whether to refine on the outlines of good masks.
        refine_cameras: Whether cameras may be turned (about their centres, about a degree).
        progress: Receives the stage and the share done.

    Raises:
        HandsError: No hand can be triangulated, or a single one that was asked for was not.
    """
    started = time.monotonic()
    with _threads(THREADS):
        seen = select_cameras(capture, list(cameras))
        intrinsics = torch.from_numpy(np.stack([c.intrinsics for c in seen.cameras]))
        extrinsics = torch.from_numpy(np.stack([c.world_to_camera for c in seen.cameras]))
        detections = torch.from_numpy(seen.detections)

        progress("Triangulating joints", 0.0)
        found = triangulate(detections, intrinsics, extrinsics, refine_rotations=refine_cameras)
        fitted = _fittable_sides(capture, found, sides)
        chosen = [SIDES.index(side) for side in fitted]
        surface = HandSurface(tuple(load_hand(hand, side) for side in fitted))
        terms = joint_terms(detections[:, :, chosen], intrinsics, extrinsics, _of_sides(found, chosen))

        progress("Fitting pose and shape to joints", 0.02)
        variables = fit_joints(surface, terms, found.rotation)
        coverage = _coverage(capture, seen, surface, variables)
        verdicts = {key: mask_verdict(value) for key, value in coverage.items()}
        if refine_masks:
            variables = _refine_on_masks(seen, surface, terms, variables, verdicts, intrinsics, refine_cameras, progress)
        report = _report(capture, seen, surface, terms, variables, found, coverage, verdicts)
        report["seconds"] = round(time.monotonic() - started, 1)
        progress("Fitted", 1.0)
    return HandFit(
        sides=fitted,
        frames=list(capture.frames),
        shape=variables.shape,
        displacement=variables.displacement,
        pose=variables.pose,
        camera_rotation={c.name: variables.camera_rotation[i].double().numpy() for i, c in enumerate(seen.cameras)},
        keypoints_3d=found.points.numpy(),
        report=report,
    )


def fit_outline_distances(capture: Capture, fit: HandFit, *, hand: str | Path = "default") -> dict[tuple[str, str], dict]:
    """Distance between projected and mask outlines for every mask of a capture, whether or not its camera took part.

    Args:
        capture: The capture.
        fit: Its fit.
        hand: The hand model that was fitted.

    Returns:
        For each (frame, camera): `projected_to_mask`, `mask_to_projected`, `mean` in full-resolution pixels and `matched`,
        the share of the projected outline that has a counterpart.
    """
    surface = HandSurface(tuple(load_hand(hand, side) for side in fit.sides))
    mesh = outline_mesh(surface)
    vertices = surface.pose(fit.pose, fit.shape, fit.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    result = {}
    for (frame, name), path in capture.masks.items():
        camera, t = capture.camera(name), capture.frames.index(frame)
        outline = mask_outline(read_mask(path, camera.size))
        k, e = _camera_tensors(camera, fit.camera_rotation.get(name))
        projected = outline_at(mesh, vertices[t], normals[t], k, e, camera.size, spacing=1.0)
        result[frame, name] = vars(outline_distance(projected, outline))
    return result


def _camera_tensors(camera: CaptureCamera, rotation: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """K and the corrected extrinsics of one camera."""
    correction = torch.from_numpy(np.zeros(3) if rotation is None else np.asarray(rotation, dtype=np.float64))
    extrinsics = corrected_extrinsics(torch.from_numpy(camera.world_to_camera)[None], correction[None])[0]
    return torch.from_numpy(camera.intrinsics), extrinsics


def _fittable_sides(capture: Capture, found: Triangulation, sides: Sequence[str]) -> tuple[str, ...]:
    joints = torch.isfinite(found.points).all(-1).sum(-1).amax(0)
    fitted = tuple(side for side in SIDES if side in sides and joints[SIDES.index(side)] >= FEWEST_JOINTS)
    if not fitted or (len(sides) == 1 and not fitted):
        wanted = " or ".join(sides)
        raise HandsError(
            f"{capture.root}: expected detections of the {wanted} hand that agree in at least two cameras of a frame, found "
            f"{int(max(joints[SIDES.index(side)] for side in sides))} joints in common: detect the hand in more cameras, "
            "or ask for the other hand."
        )
    return fitted


def _of_sides(found: Triangulation, chosen: list[int]) -> Triangulation:
    return Triangulation(
        found.points[:, chosen],
        found.weights[:, :, chosen],
        found.errors[:, :, chosen],
        found.rotation,
        found.hand_inlier[:, :, chosen],
    )


def _coverage(
    capture: Capture, seen: Capture, surface: HandSurface, variables: Variables
) -> dict[tuple[str, str], float]:
    """Coverage of every mask of the capture by the projected hands."""
    mesh = outline_mesh(surface)
    vertices = surface.pose(variables.pose, variables.shape, variables.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    rotations = {c.name: variables.camera_rotation[i].double().numpy() for i, c in enumerate(seen.cameras)}
    result = {}
    for (frame, name), path in capture.masks.items():
        camera, t = capture.camera(name), capture.frames.index(frame)
        k, e = _camera_tensors(camera, rotations.get(name))
        projected = outline_at(mesh, vertices[t], normals[t], k, e, camera.size)
        result[frame, name] = mask_coverage(read_mask(path, camera.size), projected.silhouette)
    return result


def _refine_on_masks(
    seen: Capture,
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    verdicts: dict[tuple[str, str], str],
    intrinsics: Float[Tensor, "C 3 3"],
    refine_cameras: bool,
    progress: Progress,
) -> Variables:
    targets = []
    for (frame, name), path in seen.masks.items():
        if verdicts[frame, name] == "good":
            camera = seen.camera(name)
            outline = mask_outline(read_mask(path, camera.size))
            targets.append(OutlineTarget(seen.frames.index(frame), seen.camera_index(name), camera.size, outline, 1.0))
    if not targets:
        return variables
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress("Refining on outlines", 0.1 + 0.88 * done / len(SCHEDULE))

    return refine_on_outlines(
        surface, terms, variables, targets, intrinsics.float(), refine_cameras=refine_cameras, advance=advance
    )


def _report(
    capture: Capture,
    seen: Capture,
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    found: Triangulation,
    coverage: dict[tuple[str, str], float],
    verdicts: dict[tuple[str, str], str],
) -> dict:
    keypoints = surface.pose(variables.pose, variables.shape, variables.displacement).keypoints
    distance = (keypoints - terms.points).norm(dim=-1)[(terms.point_weights > 0) & variables.valid[..., None]]
    outliers = [
        [frame, camera.name, side]
        for t, frame in enumerate(capture.frames)
        for c, camera in enumerate(seen.cameras)
        for h, side in enumerate(SIDES)
        if torch.isfinite(found.errors[t, c, h]).any() and not found.hand_inlier[t, c, h]
    ]
    return {
        "hand_model": surface.hands[0].name,
        "joint_distance_mm": round(float(distance.mean()) * 1000, 2),
        "displacement_mm": round(float(variables.displacement.norm(dim=-1).mean()) * 1000, 3),
        "camera_rotation_degrees": {
            c.name: round(float(variables.camera_rotation[i].norm().rad2deg()), 3) for i, c in enumerate(seen.cameras)
        },
        "outlier_detections": outliers,
        "mask_coverage": [[*key, round(value, 4)] for key, value in coverage.items()],
        "mask_verdicts": [[*key, verdict] for key, verdict in verdicts.items()],
        "usable_masks": [list(key) for key, verdict in verdicts.items() if verdict == "good"],
    }


@contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
