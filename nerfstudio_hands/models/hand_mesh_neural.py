"""`hand-mesh-neural`: the mesh of `hand-mesh`, drawn by a network, after the neural renderer of FMHR (AAAI 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Type

from nerfstudio_hands.fields.neural_shader import NeuralShader
from nerfstudio_hands.model_components.mesh_drawing import StagedDrawing
from nerfstudio_hands.model_components.schedules import Schedule
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
    """The mesh, drawn in three stages, see `StagedDrawing`."""

    config: HandMeshNeuralModelConfig

    def make_drawing(self) -> StagedDrawing:
        config, surface = self.config, self.hands.surface
        shader = NeuralShader(
            surface.faces,
            surface.canonical,
            variant=config.shader,
            num_features=config.vertex_features,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
        )
        return StagedDrawing(shader, alone=config.shader_schedule, view_weight=config.view_loss_weight)
