"""What a trained model has for files: `PosedHandModel.export_source` gives it, and `export/` asks nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fields.canonical_warps import NearestSkinning
from nerfstudio_hands.fields.free_splats import FreeSplats
from nerfstudio_hands.fields.surface_splats import SurfaceSplats
from nerfstudio_hands.fields.vertex_look import VertexLook
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.model_components.object_poses import ObjectPoses
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces

ColorFn = Callable[
    [Float[Tensor, "N 3"], Int[Tensor, " N"], Float[Tensor, "N 3"], Float[Tensor, "N 3"]], Float[Tensor, "N 3"]
]
"""Color in [0, 1] of surface points, from their position, face, barycentric coordinates and unit outward normal."""


@dataclass(frozen=True)
class DistanceSource:
    """A signed distance whose isosurface is the avatar.

    Attributes:
        distance: Meters at points [N, 3] of nerfstudio's world, from the hands of one posed surface.
        skinning: How points near the hands hang on their bones.
        reach: Meters from the hand model beyond which the isosurface does not lie.
    """

    distance: Callable[[Float[Tensor, "N 3"], PosedSurfaces], Float[Tensor, " N"]]
    skinning: NearestSkinning
    reach: float


@dataclass(frozen=True)
class HeldObjectSource:
    """A rigid object in the hands, as a signed distance beside one posed surface of them; nerfstudio's world.

    Attributes:
        radius: Meters from its middle within which it lies.
        poses: From the object's frame to the world.
        distance: Meters at points.
        colors: Colors in [0, 1] at points of its surface.
    """

    radius: float
    poses: Callable[[PosedSurfaces], Float[Tensor, "S 4 4"]]
    distance: Callable[[Float[Tensor, "N 3"], PosedSurfaces], Float[Tensor, " N"]]
    colors: Callable[[Float[Tensor, "N 3"], PosedSurfaces], Float[Tensor, "N 3"]]


@dataclass(frozen=True)
class SplatCloud:
    """N Gaussians of one pose, nerfstudio's world.

    Attributes:
        means: Their middles, meters.
        axes: Their half axes, see `geometry.splats.Splats`.
        opacities: In their middles.
        constant: Color that is the same from everywhere, as pictures are encoded.
        linear: What is added to it: factors of the harmonics of level one of the direction from the eye.
    """

    means: Float[Tensor, "N 3"]
    axes: Float[Tensor, "N 3 3"]
    opacities: Float[Tensor, " N"]
    constant: Float[Tensor, "N 3"]
    linear: Float[Tensor, "N 3 3"]

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in this order."""
        return self.means, self.axes, self.opacities, self.constant, self.linear

    def beside(self, other: SplatCloud) -> SplatCloud:
        """These and other Gaussians of the same world."""
        return SplatCloud(*(torch.cat(parts) for parts in zip(self.tensors(), other.tensors(), strict=True)))


@dataclass(frozen=True)
class HeldSplatRig:
    """Gaussians of what hands hold as they are learned.

    Attributes:
        splats: In the object's frame.
        poses: Where it is.
    """

    splats: FreeSplats
    poses: ObjectPoses


@dataclass(frozen=True)
class SplatRig:
    """Gaussians on the hands' surface as they are learned, for programs that pose them themselves.

    Attributes:
        splats: On the faces of the surface.
        look: Of its vertices.
        gain: Of the mean camera.
        bias: Of the mean camera, on what is opaque.
        held: What the hands hold; None for nothing.
    """

    splats: SurfaceSplats
    look: VertexLook
    gain: Float[Tensor, "3"]
    bias: Float[Tensor, "3"]
    held: HeldSplatRig | None = None


@dataclass(frozen=True)
class ExportSource:
    """A surface in every pose, and its colors.

    Attributes:
        hands: Poses the hands. Theirs is the surface, unless there is a `distance`.
        colors: From poses [1, H, ...] in the capture's world to the colors that points of the surface have in them;
            points and normals in nerfstudio's world, faces of the hands' surface.
        lit: Whether colors are an albedo, which a viewer lights.
        detailed: The hands once more, where rigs are to have the vertices of the hand model, and a normal map the rest.
        distance: Whose isosurface is the surface; None for the hands' own.
        held: What the hands hold, as a signed distance; None for nothing.
        splats: From poses [1, H, ...] in the capture's world to the Gaussians that the avatar is; None if it is none.
        held_splats: What the hands of one posed surface hold, as Gaussians; None for nothing.
        splat_rig: All these Gaussians before they are posed.
    """

    hands: PosedHands
    colors: Callable[[HandPose], ColorFn]
    lit: bool = False
    detailed: PosedFineHands | None = None
    distance: DistanceSource | None = None
    held: HeldObjectSource | None = None
    splats: Callable[[HandPose], SplatCloud] | None = None
    held_splats: Callable[[PosedSurfaces], SplatCloud] | None = None
    splat_rig: SplatRig | None = None
