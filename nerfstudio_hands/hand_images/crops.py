"""What a network sees of a picture: the square picture of a virtual camera that looks at the hand.

A homography turns the camera onto the hand, so that the crop is what a camera there would have taken; cutting a
rectangle out shears a hand at the border of a wide picture (gSDF, Chen et al., CVPR 2023, cuts and turns the labels
alone). For comparisons with it, views can be affine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.transforms.projection import project

MARGIN = 1.35
"""Side of a crop over the longer side of the box that the hand's joints fill: skin lies round the joints."""

MOST_TURNED = 75.0
"""Degrees between the optical axis and a hand's direction beyond which a picture cannot be turned onto it."""


@dataclass(frozen=True)
class View:
    """A virtual camera at the place of a picture's.

    Attributes:
        intrinsics: K of the square crop, pixels; its principal point is the crop's center.
        rotation: From the virtual camera's axes to those of the picture's camera.
        is_affine: Whether the crop is cut out of the picture, turned within it and scaled, as gSDF does, which is what
            the virtual camera sees in its middle alone.
    """

    intrinsics: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    is_affine: bool = False

    def homography(self, intrinsics: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
        """From pixels of the picture, whose K is given, to pixels of the crop."""
        if not self.is_affine:
            return self.intrinsics @ self.rotation.T @ np.linalg.inv(intrinsics)
        center = intrinsics @ self.rotation[:, 2]
        roll = _toward(self.rotation[:, 2]).T @ self.rotation
        matrix = np.eye(3)
        matrix[:2, :2] = self.intrinsics[0, 0] / intrinsics[0, 0] * roll[:2, :2].T
        matrix[:2, 2] = self.intrinsics[:2, 2] - matrix[:2, :2] @ (center[:2] / center[2])
        return matrix


@dataclass(frozen=True)
class HandCrop:
    """A crop and its labels, in the axes and pixels of its view.

    Attributes:
        rgb: The crop.
        view: The virtual camera.
        labels: As of a picture that this camera took.
        mask: Where the hand is seen, None where that is not known.
    """

    rgb: UInt8[np.ndarray, "S S 3"]
    view: View
    labels: HandLabels
    mask: Bool[np.ndarray, "S S"] | None = None


def hand_box(labels: HandLabels, width: int, height: int) -> Float[np.ndarray, " 4"]:
    """Left, top, right and bottom in pixels: the box of the hand's joints, else the given one, else the picture."""
    pixels = labels.pixels
    if pixels is None and labels.joints is not None:
        pixels = project(labels.joints.astype(np.float64), labels.intrinsics, np.eye(4))[0]
    if pixels is None or not np.isfinite(pixels).all(-1).any():
        return np.array([0.0, 0.0, width, height]) if labels.box is None else np.asarray(labels.box, np.float64)
    pixels = pixels[np.isfinite(pixels).all(-1)]
    return np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float64)


def view_of(
    intrinsics: Float[np.ndarray, "3 3"],
    box: Float[np.ndarray, " 4"],
    size: int,
    *,
    scale: float = MARGIN,
    shift: tuple[float, float] = (0.0, 0.0),
    roll: float = 0.0,
    affine: bool = False,
) -> View:
    """The virtual camera whose picture holds a box.

    Args:
        intrinsics: K of the picture.
        box: Left, top, right and bottom, pixels.
        size: Side of the crop, pixels.
        scale: Side of the crop over the box's longer side.
        shift: Of the crop's center, sides of the crop.
        roll: Turn about the optical axis, radians.
        affine: Whether crops are cut out as they are, see `View`.
    """
    # A box that is a point, as of one known joint, is as large as a fingertip.
    side = scale * max(box[2] - box[0], box[3] - box[1], 8.0)
    center = (box[:2] + box[2:]) / 2 + side * np.array(shift)
    inverse = np.linalg.inv(intrinsics)
    ray = inverse @ np.array([*center, 1.0])
    flat = np.tan(np.radians(MOST_TURNED))
    across = np.linalg.norm(ray[:2])
    if across > flat:
        ray[:2] *= flat / across
    rotation = _toward(ray) @ _about_axis(roll)
    # As many pixels for a radian in the middle of the crop as the box has sides.
    corners = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * side / 2 + center
    directions = np.column_stack([corners, np.ones(4)]) @ inverse.T @ _toward(ray)
    reach = np.abs(directions[:, :2] / directions[:, 2:].clip(min=0.1)).max()
    focal = intrinsics[0, 0] * size / side if affine else size / 2 / reach
    return View(np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]]), rotation, affine)


