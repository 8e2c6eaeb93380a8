"""`hand-mesh-neural`: the mesh of `hand-mesh`, drawn by a network, after the neural renderer of FMHR (AAAI 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Literal, Tuple, Type

from jaxtyping import Bool, Float
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.fields.neural_shader import GBuffer, NeuralShader
from nerfstudio_hands.model_components.schedules import Schedule, before_each_step
from nerfstudio_hands.models.hand_mesh import HandMeshModel, HandMeshModelConfig
from nerfstudio_hands.program.option_range import Weight, bounded


@dataclass
class HandMeshNeuralModelConfig(HandMeshModelConfig):
    """Choices of `hand-mesh-neural`."""

    _target: Type = field(default_factory=lambda: HandMeshNeuralModel)
    """target class to instantiate"""
    shader: Literal["mlp", "unet"] = "mlp"
    """Whether the network looks at a pixel alone or at its neighborhood too."""
    vertex_features: bounded(int, 1, 512) = 20
    """Learned features a vertex."""
    hidden_dim: bounded(int, 1, 4096) = 64
    """Width of the network."""
    num_layers: bounded(int, 1, 64) = 4
    """Layers of the `mlp`."""
    shader_schedule: Schedule = field(default_factory=lambda: Schedule(start=0.4, end=0.7))
    """Part of the training in which the network learns alone, on a mesh that stays as it is; then both learn on."""
    view_loss_weight: Weight = 1e-2
    """Weight of the squared view-dependent part of the color."""


class HandMeshNeuralModel(HandMeshModel):
    """Three stages: the mesh; a network that draws it, the mesh held fixed; both."""

    config: HandMeshNeuralModelConfig

    def populate_modules(self):
        super().populate_modules()
        config, surface = self.config, self.hands.surface
        self.shader = NeuralShader(
            surface.faces,
            surface.canonical,
            variant=config.shader,
            num_features=config.vertex_features,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
        )
        self.stage: Literal["mesh", "shader", "joint"] = "joint"

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {**super().get_param_groups(), "shader": list(self.shader.parameters())}

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def choose_stage(trained: float) -> None:
            alone = self.config.shader_schedule
            later = "shader" if trained < alone.end else "joint"
            self.stage = "mesh" if trained < alone.start else later

        return [*super().get_training_callbacks(attributes), before_each_step(attributes, choose_stage)]

    def color(self, gbuffer: GBuffer, visible: Bool[Tensor, "*R"]) -> Tuple[Float[Tensor, "N 3"], Float[Tensor, ""]]:
        # Exporters send rays of no picture; to a network that looks at neighbors these say nothing.
        if not self.has_own_color or (self.config.shader == "unet" and visible.ndim != 2):
            return super().color(gbuffer, visible)
        found, view = self.shader(gbuffer, visible)
        return found, self.config.view_loss_weight * view.square().sum() / max(view.numel(), 1)

    @property
    def has_own_color(self) -> bool:
        # What the network has learned holds in the light of the capture only.
        return self.stage != "mesh" and not self.lighting.is_relit

    @property
    def mesh_is_fixed(self) -> bool:
        return self.training and self.stage == "shader"
