"""Places of synchronised cameras from the hand that moves before them: its landmarks are the calibration target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares

from nerfstudio_hands.calibration.bone_lengths import NEAREST, adjusted_by_bones, moved
from nerfstudio_hands.calibration.hand_scale import ADULT_HAND_MM, hand_length
from nerfstudio_hands.calibration.rays import meeting_points, stacked_rays
from nerfstudio_hands.calibration.record import CalibratedCamera, transforms
from nerfstudio_hands.errors import HandsError

MIN_SHARED = 60
"""Landmarks that a camera shares with those that are placed: three hands, or more parts of hands."""

PIXELS_PER_HAND = 0.03
"""Scatter of landmarks, as a share of the hand's diameter in the picture: detectors are right to about 6 mm of 200."""

WIDE_DEGREES = 15.0
"""Angle between rays from which on a pair of cameras tells depth well."""

SCALE_SCATTER = 0.01
"""Of the logarithm of the scale, which only keeps it from drifting while cameras are adjusted."""

FAR = 100.0
"""Scatters beyond which landmarks miss equally far, so that one behind a camera does not overwhelm all others."""

MAX_MISS = 3.0
"""Scatters by which landmarks may miss in the median, before the result is refused."""

MAX_OBSERVED = 3000
"""Landmarks in space that are adjusted; more frames bring little and take long."""

MIN_WHOLE = 10
"""Hands all of whose joints two cameras see, for the lengths of their bones to say something."""


@dataclass(frozen=True)
class HandCalibration:
    """Cameras placed by a hand.

    Attributes:
        cameras: With places in metres; the world is the first camera's.
        joints: The landmarks in space, metres, NaN where fewer than two cameras agree.
        pixels: Median distance of landmarks from their points, of each camera, pixels.
        sentence: For people.
    """

    cameras: list[CalibratedCamera]
    joints: Float[np.ndarray, "T 2 21 3"]
    pixels: list[float]
    sentence: str


