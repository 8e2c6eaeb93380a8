"""`hand-monocular`: one picture to a posed, textured and lit hand in the camera's frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Type

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.viewer.viewer_elements import ViewerDropdown
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.crop_batches import CropBatch
from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManagerConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.backbone import load_imagenet
from nerfstudio_hands.estimators.monocular.decoder import ROOT, CameraHand, decoder_of
from nerfstudio_hands.estimators.monocular.network import NUM_TEXTURE, MonocularNetwork, MonocularOutput
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.skin_basis import SkinBasis, lit_colors
from nerfstudio_hands.estimators.monocular.weights_file import PARTS, SHIPPED, load_predictor
from nerfstudio_hands.files.checkpoints import HAND, spelled
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model.load import load_right_hand
from nerfstudio_hands.hand_model.nimble import NimbleHand
from nerfstudio_hands.hand_model.nimble_file import read_nimble_skins
from nerfstudio_hands.model_components import hand_losses
from nerfstudio_hands.model_components.bone_capsules import bone_capsules
from nerfstudio_hands.model_components.drawn_hand import clay_colors, drawn_hand, photometric_terms
from nerfstudio_hands.models.image_model import ImageModel, ImageModelConfig, encoder_and_heads
from nerfstudio_hands.program.option_range import Weight, bounded
from nerfstudio_hands.synthesis.quick.people import drawn_albedo

PEOPLE = 40
"""Whose skins the basis is made of."""
FIRST_SEED = 700_000
"""Of these people, none of whom is in any picture that is drawn."""


@dataclass
class HandMonocularModelConfig(ImageModelConfig):
    """Encoder, heads and losses; a weight of 0 leaves a term out."""

    _target: Type = field(default_factory=lambda: HandMonocularModel)
    """target class to instantiate"""
    begin_with: str = ""
    """Network that a training begins with: "shipped" is the one that comes along, else a file that `ns-hands predict
    --save-network` wrote; by default none, and the encoder begins with its own first weights."""
    heat_map_loss_weight: Weight = 0.3
    """Heat maps against bumps at the joints in the picture."""
    heat_map_point_loss_weight: Weight = 5.0
    """Joints that heat maps find against those in the picture."""
    heat_map_scale_loss_weight: Weight = 0.1
    """Scale of the error that is expected of these against that which they have."""
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
    depth_consistency_loss_weight: Weight = 0.0
    """Depths of joints that heat maps find against those of the hand, palm lengths."""
    consistency_loss_weight: Weight = 0.1
    """Joints of the hand against those of the heat maps."""
    limit_loss_weight: Weight = 10.0
    """Angles beyond their limits."""
    shape_loss_weight: Weight = 0.005
    """Shape far from the mean."""
    collision_loss_weight: Weight = 0.05
    """Fingers in each other."""
    laplacian_loss_weight: Weight = 0.0
    """Roughness of the surface, per meter; S2HAND has 0.1, and a hand model is smooth by itself."""
    rendered: bounded(int, 0, 8192) = 4
    """Crops of a step that hands are drawn into and compared with; 0 leaves all terms of pictures out."""
    silhouette_loss_weight: Weight = 0.5
    """Outline of the drawn hand against the mask, where there is one."""
    photometric_loss_weight: Weight = 0.5
    """Colors of the drawn hand against the picture's."""
    ssim_loss_weight: Weight = 0.1
    """Structure of the drawn hand against the picture's."""
    mean_color_loss_weight: Weight = 0.2
    """Mean color of the drawn hand against the picture's."""
    texture_loss_weight: Weight = 0.005
    """Skin far from the mean of people's."""
    light_loss_weight: Weight = 0.005
    """Light far from even."""

    def predictor(self, data: HandImageDataManagerConfig) -> HandPredictor:
        hand = load_right_hand(self.hand_model)
        decoder = decoder_of(hand)
        network = MonocularNetwork(backbone=self.backbone, num_pose=decoder.num_pose, num_shape=hand.num_shape)
        return HandPredictor(network, decoder, SkinBasis(hand.num_vertices, NUM_TEXTURE), data.size)


