"""The mean hand on a seen skeleton: where a network of distances begins."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model import HandModel
from nerfstudio_hands.hand_model.joint_frames import resting_joints, skinned_by_frames


class MeanHand(nn.Module):
    """A right hand of mean shape that is laid on joints; it is kept with a network's weights, which correct it.

    Args:
        template: At rest, meters.
        weights: Of its skinning.
        rest: Its joints.
        faces: Closed, counter-clockwise seen from outside.
    """

    template: Tensor
    weights: Tensor
    rest: Tensor
    faces: Tensor

    def __init__(
        self,
        template: Float[Tensor, "V 3"],
        weights: Float[Tensor, "V 16"],
        rest: Float[Tensor, "21 3"],
        faces: Int[Tensor, "F 3"],
    ) -> None:
        super().__init__()
        for name, value in {"template": template, "weights": weights, "rest": rest, "faces": faces}.items():
            self.register_buffer(name, value.clone())
        self._surfaces: Surfaces | None = None

    @classmethod
    def of(cls, hand: HandModel) -> MeanHand:
        """That of a hand model."""
        faces = torch.cat([hand.faces, closing_faces(hand.faces)])
        return cls(hand.template.float(), hand.weights.float(), resting_joints(hand).float(), faces)

    @torch.no_grad()
    def distances(
        self,
        joints: Float[Tensor, "B 21 3"],
        frames: Float[Tensor, "B 16 4 4"],
        points: Float[Tensor, "B N 3"],
    ) -> Float[Tensor, "B N"]:
        """Signed distances of points from the hands, meters; without gradient.

        Args:
            joints: That hands are laid on.
            frames: Of the bones between these.
            points: In the joints' frame.
        """
        vertices = skinned_by_frames(self.template, self.weights, self.rest, joints, frames)
        # What belongs to the faces is kept; a viewer's thread that asks meanwhile makes its own.
        hands, self._surfaces = self._surfaces, None
        if hands is None or hands.vertices.device != vertices.device:
            hands = Surfaces(self.faces, vertices)
        else:
            hands.update(vertices)
        which = torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1])
        # Fingers touch, and cross, each other.
        found = hands.solid_distance(points.reshape(-1, 3), which)
        self._surfaces = hands
        return found.view(points.shape[:2])

    def __getstate__(self) -> dict:
        """Without what each process, and each copy, makes for itself."""
        return {**super().__getstate__(), "_surfaces": None}