def calibrate_by_hands(
    cameras: Sequence[CalibratedCamera],
    landmarks: Float[np.ndarray, "T C 2 21 2"],
    *,
    hand_length_mm: float = ADULT_HAND_MM,
) -> HandCalibration:
    """Place cameras whose intrinsics are known by the landmarks of hands that all of them saw at the same instants.

    Two cameras are placed by the essential matrix (MAGSAC++, Barath et al., CVPR 2020), the others by perspective from
    points, one after the other; then all cameras and points are adjusted (Triggs et al., "Bundle adjustment: a modern
    synthesis", 1999) under a Cauchy loss, and once more with hands that keep the lengths of their bones
    (`bone_lengths`). Scale comes from the hand's length.

    Args:
        cameras: With intrinsics; places are not looked at.
        landmarks: Pixels in the pictures as their lenses made them, NaN where absent.
        hand_length_mm: From the crease of the wrist to the tip of the middle finger.

    Raises:
        HandsError: Too few landmarks are shared, or no places explain them.
    """
    if len(cameras) < 2:
        raise HandsError(
            f"--method hands: expected at least two cameras at the same instants, found {len(cameras)}: a single "
            "camera is calibrated with --method board or motion."
        )
    chosen = np.unique(np.linspace(0, len(landmarks) - 1, MAX_OBSERVED // 21).round().astype(int))
    seen = landmarks[chosen]
    rays, scatter = stacked_rays(cameras, seen), _scatter(cameras, seen)
    placed = _placed(list(cameras), rays, scatter)
    placed = _adjusted(placed, rays, scatter, 1e-3 * hand_length_mm)
    placed, length = _with_bones(placed, rays, scatter)
    points, angles = meeting_points(stacked_rays(placed, landmarks), transforms(placed), scatter=scatter.mean())
    focals = np.array([camera.intrinsics[0, 0] for camera in placed])
    pixels = np.nanmedian(angles, axis=1) * focals
    missing = np.nanmedian(angles, axis=1) / scatter
    if not (missing < MAX_MISS).all():
        worst = int(np.nanargmax(missing))
        raise HandsError(
            f"--method hands: expected places from which all cameras see one hand, found that camera "
            f"{cameras[worst].name} misses it by {pixels[worst]:.0f} px: check that its frames are of the same "
            "instants (--offset) and its intrinsics are right."
        )
    joints = points.reshape(-1, 2, 21, 3)
    scale = 1e-3 * hand_length_mm / length
    placed = [replace(camera, world_to_camera=_scaled(camera.transform, scale)) for camera in placed]
    return HandCalibration(placed, joints * scale, pixels.tolist(), _sentence(placed, pixels, hand_length_mm))


def _sentence(cameras: list[CalibratedCamera], pixels: Float[np.ndarray, " C"], length: float) -> str:
    listed = ", ".join(f"{camera.name} {error:.1f} px" for camera, error in zip(cameras, pixels, strict=True))
    return (
        f"{len(cameras)} cameras placed by the hand; landmarks lie {listed} off their points (median); the scale is "
        f"that of a hand of {length:.0f} mm from wrist to middle fingertip (--hand-length)."
    )


def _scatter(
    cameras: Sequence[CalibratedCamera], landmarks: Float[np.ndarray, "T C 2 21 2"]
) -> Float[np.ndarray, " C"]:
    """What landmarks of each camera scatter by, radians."""
    found = []
    for c, camera in enumerate(cameras):
        hands = landmarks[:, c].reshape(-1, 21, 2)
        hands = hands[np.isfinite(hands).all(axis=(1, 2))]
        if len(hands) == 0:
            raise HandsError(
                f"--method hands: expected a hand in camera {camera.name}, found none: leave the camera out, or look "
                "at its landmarks."
            )
        diameter = np.median(np.linalg.norm(np.ptp(hands, axis=1), axis=-1))
        found.append(PIXELS_PER_HAND * diameter / camera.intrinsics[0, 0])
    return np.array(found)


def _placed(
    cameras: list[CalibratedCamera], rays: Float[np.ndarray, "C N 3"], scatter: Float[np.ndarray, " C"]
) -> list[CalibratedCamera]:
    """First places: the world is that of one of the best pair, its unit their distance."""
    flat = rays[..., :2] / rays[..., 2:]
    first, second, transform = _best_pair(cameras, flat, scatter)
    places: dict[int, Float[np.ndarray, "4 4"]] = {first: np.eye(4), second: transform}
    while len(places) < len(cameras):
        known = list(places)
        points, angles = meeting_points(rays[known], np.stack([places[c] for c in known]), scatter=scatter.mean())
        good = np.isfinite(points).all(axis=-1) & (np.nan_to_num(angles).max(axis=0) < 3 * scatter.mean())
        shared = {c: good & np.isfinite(flat[c]).all(axis=-1) for c in range(len(cameras)) if c not in places}
        camera = max(shared, key=lambda c: int(shared[c].sum()))
        places[camera] = _by_points(cameras[camera], points, flat[camera], shared[camera], float(scatter[camera]))
    return [replace(camera, world_to_camera=places[c]) for c, camera in enumerate(cameras)]


def _best_pair(
    cameras: list[CalibratedCamera], flat: Float[np.ndarray, "C N 2"], scatter: Float[np.ndarray, " C"]
) -> tuple[int, int, Float[np.ndarray, "4 4"]]:
    """Two cameras that agree on many landmarks under wide angles, and the transform from the first to the second."""
    best, found = 0.0, None
    for i, j in combinations(range(len(cameras)), 2):
        shared = np.isfinite(flat[[i, j]]).all(axis=(0, 2))
        if shared.sum() < MIN_SHARED:
            continue
        one, other = flat[i, shared], flat[j, shared]
        threshold = float(scatter[[i, j]].mean())
        essential, inliers = cv2.findEssentialMat(
            one, other, np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=threshold
        )
        if essential is None or essential.shape != (3, 3):
            continue
        count, rotation, translation, _ = cv2.recoverPose(essential, one, other, np.eye(3), mask=inliers)
        transform = np.eye(4)
        transform[:3, :3], transform[:3, 3] = rotation, translation[:, 0]
        score = count * min(_median_angle(one, other, rotation) / WIDE_DEGREES, 1.0)
        if score > best:
            best, found = score, (i, j, transform)
    if found is None:
        raise HandsError(
            f"--method hands: expected two cameras that share at least {MIN_SHARED} landmarks of a moving hand, found "
            "none: take more frames, or check that all cameras show the same instants."
        )
    return found


def _median_angle(
    one: Float[np.ndarray, "N 2"], other: Float[np.ndarray, "N 2"], rotation: Float[np.ndarray, "3 3"]
) -> float:
    """Degrees between the rays of two cameras."""
    rays = [np.append(points, np.ones((len(points), 1)), axis=1) for points in (one @ np.eye(2), other)]
    first, second = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (rays[0] @ rotation.T, rays[1]))
    return float(np.degrees(np.median(np.arccos(np.clip((first * second).sum(axis=1), -1, 1)))))


def _by_points(
    camera: CalibratedCamera,
    points: Float[np.ndarray, "N 3"],
    flat: Float[np.ndarray, "N 2"],
    shared: Bool[np.ndarray, " N"],
    scatter: float,
) -> Float[np.ndarray, "4 4"]:
    """The place of a camera that sees points."""
    if shared.sum() >= MIN_SHARED:
        found, turn, shift, inliers = cv2.solvePnPRansac(
            points[shared], flat[shared], np.eye(3), np.zeros(4), iterationsCount=500, reprojectionError=3 * scatter,
            flags=cv2.SOLVEPNP_SQPNP,
        )  # fmt: skip
        if found and inliers is not None and len(inliers) >= MIN_SHARED // 2:
            transform = np.eye(4)
            transform[:3, :3], transform[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
            return transform
    raise HandsError(
        f"--method hands: expected camera {camera.name} to share at least {MIN_SHARED} landmarks with the others, "
        f"found {int(shared.sum())} that fit: take frames in which it sees the hand with them, or leave it out."
    )


def _adjusted(
    cameras: list[CalibratedCamera],
    rays: Float[np.ndarray, "C N 3"],
    scatter: Float[np.ndarray, " C"],
    length: float,
) -> list[CalibratedCamera]:
    """Cameras moved, all but the first, until landmarks lie on their points.

    Points are no unknowns: they lie where the rays meet, whatever the cameras are (variable projection, Golub and
    Pereyra 2003), so that the problem stays as small as the number of cameras.
    """
    start = transforms(cameras) @ np.linalg.inv(cameras[0].transform)
    start[:, :3, 3] *= length / _length(rays, start, scatter)
    present = np.asarray(np.isfinite(rays).all(axis=-1))
    met = np.asarray(present.sum(axis=0) >= 2)
    rays, present = rays[:, met], present[:, met]
    flat = rays[..., :2] / rays[..., 2:]
    near = np.linalg.norm(start[:, :3, 3], axis=-1).max()

    def residuals(values: Float[np.ndarray, " P"]) -> Float[np.ndarray, " R"]:
        placed = moved(start, values)
        points, _ = meeting_points(rays, placed, scatter=float(scatter.mean()))
        local = np.einsum("cij,nj->cni", placed[:, :3, :3], points) + placed[:, None, :3, 3]
        drawn = local[..., :2] / np.maximum(local[..., 2:], NEAREST * near)
        misses = (drawn - flat) / scatter[:, None, None]
        # Nothing in pictures holds the scale.
        drift = np.log(np.linalg.norm(placed[1:, :3, 3]) / np.linalg.norm(start[1:, :3, 3])) / SCALE_SCATTER
        return np.append(np.clip(misses[present], -FAR, FAR), drift)

    unknown = np.zeros(6 * (len(cameras) - 1))
    found = least_squares(residuals, unknown, loss="cauchy", x_scale="jac", xtol=1e-6, ftol=1e-6, max_nfev=20)
    placed = moved(start, found.x)
    return [replace(camera, world_to_camera=matrix) for camera, matrix in zip(cameras, placed, strict=True)]


def _with_bones(
    cameras: list[CalibratedCamera], rays: Float[np.ndarray, "C N 3"], scatter: Float[np.ndarray, " C"]
) -> tuple[list[CalibratedCamera], float]:
    """Cameras as hands of constant bones say, where there are enough, and how long these hands are."""
    placed = transforms(cameras)
    points, _ = meeting_points(rays, placed, scatter=float(scatter.mean()))
    hands = points.reshape(-1, 21, 3)
    whole = np.isfinite(hands).all(axis=(1, 2))
    if whole.sum() < MIN_WHOLE:
        return cameras, hand_length(points.reshape(-1, 2, 21, 3))
    flat = (rays[..., :2] / rays[..., 2:]).reshape(len(cameras), -1, 21, 2).swapaxes(0, 1)
    sides = np.arange(len(hands)) % 2
    placed, joints = adjusted_by_bones(placed, flat[whole], hands[whole], sides[whole], scatter)
    cameras = [replace(camera, world_to_camera=matrix) for camera, matrix in zip(cameras, placed, strict=True)]
    return cameras, hand_length(joints[:, None])


def _length(
    rays: Float[np.ndarray, "C N 3"], placed: Float[np.ndarray, "C 4 4"], scatter: Float[np.ndarray, " C"]
) -> float:
    """Of hands, in the unit of the places.

    Raises:
        HandsError: No middle finger is seen by two cameras.
    """
    points, _ = meeting_points(rays, placed, scatter=float(scatter.mean()))
    length = hand_length(points.reshape(-1, 2, 21, 3))
    if not length > 0:
        raise HandsError(
            "--method hands: expected a wrist and a whole middle finger that two cameras see, found none: take other "
            "frames."
        )
    return length


def _scaled(transform: Float[np.ndarray, "4 4"], factor: float) -> Float[np.ndarray, "4 4"]:
    scaled = transform.copy()
    scaled[:3, 3] *= factor
    return scaled