@dataclass
class WeaklySupervisedModelConfig(HandMonocularModelConfig):
    """Learns from joints in the picture, true ones or detected, and from the picture itself."""

    joints_3d_loss_weight: Weight = 0.0
    """Joints against true ones in the camera's frame, per meter."""
    norm_joints_3d_loss_weight: Weight = 0.0
    """The same relative to the middle finger's first joint."""
    vertices_loss_weight: Weight = 0.0
    """The same of vertices, where the source knows those of this hand."""
    log_size_loss_weight: Weight = 0.0
    """Apparent size."""
    heat_map_depth_loss_weight: Weight = 0.0
    """Depths of joints that heat maps find against true ones, palm lengths."""
    depth_consistency_loss_weight: Weight = 0.3
    """Depths of joints that heat maps find against those of the hand, palm lengths."""
    pose_loss_weight: Weight = 0.0
    """Angles against true ones, where the source knows those of this hand."""
    consistency_loss_weight: Weight = 0.5
    """Joints of the hand against those of the heat maps."""
    shape_loss_weight: Weight = 0.05
    """Shape far from the mean."""
    rendered: bounded(int, 0, 8192) = 8
    """Crops of a step that hands are drawn into and compared with; 0 leaves all terms of pictures out."""


class HandMonocularModel(ImageModel):
    """The network, its decoder and its losses."""

    config: HandMonocularModelConfig
    edges: Tensor

    def populate_modules(self) -> None:
        super().populate_modules()
        hand = load_right_hand(self.config.hand_model)
        self.decoder = decoder_of(hand)
        self.network = MonocularNetwork(
            backbone=self.config.backbone,
            frozen_stages=self.config.frozen_stages,
            num_pose=self.decoder.num_pose,
            num_shape=hand.num_shape,
        )
        self.register_buffer(HAND, spelled(hand.name))
        self.bones = bone_capsules(*self.decoder.rest())
        self.register_buffer("edges", edges(hand.faces)[0], persistent=False)
        self.skin = SkinBasis(hand.num_vertices, NUM_TEXTURE)
        self.appearance_control = ViewerDropdown("Appearance", "skin", ["skin", "clay"])

    def begin(self) -> bool:
        """Takes the first weights of the encoder, or of all, for a training that goes on from nothing; says whether the
        encoder has any.

        Raises:
            HandsError: The file that is named cannot be read, or belongs to another encoder or hand model.
        """
        if self.config.begin_with:
            self._take_network(SHIPPED if self.config.begin_with == "shipped" else Path(self.config.begin_with))
            return True
        source, seeds = self.config.hand_model, range(FIRST_SEED, FIRST_SEED + PEOPLE)
        if isinstance(self.decoder.hand, NimbleHand):
            self.skin.learn(read_nimble_skins(source, self.decoder.hand, seeds))
        else:
            self.skin.learn(np.stack([drawn_albedo(source, seed) for seed in seeds]))
        return load_imagenet(self.network.encoder, self.config.backbone_weights)

    def _take_network(self, path: Path) -> None:
        known = load_predictor(path, self.config.hand_model)
        if known.network.encoder.name != self.network.encoder.name:
            raise HandsError(
                f"--pipeline.model.begin-with {path}: expected a network with the encoder {self.network.encoder.name}, "
                f"found {known.network.encoder.name}: give that as --pipeline.model.backbone."
            )
        for part in PARTS:
            getattr(self, part).load_state_dict(getattr(known, part).state_dict())

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return encoder_and_heads(self.network, [self.network.encoder])

    def predict(self, batch: CropBatch) -> Dict[str, Any]:
        output = self.network(batch["image"].float() / 255)
        return {"output": output, "hand": self.decoder(output, batch["focal"])}

    def get_metrics_dict(self, outputs: Dict[str, Any], batch: CropBatch) -> Dict[str, Tensor]:
        """Mean errors of joints: relative to the root and of depth in millimeters, in the picture in parts of the
        crop."""
        hand: CameraHand = outputs["hand"]
        found, truth = hand.joints.detach(), batch["joints"]
        relative = found - found[:, ROOT, None] - (truth - truth[:, ROOT, None])
        pixels = batch["pixels"]
        off = ((hand.pixels.detach() - pixels).norm(dim=-1) / 2).nan_to_num()
        return {
            "joints_mm": hand_losses.mean_millimeters(relative),
            "depth_mm": hand_losses.mean_millimeters((found - truth)[:, ROOT, 2:]),
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
            "heat_map": lambda: hand_losses.heat_map_loss(output.log_maps, pixels, confidence),
            "heat_map_point": lambda: hand_losses.point_loss(output.points, pixels, confidence),
            "heat_map_scale": lambda: hand_losses.scale_loss(output.points, output.log_scale, pixels, confidence),
            "heat_map_depth": lambda: self._depth_loss(output, truth),
            "depth_consistency": lambda: self._depth_loss(output, hand.joints),
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
            "collision": lambda: hand_losses.collision_loss(hand.joints, self.bones.radii, self.bones.apart),
            "laplacian": lambda: hand_losses.laplacian_loss(hand.vertices, self.edges),
            "texture": lambda: output.texture.square().mean(),
            "light": lambda: output.light.square().mean(),
        }
        if self.config.rendered:
            terms |= self._photometric(output, hand, batch)
        weights = {name: getattr(self.config, f"{name}_loss_weight") for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _photometric(
        self, output: MonocularOutput, hand: CameraHand, batch: CropBatch
    ) -> Dict[str, Callable[[], Tensor]]:
        """Terms of the first crops of a batch, into which hands are drawn."""
        size = batch["image"].shape[-1]
        found = []
        for index in range(min(self.config.rendered, len(hand.vertices))):
            vertices = hand.vertices[index]
            intrinsics = crop_intrinsics(batch["focal"][index], size)
            colors = self.colors_of(output, vertices, index)
            drawn = drawn_hand(vertices, self.decoder.hand.faces, colors, intrinsics, (size, size))
            found.append(photometric_terms(drawn, batch["image"][index], batch["mask"][index]))

        def mean(name: str) -> Callable[[], Tensor]:
            return lambda: torch.stack([getattr(terms, name) for terms in found]).mean()

        return {name: mean(name) for name in ("silhouette", "photometric", "ssim", "mean_color")}

    def vertices_of(self, hand: CameraHand, count: int) -> Optional[Float[Tensor, "B V 3"]]:
        return hand.vertices_of(count)

    def _vertices_loss(self, hand: CameraHand, batch: CropBatch) -> Tensor:
        vertices = hand.vertices_of(batch["vertices"].shape[1])
        if vertices is None:
            return hand.vertices.sum() * 0
        roots = hand.joints[:, ROOT], batch["joints"][:, ROOT]
        return hand_losses.norm_joint_loss(vertices, batch["vertices"], *roots)

    def _depth_loss(self, output: MonocularOutput, truth: Tensor) -> Tensor:
        palm = (truth[:, ROOT] - truth[:, 0]).norm(dim=-1, keepdim=True)
        depths = (truth[..., 2] - truth[:, ROOT, 2:]) / palm
        return hand_losses.weighted_mean((output.depths - depths.nan_to_num()).abs(), depths.isfinite())

    def _pose_loss(self, output: MonocularOutput, batch: CropBatch) -> Tensor:
        if batch["vertices"].shape[1] != self.decoder.hand.num_vertices:
            return output.fractions.sum() * 0
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
        vertices = hand.vertices[0]
        if self.appearance_control.value == "skin":
            colors = self.colors_of(prediction["output"], vertices, 0)
        else:
            colors = clay_colors(vertices, self.decoder.hand.faces)
        return drawn_hand(
            vertices, self.decoder.hand.faces, colors, intrinsics, (width, height), view_to_camera
        ).layers()

    def colors_of(self, output: MonocularOutput, vertices: Float[Tensor, "V 3"], index: int) -> Float[Tensor, "V 3"]:
        """Colors of the vertices of one hand of a batch, as displayed."""
        normals = vertex_normals(vertices, self.decoder.hand.faces)
        return lit_colors(self.skin(output.texture[index : index + 1])[0], output.light[index], normals)


def crop_intrinsics(focal: Float[Tensor, ""], size: int) -> Float[Tensor, "3 3"]:
    """K of a crop, pixels, whose focal length is given in its sides."""
    matrix = torch.zeros(3, 3, device=focal.device)
    matrix[0, 0] = matrix[1, 1] = focal * size
    matrix[0, 2] = matrix[1, 2] = size / 2
    matrix[2, 2] = 1
    return matrix
