"""Batches of crops of hands: the same for the same step, whatever draws them and wherever a training is gone on
from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from nerfstudio_hands.hand_images.crops import MARGIN, HandCrop, crop_hand, hand_box, view_of
from nerfstudio_hands.hand_images.hand_image import HandImage, HandImages, mirrored


class CropBatch(TypedDict):
    """B crops of right hands (left ones are mirrored) and what is known of them; NaN where nothing is.

    Places in space are those of the views' axes, meters; `pixels` are in crop units, -1 to 1.
    """

    image: UInt8[Tensor, "B 3 S S"]
    mask: UInt8[Tensor, "B S S"]
    """0 outside of the hand, 1 on it, 255 where that is not known."""
    focal: Float[Tensor, " B"]
    """Of the view, sides of the crop."""
    joints: Float[Tensor, "B 21 3"]
    pixels: Float[Tensor, "B 21 2"]
    confidence: Float[Tensor, "B 21"]
    vertices: Float[Tensor, "B V 3"]
    """V is 0 where the source knows none."""
    rotations: Float[Tensor, "B 16 3"]
    shape: Float[Tensor, "B K"]
    """K is 0 where the source knows none."""
    turn: Float[Tensor, "B 3 3"]
    """From the view's axes to those of the picture's camera."""
    is_mirrored: Bool[Tensor, " B"]
    row: Tensor
    """Indices in the source."""


@dataclass(frozen=True)
class Augmentation:
    """How far a training crop differs from the one that an evaluation sees; each is drawn evenly within its range."""

    roll: float = 180.0
    """Degrees to either side about the optical axis."""
    scale: float = 0.25
    """Part by which the crop is larger or smaller."""
    shift: float = 0.12
    """Sides of the crop to either side."""
    color: float = 0.25
    """Part by which each channel, and contrast, is stronger or weaker."""


class CropBatches(Dataset):
    """Batches by step.

    Attributes:
        clip: Pictures that are looked at together, one after the other in a batch.

    Args:
        source: Of pictures.
        size: Side of a crop, pixels.
        batch_size: Crops of a batch, of this process.
        seed: Of order and augmentation.
        augmentation: None for the crop of an evaluation.
        rank: Which of the processes this is.
        world_size: Processes that train together; each sees other pictures.
        crops_per_image: How many crops of a batch are of one picture, where reading it takes longer than cutting it.
        margin: Side of a crop over the longer side of the box of the hand's joints.
        affine: Whether crops are cut out of pictures as they are, see `crops.View`.
    """

    clip = 1

    def __init__(
        self,
        source: HandImages,
        *,
        size: int,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None,
        rank: int = 0,
        world_size: int = 1,
        crops_per_image: int = 1,
        margin: float = MARGIN,
        affine: bool = False,
    ) -> None:
        self.source, self.size, self.batch_size, self.seed = source, size, batch_size, seed
        self.crops_per_image, self.margin, self.affine = crops_per_image, margin, affine
        self.augmentation, self.rank, self.world_size = augmentation, rank, world_size
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def steps_of_an_epoch(self) -> int:
        """Whole batches of all processes."""
        return max(1, len(self.source) // (self.pictures * self.world_size))

    @property
    def pictures(self) -> int:
        """Of a batch of this process."""
        return -(-self.batch_size // self.crops_per_image)

    def rows(self, step: int) -> list[int]:
        """Which pictures a step sees: epochs are permutations of all."""
        epoch, place = divmod(step, self.steps_of_an_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.source))
        start = (place * self.world_size + self.rank) * self.pictures
        return [int(row) for row in np.take(self._order[1], range(start, start + self.pictures), mode="wrap")]

    def __getitem__(self, step: int) -> CropBatch:
        crops = [crop for row in self.rows(step) for crop in self._crops(row, step)]
        return self.collated(crops[: self.batch_size * self.clip], np.random.default_rng((self.seed, step)))

    def plain(self, rows: list[int]) -> CropBatch:
        """Pictures as an evaluation sees them, or the clips that end with them."""
        crops = [crop for row in rows for crop in self._plain_crops(row)]
        return self.collated(crops, np.random.default_rng((self.seed, *rows)))

    def members(self, row: int) -> list[int]:
        """Pictures of the clip that ends with a picture."""
        return [row]

    def read(self, row: int) -> HandImage:
        """A picture of the source."""
        return self.source.read(row)

    def collated(self, crops: list[RightHandCrop], rng: np.random.Generator) -> CropBatch:
        """A batch of crops; what belongs to it and is drawn is drawn by `rng`."""
        return collate(crops)

    def _plain_crops(self, row: int) -> Iterator[RightHandCrop]:
        for member in self.members(row):
            picture, is_mirrored = right_hand(self.read(member))
            yield plain_crop(picture, self.size, self.margin, affine=self.affine), is_mirrored, member

    def _crops(self, row: int, step: int) -> Iterator[RightHandCrop]:
        """Crops of a picture, or of its clip, for a step."""
        if self.augmentation is None:
            yield from self._plain_crops(row)
            return
        members = self.members(row)
        pictures = [right_hand(self.read(member)) for member in members]
        for number in range(self.crops_per_image):
            for (picture, is_mirrored), member in zip(pictures, members, strict=True):
                # The pictures of a clip are cut alike.
                rng = np.random.default_rng((self.seed, step, row, number))
                how = {"margin": self.margin, "affine": self.affine}
                yield augmented_crop(picture, self.size, self.augmentation, rng, **how), is_mirrored, member


RightHandCrop = tuple[HandCrop, bool, int]
"""A crop, whether its picture was mirrored so that the hand is a right one, and the row of that."""


def right_hand(picture: HandImage) -> tuple[HandImage, bool]:
    """The picture, mirrored where it shows a left hand, and whether it was."""
    return (mirrored(picture), True) if picture.labels.side == "left" else (picture, False)


def plain_crop(picture: HandImage, size: int, margin: float = MARGIN, *, affine: bool = False) -> HandCrop:
    """The crop round the hand's box."""
    labels = picture.labels
    box = hand_box(labels, picture.rgb.shape[1], picture.rgb.shape[0])
    return crop_hand(picture, view_of(labels.intrinsics, box, size, scale=margin, affine=affine), size)


