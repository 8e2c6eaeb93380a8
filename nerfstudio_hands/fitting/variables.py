"""What a fit optimises, in units in which a step of one moves a hand by about a centimetre."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.hand_model import HandPose


@dataclass
class Variables:
    """State of a fit; T frames, H hands, C cameras.

    Attributes:
        global_orient: Axis-angle of the wrist, world.
        local_rotations: Axis-angle of MANO joints 1-15.
        translation: Metres.
        shape: Coefficients of both hands.
        displacement: Offset of each rest vertex, metres.
        camera_rotation: Axis-angle corrections of the cameras, radians.
        camera_zoom: Logarithms of factors on the cameras' focal lengths.
        landmark_offset: From the model's joints to where a detector puts them, in the axes of the right hand's rest
            pose, carried by the bone; the left hand's are the mirror image. Metres.
        valid: Whether a hand was found in a frame; not optimised.
    """

    global_orient: Float[Tensor, "T H 3"]
    local_rotations: Float[Tensor, "T H 15 3"]
    translation: Float[Tensor, "T H 3"]
    shape: Float[Tensor, " K"]
    displacement: Float[Tensor, "V 3"]
    camera_rotation: Float[Tensor, "C 3"]
    camera_zoom: Float[Tensor, " C"]
    landmark_offset: Float[Tensor, "21 3"]
    valid: Bool[Tensor, "T H"]

    @property
    def pose(self) -> HandPose:
        """The poses as the hand model takes them."""
        return HandPose(self.global_orient, self.local_rotations, self.translation, self.valid)

    def at(self, frames: Sequence[int]) -> Variables:
        """The variables of some frames."""
        return replace(self, **{name: getattr(self, name)[list(frames)] for name in PER_FRAME})

    def put(self, frames: Sequence[int], part: Variables) -> Variables:
        """These variables with some frames, and what all frames share, taken from `part`."""
        changed = {name: getattr(self, name).clone() for name in PER_FRAME}
        for name, value in changed.items():
            value[list(frames)] = getattr(part, name)
        return replace(part, **changed)


PER_FRAME = ("global_orient", "local_rotations", "translation", "valid")
"""Fields of `Variables` with a leading axis of frames."""


def in_order(one: object, other: object, frames: Sequence[int], names: Sequence[str]) -> dict[str, Tensor]:
    """Fields of two records of some frames each, together these frames, in order of time.

    Args:
        one: A record.
        other: Another of the same kind.
        frames: Indices of the frames of the first, then of the second.
        names: Fields with a leading axis of frames.
    """
    order = torch.as_tensor(frames).argsort()
    return {name: torch.cat([getattr(one, name), getattr(other, name)])[order] for name in names}


# How far, in metres, the surface moves for a unit of each variable: a hand is 0.1 m long, a finger 0.05 m, one
# standard deviation of shape is some millimetres, and cameras stand about a metre away.
METERS_PER_UNIT = {
    "global_orient": 0.1,
    "local_rotations": 0.04,
    "translation": 1.0,
    "shape": 0.004,
    "displacement": 1.0,
    "camera_rotation": 1.0,
    "camera_zoom": 0.1,
    "landmark_offset": 1.0,
}
STEP_METERS = 0.01


def minimize(
    objective: Callable[[Variables], Tensor],
    variables: Variables,
    names: Sequence[str],
    *,
    iterations: int,
) -> Variables:
    """Minimises over some of the variables by L-BFGS with a strong Wolfe line search.

    Args:
        objective: Scalar of the variables.
        variables: Start; left as it is.
        names: Fields that may change.
        iterations: Most iterations; it ends earlier when nothing moves any more.

    Returns:
        The improved variables, without gradients.
    """
    start = {f.name: getattr(variables, f.name).detach() for f in fields(Variables)}
    scale = {name: STEP_METERS / METERS_PER_UNIT[name] for name in names}
    steps = {name: torch.zeros(start[name].shape, requires_grad=True) for name in names}
    optimizer = torch.optim.LBFGS(
        list(steps.values()),
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-9,
    )

    def current() -> Variables:
        return Variables(**{**start, **{name: start[name] + scale[name] * step for name, step in steps.items()}})

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(current())
        loss.backward()
        return loss.detach()

    optimizer.step(closure)
    with torch.no_grad():
        return current()


def geman_mcclure(squared: Tensor) -> Tensor:
    """Robust function of a squared residual in units of its scale: x near zero, at most one."""
    return squared / (1 + squared)
