"""The registration of a fit to pictures: to masks of the capture where they are good, to masks of our own elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from nerfstudio_hands.captures.capture import Capture, CaptureCamera, hand_mask, object_pixels
from nerfstudio_hands.captures.splits import GOLDEN
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import check_size, read_image
from nerfstudio_hands.fitting.joints.pose_fit import JointTerms, landmarks
from nerfstudio_hands.fitting.silhouettes.boundary_fit import (
    FINISHING,
    PLACING,
    SHAPING,
    BoundaryTarget,
    Round,
    meters_per_pixel,
    refine_on_boundaries,
    silhouette_at,
    silhouette_mesh,
)
from nerfstudio_hands.fitting.silhouettes.contours import SilhouetteMesh, away_from, mask_boundary
from nerfstudio_hands.fitting.silhouettes.gauss_newton import Modes, smooth_modes
from nerfstudio_hands.fitting.silhouettes.mask_quality import boundary_weight
from nerfstudio_hands.fitting.silhouettes.partial_registration import PartialRegistration
from nerfstudio_hands.fitting.silhouettes.segmentation import segment_hands, trusted_outline
from nerfstudio_hands.fitting.variables import PER_FRAME, Variables
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.transforms.projection import project

# Boundaries found by colour are right nearly as often as those of a good mask.
SEGMENTED_MASK_WEIGHT = 0.5
# Frames whose poses are solved for together with shape, displacement and cameras; the others follow with those fixed,
# since the normal equations grow with the square of the frames. Where few cameras see each, more frames take part.
FRAMES_AT_ONCE, IMAGES_IN_MEMORY = 8, 32
# Pictures of a frame that what all frames share is learnt from, and that a pose alone is found from, where many cameras
# see it.
IMAGES_OF_FRAME, LATER_IMAGES = 16, 8
# Pictures that are held in memory while hands are cut out of them.
IMAGES_AT_ONCE = 8
# How far the projection may be off when hands are cut out of pictures, metres: after joints alone, after masks, at
# the end.
BANDS = (0.015, 0.008, 0.005)
# Metres, on average over a hand, by which pictures may draw its landmarks away from joints that were measured in space.
FARTHEST_FROM_JOINTS = 0.008
STAGES = {True: "Registering shape, cameras and poses", False: "Registering poses"}


@dataclass(frozen=True)
class Rounds:
    """Rounds of matching: on masks as they are, after the first segmentation, after the second."""

    placing: tuple[Round, ...]
    shaping: tuple[Round, ...]
    finishing: tuple[Round, ...]


ROUNDS = Rounds(PLACING, SHAPING, FINISHING)
# Where only poses are left to be found, they come to rest sooner.
LATER_ROUNDS = Rounds(PLACING[:4], SHAPING[:2], FINISHING[:2])


def refine_on_masks(
    seen: Capture,
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    coverage: dict[tuple[str, str], float],
    *,
    learning: Sequence[int],
    others: bool = True,
    refine_cameras: bool,
    partial: Path | None = None,
    again: Callable[[Variables], Variables] | None = None,
    progress: Callable[[str, float], None],
) -> Variables:
    """Refines hands that were fitted to joints, group of frames by group.

    Args:
        seen: The capture, with the cameras that take part only.
        surface: The hands.
        terms: Joints and calibration.
        variables: The fit to joints.
        coverage: Share of the projected hands that each mask covers, by (frame, camera).
        learning: Frames that what all frames share may be learnt from, which is done in a group of them; where there
            are none, it stays as it is.
        others: Whether the frames that nothing is learnt from are registered, too.
        refine_cameras: Whether cameras may be turned.
        partial: File that an interrupted registration goes on from, and is left behind by it.
        again: Fits the poses to joints again once the shape has been learnt; by default the other frames start from
            what they had.
        progress: Called with the stage and the fraction that is behind.
    """
    seen, modes = few_images(seen), smooth_modes(surface)
    with PartialRegistration(partial, variables) as kept:
        size = max(FRAMES_AT_ONCE, IMAGES_IN_MEMORY // max(len(seen.cameras), 1))
        for frames, shared in frame_groups(len(seen.frames), learning, size):
            if kept.done[frames].all() or not (others or set(frames) & set(learning)):
                continue
            of_group = frames_of(seen, frames)
            before = float(kept.done.float().mean())
            share = len(frames) / len(kept.done)
            progress(STAGES[shared], before)
            part = _refine_frames(
                of_group if shared else few_images(of_group, LATER_IMAGES),
                surface,
                terms.at(frames),
                kept.variables.at(frames),
                coverage,
                modes,
                ROUNDS if shared else LATER_ROUNDS,
                refine_cameras=refine_cameras,
                shared=shared,
                advance=_part_of(progress, STAGES[shared], before, share),
            )
            kept.put(frames, _where_near(surface, terms.at(frames), kept.variables.at(frames), part))
            if shared and again is not None:
                kept.variables = again(kept.variables).put(frames, kept.variables.at(frames))
        return kept.variables


def _part_of(
    progress: Callable[[str, float], None], stage: str, before: float, share: float
) -> Callable[[float], None]:
    """What is called with the fraction that is done of a part, which is this share of the whole."""
    return lambda done: progress(stage, before + share * done)


def _where_near(surface: HandSurface, terms: JointTerms, before: Variables, after: Variables) -> Variables:
    """The registered hands, but as they were before where pictures drew one away from joints that were measured in
    space: something else was followed there."""
    measured, known = terms.space_weights > 0, terms.space_weights.sqrt()

    def distance(variables: Variables) -> Tensor:
        found = landmarks(surface, surface.pose(variables.pose, variables.shape, None), variables.landmark_offset)
        return torch.where(measured, known * (found - terms.points).norm(dim=-1), torch.nan).nanmean(-1)

    led_astray = distance(after) > distance(before) + FARTHEST_FROM_JOINTS

    def chosen(name: str) -> Tensor:
        old, new = getattr(before, name), getattr(after, name)
        return torch.where(led_astray.reshape(*led_astray.shape, *[1] * (new.ndim - 2)), old, new)

    return replace(after, **{name: chosen(name) for name in PER_FRAME})


def frame_groups(count: int, learning: Sequence[int], size: int = FRAMES_AT_ONCE) -> list[tuple[list[int], bool]]:
    """Frames in groups of at most `size`, and whether what all frames share is learnt from them: from the first, which
    is spread evenly over `learning`. None holds frames of `learning` and others: a group decides the last bit."""
    learning = list(learning)
    first = [learning[round(k)] for k in np.linspace(0, len(learning) - 1, min(len(learning), size))]
    followers = [frame for frame in learning if frame not in set(first)]
    others = [frame for frame in range(count) if frame not in set(learning)]
    later = [part[start : start + size] for part in (followers, others) for start in range(0, len(part), size)]
    return [(first, True)] * bool(first) + [(frames, False) for frames in later]


def frames_of(seen: Capture, frames: Sequence[int]) -> Capture:
    """The same capture in some of its frames only; joints and sequences that it came with stay as they are."""
    names = [seen.frames[frame] for frame in frames]
    return replace(
        seen,
        frames=names,
        images={key: path for key, path in seen.images.items() if key[0] in names},
        masks={key: path for key, path in seen.masks.items() if key[0] in names},
        object_masks={key: path for key, path in seen.object_masks.items() if key[0] in names},
        detections=None if seen.detections is None else seen.detections[list(frames)],
        metric_landmarks=None if seen.metric_landmarks is None else seen.metric_landmarks[list(frames)],
        times=None if seen.times is None else seen.times[list(frames)],
    )


def corrected_cameras(seen: Capture, variables: Variables) -> list[CaptureCamera]:
    """The cameras that take part as the variables correct them."""
    turns, zooms = variables.camera_rotation.double().numpy(), variables.camera_zoom.tolist()
    return [camera.corrected(*found) for camera, *found in zip(seen.cameras, turns, zooms, strict=True)]


def camera_tensors(camera: CaptureCamera) -> tuple[Tensor, Tensor]:
    """K and extrinsics, float64."""
    return torch.from_numpy(camera.intrinsics), torch.from_numpy(camera.world_to_camera)


def _refine_frames(
    seen: Capture,
    surface: HandSurface,
    terms: JointTerms,
    variables: Variables,
    coverage: dict[tuple[str, str], float],
    modes: Modes,
    rounds: Rounds,
    *,
    refine_cameras: bool,
    shared: bool,
    advance: Callable[[float], None],
) -> Variables:
    given, total = [], sum(map(len, vars(rounds).values()))
    for frame, name in seen.masks:
        weight = boundary_weight(coverage[frame, name])
        if weight > 0:
            camera = seen.camera(name)
            outline = away_from(mask_boundary(hand_mask(seen, (frame, name))), object_pixels(seen, (frame, name)))  # pyright: ignore[reportArgumentType]
            given.append(
                BoundaryTarget(seen.frames.index(frame), seen.camera_index(name), camera.size, outline, weight)
            )
    good = [target for target in given if target.weight == 1.0]
    covered = {(target.frame, target.camera) for target in good}
    intrinsics = torch.from_numpy(np.stack([camera.intrinsics for camera in seen.cameras]))

    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        advance(done / total)

    def refine(targets: list[BoundaryTarget], schedule: Sequence[Round]) -> Variables:
        return refine_on_boundaries(
            surface,
            terms,
            variables,
            targets,
            intrinsics,
            modes,
            refine_cameras=refine_cameras,
            # A film's come from far more frames than these.
            refine_landmarks=seen.times is None,
            shared=shared,
            schedule=schedule,
            advance=one_more,
        )

    start, targets = variables, given
    if given:
        variables = refine(given, rounds.placing)
    for band, schedule in ((BANDS[1] if given else BANDS[0], rounds.shaping), (BANDS[2], rounds.finishing)):
        targets = good + _segment(seen, surface, variables, band, covered)
        if targets or not seen.has_track:
            variables = refine(targets, schedule)
    if not seen.has_track:
        return variables
    # Where no picture shows an outline, the track says more than joints do here.
    return start.put(shown, variables.at(shown)) if (shown := sorted({target.frame for target in targets})) else start


def few_images(seen: Capture, most: int = IMAGES_OF_FRAME) -> Capture:
    """The same capture with at most so many pictures of a frame, evenly spread over its cameras, other ones in every
    frame."""
    chosen = []
    for frame in seen.frames:
        keys = [(frame, name) for name in seen.camera_names if (frame, name) in seen.images]
        if len(keys) > most:
            step = len(keys) / most
            keys = [keys[int((zlib.crc32(frame.encode()) * GOLDEN % 1 + k) * step)] for k in range(most)]
        chosen += keys
    if len(chosen) == len(seen.images):
        return seen
    images = {key: seen.images[key] for key in chosen}
    return replace(seen, images=images, masks={key: path for key, path in seen.masks.items() if key in images})


def segmented_masks(
    seen: Capture, surface: HandSurface, variables: Variables
) -> dict[tuple[str, str], Bool[np.ndarray, "H W"]]:
    """Masks cut out of the pictures with the help of finished hands, by (frame, camera).

    Args:
        seen: The capture, with the cameras that take part only.
        surface: The hands.
        variables: The finished fit.
    """
    cut = _cut_out(seen, surface, variables, BANDS[-1], list(seen.images))
    return {key: mask for key, _, mask, _ in cut if mask.any()}


def _segment(
    seen: Capture, surface: HandSurface, variables: Variables, band: float, covered: set[tuple[int, int]]
) -> list[BoundaryTarget]:
    """Outlines of our own for the pictures whose masks are not good; `band` in metres at the depth of the hands."""
    places = {key: (seen.frames.index(key[0]), seen.camera_index(key[1])) for key in seen.images}
    keys = [key for key, place in places.items() if place not in covered and _shows_hand(seen, place)]
    targets = []
    for key, image, mask, trusted in _cut_out(seen, surface, variables, band, keys):
        outline = trusted_outline(image, mask, trusted, object_pixels(seen, key))
        if len(outline.points):
            t, c = places[key]
            targets.append(BoundaryTarget(t, c, seen.cameras[c].size, outline, SEGMENTED_MASK_WEIGHT))
    return targets


def _shows_hand(seen: Capture, place: tuple[int, int]) -> bool:
    """Whether the picture of a frame and camera can show a hand: in a film one was found there, because those that one
    camera sees alone are too roughly placed for the others."""
    return seen.times is None or bool(np.isfinite(seen.detections[place]).any())


def _picture(seen: Capture, key: tuple[str, str]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture, or a black one, in which nothing is found, for one that cannot be read in a capture with a track: of
    its thousands some may be broken, and training names them."""
    width, height = seen.camera(key[1]).size
    try:
        image = read_image(seen.images[key])
        check_size(seen.images[key], (image.shape[1], image.shape[0]), (width, height))
    except HandsError:
        if not seen.has_track:
            raise
        return np.zeros((height, width, 3), np.uint8)
    return image


