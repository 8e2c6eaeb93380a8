"""What `ns-hands predict` writes: parameters, meshes, and pictures with the hands that were found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nerfstudio_hands.estimators.monocular.predictor import PredictedHand
from nerfstudio_hands.export.bake import surface_points_of_texels
from nerfstudio_hands.export.seen_surface import FROM_THE_RIGHT, SeenSurface
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.hand_model.nimble import NimbleHand
from nerfstudio_hands.model_components.drawn_hand import clay_colors

TILE = 512
"""Longer side of an overlay's picture, pixels."""
TEXTURE = 256
"""Texels along each side of a mesh's texture."""


NIMBLE_HAS_NO = (
    "NIMBLE's 20 bones have no parameters in MANO's layout; pose and shape are NIMBLE's coefficients (with_root=False) "
    "of a right hand, a left one mirrored in x; orient turns about NIMBLE's first joint, transl is added (meters)"
)
"""What is said in place of MANO's parameters."""


def parameters(hand: PredictedHand, name: str) -> dict[str, Any]:
    """A hand as plain numbers, in MANO's layout (`use_pca=False`, `flat_hand_mean=True`); of a NIMBLE hand its own.

    Args:
        hand: Predicted.
        name: Of its hand model.
    """
    if len(hand.pose):
        posed = {
            "mano": NIMBLE_HAS_NO,
            "nimble": {
                "orient": hand.rotations[0].tolist(),
                "pose": hand.pose.tolist(),
                "shape": hand.shape.tolist(),
                "transl": hand.translation.tolist(),
            },
        }
    else:
        posed = {
            "global_orient": hand.rotations[0].tolist(),
            "hand_pose": hand.rotations[1:].reshape(-1).tolist(),
            "betas": hand.shape.tolist(),
            "transl": hand.translation.tolist(),
        }
    return {
        "side": hand.side,
        "hand_model": name,
        **posed,
        "joints": hand.joints.tolist(),
        "pixels": hand.pixels.tolist(),
        "pixels_error": hand.error.tolist(),
    }


def oriented_faces(model: HandModel | NimbleHand, side: str) -> Int[np.ndarray, "F 3"]:
    """Faces of a hand of one side that face outwards, of the right hand's model."""
    faces = model.faces.cpu().numpy()
    return faces if side == "right" else faces[:, ::-1].copy()


def predicted_mesh(hand: PredictedHand, model: HandModel | NimbleHand, plan: TexturePlan) -> TexturedMesh:
    """A hand as a mesh in glTF's axes (x right, y up, z towards the viewer), meters, in the colors of its picture.

    Args:
        hand: Predicted.
        model: The right hand that it was predicted of.
        plan: Of the model's texture.
    """
    faces = oriented_faces(model, hand.side)
    vertices = hand.vertices * np.array([1.0, -1.0, -1.0])
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
    uv = model.uv.cpu().numpy()
    return TexturedMesh(
        vertices=vertices,
        faces=faces,
        normals=normals,
        uv=uv if hand.side == "right" else uv[:, ::-1].copy(),
        texture=plan.texture(hand.colors, model),
        vertex_colors=hand.colors,
    )


@dataclass(frozen=True)
class TexturePlan:
    """Which point of a hand's surface each texel shows; see `surface_points_of_texels`."""

    face: Int[Tensor, "S S"]
    barycentric: Float[Tensor, "S S 3"]

    @staticmethod
    def of(model: HandModel | NimbleHand) -> TexturePlan:
        """Of a hand model."""
        return TexturePlan(*surface_points_of_texels(model.uv.cpu(), TEXTURE))

    def texture(self, colors: UInt8[np.ndarray, "V 3"], model: HandModel | NimbleHand) -> UInt8[np.ndarray, "S S 3"]:
        """The texture of colors of vertices; texels far from all surface have the mean color."""
        corners = torch.from_numpy(colors).float()[model.faces.cpu()[self.face.clamp_min(0)]]
        blended = (corners * self.barycentric[..., None]).sum(-2)
        mean = torch.from_numpy(colors).float().mean(0)
        return torch.where(self.face[..., None] >= 0, blended, mean).round().clamp(0, 255).byte().numpy()


def overlay(
    picture: UInt8[np.ndarray, "H W 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    hands: Sequence[PredictedHand],
    model: HandModel | NimbleHand,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, the hands drawn into it, and each hand from its side, next to each other.

    Args:
        picture: Of any size; it is made smaller where its longer side is over `TILE` pixels.
        intrinsics: K of the picture.
        hands: Predicted in it.
        model: The right hand that they were predicted of.
    """
    height, width = picture.shape[:2]
    factor = min(1.0, TILE / max(height, width))
    small = cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    scaled = np.diag([small.shape[1] / width, small.shape[0] / height, 1.0]) @ intrinsics
    drawn = small
    for hand in sorted(hands, key=lambda hand: -hand.joints[9, 2]):
        drawn = seen_hand(hand, model).over(drawn, scaled)
    views = [seen_hand(hand, model).from_around(FROM_THE_RIGHT, small.shape[0]) for hand in hands]
    return np.concatenate([small, drawn, *views], 1)


def seen_hand(hand: PredictedHand, model: HandModel | NimbleHand) -> SeenSurface:
    """A hand, of clay.

    Args:
        hand: Predicted.
        model: The right hand that it was predicted of.
    """
    faces = torch.from_numpy(oriented_faces(model, hand.side))
    return SeenSurface(torch.from_numpy(hand.vertices).float(), faces, lambda vertices: clay_colors(vertices, faces))
