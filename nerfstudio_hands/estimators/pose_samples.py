"""Hands to learn from: poses drawn at random and from gestures, and joints as a detector would give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.hand_model import HandModel, gestures
from nerfstudio_hands.hand_model.joint_limits import joint_limits

GESTURES: tuple[gestures.Gesture, ...] = (
    gestures.OPEN,
    gestures.FLAT,
    gestures.SPREAD,
    gestures.FIST,
    gestures.TABLE,
    gestures.GRASP,
    gestures.THUMB_ACROSS,
    gestures.counting(1),
    gestures.counting(2),
    gestures.counting(4),
    gestures.pinch("index"),
    gestures.pinch("middle"),
    gestures.pinch("pinky"),
    *(gestures.flexed(finger) for finger in ("thumb", "index", "middle", "ring", "pinky")),
    gestures.flexed("index", "middle"),
    gestures.flexed("ring", "pinky"),
    gestures.flexed("middle", "ring", "pinky"),
)
"""Gestures that are learnt from."""

HELD_OUT_GESTURES: tuple[gestures.Gesture, ...] = (
    gestures.HOOK,
    gestures.CROSSED,
    gestures.counting(3),
    gestures.pinch("ring"),
    gestures.flexed("index", "pinky"),
    gestures.flexed("middle", "ring"),
    gestures.flexed("thumb", "pinky"),
    gestures.flexed("thumb", "index", "middle"),
)
"""Gestures that are kept for measuring."""

TREMOR_DEGREES = 6.0
"""Standard deviation of what every angle adds to a gesture."""


@dataclass
class Corruption:
    """How joints differ from true ones; each hand draws its own severity between none and these."""

    noise_meters: float = 0.006
    """Largest standard deviation of noise an axis."""
    most_absent: int = 9
    """Most joints that are absent; half of the hands lack none."""
    most_outliers: int = 4
    """Most joints that are somewhere else; half of the hands have none."""
    outlier_meters: float = 0.15
    """Largest distance of these."""


def random_angles(model: HandModel, count: int, generator: torch.Generator) -> Float[Tensor, "N 15 3"]:
    """Flexion, spread and twist drawn evenly between their limits, radians."""
    low, high = joint_limits(model).unbind(-1)
    return low + (high - low) * torch.rand(count, 15, 3, generator=generator)


def gesture_angles(
    model: HandModel, chosen: Sequence[gestures.Gesture], count: int, generator: torch.Generator
) -> Float[Tensor, "N 15 3"]:
    """Poses between two gestures, every finger of a third of them with its own two, and a tremor; radians."""
    table = torch.stack([torch.from_numpy(angles).float() for angles in chosen]) * (math.pi / 180)
    own = (torch.rand(count, 1, generator=generator) < 1 / 3).expand(count, 5)
    drawn = torch.randint(len(table), (2, count, 5), generator=generator)
    fraction = torch.rand(count, 5, generator=generator)
    first, second = torch.where(own, drawn, drawn[..., :1]).repeat_interleave(3, -1)
    fraction = torch.where(own, fraction, fraction[:, :1]).repeat_interleave(3, -1)[..., None]
    joint = torch.arange(15)
    angles = (1 - fraction) * table[first, joint] + fraction * table[second, joint]
    angles = angles + math.radians(TREMOR_DEGREES) * torch.randn(angles.shape, generator=generator)
    low, high = joint_limits(model).unbind(-1)
    return angles.clamp(low, high)


def training_angles(
    model: HandModel, count: int, generator: torch.Generator, known: Float[Tensor, "P 15 3"] | None = None
) -> Float[Tensor, "N 15 3"]:
    """Half the poses at random, half from gestures; where poses of real hands are known, a third each.

    Args:
        model: The hand.
        count: N.
        generator: Draws them.
        known: Angles of real hands, radians.
    """
    rows = [random_angles(model, count, generator), gesture_angles(model, GESTURES, count, generator)]
    if known is not None:
        rows.append(known[torch.randint(len(known), (count,), generator=generator)])
    source = torch.randint(len(rows), (count,), generator=generator)
    return torch.stack(rows)[source, torch.arange(count)]


def held_out_angles(model: HandModel, count: int, generator: torch.Generator) -> Float[Tensor, "N 15 3"]:
    """Half the poses at random, half from gestures that are kept for measuring; radians."""
    half = count // 2
    drawn = random_angles(model, half, generator)
    return torch.cat([drawn, gesture_angles(model, HELD_OUT_GESTURES, count - half, generator)])


def corrupted(
    joints: Float[Tensor, "N 21 3"], corruption: Corruption, generator: torch.Generator
) -> Float[Tensor, "N 21 3"]:
    """Joints with noise, outliers and, as NaN, absent ones; metres."""
    count = len(joints)

    def some(most: int) -> Tensor:
        """Flags of a random number of joints of every other hand."""
        number = torch.randint(1, most + 1, (count, 1), generator=generator)
        number = number * (torch.rand(count, 1, generator=generator) < 0.5)
        return torch.rand(count, 21, generator=generator).argsort(-1) < number

    severity = corruption.noise_meters * torch.rand(count, 1, 1, generator=generator)
    result = joints + severity * torch.randn(joints.shape, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(joints.shape, generator=generator), dim=-1)
    far = corruption.outlier_meters * torch.rand(count, 21, 1, generator=generator) * direction
    result = torch.where(some(corruption.most_outliers)[..., None], result + far, result)
    return torch.where(some(corruption.most_absent)[..., None], torch.nan, result)
