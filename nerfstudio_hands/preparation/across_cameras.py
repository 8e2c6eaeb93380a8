"""Which hands of different cameras are one: those whose rays meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.preparation.tracklets import Tracklet, hand_size

MAX_MISS = 0.12
"""Median miss of the rays of two cameras, in sizes of the hand in their pictures, up to which they show one hand. A
camera turned by a degree misses by less than half of this, another hand by twice as much and more."""

SIDE_MISS = 0.1
"""What two pictures that are sure of opposite sides are worth as a miss."""

MAX_COMPARED = 20
"""Frames in which two tracklets are compared, evenly chosen."""


@dataclass(frozen=True)
class _Rays:
    """Rays through the landmarks of many hands, one row a hand, in the world's frame and unit."""

    origins: Float[np.ndarray, "N 3"]
    directions: Float[np.ndarray, "N 21 3"]
    pixels: Float[np.ndarray, "N 21 2"]
    matrices: Float[np.ndarray, "N 3 4"]
    sizes: Float[np.ndarray, " N"]


Sighting = tuple[CaptureCamera, DetectedHand]
"""A camera, and a hand in its picture."""


def misses(first: Sequence[Sighting], second: Sequence[Sighting]) -> Float[np.ndarray, " N"]:
    """How far hands in the pictures of two cameras are from being one; see `meeting_points`."""
    return meeting_points(first, second)[1]


def meeting_points(
    first: Sequence[Sighting], second: Sequence[Sighting]
) -> tuple[Float[np.ndarray, "N 21 3"], Float[np.ndarray, " N"]]:
    """Where the rays of two cameras through the landmarks of a hand meet, and how far they miss each other.

    Args:
        first: A camera and a hand in its picture, of each of N pairs.
        second: Another camera and a hand in its picture of the same moment.

    Returns:
        The middle of the shortest way between two rays, in the unit of the world; and the median over landmarks of its
        distance in both pictures, in sizes of the hand there: infinite where rays would meet behind a camera.
    """
    if not first:
        return np.zeros((0, 21, 3)), np.zeros(0)
    one, other = _rays(first), _rays(second)
    points, ahead = _midpoints(one, other)
    found = [np.median(_pixel_errors(points, rays), axis=-1) / rays.sizes for rays in (one, other)]
    return points, np.where(ahead, np.mean(found, axis=0), np.inf)


def _rays(hands: Sequence[tuple[CaptureCamera, DetectedHand]]) -> _Rays:
    pixels = np.stack([hand.pixels for _, hand in hands])
    intrinsics = np.stack([camera.intrinsics for camera, _ in hands])
    extrinsics = np.stack([camera.world_to_camera for camera, _ in hands])
    rotations, translations = extrinsics[:, :3, :3], extrinsics[:, :3, 3]
    homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], axis=-1)
    directions = np.einsum("nij,nkj->nki", np.linalg.inv(intrinsics @ rotations), homogeneous)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origins = -np.einsum("nji,nj->ni", rotations, translations)
    sizes = np.array([hand_size(hand) for _, hand in hands])
    return _Rays(origins, directions, pixels, intrinsics @ extrinsics[:, :3], sizes)


def _midpoints(one: _Rays, other: _Rays) -> tuple[Float[np.ndarray, "N 21 3"], Bool[np.ndarray, " N"]]:
    """Middle of the shortest way between two rays, and whether most of them lie ahead of both cameras."""
    between = (other.origins - one.origins)[:, None]
    cosine = (one.directions * other.directions).sum(-1)
    along_one, along_other = ((between * rays.directions).sum(-1) for rays in (one, other))
    sine = np.maximum(1 - cosine**2, 1e-9)
    reach_one = (along_one - cosine * along_other) / sine
    reach_other = (cosine * along_one - along_other) / sine
    first = one.origins[:, None] + reach_one[..., None] * one.directions
    second = other.origins[:, None] + reach_other[..., None] * other.directions
    ahead = (np.median(reach_one, axis=-1) > 0) & (np.median(reach_other, axis=-1) > 0)
    return (first + second) / 2, ahead


def _pixel_errors(points: Float[np.ndarray, "N 21 3"], rays: _Rays) -> Float[np.ndarray, "N 21"]:
    camera = np.einsum("nij,nkj->nki", rays.matrices[:, :, :3], points) + rays.matrices[:, None, :, 3]
    depth = np.where(np.abs(camera[..., 2:]) < 1e-9, 1e-9, camera[..., 2:])
    return np.linalg.norm(camera[..., :2] / depth - rays.pixels, axis=-1)


