"""Held-out images with the region over which figures are taken, from the truth where a capture has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset

from nerfstudio_hands.datamanagers.batch import LABEL_KEYS
from nerfstudio_hands.datamanagers.crop_cache import CropCache
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.datamanagers.projected_hands import Projection
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.evaluation.hand_region import evaluation_region, inner_region
from nerfstudio_hands.hand_model.side_image import NO_SIDE

WRIST_REACH = 0.03
"""How far from the projected hand the mask still shows the hand in an evaluation, metres: more than a fit is ever off.
"""


class EvaluationImages(TrainingImages):
    """Images whose items are an `ImageBatch` each.

    Where the truth of a synthetic capture lies beside it, the evaluation is by that. Labels are made when they are
    asked for, or read from `crops` where the data manager has set these.
    """

    exclude_batch_keys_from_device = [*InputDataset.exclude_batch_keys_from_device, *LABEL_KEYS]

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        self.crops: CropCache | None = None

    def emptied(self) -> EvaluationImages:
        """The same data set with no image in it."""
        outputs = self._dataparser_outputs
        return type(self)(replace(outputs, image_filenames=[], cameras=outputs.cameras[:0]))

    def get_metadata(self, data: dict) -> dict:
        """What an `ImageBatch` holds beside the image."""
        index = data["image_idx"]
        found = self._kept_labels(index)
        pixels = {key: torch.from_numpy(getattr(found, key.removeprefix("hand_")))[..., None] for key in LABEL_KEYS}
        ours = found.source in (MaskSource.GRABCUT, MaskSource.PROJECTION)
        return {
            **pixels,
            "mask_is_own": ours and self.masks[index].truth is None,
            "training_scale": self.masks[index].training_scale,
        }

    def _kept_labels(self, index: int) -> PixelLabels:
        if self.crops is None:
            return self.labels(index, self.get_numpy_image(index))
        width, height = self.hands.size(index)
        return self.crops.labels(index, height, width)

    def _judged(
        self,
        index: int,
        label: UInt8[np.ndarray, "H W"],
        coverage: Float[np.ndarray, "H W"],
        hands: Projection,
        source: MaskSource,
    ) -> PixelLabels:
        """The labels with what an evaluation needs; the truth of a synthetic capture goes before any other mask."""
        path, modeled = self.masks[index].truth, self.hands.modeled
        if path is not None:
            coverage = self._coverage(index, path)
        hand = np.isin(hands.sides, modeled)
        judged = evaluation_region(
            coverage,
            hand=hand,
            stub=self.hands.stubs(index),
            other=hands.seen & ~hand,
            band=WRIST_REACH * hands.pixels,
            rim=self._boundary(index),
        )
        # A pixel that is partly hand has a colour that belongs to neither.
        inner = inner_region(coverage > 0.99, np.where(hands.whole, hands.sides, NO_SIDE), modeled)
        return PixelLabels(label, coverage > 0.5, judged.region, judged.ignored, inner, source)
