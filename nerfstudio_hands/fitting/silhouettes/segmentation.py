"""Masks of our own: where projected hands are nearly right, colours say where the hands end.

Masks that come with a capture are often empty or holed in some cameras. GrabCut (Rother et al., 2004), told by the
projected hands what is surely hand and what surely is not, finds the boundary in between.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from nerfstudio_hands.fitting.silhouettes.contours import MaskBoundary, away_from, mask_boundary
from nerfstudio_hands.transforms.pixel_distances import distance_to

# Rounds of GrabCut at half size, which learn the colours; one at full size then finds the boundary with them.
LEARNING_ROUNDS = 2
# Half the length of the profile across an outline in which its edge is sought, pixels.
PROFILE = 9.0
# Colour difference across an edge, of 255, below which its place is anybody's guess.
MIN_CONTRAST = 30.0
# Gray value of 255 beyond which, and of skin that is darker, a background lights rims.
BRIGHT = 160.0
# By which share of the contrast with the skin, and by how much of 255, a rim is brighter than its background.
RIM_SHARE, MIN_RIM = 0.25, 12.0
# Share of the contrast in half a pixel: where it rises by less, it has come to its first height.
SLOW_RISE = 0.04
# A mask of our own whose area or overlap with the projected hands lies outside of this has followed something else.
AREA_RATIO = (0.6, 1.5)
MIN_OVERLAP = 0.6


def segment_hands(
    image: UInt8[np.ndarray, "H W 3"],
    silhouette: Bool[np.ndarray, "H W"],
    forearm: Bool[np.ndarray, "H W"],
    *,
    band: float,
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Cuts hands out of a picture along the boundary that colours suggest.

    Args:
        image: RGB.
        silhouette: Filled projection of the fitted hands.
        forearm: Where the end of the model at the wrist projects; beyond it lies skin that is no hand.
        band: How far the projection may be off, pixels: further inside is hand, further outside (away from the
        wrist) is not.

    Returns:
        The mask, and where it may be trusted: inside the band, away from its limits and from the wrist. All false
        where the hands do not project into the picture.
    """
    nothing = np.zeros(silhouette.shape, bool)
    if not silhouette.any() or silhouette.all():
        return nothing, nothing
    window = _window(silhouette, 4 * band)
    near = silhouette[window]
    inside, outside, to_wrist = distance_to(~near), distance_to(near), distance_to(forearm)[window]

    labels = np.where(near, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside > band] = cv2.GC_FGD
    labels[(outside > band) & (to_wrist > 3 * band)] = cv2.GC_BGD
    if not all((labels == kind).any() for kind in (cv2.GC_FGD, cv2.GC_BGD)):
        return nothing, nothing
    picture = cv2.cvtColor(np.ascontiguousarray(image[window]), cv2.COLOR_RGB2BGR)
    half, found = np.ascontiguousarray(picture[::2, ::2]), np.ascontiguousarray(labels[::2, ::2])
    # GrabCut starts from k-means; the seed makes a fit repeatable.
    cv2.setRNGSeed(0)
    model = np.zeros((2, 1, 65))
    try:
        cv2.grabCut(half, found, (0, 0, 0, 0), model[0], model[1], LEARNING_ROUNDS, cv2.GC_INIT_WITH_MASK)
        rows, columns = np.indices(near.shape) // 2
        labels = np.where(labels > cv2.GC_FGD, cv2.GC_PR_BGD + _is_hand(found)[rows, columns], labels).astype(np.uint8)
        cv2.grabCut(picture, labels, (0, 0, 0, 0), model[0], model[1], 1, cv2.GC_EVAL)
    except cv2.error:  # Fewer pixels than colours to be told apart.
        return nothing, nothing

    mask, trusted = nothing.copy(), nothing
    mask[window] = _is_hand(labels)
    trusted[window] = (inside < band - 1) & (outside < band - 1) & (to_wrist > band)
    return mask, trusted


