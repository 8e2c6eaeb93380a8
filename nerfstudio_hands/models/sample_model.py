"""What models have in common whose batch is samples of one hand each, and not rays: a picture of the viewer is what one
sample's hand looks like from there."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional, Type

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.viewer.viewer_elements import ViewerDropdown, ViewerSlider
from torch import Tensor

from nerfstudio_hands.dataparsers.hand_images_dataparser import CAMERA_AXES
from nerfstudio_hands.hand_images.sources import SPLITS
from nerfstudio_hands.viewer.sample_view import SampleCamera, SampleView

OPENGL = (1.0, -1.0, -1.0)
"""From OpenCV's camera axes to nerfstudio's, and back."""


@dataclass
class SampleModelConfig(ModelConfig):
    """A model whose batch is samples."""

    _target: Type = field(default_factory=lambda: SampleModel)
    """target class to instantiate"""
    enable_collider: bool = False
    """Not used: there are no rays."""

    def predictor(self, data: Any) -> Any:
        """What a run's network is of use for without its data, its weights named as the model's and not yet read; None
        where it is for nothing.

        Args:
            data: Configuration of the data manager.
        """
        return None

    def rendering_remedy(self) -> str:
        """What to lower where a picture does not fit into memory."""
        return "render smaller pictures"


@dataclass(frozen=True)
class Surroundings:
    """Where the samples of the viewer and of evaluations are, given by the pipeline.

    Attributes:
        sample: One of a split as a batch of one.
        places: Where the camera of each row of the training that the viewer shows, and of each that is held out,
            stands, meters, in the order of these cameras.
        focals: Focal lengths of the same, heights of their pictures.
        held_out: The split that is judged.
    """

    sample: Callable[[int, str], Any]
    places: Dict[tuple[str, int], Float[Tensor, "3"]]
    focals: Dict[tuple[str, int], float]
    held_out: str


class SampleModel(Model):
    """Predicts of samples, and draws what it predicts.

    A camera names the sample that it looks at: its metadata `row` and `split` one whose own camera it is, `cam_idx` one
    of the training that the viewer shows; any other camera looks at the one that the slider names.
    """

    config: SampleModelConfig
    samples_called = "Pictures"
    """What the viewer calls samples."""

    def __init__(self, config: SampleModelConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.surroundings: Surroundings | None = None
        self.sample_view = SampleView(self._sample_camera)
        hint = f"Which of the {self.samples_called.lower()} is looked at."
        self.sample_control = ViewerSlider("Sample", 0, 0, 255, 1, cb_hook=lambda _: self.sample_view.look(), hint=hint)
        self.split_control = ViewerDropdown(
            self.samples_called, "training", ["training", "held-out"], cb_hook=lambda _: self.sample_view.look()
        )
        self._seen: tuple[tuple, Any] | None = None
        self._trained = 0

    def update_to_step(self, step: int) -> None:
        self._trained = step

    @abstractmethod
    def predict(self, batch: Any) -> Dict[str, Any]:
        """What the network says of a batch."""

    def forward(self, ray_bundle: Cameras, batch: Any = None) -> Dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the network says of a batch; nerfstudio's name of the first argument is kept, its cameras are not
        needed."""
        assert batch is not None, "a model of samples is asked with the samples"
        return self.predict(batch)

    def get_outputs(self, ray_bundle: Any) -> Dict[str, Any]:
        raise NotImplementedError("a model of samples knows no rays: see get_outputs_for_camera")

    def looked_at(self, camera: Cameras) -> tuple[Any, Dict[str, Any], Float[Tensor, "4 4"]]:
        """The sample that a camera looks at as a batch of one, what the network, as it is now, says of it, and what
        takes the axes of the sample's own camera to those of this one, both OpenCV's, meters."""
        row, split, place = self._sample_of(camera)
        batch, prediction = self._of(row, split)
        place = place.to(self.device)
        flip = torch.tensor(OPENGL, device=self.device)
        axes = torch.tensor(CAMERA_AXES, device=self.device) * flip
        to_world = camera.camera_to_worlds.reshape(3, 4).to(self.device)
        rotation = (to_world[:, :3] * flip).T
        view_to_camera = torch.eye(4, device=self.device)
        view_to_camera[:3, :3] = rotation @ axes
        view_to_camera[:3, 3] = rotation @ (place - to_world[:, 3])
        return batch, prediction, view_to_camera

    def _sample_of(self, camera: Cameras) -> tuple[int, str, Float[Tensor, "3"]]:
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
        return SampleCamera(index, center, center + ahead, surroundings.focals[split, row])

    def _of(self, row: int, split: str) -> tuple[Any, Dict[str, Any]]:
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
