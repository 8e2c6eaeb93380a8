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
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.model_components.drawn_hand import clay_colors, drawn_hand

TILE = 512
"""Longer side of an overlay's picture, pixels."""
TEXTURE = 256
"""Texels along each side of a mesh's texture."""
OPACITY = 0.8
"""Of hands that are drawn over a picture."""


def parameters(hand: PredictedHand, name: str) -> dict[str, Any]:
    """A hand as plain numbers, in MANO's layout (`use_pca=False`, `flat_hand_mean=True`).

    Args:
        hand: Predicted.
        name: Of its hand model.
    """
    return {
        "side": hand.side,
        "hand_model": name,
        "global_orient": hand.rotations[0].tolist(),
        "hand_pose": hand.rotations[1:].reshape(-1).tolist(),
        "betas": hand.shape.tolist(),
        "transl": hand.translation.tolist(),
        "joints": hand.joints.tolist(),
        "pixels": hand.pixels.tolist(),
        "pixels_error": hand.error.tolist(),
    }


def oriented_faces(model: HandModel, side: str) -> Int[np.ndarray, "F 3"]:
    """Faces of a hand of one side that face outwards, of the right hand's model."""
    faces = model.faces.cpu().numpy()
    return faces if side == "right" else faces[:, ::-1].copy()


def predicted_mesh(hand: PredictedHand, model: HandModel, plan: TexturePlan) -> TexturedMesh:
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
    def of(model: HandModel) -> TexturePlan:
        """Of a hand model."""
        return TexturePlan(*surface_points_of_texels(model.uv.cpu(), TEXTURE))

    def texture(self, colors: UInt8[np.ndarray, "V 3"], model: HandModel) -> UInt8[np.ndarray, "S S 3"]:
        """The texture of colors of vertices; texels far from all surface have the mean color."""
        corners = torch.from_numpy(colors).float()[model.faces.cpu()[self.face.clamp_min(0)]]
        blended = (corners * self.barycentric[..., None]).sum(-2)
        mean = torch.from_numpy(colors).float().mean(0)
        return torch.where(self.face[..., None] >= 0, blended, mean).round().clamp(0, 255).byte().numpy()


def overlay(
    picture: UInt8[np.ndarray, "H W 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    hands: Sequence[PredictedHand],
    model: HandModel,
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
        drawn = drawn_over(drawn, scaled, hand.vertices, oriented_faces(model, hand.side))
    side = small.shape[0]
    views = [_from_the_side(hand, model, side) for hand in hands]
    return np.concatenate([small, drawn, *views], 1)


def drawn_over(
    picture: np.ndarray, intrinsics: np.ndarray, vertices: np.ndarray, faces: np.ndarray, colors: Tensor | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """A surface drawn into a picture, which shines through a little; of clay where its vertices have no colors."""
    height, width = picture.shape[:2]
    corners, triangles = torch.from_numpy(vertices).float(), torch.from_numpy(faces)
    if colors is None:
        colors = clay_colors(corners, triangles)
    drawn = drawn_hand(corners, triangles, colors, torch.from_numpy(intrinsics).float(), (width, height))
    behind = torch.from_numpy(picture).float() / 255
    # A little of the picture shines through, so that one sees whether edges meet.
    blended = OPACITY * drawn.over(behind) + (1 - OPACITY) * behind
    return (255 * blended.clamp(0, 1)).round().byte().numpy()


def _from_the_side(hand: PredictedHand, model: HandModel, size: int) -> np.ndarray:
    """The hand as a camera to its right sees it, before white."""
    middle = hand.joints.mean(0)
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    turned = (hand.vertices - middle) @ turn.T + np.array([0.0, 0.0, 0.5])
    focal = 0.45 * size * 0.5 / np.abs(hand.vertices - middle).max()
    intrinsics = np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    white = np.full((size, size, 3), 255, np.uint8)
    return drawn_over(white, intrinsics, turned, oriented_faces(model, hand.side))
