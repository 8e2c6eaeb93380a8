"""An isosurface of a hand's signed distance, with the texture coordinates and skin weights of the hand model."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.export.avatar import VisiblePart, rigs
from nerfstudio_hands.export.mesh_sequence import rest_pose
from nerfstudio_hands.export.rigged_glb import Rig
from nerfstudio_hands.fields.canonical_warps import NearestSkinning
from nerfstudio_hands.fields.warps import surface_warp, uv_warp
from nerfstudio_hands.geometry import ClosestPoints, Surfaces
from nerfstudio_hands.geometry.barycentric import plane_barycentric
from nerfstudio_hands.geometry.isosurface import extract_isosurface
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import SIDES, HandPose
from nerfstudio_hands.model_components.export_source import ColorFn, DistanceSource
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.transforms.rigid import apply_rigid, undo_rigid

SAME_PLACE = 0.02
"""Distance in (u, v) beyond which the corners of one small triangle lie on two sides of a seam."""


def isosurface_part(
    hands: PosedHands, source: DistanceSource, pose: HandPose, *, voxel: float, level: float = 0.0
) -> VisiblePart:
    """A level of the distance in a pose, in the frame of the pose; the hand model's texture holds its colours.

    Args:
        hands: The avatar's hands.
        source: Their signed distance.
        pose: Of the hands [H, ...], capture's world.
        voxel: Edge of the voxels, metres.
        level: The distance at which the surface is taken to be, metres.

    Raises:
        HandsError: The surface is nowhere, or the voxels are too small for the memory.
    """
    posed = hands.at_pose(pose[None])
    vertices, faces = _level(hands, source, posed, pose, voxel, level)
    face, uv = _texture_coordinates(hands, posed, vertices, faces)
    return VisiblePart(undo_rigid(hands.world_transform, vertices), faces, face, uv)


def isosurface_rigs(
    hands: PosedHands, source: DistanceSource, valid: list[bool], *, voxel: float, level: float = 0.0
) -> list[Rig]:
    """A level of each valid hand's distance at rest, with the skin weights of the nearest point of the hand model.

    Args:
        hands: The avatar's hands.
        source: Their signed distance.
        valid: Which of them are wanted.
        voxel: Edge of the voxels, metres.
        level: The distance at which the surface is taken to be, metres.
    """
    rest = replace(rest_pose(hands.surface), valid=torch.tensor(valid).to(hands.valid))
    part = isosurface_part(hands, source, rest, voxel=voxel, level=level)
    near = _nearest(hands, hands.at_pose(rest[None]), apply_rigid(hands.world_transform, part.vertices))
    skin = surface_warp(source.skinning.hands.weights, hands.surface.faces, near.face, near.barycentric)
    side = hands.surface.face_side[near.face]
    result = []
    for rig in rigs(hands.surface, valid, hands.shape, hands.rest_offset):
        own = side == SIDES.index(rig.name)
        kept = own[part.faces].all(dim=1)
        index = torch.cumsum(own, dim=0) - 1
        faces, vertices = index[part.faces[kept]], part.vertices[own]
        normals = vertex_normals(vertices, faces)
        result.append(
            replace(
                rig,
                vertices=(vertices - torch.from_numpy(rig.offset).to(vertices)).cpu().numpy(),
                faces=faces.cpu().numpy(),
                normals=normals.cpu().numpy(),
                uv=part.uv[kept].cpu().numpy(),
                weights=skin[own].cpu().numpy(),
            )
        )
    return result


def carried_colors(
    hands: PosedHands, skinning: NearestSkinning, colors: ColorFn, query_pose: HandPose, texture_pose: HandPose
) -> ColorFn:
    """Colours of a mesh in one pose, asked for in another; all points in nerfstudio's world.

    Args:
        hands: The avatar's hands.
        skinning: How points near them hang on their bones.
        colors: Colours of points near the hands in the texture pose.
        query_pose: Pose of the mesh [H, ...], capture's world.
        texture_pose: Pose in which the colours are asked for [1, H, ...], likewise.
    """
    source, target = hands.at_pose(query_pose[None]), hands.at_pose(texture_pose)

    @torch.no_grad()
    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        return colors(_carry(hands, skinning, points, source, target), face, barycentric, normal)

    return color


def _level(
    hands: PosedHands, source: DistanceSource, posed: PosedSurfaces, pose: HandPose, voxel: float, level: float
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Vertices in nerfstudio's world, and faces."""
    slices = zip(hands.surface.vertex_slices, pose.valid.tolist(), strict=True)
    there = torch.cat([posed.surfaces.vertices[0, part] for part, valid in slices if valid])
    reach = max(source.reach, level) + 2 * voxel

    def distance(points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        return source.distance(points, posed)

    found = extract_isosurface(distance, there.amin(dim=0) - reach, there.amax(dim=0) + reach, voxel=voxel, level=level)
    return torch.from_numpy(found.vertices).to(there), torch.from_numpy(found.faces).to(there.device)


def _nearest(hands: PosedHands, posed: PosedSurfaces, points: Float[Tensor, "N 3"]) -> ClosestPoints:
    """Nearest points of the hand model itself, of what closes its wrist none."""
    return Surfaces(hands.surface.faces, posed.surfaces.vertices).closest(points)


def _texture_coordinates(
    hands: PosedHands, posed: PosedSurfaces, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Int[Tensor, " F"], Float[Tensor, "F 3 2"]]:
    """The hand model's face nearest to each triangle, and texture coordinates of the triangle's corners.

    A corner has the coordinates of the hand model's point nearest to it, which all triangles round it share, unless a
    seam runs between it and the middle of the triangle: then the plane of the face nearest to the middle is continued.
    """
    surface = hands.surface
    own = _nearest(hands, posed, vertices)
    own_uv = uv_warp(surface.uv, own.face, own.barycentric)[faces]
    middle = _nearest(hands, posed, vertices[faces].mean(dim=1)).face
    corners = posed.surfaces.vertices[0][surface.faces[middle]].repeat_interleave(3, dim=0)
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    weights, _ = plane_barycentric(vertices[faces].flatten(0, 1), normal, corners)
    continued = uv_warp(surface.uv, middle.repeat_interleave(3), weights).view_as(own_uv)
    together = ((own_uv - continued).norm(dim=-1) < SAME_PLACE).all(dim=1)
    return middle, torch.where(together[:, None, None], own_uv, continued).clamp(0, 1)


def _carry(
    hands: PosedHands,
    skinning: NearestSkinning,
    points: Float[Tensor, "N 3"],
    source: PosedSurfaces,
    target: PosedSurfaces,
) -> Float[Tensor, "N 3"]:
    """Points near the hands in one pose, moved with the skin to another; nerfstudio's world."""
    near = _nearest(hands, source, points)
    at = (torch.zeros_like(near.face), near.face, near.barycentric)
    back, forth = (
        posed.interpolate(skinning.vertex_rotations(posed.bones), *at).unflatten(-1, (3, 3))
        for posed in (source, target)
    )
    offset = forth @ torch.linalg.solve(back, points - near.point)[..., None]
    return target.interpolate(target.surfaces.vertices, *at) + offset[..., 0]
