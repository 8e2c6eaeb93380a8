"""What hands hold, as Gaussians that are posed in every frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.free_splats import FreeSplats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.model_components.object_poses import ObjectPoses
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.model_components.posed_splats import PosedSplats
from nerfstudio_hands.transforms.rigid import apply_rigid


class HeldSplats(ObjectPoses):
    """A rigid object with a pose a frame, and its Gaussians, which start on the visual hull of its masks.

    Args:
        avatar: first guesses of the poses, and where the object may be.
        hands: the hands of the same capture.
        count: of the Gaussians.
    """

    def __init__(self, avatar: AvatarData, hands: PosedHands, count: int):
        super().__init__(avatar, hands)
        self.splats = FreeSplats(*first_surface(avatar), count=count)

    def means(self, posed: PosedSurfaces, surface: int) -> Float[Tensor, "N 3"]:
        """Middles of the Gaussians beside one of the posed surfaces, nerfstudio's world."""
        return apply_rigid(self.poses(posed)[surface, :3], self.splats.mean)

    def show(self, posed: PosedSurfaces, surface: int) -> PosedSplats:
        """The Gaussians beside one of the posed surfaces."""
        splats, back = self.splats, self.poses(posed)[surface, :3, :3].T
        return PosedSplats(
            splats=Splats(self.means(posed, surface), splats.axes() @ back, splats.opacities()),
            normals=splats.normals() @ back,
            diffuse=splats.color,
            view=splats.view,
        )


def first_surface(avatar: AvatarData) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """A closed surface near which the object lies, in its frame: that of its hull, or without masks a ball."""
    # Take long to import, and most captures have no object.
    import trimesh

    from nerfstudio_hands.geometry.hull_surface import hull_surface

    if avatar.object_hull is None:
        found = trimesh.creation.icosphere(subdivisions=3, radius=avatar.object_radius)  # pyright: ignore[reportArgumentType]
    else:
        found = hull_surface(avatar.object_hull)
    return torch.tensor(found.vertices).float(), torch.tensor(found.faces).long()
