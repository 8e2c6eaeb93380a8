"""What every model of hands in known poses shares: posed surface, color responses, losses and figures of pictures."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Dict, List, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.models.base_model import Model, ModelConfig
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import ImageBatch, RayBatch
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.perceptual import load_lpips
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.image_figures import image_figures
from nerfstudio_hands.model_components.losses import PixelTargets, patch_loss
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.model_components.training_cameras import TrainingCameras
from nerfstudio_hands.program.memory import explain_out_of_memory, now
from nerfstudio_hands.program.option_range import Weight, bounded
from nerfstudio_hands.viewer.pose_controls import PoseControls


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
    """Learn a gain and a bias a color channel for every training camera but the first."""
    huber_delta: bounded(float, 1e-6, 10) = 0.04
    """Color differences beyond this count linearly: they are misfit, not color. A large one gives the squared error.
    """
    perceptual_loss_weight: Weight = 0.0
    """Weight of LPIPS on patches (needs `ns-hands fetch-weights`; try 0.01); 0 costs nothing."""
    camera_loss_weight: Weight = 1e-2
    """Weight of the squared gains and biases."""
    camera_pose_loss_weight: Weight = 20.0
    """Weight of the squared corrections of the cameras, radians and meters: without it hand and rig grow together."""
    pose_loss_weight: Weight = 0.03
    """Weight of the squared corrections of the poses, radians (and decimeters of translation) summed over each frame's
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
    """Hands of a capture in known poses, and its cameras.

    A method says in `make_hands` which surface is posed, and renders it.
    """

    config: PosedHandModelConfig
    scene_corners: Tensor
    learned_labels: Tuple[int, ...] = (PixelLabel.HAND,)
    """Labels of the pixels that the model shows."""
    can_be_relit: ClassVar[bool] = False
    """Whether the colors hold in any light: then there is a `relight`."""

    def populate_modules(self):
        super().populate_modules()
        self.camera_names, self.frame_names = self.avatar.camera_names, self.avatar.frame_names
        self.hands = self.make_hands(self.avatar)
        self.cameras = TrainingCameras(
            len(self.camera_names), learn_colors=self.config.camera_colors, refine_poses=self.config.refine_cameras
        )
        self.register_buffer("scene_corners", self.scene_box.aabb.float(), persistent=False)
        self.pose_controls = PoseControls(self.hands, self.frame_names, self.scene_box, self.export_source)
        self.perceptual = None

    @property
    def avatar(self) -> AvatarData:
        """What the data parser says of the hands."""
        return self.kwargs["metadata"]["hands"]

    @abstractmethod
    def make_hands(self, avatar: AvatarData) -> PosedHands:
        """The hands that are posed."""

    @abstractmethod
    def export_source(self) -> ExportSource:
        """What files are made of, see `export/`."""

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = self.cameras.param_groups()
        return {**groups, "poses": list(self.hands.deltas.parameters())} if self.config.refine_poses else groups

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        """Called once before training: what only training needs is made ready here, and missing weights are said."""
        if self.config.perceptual_loss_weight > 0:
            try:
                network = load_lpips("vgg")
            except HandsError as error:
                raise SystemExit(f"error: {error}") from error
            # Kept out of the module tree: its weights belong neither into checkpoints nor to an optimizer.
            self.__dict__["perceptual"] = network.to(self.device).requires_grad_(False)
        return super().get_training_callbacks(attributes)

    # Rendering ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> Dict[str, Tensor]:
        with explain_out_of_memory("rendering", self.config.rendering_remedy()):
            return super().get_outputs_for_camera(camera, obb_box)

    def beyond_scene(self, origins: Float[Tensor, "R 3"]) -> Float[Tensor, "R 1"]:
        """A distance from each origin at which the scene box is left in every direction, meters."""
        low, high = self.scene_corners
        return (origins - (low + high) / 2).norm(dim=-1, keepdim=True) + (high - low).norm() / 2

    def mean_exposure(self, color: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colors of what is opaque, as the mean of the training cameras records them, in [0, 1]."""
        return self.cameras.respond(color, torch.ones_like(color[:, :1]), None).clamp(0, 1)

    def get_rgba_image(self, outputs: Dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Color without the black behind it, and opacity, as exporters want them."""
        accumulation = (
            outputs[output_name.replace("rgb", "accumulation")] if "rgb" in output_name else outputs["accumulation"]
        )
        return torch.cat([(outputs[output_name] / accumulation.clamp(min=1e-6)).clamp(0, 1), accumulation], dim=-1)

    # Learning -------------------------------------------------------------------------------------------------------

    def common_penalty(self) -> Float[Tensor, ""]:
        """What keeps cameras and poses near what was known before, with its weights."""
        config = self.config
        found = self.cameras.penalty(color_weight=config.camera_loss_weight, pose_weight=config.camera_pose_loss_weight)
        return found if self.hands.deltas is None else found + config.pose_loss_weight * self.hands.correction()

    def patch_losses(self, outputs: Dict[str, Tensor], batch: RayBatch, pixels: PixelTargets) -> Dict[str, Tensor]:
        """`perceptual`, where it is wanted and the batch ends with patches."""
        count = batch["num_patch_rays"]
        if not self.config.perceptual_loss_weight or not count:
            return {}
        patches = (outputs["rgb"][-count:], pixels.color[-count:], pixels.label[-count:])
        loss = patch_loss(self.perceptual, *patches, self.learned_labels, batch["patch_size"])  # pyright: ignore[reportArgumentType]
        return {"perceptual": self.config.perceptual_loss_weight * loss}

    def get_metrics_dict(self, outputs: Dict[str, Tensor], batch: RayBatch) -> Dict[str, Tensor]:
        hand = batch["hand_label"].view(-1).to(self.device) == PixelLabel.HAND
        rgb, truth = outputs["rgb"].view(-1, 3), batch["image"].view(-1, 3).to(self.device)
        error = (rgb.clamp(0, 1) - truth)[hand].square().mean()
        return {"psnr": -10 * torch.log10(error.clamp(min=1e-10))}

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: ImageBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        return image_figures(outputs, batch, shows_object=PixelLabel.OBJECT in self.learned_labels)
