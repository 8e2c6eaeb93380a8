"""What every model of hands in known poses shares: posed surface, colour responses, losses and figures of pictures."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Callable, ClassVar, Dict, List, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.utils import colormaps
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import ImageBatch, RayBatch
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.image_metrics import (
    Judged,
    hand_metrics,
    inner_metrics,
    predict,
    reduced,
    reduced_image,
)
from nerfstudio_hands.evaluation.perceptual import load_lpips
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.program.memory import explain_out_of_memory, now
from nerfstudio_hands.program.option_range import Weight, bounded
from nerfstudio_hands.viewer.pose_controls import PoseControls

SATURATION = 0.98
"""Pixel values from here on say only that the true colour is at least as bright."""


@dataclass
class PosedHandModelConfig(ModelConfig):
    """Choices that every model of hands in known poses shares."""

    enable_collider: bool = False
    """The hand bounds the rays; no collider is needed."""
    refine_poses: bool = False
    """Let training move the poses of the fit."""
    refine_cameras: bool = False
    """Let training turn and shift the cameras that it sees, for calibrations that are some pixels off."""
    camera_colors: bool = True
    """Learn a gain and a bias a colour channel for every training camera but the first."""
    huber_delta: bounded(float, 1e-6, 10) = 0.04
    """Colour differences beyond this count linearly: they are misfit, not colour. A large one gives the squared error.
    """
    perceptual_loss: Weight = 0.0
    """Weight of LPIPS on patches (needs `ns-hands fetch-weights`; try 0.01); 0 costs nothing."""
    camera_penalty: Weight = 1e-2
    """Weight of the squared gains and biases."""
    camera_pose_penalty: Weight = 20.0
    """Weight of the squared corrections of the cameras, radians and metres: without it hand and rig grow together."""
    pose_penalty: Weight = 0.03
    """Weight of the squared corrections of the poses, radians (and decimetres of translation) summed over each frame's
    hands: what keeps them near the fit."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        """What to lower where a training step does not fit into memory."""
        return f"lower --pipeline.datamanager.train-num-rays-per-batch{now(data.train_num_rays_per_batch)}"

    def rendering_remedy(self) -> str:
        """What to lower where a picture does not fit into memory."""
        return (
            f"lower eval_num_rays_per_chunk{now(self.eval_num_rays_per_chunk)}, in training by "
            "--pipeline.model.eval-num-rays-per-chunk, for ns-render by --eval-num-rays-per-chunk; or render smaller "
            "pictures"
        )


class PosedHandModel(Model):
    """Hands of a capture in known poses, and the colour responses of its cameras.

    A method says in `make_hands` which surface is posed, and renders it.
    """

    config: PosedHandModelConfig
    learned_labels: Tuple[int, ...] = (PixelLabel.HAND,)
    """Labels of the pixels that the model shows."""
    can_be_relit: ClassVar[bool] = False
    """Whether the colours hold in any light: then there is a `relight`."""

    def populate_modules(self):
        super().populate_modules()
        avatar: AvatarData = self.kwargs["metadata"]["hands"]
        self.camera_names = avatar.camera_names
        self.frame_names = avatar.frame_names
        self.hands = self.make_hands(avatar)
        num_cameras = len(self.camera_names)
        self.camera_gain = Parameter(torch.zeros(num_cameras, 3), requires_grad=self.config.camera_colors)
        self.camera_bias = Parameter(torch.zeros(num_cameras, 3), requires_grad=self.config.camera_colors)
        self.camera_poses = Parameter(torch.zeros(num_cameras, 6), requires_grad=self.config.refine_cameras)
        self.register_buffer("camera_seen", torch.zeros(num_cameras, dtype=torch.bool))
        self.pose_controls = PoseControls(self.hands, self.frame_names, self.scene_box)
        self.perceptual = None

    @abstractmethod
    def make_hands(self, avatar: AvatarData) -> PosedHands:
        """The hands that are posed."""

    @abstractmethod
    def export_source(self) -> ExportSource:
        """What files are made of, see `export/`."""

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {}
        if self.config.camera_colors:
            groups["camera_colors"] = [self.camera_gain, self.camera_bias]
        if self.config.refine_cameras:
            groups["camera_opt"] = [self.camera_poses]
        if self.config.refine_poses:
            groups["poses"] = list(self.hands.deltas.parameters())
        return groups

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        """Called once before training: what only training needs is made ready here, and missing weights are said."""
        if self.config.perceptual_loss > 0:
            try:
                network = load_lpips("vgg")
            except HandsError as error:
                raise SystemExit(f"error: {error}") from error
            # Kept out of the module tree: its weights belong neither into checkpoints nor to an optimiser.
            self.__dict__["perceptual"] = network.to(self.device).requires_grad_(False)
        return super().get_training_callbacks(attributes)

    def before_each_step(
        self, attributes: TrainingCallbackAttributes, act: Callable[[float], None]
    ) -> TrainingCallback:
        """Calls `act` before every training step with the share of the training that is over."""
        steps = attributes.trainer.config.max_num_iterations

        def call(step: int) -> None:
            act(step / steps)

        return TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], call)

    def camera_response(
        self, color: Float[Tensor, "*R 3"], accumulation: Float[Tensor, "*R 1"], camera: Int[Tensor, "*R"] | None
    ) -> Float[Tensor, "*R 3"]:
        """Colour as a training camera records it; where none is given, or one that training has not seen, as the mean
        of the training cameras."""
        if not self.config.camera_colors or not self.camera_seen.any():
            return color
        seen = self.camera_seen[:, None]
        index = torch.arange(len(seen), device=color.device)[:, None]
        # The first one is the reference, or a common gain would be free.
        fixed = index == self.camera_seen.int().argmax()
        gain, bias = (torch.where(fixed, torch.zeros_like(t), t) for t in (self.camera_gain, self.camera_bias))
        # The mean stands in for all others.
        gain, bias = (torch.where(seen, t, t[self.camera_seen].mean(dim=0)) for t in (gain, bias))
        if camera is None:
            return color * gain[self.camera_seen].mean(dim=0).exp() + bias[self.camera_seen].mean(dim=0) * accumulation
        return color * gain[camera].exp() + bias[camera] * accumulation

    def mean_exposure(self, color: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colours of what is opaque, as the mean of the training cameras records them, in [0, 1]."""
        return self.camera_response(color, torch.ones_like(color[:, :1]), None).clamp(0, 1)

    def beyond_scene(self, origins: Float[Tensor, "R 3"]) -> Float[Tensor, "R 1"]:
        """A distance from each origin at which the scene box is left in every direction, metres."""
        low, high = self.scene_box.aabb.to(origins)
        return (origins - (low + high) / 2).norm(dim=-1, keepdim=True) + (high - low).norm() / 2

    def get_rgba_image(self, outputs: Dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Colour without the black behind it, and opacity, as exporters want them."""
        accumulation = (
            outputs[output_name.replace("rgb", "accumulation")] if "rgb" in output_name else outputs["accumulation"]
        )
        return torch.cat([(outputs[output_name] / accumulation.clamp(min=1e-6)).clamp(0, 1), accumulation], dim=-1)

    def camera_of(self, rays: RayBundle) -> Int[Tensor, "*R"] | None:
        """The camera that each ray belongs to, noted as seen in training; None where rays name none."""
        if not rays.metadata or "camera_index" not in rays.metadata:
            return None
        camera = rays.metadata["camera_index"][..., 0].long()
        if self.training:
            self.camera_seen[camera.reshape(-1)] = True
        return camera

    def correct_cameras(self, rays: RayBundle, camera: Int[Tensor, "*R"] | None) -> RayBundle:
        """The rays as the corrected training cameras cast them; unseen cameras stay where they are.

        The mean of the corrections is left out: moving all cameras moves the hand.
        """
        if not self.config.refine_cameras or camera is None or not self.camera_seen.any():
            return rays
        seen = self.camera_seen[:, None]
        moves = exp_map_SO3xR3((self.camera_poses - self.camera_poses[self.camera_seen].mean(dim=0)) * seen)[camera]
        directions = (moves[..., :3] @ rays.directions[..., None])[..., 0]
        return replace(rays, origins=rays.origins + moves[..., 3], directions=directions)

    def common_penalty(self) -> Float[Tensor, ""]:
        """What keeps colour responses and poses near what was known before, with its weights."""
        config = self.config
        found = config.camera_penalty * (self.camera_gain.square().mean() * 0.1 + self.camera_bias.square().mean())
        if config.refine_cameras:
            found = found + config.camera_pose_penalty * self.camera_poses.square().sum(dim=-1).mean()
        return found if self.hands.deltas is None else found + config.pose_penalty * self.hands.correction()

    def learns(self, label: Int[Tensor, "*R"]) -> Bool[Tensor, "*R"]:
        """Which pixels show what is modelled."""
        return torch.isin(label, torch.tensor(self.learned_labels, device=label.device, dtype=label.dtype))

    def get_metrics_dict(self, outputs: Dict[str, Tensor], batch: RayBatch) -> Dict[str, Tensor]:
        hand = batch["hand_label"].view(-1).to(self.device) == PixelLabel.HAND
        rgb, truth = outputs["rgb"].view(-1, 3), batch["image"].view(-1, 3).to(self.device)
        error = (rgb.clamp(0, 1) - truth)[hand].square().mean()
        return {"psnr": -10 * torch.log10(error.clamp(min=1e-10))}

    def patch_loss(self, predicted: Tensor, truth: Tensor, label: Tensor, patch_size: int) -> Float[Tensor, ""]:
        """LPIPS (VGG) between patches over black; pixels that take no part are black in both."""
        shown = self.learns(label)[:, None]
        known = shown | (label == PixelLabel.BACKGROUND)[:, None]
        patches = [
            (values * keep).view(-1, patch_size, patch_size, 3).permute(0, 3, 1, 2).clamp(0, 1) * 2 - 1
            for values, keep in ((predicted, known), (truth, shown))
        ]
        return self.perceptual(*patches).mean()

    # Evaluation -----------------------------------------------------------------------------------------------------

    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> Dict[str, Tensor]:
        with explain_out_of_memory("rendering", self.config.rendering_remedy()):
            return super().get_outputs_for_camera(camera, obb_box)

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: ImageBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """Figures of a held-out picture and pictures to look at: `img` is truth, prediction with calibrated colour,
        prediction as it is. Where nothing but a mask of our own tells the hand, each figure's name begins with
        `own_mask_`; where training saw smaller pictures, figures at its size begin with `reduced_`."""
        judged, inner = self._judged(batch)
        radiance, accumulation = outputs["radiance"], outputs["accumulation"]
        prediction = predict(radiance, accumulation[..., 0], judged)
        figures = hand_metrics(prediction, judged) | inner_metrics(prediction, inner)
        scale = batch["training_scale"]
        if scale < 1:
            small = reduced(judged, scale)
            size = small.truth.shape[:2]
            lesser = predict(reduced_image(radiance, size), reduced_image(accumulation, size)[..., 0], small)
            figures |= {f"reduced_{key}": value for key, value in hand_metrics(lesser, small).items()}
        if batch["mask_is_own"]:
            figures = {f"own_mask_{key.replace('mask_', '')}": value for key, value in figures.items()}
        height, width = judged.truth.shape[:2]
        figures |= {"image_width": float(width), "image_height": float(height)}
        error = (prediction.calibrated * judged.counted[..., None] - judged.target).abs().mean(dim=-1, keepdim=True)
        images = {
            "img": torch.cat([self._shown_truth(judged, batch), prediction.calibrated, prediction.rgb], dim=1),
            "truth": judged.truth,
            "prediction": prediction.rgb,
            "calibrated": prediction.calibrated,
            "region": judged.region[..., None].float(),
            "counted": judged.counted[..., None].float(),
            "drawn": prediction.drawn[..., None].float(),
            "error": colormaps.apply_colormap((error * 4).clamp(0, 1)),
            "accumulation": colormaps.apply_colormap(accumulation),
            "depth": colormaps.apply_depth_colormap(outputs["depth"], accumulation=accumulation),
            "normals": outputs["normals"] * accumulation,
        }
        return figures, images

    def _judged(self, batch: ImageBatch) -> Tuple[Judged, Judged]:
        """The held-out picture with the pixels that a prediction is judged by, and with those inside the fit."""
        mask, region, ignored, inner = (
            batch[f"hand_{name}"][..., 0].bool().to(self.device) for name in ("mask", "region", "ignored", "inner")
        )
        truth = batch["image"].to(self.device)
        return Judged(truth, region, ~ignored), Judged(truth, inner, inner | ~mask)

    def _shown_truth(self, judged: Judged, batch: ImageBatch) -> Float[Tensor, "H W 3"]:
        """The hand over black, with what it holds where the model shows that too."""
        if PixelLabel.OBJECT not in self.learned_labels:
            return judged.target
        held = (batch["hand_label"] == PixelLabel.OBJECT)[..., 0].to(self.device)
        return judged.truth * (judged.region | held)[..., None]


def color_loss(predicted: Float[Tensor, "N 3"], truth: Float[Tensor, "N 3"], delta: float) -> Float[Tensor, ""]:
    """Huber loss; where the truth is saturated only a darker prediction is wrong."""
    if not len(predicted):
        return predicted.sum()
    difference = predicted - truth
    difference = torch.where(truth >= SATURATION, difference.clamp(max=0), difference)
    return F.huber_loss(difference, torch.zeros_like(difference), delta=delta)
