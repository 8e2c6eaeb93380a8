"""Where a held object is at first: as the capture says, or in the middle of what its masks leave of space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.progress import track
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture, hand_mask, object_pixels
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.visual_hull import box_grid, carve
from nerfstudio_hands.hand_model import load_surface

REACH = 0.2
"""Metres round the hand within which an object is looked for."""

CELLS = (40, 48)
"""Cells along each axis: of the whole box, then of what was left of it."""

MARGIN = 0.005
"""Metres that an object may be larger than what the masks leave of it."""

DEEPEST = 0.01
"""Metres that the middle of an object may lie inside of a hand before their poses contradict each other."""

MOST_INSIDE = 0.5
"""Share of a hand's joints that may lie where every camera sees the object, which is behind it for all of them."""

SLOW = 20
"""Frames from which on a progress bar is worth showing."""


def with_object_poses(
    capture: Capture,
    fit: HandFit,
    cameras: Sequence[str],
    hand_model: str,
    train_frames: Bool[np.ndarray, " T"] | None = None,
) -> Capture:
    """The capture with a first guess of the object's pose in every frame, and of its size and form; without an object
    as it is.

    The object lies within a sphere round its middle that holds the smallest visual hull of its masks, less the fitted
    hands, or of radius `REACH` without masks; this hull is its form. Where the capture brings poses, these are checked.
    Else the object's frame starts at the middle of the hull: parallel to the capture's world in the first frame, and
    turning with the wrist of the nearest hand from there. Held-out frames come last: their own masks say where the
    object is in them, and nothing else.

    Args:
        capture: The capture.
        fit: Its hands.
        cameras: Names of the cameras whose masks are used.
        hand_model: "default" or a path.
        train_frames: The frames that the object's form and its frame may be taken from; by default all.

    Raises:
        HandsError: The masks leave no place for an object or swallow the hand, or the middle that was given is inside
            of a hand or far from all hands.
    """
    if not capture.object_masks and capture.object_poses is None:
        return capture
    surface = load_surface(fit.sides, hand_model)
    frames = torch.nonzero(fit.pose.valid.any(dim=1)).flatten().tolist()
    trains = np.ones(len(capture.frames), dtype=bool) if train_frames is None else train_frames
    frames.sort(key=lambda t: not trains[t])
    posed = {t: surface.pose(fit.pose[[t]], fit.shape, fit.displacement) for t in frames}

    def solid(t: int) -> Surfaces:
        return Surfaces(surface.faces, posed[t].vertices, closing_faces=surface.closing_faces)

    given = capture.object_poses is not None
    if given:
        for t in frames:
            _check_place(capture, t, capture.object_poses[t, :3, 3], solid(t))
    poses = capture.object_poses if given else np.tile(np.eye(4), (len(capture.frames), 1, 1))
    start, side, smallest, points = None, 0, np.inf, None
    looked_at = frames if capture.object_masks else []
    for t in track(looked_at, description="Looking for the object", transient=True, disable=len(looked_at) < SLOW):
        hull = _hull(capture, fit, cameras, t, solid(t), posed[t].keypoints[0][fit.pose.valid[t]])
        middle = poses[t, :3, 3] if given else hull.mean(axis=0)
        if not given:
            wrists = posed[t].bone_transforms[0, :, 0, :3, :3].double().numpy()
            if start is None:
                distance = (posed[t].keypoints[0] - torch.from_numpy(middle).float()).norm(dim=-1).amin(dim=-1)
                side = int(distance.argmin())
                start = wrists[side]
            # Where a hand is absent, and in frames without any, the object stays as it was in the last training frame.
            there = np.s_[t:] if trains[t] else np.s_[t : t + 1]
            poses[there, :3, :3] = wrists[side] @ start.T if fit.pose.valid[t, side] else poses[t, :3, :3]
            poses[there, :3, 3] = middle
        reach = float(np.linalg.norm(hull - middle, axis=1).max())
        if trains[t] and reach < smallest:
            smallest, points = reach, ((hull - middle) @ poses[t, :3, :3]).astype(np.float32)
    radius = min(REACH, smallest + MARGIN)
    return replace(capture, object_poses=poses, object_radius=radius, object_hull=points)


def _check_place(capture: Capture, t: int, middle: Float[np.ndarray, "3"], hands: Surfaces) -> None:
    distance = float(hands.closest(torch.from_numpy(middle).float()[None]).signed_distance)
    if -DEEPEST <= distance <= 2 * REACH:
        return
    found = f"{-distance * 1e3:.0f} mm inside of it" if distance < 0 else f"{distance * 1e3:.0f} mm away"
    raise HandsError(
        f"{capture.root}: expected the middle of the object beside the hand, found it {found} in frame "
        f"{capture.frames[t]}: give object_to_world in metres, in the world of the cameras, with the origin in the "
        "middle of the object, or remove object_pose.npz to start from the masks."
    )


def _hull(
    capture: Capture, fit: HandFit, cameras: Sequence[str], t: int, hands: Surfaces, joints: Float[Tensor, "H 21 3"]
) -> Float[np.ndarray, "N 3"]:
    """What the masks leave of the object in one frame as points, world metres."""
    frame = capture.frames[t]
    names = [name for name in cameras if (frame, name) in capture.object_masks]
    seen = [torch.from_numpy(object_pixels(capture, (frame, name))) for name in names]
    hidden = [torch.from_numpy(_hand_pixels(capture, (frame, name))) for name in names]
    views = [fit.corrected(capture.camera(name)) for name in names]
    k = torch.from_numpy(np.stack([view.intrinsics for view in views])).float() if views else torch.zeros(0, 3, 3)
    pose = torch.from_numpy(np.stack([view.world_to_camera for view in views])).float() if views else k

    nothing = [torch.zeros_like(held) for held in seen]
    swallowed = carve(joints.flatten(0, 1), seen, nothing, k, pose).view(joints.shape[:2]).sum(dim=1).amax()
    if swallowed > MOST_INSIDE * joints.shape[1]:
        raise HandsError(
            f"{capture.root}: expected the hand outside of the object, found {int(swallowed)} of {joints.shape[1]} "
            f"joints where all masks of the object in frame {frame} show it: leave the hand out of these masks."
        )
    low, high = joints.flatten(0, 1).aminmax(dim=0)
    box = torch.stack([low - REACH, high + REACH])
    points = box[:0]
    for cells in CELLS:
        grid = box_grid(box, cells)
        points = grid[carve(grid, seen, hidden, k, pose)]
        points = points[hands.closest(points).signed_distance > 0]
        if not len(points):
            raise HandsError(
                f"{capture.root}: expected masks of the object that agree on a place near the hand in frame {frame}, "
                f"found none in {len(names)} cameras: check the masks, or give the pose in object_pose.npz."
            )
        cell = (box[1] - box[0]) / cells
        box = torch.stack([points.amin(dim=0) - cell, points.amax(dim=0) + cell])
    return points.double().numpy()


def _hand_pixels(capture: Capture, key: tuple[str, str]) -> Bool[np.ndarray, "H W"]:
    """Where a hand may hide the object; anywhere, where no mask says."""
    camera = capture.camera(key[1])
    mask = hand_mask(capture, key)
    return np.ones((camera.height, camera.width), dtype=bool) if mask is None else mask
