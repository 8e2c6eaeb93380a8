"""Bones as capsules as thick as the fingers around them: what may not be in each other."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.hand_model.joints import BONES
from nerfstudio_hands.model_components.hand_losses import segment_distance

SLENDER = 0.85
"""Part of the thickness in rest that a capsule has: flesh gives way."""


class BoneCapsules(nn.Module):
    """Of a hand in its rest pose.

    Attributes:
        radii: Of each of the 20 bones, meters.
        apart: Pairs of bones of different fingers, beyond the palm.
    """

    radii: Tensor
    apart: Tensor

    def __init__(self, radii: Float[Tensor, " 20"], apart: Int[Tensor, "P 2"]) -> None:
        super().__init__()
        self.register_buffer("radii", radii, persistent=False)
        self.register_buffer("apart", apart, persistent=False)


def bone_capsules(joints: Float[Tensor, "21 3"], skin: Float[Tensor, "V 3"]) -> BoneCapsules:
    """Measures how far the skin is from the bone that it belongs to.

    Args:
        joints: Of the mean hand in its rest pose, meters.
        skin: Its vertices.
    """
    start, end = torch.tensor(BONES).unbind(-1)
    points = skin[:, None].expand(-1, 20, -1)
    distance = segment_distance(points, points, joints[start].expand_as(points), joints[end].expand_as(points))
    nearest = distance.argmin(1)
    radii = torch.stack([distance[nearest == bone, bone].median() for bone in range(20)])
    free = [bone for bone, (parent, _) in enumerate(BONES) if parent]
    apart = torch.tensor([pair for pair in combinations(free, 2) if pair[0] // 4 != pair[1] // 4])
    return BoneCapsules(SLENDER * radii, apart)