def crop_hand(picture: HandImage, view: View, size: int) -> HandCrop:
    """The picture as the virtual camera sees it; pixels outside of the picture are gray."""
    to_crop = view.homography(picture.labels.intrinsics)
    rgb, mask = _warped(picture.rgb, to_crop, size, 127), picture.mask
    if mask is not None:
        mask = _warped(mask.astype(np.uint8) * 255, to_crop, size, 0) > 127
    return HandCrop(rgb, view, turned_labels(picture.labels, view), mask)


def turned_labels(labels: HandLabels, view: View) -> HandLabels:
    """The labels in the axes and pixels of a virtual camera."""
    to_crop = view.homography(labels.intrinsics)
    pixels = labels.pixels
    if pixels is not None:
        ahead = np.column_stack([pixels, np.ones(len(pixels))]) @ to_crop.T
        pixels = (ahead[:, :2] / ahead[:, 2:]).astype(np.float32)
    elif labels.joints is not None:
        pixels = project(labels.joints.astype(np.float64), labels.intrinsics, np.eye(4))[0]
        return turned_labels(replace(labels, pixels=pixels.astype(np.float32)), view)
    turn = np.eye(4)
    turn[:3, :3] = view.rotation.T
    return replace(
        labels,
        intrinsics=view.intrinsics,
        joints=_turned(labels.joints, view.rotation),
        vertices=_turned(labels.vertices, view.rotation),
        rotations=_turned_wrist(labels.rotations, view.rotation),
        pixels=pixels,
        box=None,
        held=labels.held and replace(labels.held, to_camera=turn @ labels.held.to_camera),
    )


def _turned(points: np.ndarray | None, rotation: Float[np.ndarray, "3 3"]) -> np.ndarray | None:
    return None if points is None else (points @ rotation).astype(np.float32)


def _turned_wrist(rotations: np.ndarray | None, rotation: Float[np.ndarray, "3 3"]) -> np.ndarray | None:
    if rotations is None:
        return None
    turned = rotations.copy()
    turned[0] = cv2.Rodrigues(rotation.T @ cv2.Rodrigues(rotations[0].astype(np.float64))[0])[0][:, 0]
    return turned


def _toward(ray: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Axes, as columns, of a camera that looks along a ray without a roll: first to the side, then up or down."""
    forward = ray / np.linalg.norm(ray)
    right = np.array([forward[2], 0.0, -forward[0]])
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(forward, right), forward])


def _about_axis(angle: float) -> Float[np.ndarray, "3 3"]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _warped(image: np.ndarray, to_crop: Float[np.ndarray, "3 3"], size: int, outside: int) -> np.ndarray:
    """The image through a homography, made smaller first where one pixel of the crop covers several of its own."""
    middle = np.linalg.inv(to_crop) @ np.array([size / 2, size / 2, 1.0])
    middle = middle[:2] / middle[2]
    ahead = np.column_stack([middle + np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]), np.ones(4)]) @ to_crop.T
    ahead = ahead[:, :2] / ahead[:, 2:]
    pixels = 2 / min(np.linalg.norm(ahead[0] - ahead[1]), np.linalg.norm(ahead[2] - ahead[3]))
    if pixels >= 2:
        height, width = image.shape[:2]
        smaller = (max(1, int(width / int(pixels))), max(1, int(height / int(pixels))))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        to_crop = to_crop @ np.diag([width / smaller[0], height / smaller[1], 1.0])
    # OpenCV has the center of the upper left pixel at 0.
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    border = (outside,) * (image.shape[2] if image.ndim == 3 else 1)
    matrix = np.linalg.inv(half) @ to_crop @ half
    return cv2.warpPerspective(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=border)
