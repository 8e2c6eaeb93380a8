"""The records that a field is asked with."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

Record = TypeVar("Record", bound="SampleRecord")


@dataclass
class SampleRecord:
    """Values of samples, one row a sample, which are chosen together; absent ones are None."""

    def __getitem__(self: Record, index: Tensor) -> Record:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return replace(self, **{name: None if value is None else value[index] for name, value in values.items()})


@dataclass
class SurfaceSamples(SampleRecord):
    """Where sample points lie relative to the posed surface.

    Attributes:
        face: nearest face [N].
        barycentric: barycentric coordinates of the nearest surface point [N, 3].
        normalized_distance: signed distance over the shell's half width, in [-1, 1] inside the shell, positive outside
            the hand [N].
        normal: smooth unit normal of the posed surface at the nearest point, world frame [N, 3].
        light: light transfer of the nearest surface point, see `geometry.light.transfer`; C is 0 where the capture
            shows one pose only [N, C].
        canonical: where the method's warp carried the points, meters in canonical space; None where it has none [N, 3].
    """

    face: Int[Tensor, "N"]
    barycentric: Float[Tensor, "N 3"]
    normalized_distance: Float[Tensor, "N"]
    normal: Float[Tensor, "N 3"]
    light: Float[Tensor, "N C"]
    canonical: Float[Tensor, "N 3"] | None = None


@dataclass
class ObjectSamples(SampleRecord):
    """Where sample points lie relative to a held object.

    Attributes:
        position: in the object's frame, meters [N, 3].
        rotation: of that frame into the world [N, 3, 3].
        nearer: whether the object is nearer than the hand [N].
        kinematic: where the points are, seen from the world, the wrist and the joints, meters; None if the object is
            asked for in its own frame alone [N, 69].
    """

    position: Float[Tensor, "N 3"]
    rotation: Float[Tensor, "N 3 3"]
    nearer: Bool[Tensor, "N"]
    kinematic: Float[Tensor, "N 69"] | None = None
