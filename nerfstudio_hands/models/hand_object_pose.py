"""`hand-object-pose`: the joints of a hand, and the center of what it holds, from one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Type

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.scene_batches import SceneBatch
from nerfstudio_hands.estimators.backbone import DEFAULT, load_imagenet
from nerfstudio_hands.estimators.hand_object.pose_network import ScenePlaces, ScenePoseNetwork, placed
from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED, load_predictor
from nerfstudio_hands.hand_model.joint_frames import joint_frames, resting_joints, skinned_by_frames
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.model_components.drawn_hand import clay_colors, drawn_hand
from nerfstudio_hands.model_components.hand_losses import heat_map_loss, mean_millimeters, point_loss
from nerfstudio_hands.model_components.scene_losses import depth_map_loss, ordinal_loss, place_loss
from nerfstudio_hands.models.image_model import ImageModel, ImageModelConfig, encoder_and_heads
from nerfstudio_hands.program.option_range import Weight, bounded

WristDepth = Literal["given", "predicted"]
"""Where the depth of wrists comes from: labels, as in published figures, or the palm's size in the picture."""


@dataclass
class ScenePose:
    """B right hands and what they hold, axes of the views, meters.

    Attributes:
        joints: In the order of `JOINT_NAMES`.
        vertices: Of the mean hand laid on these joints.
        center: Of the object.
        places: What was read off the volumes.
    """

    joints: Float[Tensor, "B 21 3"]
    vertices: Float[Tensor, "B V 3"]
    center: Float[Tensor, "B 3"]
    places: ScenePlaces


@dataclass
class HandObjectPoseModelConfig(ImageModelConfig):
    """Encoder, volumes and losses; a weight of 0 leaves a term out."""

    _target: Type = field(default_factory=lambda: HandObjectPoseModel)
    """target class to instantiate"""
    hand_network: Optional[Path] = None
    """A trained network of hand-monocular (`ns-hands predict --save-network`), whose encoder is begun with; by default
    the one that comes along, where neither other weights nor another hand or encoder are asked for."""
    cells: bounded(int, 8, 128) = 32
    """Of a volume along its depth."""
    wrist: WristDepth = "given"
    """Where the depth of wrists comes from in evaluations; training is always told."""
    heat_map_loss_weight: Weight = 0.3
    """Heat maps against bumps at joints and center in the picture."""
    heat_map_point_loss_weight: Weight = 5.0
    """Joints and center that heat maps find against true ones in the picture."""
    depth_map_loss_weight: Weight = 0.3
    """Depths against bumps at the true ones."""
    joints_loss_weight: Weight = 1.0
    """Joints and center against true ones in the camera's frame, per square decimeter."""
    ordinal_loss_weight: Weight = 1.0
    """Whether joints and bones lie in the true order, seen from all around."""


class HandObjectPoseModel(ImageModel):
    """The network and its losses."""

    config: HandObjectPoseModelConfig
    template: Tensor
    weights: Tensor

    def populate_modules(self) -> None:
        super().populate_modules()
        self.hand = load_hand(self.config.hand_model, "right")
        self.register_buffer("template", self.hand.template, persistent=False)
        self.register_buffer("weights", self.hand.weights, persistent=False)
        self.network = ScenePoseNetwork(
            resting_joints(self.hand),
            backbone=self.config.backbone,
            frozen_stages=self.config.frozen_stages,
            cells=self.config.cells,
        )

    def begin(self) -> bool:
        """Takes the encoder's first weights, for a training that goes on from nothing; says whether there are any.

        Raises:
            HandsError: A file that is named cannot be read, or belongs to another encoder.
        """
        config = self.config
        is_usual = (config.backbone, config.backbone_weights, config.hand_model) == (DEFAULT, None, "default")
        path = config.hand_network or (SHIPPED if is_usual else None)
        if path is None:
            return load_imagenet(self.network.encoder, config.backbone_weights)
        self.network.begin_with(load_predictor(path, config.hand_model).network)
        return True

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return encoder_and_heads(self.network, [self.network.encoder])

    def predict(self, batch: SceneBatch) -> Dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        places = self.network(batch["image"].float() / 255)
        wrist = batch["joints"][:, 0]
        if self.config.wrist == "predicted" and not self.training:
            wrist = self.network.wrist(places, batch["focal"])
        joints, center = placed(places, batch["focal"], wrist)
        frames, _ = joint_frames(joints, self.network.rest)
        vertices = skinned_by_frames(self.template, self.weights, self.network.rest, joints, frames)
        return {"hand": ScenePose(joints, vertices, center, places)}

    def get_metrics_dict(self, outputs: Dict[str, Any], batch: SceneBatch) -> Dict[str, Tensor]:
        """Mean errors of joints, relative to the wrist, and of the object's center, millimeters."""
        found: ScenePose = outputs["hand"]
        truth = batch["joints"]
        return {
            "joints_mm": mean_millimeters(found.joints - found.joints[:, :1] - truth + truth[:, :1]),
            "center_mm": mean_millimeters(found.center - batch["center"]),
        }

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: SceneBatch, metrics_dict: Optional[Dict[str, Tensor]] = None
    ) -> Dict[str, Tensor]:
        found: ScenePose = outputs["hand"]
        volumes = found.places.volumes
        truth = torch.cat([batch["joints"], batch["center"][:, None]], 1)
        # Centers in the picture follow from those in space.
        center = 2 * batch["focal"][:, None] * batch["center"][:, :2] / batch["center"][:, 2:]
        pixels = torch.cat([batch["pixels"], center[:, None]], 1)
        certain = torch.ones_like(pixels[..., 0])
        depths = (truth[..., 2] - truth[:, :1, 2]) / self.network.reach
        terms = {
            "heat_map": lambda: heat_map_loss(volumes.log_maps, pixels, certain),
            "heat_map_point": lambda: point_loss(volumes.places[..., :2], pixels, certain),
            "depth_map": lambda: depth_map_loss(volumes.log_depths, depths, depths.isfinite()),
            "joints": lambda: place_loss(torch.cat([found.joints, found.center[:, None]], 1), truth),
            "ordinal": lambda: ordinal_loss(found.joints, batch["joints"]),
        }
        weights = {name: getattr(self.config, f"{name}_loss_weight") for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def draw(
        self,
        prediction: Dict[str, Any],
        intrinsics: Float[Tensor, "3 3"],
        view_to_camera: Float[Tensor, "4 4"],
        width: int,
        height: int,
    ) -> Dict[str, Float[Tensor, "H W C"]]:
        vertices = prediction["hand"].vertices[0]
        colors = clay_colors(vertices, self.hand.faces.to(vertices.device))
        return drawn_hand(vertices, self.hand.faces, colors, intrinsics, (width, height), view_to_camera).layers()
