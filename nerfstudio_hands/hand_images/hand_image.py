"""One hand in one picture and what is known of it, and the sources that such pictures come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from nerfstudio_hands.hand_model.joints import SIDES


@dataclass(frozen=True)
class HeldLabels:
    """What is known of the rigid thing that a hand holds.

    Attributes:
        name: Of its mesh, see `HandObjectImages.held_mesh`.
        to_camera: From the mesh's own frame to the camera's, rigid, meters; with a reflection where the picture is
            mirrored.
    """

    name: str
    to_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class HandLabels:
    """What is known of a hand in a picture; what is not known is None.

    Frame of all places in space: the camera's in OpenCV axes (x right, y down, z forward), meters. The center of the
    upper left pixel is (0.5, 0.5).

    Attributes:
        side: ``left`` or ``right``.
        intrinsics: K in pixels.
        joints: The 21 joints in the order of ``joints.JOINT_NAMES``.
        pixels: The same in the picture, pixels.
        confidence: Of each of the `pixels`, 0 to 1.
        vertices: Of the hand model that the source names.
        rotations: Local rotations of that model, axis-angle about the axes of the flat rest frame, radians: the wrist
            in the camera's frame, then joints 1 to 15 in MANO order.
        shape: Shape coefficients of that model.
        bone_length: From joint 9 to joint 10 (the middle finger's first bone), meters: what data sets give away also
            where they hide the joints.
        box: Left, top, right and bottom of the hand, pixels.
        held: What the hand holds.
    """

    side: str
    intrinsics: Float[np.ndarray, "3 3"]
    joints: Float32[np.ndarray, "21 3"] | None = None
    pixels: Float32[np.ndarray, "21 2"] | None = None
    confidence: Float32[np.ndarray, " 21"] | None = None
    vertices: Float32[np.ndarray, "V 3"] | None = None
    rotations: Float32[np.ndarray, "16 3"] | None = None
    shape: Float32[np.ndarray, " K"] | None = None
    bone_length: float | None = None
    box: Float32[np.ndarray, " 4"] | None = None
    held: HeldLabels | None = None


@dataclass(frozen=True)
class HandImage:
    """A picture and its labels.

    Attributes:
        rgb: The picture.
        labels: Of the hand in it.
        mask: Where the hand is seen, None where that is not known.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    labels: HandLabels
    mask: Bool[np.ndarray, "h w"] | None = None


class HandImages(Protocol):
    """A source of pictures: a data set on disk, a capture, or a renderer that draws a picture when it is asked for.

    What `read` and `labels` say of an index is always the same, in every process. A source can be pickled, opens its
    files late, and holds no array that grows with their number but memory-mapped ones.
    """

    name: str
    """What messages call it, for example its folder."""
    hand_model: str
    """Whose vertices, rotations and shapes the labels are: ``default`` or ``mano``."""

    def __len__(self) -> int: ...

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding or drawing the picture."""
        ...

    def read(self, index: int) -> HandImage:
        """Picture, labels and mask."""
        ...


@dataclass(frozen=True)
class HeldMesh:
    """A thing in its own frame, meters.

    Attributes:
        vertices: Anywhere; the thing's center is the middle of the box round them.
        faces: Counter-clockwise seen from outside.
    """

    vertices: Float32[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]

    @property
    def center(self) -> Float[np.ndarray, " 3"]:
        """Middle of the box round the vertices."""
        return (self.vertices.min(0) + self.vertices.max(0)).astype(np.float64) / 2


class HandObjectImages(HandImages, Protocol):
    """A source of pictures of hands that hold something."""

    def held_mesh(self, name: str) -> HeldMesh:
        """The mesh that `HeldLabels` name."""
        ...

    def hand_faces(self) -> Int[np.ndarray, "F 3"]:
        """Of the vertices of right hands, open at the wrist."""
        ...

    def clip(self, index: int, length: int) -> list[int]:
        """Pictures of the sequence that a picture belongs to, in the order of time, this one the last if there are
        enough before it; the first is repeated where the sequence is shorter."""
        ...


def mirrored(picture: HandImage) -> HandImage:
    """The picture as a mirror shows it: a left hand as a right one, and back."""
    return HandImage(
        rgb=np.ascontiguousarray(picture.rgb[:, ::-1]),
        labels=mirrored_labels(picture.labels, picture.rgb.shape[1]),
        mask=None if picture.mask is None else np.ascontiguousarray(picture.mask[:, ::-1]),
    )


def mirrored_labels(labels: HandLabels, width: int) -> HandLabels:
    """Labels of a picture of so many pixels a row as a mirror shows it."""
    intrinsics = labels.intrinsics.copy()
    intrinsics[0, 2] = width - intrinsics[0, 2]
    box, held = labels.box, labels.held
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(
        labels,
        side=SIDES[1 - SIDES.index(labels.side)],
        intrinsics=intrinsics,
        joints=_times(labels.joints, (-1, 1, 1)),
        pixels=None if labels.pixels is None else labels.pixels * _single(-1, 1) + _single(width, 0),
        vertices=_times(labels.vertices, (-1, 1, 1)),
        rotations=_times(labels.rotations, (1, -1, -1)),
        box=None if box is None else np.stack([width - box[2], box[1], width - box[0], box[3]]),
        held=held and replace(held, to_camera=flip @ held.to_camera),
    )


def _single(*numbers: float) -> Float32[np.ndarray, "N"]:
    return np.array(numbers, np.float32)


def _times(values: np.ndarray | None, factors: tuple[int, int, int]) -> np.ndarray | None:
    return None if values is None else values * np.array(factors, values.dtype)