def join_tracklets(tracklets: Sequence[Tracklet], cameras: Sequence[CaptureCamera]) -> list[list[Tracklet]]:
    """Put tracklets of different cameras together that show one hand: average linkage over the misses of their rays.

    Two tracklets of one camera that share a frame are two hands, and never come together.
    """
    total, count = _link_costs(tracklets, cameras)
    apart = np.array([[_share_frames(a, b) and a.camera == b.camera for b in tracklets] for a in tracklets], dtype=bool)
    groups = [[tracklet] for tracklet in tracklets]
    while len(groups) > 1:
        cost = np.where((count > 0) & ~apart, total / np.maximum(count, 1), np.inf)
        np.fill_diagonal(cost, np.inf)
        a, b = sorted(divmod(int(np.argmin(cost)), len(groups)))
        if cost[a, b] > MAX_MISS:
            break
        groups[a] += groups.pop(b)
        total, count, apart = (_merged(matrix, a, b) for matrix in (total, count, apart))
    return groups


def _link_costs(
    tracklets: Sequence[Tracklet], cameras: Sequence[CaptureCamera]
) -> tuple[Float[np.ndarray, "N N"], Float[np.ndarray, "N N"]]:
    """Cost of each pair of tracklets that can be compared, and ones there; a miss beyond the bound counts as four."""
    pairs, first, second = [], [], []
    for a, one in enumerate(tracklets):
        for b, other in enumerate(tracklets[:a]):
            frames = sorted(one.hands.keys() & other.hands.keys()) if one.camera != other.camera else []
            for frame in frames[:: -(-len(frames) // MAX_COMPARED) or 1]:
                pairs.append((a, b))
                first.append((cameras[one.camera], one.hands[frame]))
                second.append((cameras[other.camera], other.hands[frame]))
    found = misses(first, second)
    total, count = np.zeros((2, len(tracklets), len(tracklets)))
    rows = np.array(pairs).reshape(-1, 2)
    for a, b in np.unique(rows, axis=0):
        miss = np.median(found[(rows == (a, b)).all(1)])
        sides = abs(_mean_right(tracklets[a]) - _mean_right(tracklets[b]))
        total[a, b] = total[b, a] = min(miss, 4 * MAX_MISS) + SIDE_MISS * sides
        count[a, b] = count[b, a] = 1
    return total, count


def _mean_right(tracklet: Tracklet) -> float:
    return float(np.mean([hand.right for hand in tracklet.hands.values()]))


def _share_frames(a: Tracklet, b: Tracklet) -> bool:
    return not a.hands.keys().isdisjoint(b.hands.keys())


def _merged(matrix: np.ndarray, a: int, b: int) -> np.ndarray:
    """A symmetric matrix over groups, of which `b` has joined `a`."""
    joined = matrix[a] | matrix[b] if matrix.dtype == bool else matrix[a] + matrix[b]
    matrix = matrix.copy()
    matrix[a], matrix[:, a] = joined, joined
    return np.delete(np.delete(matrix, b, 0), b, 1)


def lonely_cameras(
    groups: Sequence[Sequence[Tracklet]], cameras: Sequence[CaptureCamera]
) -> tuple[list[int], list[int]]:
    """Cameras whose hands were found at the same moments as those of others, and meet none of them.

    Returns:
        Those whose hands meet the others' once their pictures are mirrored, and the rest; at least two others have to
        agree about a hand before one camera can be blamed.
    """
    agreed = [group for group in groups if len({tracklet.camera for tracklet in group}) > 1]
    with_company = {tracklet.camera for group in agreed for tracklet in group}
    mirrored, strange = [], []
    for group in groups:
        camera = group[0].camera
        if camera in with_company or camera in mirrored + strange:
            continue
        others = [other for company in agreed for other in company if _share_frames(group[0], other)]
        if others:
            (mirrored if _meet_mirrored(group[0], others, cameras) else strange).append(camera)
    return mirrored, strange


def _meet_mirrored(tracklet: Tracklet, others: Sequence[Tracklet], cameras: Sequence[CaptureCamera]) -> bool:
    camera = cameras[tracklet.camera]
    first, second = [], []
    for other in others:
        for frame in tracklet.hands.keys() & other.hands.keys():
            hand = tracklet.hands[frame]
            first.append((camera, replace(hand, pixels=[camera.width, 0] + hand.pixels * [-1, 1])))
            second.append((cameras[other.camera], other.hands[frame]))
    # Of a left and a right hand that the others see, half of the pairs cannot meet.
    return bool(np.quantile(misses(first, second), 0.4) < MAX_MISS)
