"""What files are made of where a signed distance is the avatar."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.model_components.export_source import ColorFn, DistanceSource, ExportSource, HeldObjectSource
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.model_components.scene_distance import SceneDistance


def scene_export_source(
    hands: PosedHands, scene: SceneDistance, *, exposure: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N 3"]]
) -> ExportSource:
    """Distances and colors of hands and of what they hold.

    Args:
        hands: the hands.
        scene: distance from them, and from what they hold.
        exposure: from the fields' colors to those of files.
    """
    hand, held = scene.hand, scene.held

    def colors(pose: HandPose) -> ColorFn:
        """Colors near the hands in a pose, without the view-dependent part."""
        posed = hands.at_pose(pose)

        @torch.no_grad()
        def color(points: Float[Tensor, "N 3"], *_: Tensor) -> Float[Tensor, "N 3"]:
            return exposure(_beside(hand.diffuse, points, posed))

        return color

    def object_colors(points: Float[Tensor, "N 3"], posed: PosedSurfaces) -> Float[Tensor, "N 3"]:
        return exposure(_beside(held.diffuse, points, posed))

    def object_distance(points: Float[Tensor, "N 3"], posed: PosedSurfaces) -> Float[Tensor, " N"]:
        return _beside(held, points, posed)[0]  # pyright: ignore[reportArgumentType]

    return ExportSource(
        hands,
        colors,
        distance=DistanceSource(partial(_beside, hand.exact), hand.skinning, hand.shell),
        held=None if held is None else HeldObjectSource(held.field.radius, held.poses, object_distance, object_colors),
    )


def _beside(ask: Callable, points: Float[Tensor, "N 3"], posed: PosedSurfaces):
    """What is asked of points beside one posed surface."""
    return ask(points, torch.zeros(len(points), dtype=torch.long, device=points.device), posed)