def augmented_crop(
    picture: HandImage,
    size: int,
    by: Augmentation,
    rng: np.random.Generator,
    *,
    margin: float = MARGIN,
    affine: bool = False,
) -> HandCrop:
    """A crop turned, moved, scaled and colored at random."""
    labels = picture.labels
    box = hand_box(labels, picture.rgb.shape[1], picture.rgb.shape[0])
    view = view_of(
        labels.intrinsics,
        box,
        size,
        scale=margin * (1 + by.scale * rng.uniform(-1, 1)),
        shift=tuple(by.shift * rng.uniform(-1, 1, 2)),
        roll=float(np.radians(by.roll) * rng.uniform(-1, 1)),
        affine=affine,
    )
    crop = crop_hand(picture, view, size)
    gain = 1 + by.color * rng.uniform(-1, 1, 4)
    middle = crop.rgb.mean()
    colored = (crop.rgb - middle) * gain[3] + middle
    rgb = cv2.convertScaleAbs(colored * gain[:3]).clip(0, 255)
    return HandCrop(rgb, view, crop.labels, crop.mask)


def collate(crops: list[RightHandCrop]) -> CropBatch:
    """A batch of crops."""
    size = crops[0][0].rgb.shape[0]
    count_vertices = max(_length(crop.labels.vertices) for crop, _, _ in crops)
    count_shape = max(_length(crop.labels.shape) for crop, _, _ in crops)

    def stacked(name: str, shape: tuple[int, ...]) -> Tensor:
        missing = np.full(shape, np.nan, np.float32)
        values = (getattr(crop.labels, name) for crop, _, _ in crops)
        return torch.from_numpy(
            np.stack([missing if value is None else np.asarray(value, np.float32) for value in values])
        )

    pixels = stacked("pixels", (21, 2))
    confidence = stacked("confidence", (21,))
    # Where no confidence is given, what is known is certain.
    confidence = torch.where(confidence.isnan(), pixels.isfinite().all(-1).float(), confidence)
    unknown = np.full((size, size), 255, np.uint8)
    masks = [unknown if crop.mask is None else crop.mask.astype(np.uint8) for crop, _, _ in crops]
    return CropBatch(
        image=torch.from_numpy(np.stack([crop.rgb for crop, _, _ in crops])).permute(0, 3, 1, 2).contiguous(),
        mask=torch.from_numpy(np.stack(masks)),
        focal=torch.tensor([crop.view.intrinsics[0, 0] / size for crop, _, _ in crops], dtype=torch.float32),
        joints=stacked("joints", (21, 3)),
        pixels=2 * pixels / size - 1,
        confidence=confidence,
        vertices=stacked("vertices", (count_vertices, 3)),
        rotations=stacked("rotations", (16, 3)),
        shape=stacked("shape", (count_shape,)),
        turn=torch.from_numpy(np.stack([crop.view.rotation for crop, _, _ in crops])).float(),
        is_mirrored=torch.tensor([is_mirrored for _, is_mirrored, _ in crops]),
        row=torch.tensor([row for _, _, row in crops]),
    )


def _length(values: np.ndarray | None) -> int:
    return 0 if values is None else len(values)