def _is_hand(labels: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Surely or probably, in GrabCut's words."""
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _window(pixels: Bool[np.ndarray, "H W"], reach: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels that are nearer than `reach` to some, and next to them at least."""
    margin = max(math.ceil(reach) - 1, 1)
    spans = (np.flatnonzero(pixels.any(axis=axis))[[0, -1]] for axis in (1, 0))
    rows, columns = (slice(max(first - margin, 0), last + margin + 1) for first, last in spans)
    return rows, columns


def cut_out_hands(
    image: UInt8[np.ndarray, "H W 3"],
    sides: Int[np.ndarray, "H W"],
    forearm: Bool[np.ndarray, "H W"],
    *,
    band: float,
) -> Bool[np.ndarray, "H W"] | None:
    """Mask of the hands in a picture that came without one; it ends at the wrist.

    Args:
        image: RGB.
        sides: Side of the nearest projected hand at each pixel, negative where none projects.
        forearm: Where the part of the model behind the wrist projects.
        band: How far the projection may be off, pixels.

    Returns:
        The mask, one piece for each piece of a projected hand; None where GrabCut found nothing like the projection.
    """
    hands = sides >= 0
    mask, _ = segment_hands(image, hands | forearm, forearm, band=band)
    to_hands = distance_to(hands)
    mask &= (to_hands <= band) & (to_hands <= distance_to(forearm))
    mask = _pieces_of_hands(mask, sides)
    ratio = mask.sum() / max(hands.sum(), 1)
    overlap = (mask & hands).sum() / max((mask | hands).sum(), 1)
    return mask if AREA_RATIO[0] <= ratio <= AREA_RATIO[1] and overlap >= MIN_OVERLAP else None


def _pieces_of_hands(mask: Bool[np.ndarray, "H W"], sides: Int[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """For each connected piece of each projected hand the piece of the mask that covers most of it: a hand behind
    another one may be seen in several pieces, anything else is a speck."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8))
    kept = set()
    for side in np.unique(sides[sides >= 0]):
        count, parts = cv2.connectedComponents((sides == side).astype(np.uint8))
        for part in range(1, count):
            shares = np.bincount(pieces[parts == part])
            if shares[1:].any():
                kept.add(1 + int(shares[1:].argmax()))
    return np.isin(pieces, list(kept))


def trusted_outline(
    image: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "H W"],
    trusted: Bool[np.ndarray, "H W"],
    hidden: Bool[np.ndarray, "H W"] | None,
) -> MaskBoundary:
    """Outline of a mask of our own where it may be trusted, on the edges of the picture; without points where there is
    none.

    Args:
        image: RGB.
        mask: See `segment_hands`.
        trusted: See `segment_hands`.
        hidden: Where an object is seen; the outline beside it is the object's.
    """
    outline = away_from(mask_boundary(mask), hidden)
    x, y = outline.points.astype(int).T
    kept = trusted[y, x]
    return snap_boundary(image, MaskBoundary(outline.points[kept], outline.normals[kept]))


def snap_boundary(image: UInt8[np.ndarray, "H W 3"], outline: MaskBoundary) -> MaskBoundary:
    """Moves outline points onto the edge between what lies locally inside and outside, and drops those without
    contrast.

    GrabCut leaves out the bright rims that a light from behind draws round fingers. Seen along its own normal, such a
    rim is further from a dark background than the skin is: the edge is where, coming from outside, the color first
    leaves the background by half of the way to the skin. A bright background it outshines in some channel: there the
    edge is halfway up its own height. A shadow beside the hand, or the grain of a table, does neither.

    Args:
        image: RGB.
        outline: A rough outline, a few pixels off.
    """
    if not len(outline.points):
        return outline
    steps = np.arange(PROFILE, -PROFILE - 0.25, -0.5)
    at = outline.points[:, None] + steps[:, None] * outline.normals[:, None] - 0.5
    soft = cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float32)
    # OpenCV's remap takes at most 32767 rows.
    chunks = [cv2.remap(soft, part[..., 0], part[..., 1], cv2.INTER_LINEAR) for part in _chunks(at.astype(np.float32))]
    profile = np.concatenate(chunks)
    inside = profile[:, steps <= -PROFILE + 3].mean(1)
    outside = profile[:, steps >= PROFILE - 3].mean(1)
    axis = inside - outside
    contrast = np.linalg.norm(axis, axis=1)
    rises = ((profile - outside[:, None]) * axis[:, None]).sum(-1) / np.maximum(contrast, 1.0)[:, None] ** 2
    before_light = (outside.mean(1) > BRIGHT) & (axis.mean(1) < 0)
    up_a_rim = _up_a_rim((profile - outside[:, None]).max(-1), contrast[:, None])
    rises = np.maximum(rises, np.where(before_light[:, None], up_a_rim, 0))
    # The outermost crossing of one half, interpolated between the samples beside it.
    crossing = np.argmax(rises >= 0.5, 1)
    kept = (contrast > MIN_CONTRAST) & (crossing > 0)
    rows, crossing = np.flatnonzero(kept), crossing[kept]
    before, after = rises[rows, crossing - 1], rises[rows, crossing]
    offset = steps[crossing] + 0.5 * (after - 0.5) / np.maximum(after - before, 1e-6)
    moved = outline.points[rows] + offset[:, None] * outline.normals[rows]
    near = np.abs(offset) < PROFILE - 3
    return MaskBoundary(moved[near], outline.normals[rows][near])


def _up_a_rim(brighter: Float[np.ndarray, "P S"], contrast: Float[np.ndarray, "P 1"]) -> Float[np.ndarray, "P S"]:
    """Shares of the height that a rim first rises to; 0 beyond it, and where there is none.

    Args:
        brighter: Than the background in some channel; samples follow each other from outside.
        contrast: Between skin and background.
    """
    rim = brighter > np.maximum(RIM_SHARE * contrast, MIN_RIM)
    first, sample = np.argmax(rim, 1)[:, None], np.arange(brighter.shape[1])
    top = np.argmax((np.diff(brighter, append=0) < SLOW_RISE * contrast) & (sample >= first), 1)[:, None]
    height = np.take_along_axis(brighter, top, 1)
    return np.where(rim.any(1, keepdims=True) & (sample <= top), brighter / np.maximum(height, 1.0), 0)


def _chunks(values: np.ndarray, size: int = 30000) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]
