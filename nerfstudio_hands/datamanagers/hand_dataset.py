"""Pictures of a capture with a label a pixel: hand, background, object, or none of these."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset

from nerfstudio_hands.captures.capture import image_size, read_image, read_mask, read_object_mask
from nerfstudio_hands.datamanagers.crop_cache import CropCache
from nerfstudio_hands.datamanagers.image_labels import training_labels
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_region import EvaluationRegion, evaluation_region, inner_region
from nerfstudio_hands.fitting.silhouettes.segmentation import cut_out_hands
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.rasterize import Raster
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.hand_model.side_image import NO_SIDE, side_image
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.transforms.pixel_distances import distance_to, distance_to_boundary

FULL_SIZE_DILATION = 6.0
"""Pixels by which the projected hand is dilated in pictures 1280 pixels wide: the misfit of a good registration,
twice."""

RIM = 2.0
"""Pixels on both sides of a mask's boundary, in pictures 1280 pixels wide, that take no part in training."""

MASK_BAND = 0.008
"""How far a hand that was fitted to joints alone may be off its picture, metres: the band within which GrabCut seeks
its outline."""

BLACKEST = 16
"""A picture without any value from here on is black: a camera that dropped a frame."""

WRIST_BAND = 0.03
"""How far from the projected hand the mask still shows the hand in an evaluation, metres: more than a fit is ever off.
"""

FRAMES_KEPT = 4
"""Posed surfaces that are kept at once."""

CAPTURE, GRABCUT, PROJECTION, NO_HAND, NO_PICTURE = range(5)
"""Where the mask of a picture comes from: the capture or the fit, GrabCut, the projected hand alone; the last two say
that no hand is seen, and that the picture is black or cannot be read."""


@dataclass
class PixelLabels:
    """What is known of the pixels of one picture.

    Attributes:
        label: 0 background, 1 hand, 2 takes no part in the loss, 3 object in the hand.
        mask: the mask, all false where it is unusable, with the object's.
        region: the hand, by which a prediction is judged.
        ignored: pixels that say nothing about a prediction.
        inner: the part of the hand that the fit projects to.
        source: where the mask comes from.
    """

    label: UInt8[np.ndarray, "H W"]
    mask: Bool[np.ndarray, "H W"]
    region: Bool[np.ndarray, "H W"]
    ignored: Bool[np.ndarray, "H W"]
    inner: Bool[np.ndarray, "H W"]
    source: int

    @staticmethod
    def nothing(label: UInt8[np.ndarray, "H W"], source: int) -> PixelLabels:
        """Labels of a picture that no figure is taken over."""
        none = np.zeros(label.shape, dtype=bool)
        return PixelLabels(label, none, none, none, none, source)


@dataclass
class _Projection:
    """The hands as one camera sees them; `whole` is the part of `sides` whose pixels are covered to their edges, and
    `pixels` says how many of them a metre spans at the depth of the hands."""

    sides: np.ndarray
    whole: np.ndarray
    forearm: np.ndarray
    pixels: float


