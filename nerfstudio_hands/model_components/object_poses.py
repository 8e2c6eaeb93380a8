"""Where what hands hold is in every frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from torch import Tensor, nn

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces


class ObjectPoses(nn.Module):
    """Poses of a rigid object, one a frame. In poses of no frame the wrist of the hand that holds it takes it along.

    Args:
        avatar: first guesses of the poses.
        hands: the hands of the same capture.

    Attributes:
        deltas: what is learned of each frame's pose: shift in meters, and turn as a rotation vector [T, 6].
    """

    first_poses: Tensor
    moves: Tensor
    in_wrist: Tensor

    def __init__(self, avatar: AvatarData, hands: PosedHands):
        super().__init__()
        self.register_buffer("first_poses", hands.to_world @ avatar.object_pose.to(hands.to_world))
        reference = int(hands.train_frames[0])
        # The first frame that is seen says where the object's frame is; otherwise shape and poses turn together.
        moves = avatar.train_frames.clone()
        moves[reference] = False
        self.register_buffer("moves", moves[:, None], persistent=False)
        self.deltas = nn.Parameter(torch.zeros(len(moves), 6), requires_grad=bool(moves.any()))
        with torch.no_grad():
            posed = hands.at_frame(reference)
            wrist = posed.bones[0, :, 0]
            middle = self.first_poses[reference, :3, 3]
            parts = [posed.surfaces.vertices[0, part] for part in hands.surface.vertex_slices]
            self.hand = int(torch.stack([(part - middle).norm(dim=-1).amin() for part in parts]).argmin())
            self.register_buffer("in_wrist", torch.linalg.inv(wrist[self.hand]) @ self.first_poses[reference])

    def poses(self, posed: PosedSurfaces) -> Float[Tensor, "S 4 4"]:
        """Transforms from the object's frame to nerfstudio's world, of each posed surface."""
        if posed.frames is None:
            return posed.bones[:, self.hand, 0] @ self.in_wrist
        return self.of_frames(posed.frames)

    def of_frames(self, frames: Int[Tensor, " S"]) -> Float[Tensor, "S 4 4"]:
        """Likewise of frames."""
        first = self.first_poses[frames]
        move = exp_map_SO3xR3(self.deltas * self.moves)[frames]
        turned = move[:, :, :3] @ first[:, :3, :3]
        shifted = first[:, :3, 3:] + move[:, :, 3:]
        return torch.cat([torch.cat([turned, shifted], dim=2), first[:, 3:]], dim=1)
