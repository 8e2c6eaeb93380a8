"""What `ns-hands predict` writes: parameters, meshes, and pictures with the hands that were found in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from nerfstudio_hands.estimators.monocular.predictor import PredictedHand
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.interpolate import interpolate
from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.transforms.projection import pixel_rays
from nerfstudio_hands.transforms.spherical_harmonics import irradiance

HEADLIGHT = (2.2, -0.5, -0.9, -0.2)
"""Light from the camera and a little from above (OpenCV axes), spherical harmonics."""
CLAY = (0.85, 0.68, 0.60)
"""Color of a drawn hand, as displayed."""
TILE = 512
"""Longer side of an overlay's picture, pixels."""


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


def predicted_mesh(hand: PredictedHand, model: HandModel) -> TexturedMesh:
    """A hand as a mesh in glTF's axes (x right, y up, z towards the viewer), meters, of one color.

    Args:
        hand: Predicted.
        model: The right hand that it was predicted of.
    """
    faces = oriented_faces(model, hand.side)
    vertices = hand.vertices * np.array([1.0, -1.0, -1.0])
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
    color = np.round(255 * np.array(CLAY)).astype(np.uint8)
    uv = model.uv.cpu().numpy()
    return TexturedMesh(
        vertices=vertices,
        faces=faces,
        normals=normals,
        uv=uv if hand.side == "right" else uv[:, ::-1].copy(),
        texture=np.full((4, 4, 3), color, np.uint8),
        vertex_colors=np.tile(color, (len(vertices), 1)),
    )


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
        drawn = _drawn_over(drawn, scaled, hand.vertices, oriented_faces(model, hand.side))
    side = small.shape[0]
    views = [_from_the_side(hand, model, side) for hand in hands]
    return np.concatenate([small, drawn, *views], 1)


def _drawn_over(picture: np.ndarray, intrinsics: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    corners, triangles = torch.from_numpy(vertices).float(), torch.from_numpy(faces)
    surfaces = Surfaces(triangles, corners[None])
    rays = pixel_rays(torch.from_numpy(intrinsics), torch.eye(4), width, height)
    raster = rasterize_rays(surfaces, *rays)
    shade = irradiance(corners.new_tensor(HEADLIGHT)[:, None], vertex_normals(corners, triangles))
    colors = interpolate((shade * corners.new_tensor(CLAY)).clamp(0, 1), raster, triangles)
    covered = (raster.face >= 0)[..., None].float()
    soft = antialias(torch.cat([colors * covered, covered], -1), raster, surfaces, *rays)
    behind = torch.from_numpy(picture).float() / 255
    # A little of the picture shines through, so that one sees whether edges meet.
    share = 0.8 * soft[..., 3:]
    blended = behind * (1 - share) + 0.8 * soft[..., :3]
    return (255 * blended.clamp(0, 1)).round().byte().numpy()


def _from_the_side(hand: PredictedHand, model: HandModel, size: int) -> np.ndarray:
    """The hand as a camera to its right sees it, before white."""
    middle = hand.joints.mean(0)
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    turned = (hand.vertices - middle) @ turn.T + np.array([0.0, 0.0, 0.5])
    focal = 0.45 * size * 0.5 / np.abs(hand.vertices - middle).max()
    intrinsics = np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    white = np.full((size, size, 3), 255, np.uint8)
    return _drawn_over(white, intrinsics, turned, oriented_faces(model, hand.side))
