"""Pictures of a capture with a label a pixel: hand, background, or neither."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from rich.progress import track

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.dataparsers.capture import image_size, read_image, read_mask
from nerfstudio_hands.evaluation.hand_region import (
    BACKGROUND,
    NO_PART,
    NO_SIDE,
    hand_region,
    side_image,
    training_labels,
)
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.hand_model import SIDES

FULL_SIZE_DILATION = 6.0
"""Pixels by which the projected hand is dilated in pictures 1280 pixels wide: the misfit of a good registration,
twice."""

RIM = 2.0
"""Pixels on both sides of a mask's boundary, in pictures 1280 pixels wide, that take no part in training."""


class HandDataset(InputDataset):
    """Adds to every row: `hand_label` [H, W, 1] (0 background, 1 hand, 2 takes no part in the loss), `hand_mask` [H,
    W, 1] (the mask of the capture, all false where it is unusable) and `hand_region` [H, W, 1] (where hand metrics
    are taken)."""

    exclude_batch_keys_from_device = InputDataset.exclude_batch_keys_from_device + [
        "hand_label",
        "hand_mask",
        "hand_region",
    ]

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        avatar: AvatarData = self.metadata["hands"]
        surfaces = Surfaces(avatar.all_hands.faces, avatar.all_vertices, closing_faces=avatar.all_hands.closing_faces)
        rows = track(range(len(self)), description="Labelling pixels", transient=True, disable=len(self) < 4)
        self._labels = [self._label(row, surfaces) for row in rows]

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        """The picture [H, W, 3], reduced by area averaging to the size of its camera."""
        image = read_image(self._dataparser_outputs.image_filenames[image_idx])
        return cv2.resize(image, self._size(image_idx), interpolation=cv2.INTER_AREA)

    def get_metadata(self, data: dict) -> dict:
        label, mask, region = self._labels[data["image_idx"]]
        return {
            "hand_label": torch.from_numpy(label)[..., None],
            "hand_mask": torch.from_numpy(mask)[..., None],
            "hand_region": torch.from_numpy(region)[..., None],
        }

    def _size(self, row: int) -> tuple[int, int]:
        return int(self.cameras.width[row]), int(self.cameras.height[row])

    def _label(self, row: int, surfaces: Surfaces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        avatar: AvatarData = self.metadata["hands"]
        camera = self.cameras[row]
        width, height = self._size(row)
        camera_to_world = torch.eye(4)
        camera_to_world[:3] = camera.camera_to_worlds
        camera_to_world[:, 1:3] *= -1
        world_to_camera = torch.linalg.inv(camera_to_world)

        def draw(scale: int) -> np.ndarray:
            drawn = rasterize(
                surfaces,
                torch.diag(torch.tensor([scale, scale, 1.0])) @ camera.get_intrinsics_matrices(),
                world_to_camera,
                width * scale,
                height * scale,
                surface=int(camera.metadata["frame_index"]),
            )
            return side_image(drawn.face, avatar.all_hands.face_side, avatar.all_hands.face_is_hand)

        sides = draw(1)
        modelled = [SIDES.index(side) for side in avatar.surface.sides]
        dilation = max(2.0, FULL_SIZE_DILATION * width / 1280)
        verdict, own = self.metadata["mask_verdicts"][row], self.metadata["own_masks"][row]
        evaluated = self._share(row) if verdict != "useless" else np.zeros_like(sides, dtype=np.float32)
        own = None if own is None else _reduced(own, width, height) > 0.5
        mask = evaluated > 0.5 if verdict == "good" or own is None else own
        parts = draw(2).reshape(height, 2, width, 2)
        whole = np.isin(parts, modelled).all(axis=(1, 3))
        if not mask.any():
            label = training_labels(None, sides, dilation=dilation, modelled_sides=modelled, erosion=dilation)
        else:
            label = training_labels(
                mask, sides, dilation=dilation, modelled_sides=modelled, margin=dilation, erosion=dilation
            )
            if own is not None:
                # Two masks of the same picture: where they disagree, one has swallowed background, or lost a finger.
                label[mask != own] = NO_PART
            # What the projected hand covers wholly is never called empty: masks have holes and miss bright rims.
            label[whole & (label == BACKGROUND)] = NO_PART
            # On the boundary of a mask a pixel shows hand and background, and the boundary is a pixel or two off.
            label[_distance_to_boundary(mask) < max(1.0, RIM * width / 1280)] = NO_PART
        # A pixel that is partly hand has a colour that belongs to neither.
        region = hand_region(evaluated > 0.99, np.where(whole, sides, NO_SIDE), modelled)
        return label, evaluated > 0.5, region

    def _share(self, row: int) -> Float[np.ndarray, "H W"]:
        """Share of each pixel that the capture's mask covers."""
        mask = read_mask(self.metadata["mask_paths"][row], image_size(self._dataparser_outputs.image_filenames[row]))
        return _reduced(mask, *self._size(row))


def _reduced(mask: Bool[np.ndarray, "h w"], width: int, height: int) -> Float[np.ndarray, "H W"]:
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


def _distance_to_boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels from each pixel centre to the nearest pixel of the other value, less a half."""
    inside, outside = (
        cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (mask, ~mask)
    )
    return np.maximum(inside, outside) - 0.5