class HandDataset(InputDataset):
    """Adds to every row: `hand_label` [H, W, 1] (0 background, 1 hand, 2 takes no part in the loss, 3 object in the
    hand, of no part in the hand's losses either), `hand_mask` [H, W, 1] (the mask of the capture, all false where it is
    unusable, with the object's), `hand_region`, `hand_ignored` and `hand_inner` [H, W, 1] (see `PixelLabels`) and
    `mask_is_own`, whether the mask was cut by ourselves, with the fit as its seed.

    A capture that comes without any mask gets masks of our own; where the truth of a synthetic one is beside it, the
    evaluation is by that. Labels are made when they are asked for, or read from `crops` where the data manager has set
    these.
    """

    exclude_batch_keys_from_device = InputDataset.exclude_batch_keys_from_device + [
        "hand_label",
        "hand_mask",
        "hand_region",
        "hand_ignored",
        "hand_inner",
    ]

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        self.crops: CropCache | None = None
        self._surfaces: OrderedDict[int, Surfaces] = OrderedDict()
        self._posing = threading.Lock()

    def without_rows(self) -> HandDataset:
        """The same data set with no picture in it."""
        outputs = self._dataparser_outputs
        return type(self)(replace(outputs, image_filenames=[], cameras=outputs.cameras[:0]))

    @cached_property
    def has_masks(self) -> bool:
        """Whether the capture, or its fit, brings a mask of any picture."""
        given = [*self.metadata["mask_paths"], *self.metadata["own_masks"]]
        return any(mask is not None for mask in given)

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        """The picture [H, W, 3], reduced by area averaging to the size of its camera; black where it cannot be
        read."""
        width, height = self._size(image_idx)
        try:
            image = read_image(self._dataparser_outputs.image_filenames[image_idx])
        except HandsError:
            return np.zeros((height, width, 3), dtype=np.uint8)
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    def get_metadata(self, data: dict) -> dict:
        row, (height, width) = data["image_idx"], data["image"].shape[:2]
        if self.crops is None:
            found = self.labels(row, self.get_numpy_image(row))
        else:
            found = PixelLabels(*self.crops.labels(row, height, width), source=int(self.crops.index["source"][row]))
        pixels = {name: getattr(found, name) for name in ("label", "mask", "region", "ignored", "inner")}
        return {f"hand_{name}": torch.from_numpy(values)[..., None] for name, values in pixels.items()} | {
            "mask_is_own": found.source in (GRABCUT, PROJECTION) and self.metadata["true_mask_paths"][row] is None,
            "training_scale": self.metadata["training_scales"][row],
        }

    def labels(self, row: int, image: UInt8[np.ndarray, "H W 3"]) -> PixelLabels:
        """Labels of a row's picture, which is given because it has been read already; may be called from several
        threads."""
        unknown = np.full(image.shape[:2], PixelLabel.IGNORE, dtype=np.uint8)
        if image.max() < BLACKEST:
            return PixelLabels.nothing(unknown, NO_PICTURE)
        hands, held = self._project(row), self._held(row)
        if held is not None:
            hands = replace(
                hands,
                sides=np.where(held, NO_SIDE, hands.sides),
                whole=hands.whole & ~held,
                forearm=hands.forearm & ~held,
            )
        if self.has_masks:
            found = self._labels_of_given_mask(row, hands)
        elif (hands.sides != NO_SIDE).any():
            found = self._labels_of_own_mask(row, hands, image)
        else:
            found = PixelLabels.nothing(unknown, NO_HAND)
        return found if held is None else self._with_object(row, found, held)

    def _labels_of_given_mask(self, row: int, hands: _Projection) -> PixelLabels:
        width, height = self._size(row)
        modelled, sides, dilation = self._modelled(), hands.sides, self._dilation(row)
        verdict, own = self.metadata["mask_verdicts"][row], self.metadata["own_masks"][row]
        share = np.zeros_like(sides, dtype=np.float32)
        if self.metadata["mask_paths"][row] is not None:
            share = self._share(row)
            if own is None and not share.any():
                # Neither the capture nor the fit finds a hand where it should be.
                return PixelLabels.nothing(np.full_like(sides, PixelLabel.IGNORE, dtype=np.uint8), NO_HAND)
        evaluated = share if verdict != "useless" else np.zeros_like(share)
        own = None if own is None else _reduced(own, width, height) > 0.5
        mask = evaluated > 0.5 if verdict == "good" or own is None else own
        if not mask.any():
            label = training_labels(None, sides, dilation=dilation, modelled_sides=modelled, erosion=dilation)
        else:
            label = training_labels(
                mask, sides, dilation=dilation, modelled_sides=modelled, margin=dilation, erosion=dilation
            )
            if own is not None:
                # Two masks of the same picture: where they disagree, one has swallowed background, or lost a finger.
                label[mask != own] = PixelLabel.IGNORE
            self._leave_out_boundary(row, label, mask, hands.whole)
        return self._judged(row, label, evaluated, hands, CAPTURE)

    def _labels_of_own_mask(self, row: int, hands: _Projection, image: UInt8[np.ndarray, "H W 3"]) -> PixelLabels:
        modelled, sides, dilation = self._modelled(), hands.sides, self._dilation(row)
        band = max(2 * dilation, MASK_BAND * hands.pixels)
        projected = sides != NO_SIDE
        mask = cut_out_hands(image, sides, hands.forearm, band=band)
        source = PROJECTION if mask is None else GRABCUT
        if mask is None:
            mask = projected
            label = training_labels(None, sides, dilation=dilation, modelled_sides=modelled, erosion=dilation)
            label[distance_to(projected) > band] = PixelLabel.BACKGROUND
        else:
            label = training_labels(
                mask, sides, dilation=band, modelled_sides=modelled, margin=dilation, erosion=dilation
            )
            self._leave_out_boundary(row, label, mask, hands.whole)
        # The mask ends at the wrist, the arm in the picture does not.
        behind_wrist = distance_to(hands.forearm) <= distance_to(projected) + dilation
        label[behind_wrist & (label == PixelLabel.BACKGROUND)] = PixelLabel.IGNORE
        return self._judged(row, label, mask.astype(np.float32), hands, source)

    def _judged(self, row: int, label: np.ndarray, share: np.ndarray, hands: _Projection, source: int) -> PixelLabels:
        """The labels with what an evaluation needs; the truth of a synthetic capture goes before any other mask."""
        path = self.metadata["true_mask_paths"][row]
        if path is not None:
            share = self._share_of(row, path)
        judged = self._evaluation_region(row, share, hands)
        # A pixel that is partly hand has a colour that belongs to neither.
        inner = inner_region(share > 0.99, np.where(hands.whole, hands.sides, NO_SIDE), self._modelled())
        return PixelLabels(label, share > 0.5, judged.region, judged.ignored, inner, source)

    def _evaluation_region(self, row: int, share: np.ndarray, hands: _Projection) -> EvaluationRegion:
        modelled = np.isin(hands.sides, self._modelled())
        other = (hands.sides != NO_SIDE) & ~modelled
        return evaluation_region(
            share,
            hand=modelled,
            stub=self._stubs(row),
            other=other,
            band=WRIST_BAND * hands.pixels,
            rim=self._rim(row),
        )

    def _with_object(self, row: int, found: PixelLabels, held: np.ndarray) -> PixelLabels:
        """The labels with the object, whose outline belongs to nothing, over them.

        The mask has it too: as with a forearm, what the mask shows beyond the region does not count in an evaluation.
        """
        rim = distance_to_boundary(held) < self._rim(row)
        found.label[held] = PixelLabel.OBJECT
        found.label[rim] = PixelLabel.IGNORE
        near = held | rim
        return replace(
            found,
            mask=found.mask | held,
            region=found.region & ~near,
            ignored=found.ignored | near,
            inner=found.inner & ~held,
        )

    def _held(self, row: int) -> Bool[np.ndarray, "H W"] | None:
        """Where the object is seen; None without a mask of it."""
        path = self.metadata["object_mask_paths"][row]
        if path is None:
            return None
        mask = read_object_mask(path, image_size(self._dataparser_outputs.image_filenames[row]))
        return _reduced(mask, *self._size(row)) > 0.5

    def _leave_out_boundary(self, row: int, label: np.ndarray, mask: np.ndarray, whole: np.ndarray) -> None:
        # What the projected hand covers wholly is never called empty: masks have holes and miss bright rims.
        label[whole & (label == PixelLabel.BACKGROUND)] = PixelLabel.IGNORE
        # On the boundary of a mask a pixel shows hand and background, and the boundary is a pixel or two off.
        label[distance_to_boundary(mask) < self._rim(row)] = PixelLabel.IGNORE

    def _rim(self, row: int) -> float:
        return max(1.0, RIM * self._size(row)[0] / 1280)

    def _project(self, row: int) -> _Projection:
        avatar: AvatarData = self.metadata["hands"]
        surfaces = self._posed(int(self.cameras.metadata["frame_index"][row]))

        def draw(scale: int):
            drawn = self._draw(row, surfaces, scale)
            return drawn, side_image(drawn.face, avatar.all_hands.face_side, avatar.all_hands.face_is_hand)

        width, height = self._size(row)
        drawn, sides = draw(1)
        parts = draw(2)[1].reshape(height, 2, width, 2)
        met = drawn.face >= 0
        return _Projection(
            sides=sides,
            whole=np.isin(parts, self._modelled()).all(axis=(1, 3)),
            forearm=met.numpy() & (sides == NO_SIDE),
            pixels=float(self.cameras.fx[row] / drawn.z_depth[met].median()) if met.any() else 0.0,
        )

    def _stubs(self, row: int) -> Bool[np.ndarray, "H W"]:
        """Where the ends of the hands behind their wrists project, also where a hand hides them."""
        hands = self.metadata["hands"].all_hands
        faces = torch.cat([hands.faces[~hands.face_is_hand], hands.closing_faces])
        vertices = self._posed(int(self.cameras.metadata["frame_index"][row])).vertices
        return (self._draw(row, Surfaces(faces, vertices)).face >= 0).numpy()

    def _draw(self, row: int, surfaces: Surfaces, scale: int = 1) -> Raster:
        camera = self.cameras[row]
        camera_to_world = torch.eye(4)
        camera_to_world[:3] = camera.camera_to_worlds
        camera_to_world[:, 1:3] *= -1
        width, height = self._size(row)
        return rasterize(
            surfaces,
            torch.diag(torch.tensor([scale, scale, 1.0])) @ camera.get_intrinsics_matrices(),
            torch.linalg.inv(camera_to_world),
            width * scale,
            height * scale,
        )

    def _posed(self, frame: int) -> Surfaces:
        """Surface of all hands in one frame; the last few are kept, since rows of a frame follow each other."""
        avatar: AvatarData = self.metadata["hands"]
        with self._posing:
            if frame not in self._surfaces:
                vertices, closing = avatar.all_vertices([frame]), avatar.all_hands.closing_faces
                self._surfaces[frame] = Surfaces(avatar.all_hands.faces, vertices, closing_faces=closing)
                if len(self._surfaces) > FRAMES_KEPT:
                    self._surfaces.popitem(last=False)
            return self._surfaces[frame]

    def _modelled(self) -> list[int]:
        return [SIDES.index(side) for side in self.metadata["hands"].surface.sides]

    def _dilation(self, row: int) -> float:
        return max(2.0, FULL_SIZE_DILATION * self._size(row)[0] / 1280)

    def _size(self, row: int) -> tuple[int, int]:
        return int(self.cameras.width[row]), int(self.cameras.height[row])

    def _share(self, row: int) -> Float[np.ndarray, "H W"]:
        """Share of each pixel that the capture's mask covers."""
        return self._share_of(row, self.metadata["mask_paths"][row], inverted=self.metadata["masks_inverted"][row])

    def _share_of(self, row: int, path: Path, *, inverted: bool = False) -> Float[np.ndarray, "H W"]:
        mask = read_mask(path, image_size(self._dataparser_outputs.image_filenames[row]), inverted=inverted)
        return _reduced(mask, *self._size(row))


class TrainingPictures(HandDataset):
    """Rows of pictures alone: training takes its labels from crops, and the viewer, which shows the pictures, none; no
    figure is taken over them."""

    def _evaluation_region(self, row: int, share: np.ndarray, hands: _Projection) -> EvaluationRegion:
        nothing = np.zeros(share.shape, dtype=bool)
        return EvaluationRegion(region=nothing, ignored=nothing)

    def get_metadata(self, data: dict) -> dict:
        return {}


def _reduced(mask: Bool[np.ndarray, "h w"], width: int, height: int) -> Float[np.ndarray, "H W"]:
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
