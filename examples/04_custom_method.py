"""A method of one's own: features at the vertices of the hand instead of a texture.

Trains it on a capture and prints the figures of held-out cameras; for `ns-train hand-vertices` put the file into a
module and name it: export NERFSTUDIO_METHOD_CONFIGS="hand-vertices=my_module:hand_vertices"

    python examples/04_custom_method.py --data data/synthetic-hand/1 --steps 300
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Type

import torch
import tyro
from nerfstudio.plugins.types import MethodSpecification
from torch import nn

from nerfstudio_hands.fields.position_encoding import PositionEncoding
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.models.volumetric_hand import VolumetricHandModel, VolumetricHandModelConfig


class VertexEncoding(PositionEncoding):
    """Features [V, C] of the vertices, interpolated on the face that is nearest to a sample."""

    def __init__(self, faces, num_vertices: int, channels: int):
        super().__init__()
        self.register_buffer("faces", faces, persistent=False)
        self.features = nn.Parameter(0.1 * torch.randn(num_vertices, channels))
        self.out_dim = channels

    def forward(self, samples):
        corners = self.features[self.faces[samples.face]]
        return (samples.barycentric[..., None] * corners).sum(dim=1)

    def regularization(self):
        corners = self.features[self.faces]
        return (corners - corners.roll(1, dims=1)).square().mean()


@dataclass
class HandVerticesModelConfig(VolumetricHandModelConfig):
    _target: Type = field(default_factory=lambda: HandVerticesModel)
    channels: int = 24
    """Features of a vertex."""


class HandVerticesModel(VolumetricHandModel):
    config: HandVerticesModelConfig

    def make_position_encoding(self, avatar):
        return VertexEncoding(avatar.surface.faces, avatar.surface.num_vertices, self.config.channels)


config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-vertices"
config.pipeline.model = HandVerticesModelConfig()
hand_vertices = MethodSpecification(config=config, description="A hand avatar over features at the vertices.")


def main(data: Path, steps: int = 300, output_dir: Path = Path("outputs")) -> None:
    """Trains on a capture and prints figures of held-out cameras."""
    run = deepcopy(hand_vertices.config)
    run.data = run.pipeline.datamanager.data = data
    run.output_dir, run.max_num_iterations, run.vis = output_dir, steps, "tensorboard"
    run.set_timestamp()
    run.save_config()
    trainer = run.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train()
    for name, figure in trainer.pipeline.get_average_eval_image_metrics().items():
        print(f"{name:30} {figure:.3f}")


if __name__ == "__main__":
    tyro.cli(main)