def cut_out(
    image: UInt8[np.ndarray, "H W 3"],
    hidden: Bool[np.ndarray, "H W"] | None,
    surface: HandSurface,
    mesh: SilhouetteMesh,
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    camera: CaptureCamera,
    band: float,
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Mask of posed hands in a picture, and where it may be trusted, see `segment_hands`.

    Args:
        image: RGB.
        hidden: Where an object is seen.
        surface: The hands.
        mesh: Of these.
        vertices: Posed, world frame, metres.
        normals: Unit, outward.
        camera: Of the picture.
        band: How far the hands may be off, metres at their depth.
    """
    k, e = camera_tensors(camera)
    silhouette = silhouette_at(mesh, vertices, normals, k, e, camera.size).silhouette
    forearm = np.zeros((camera.height, camera.width), np.uint8)
    for side in surface.vertex_side.unique():
        behind_wrist = ~surface.vertex_is_hand & (surface.vertex_side == side)
        pixels, depth = project(vertices[behind_wrist].double(), k, e)
        if bool((depth > 0.05).all()) and float(pixels.abs().max()) < 4 * max(camera.size):
            cv2.fillConvexPoly(forearm, cv2.convexHull(pixels.round().int().numpy()), (1,))
    band_pixels = band / meters_per_pixel(vertices.double(), k, e)
    if hidden is None:
        return segment_hands(image, silhouette, forearm > 0, band=band_pixels)
    mask, trusted = segment_hands(image, silhouette & ~hidden, forearm > 0, band=band_pixels)
    return mask & ~hidden, trusted


def _cut_out(
    seen: Capture, surface: HandSurface, variables: Variables, band: float, keys: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], np.ndarray, np.ndarray, np.ndarray]]:
    """Key, picture, mask and where the mask may be trusted, of each of the pictures `keys`; a few are held at once."""
    mesh, cameras = silhouette_mesh(surface), corrected_cameras(seen, variables)
    vertices = surface.pose(variables.pose, variables.shape, variables.displacement).vertices
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))

    def cut(key: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t, c = seen.frames.index(key[0]), seen.camera_index(key[1])
        image, hidden = _picture(seen, key), object_pixels(seen, key)
        return image, *cut_out(image, hidden, surface, mesh, vertices[t], normals[t], cameras[c], band)

    # GrabCut runs outside of Python's lock.
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(keys), IMAGES_AT_ONCE):
            some = keys[start : start + IMAGES_AT_ONCE]
            for key, found in zip(some, pool.map(cut, some), strict=True):
                yield key, *found
