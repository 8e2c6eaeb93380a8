"""A trained avatar as a textured mesh in a pose, and as a rig."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.export.bake import bake_texture, bake_vertices
from nerfstudio_hands.export.rigged_glb import Rig
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.hand_model.joints import MANO_JOINT_NAMES
from nerfstudio_hands.hand_model.model import rest_joints, shaped_template
from nerfstudio_hands.model_components.export_source import ColorFn


@dataclass
class VisiblePart:
    """The hands of a surface that have a pose.

    Attributes:
        vertices: Their posed vertices, frame of the pose, metres.
        faces: Triangles over these vertices.
        face_ids: Which face of the whole surface each is.
        uv: Texture coordinates of their corners in the atlas of the whole surface.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    face_ids: Int[Tensor, " F"]
    uv: Float[Tensor, "F 3 2"]


def visible_part(
    surface: HandSurface,
    pose: HandPose,
    shape: Float[Tensor, " K"],
    displacement: Float[Tensor, "V 3"] | None = None,
) -> VisiblePart:
    """Poses a surface and leaves out the hands without a valid pose; `pose` has no batch axes."""
    posed = surface.pose(pose, shape, displacement).vertices
    keep = torch.zeros(surface.num_vertices, dtype=torch.bool, device=posed.device)
    for part, valid in zip(surface.vertex_slices, pose.valid.tolist(), strict=True):
        keep[part] = valid
    faces = surface.faces.to(posed.device)
    face_ids = torch.nonzero(keep[faces[:, 0]]).flatten()
    new_index = torch.cumsum(keep, dim=0) - 1
    return VisiblePart(posed[keep], new_index[faces[face_ids]], face_ids, surface.uv.to(posed.device)[face_ids])


def textured_mesh(part: VisiblePart, color_fn: ColorFn, texture_size: int) -> TexturedMesh:
    """Bakes texture and vertex colours. `color_fn` is asked with face indices of the whole surface.

    Raises:
        HandsError: The texture size is no power of two.
    """

    def color_of_part(points: Tensor, face: Tensor, barycentric: Tensor, normal: Tensor) -> Tensor:
        return color_fn(points, part.face_ids[face], barycentric, normal)

    return TexturedMesh(
        vertices=_array(part.vertices),
        faces=_array(part.faces),
        normals=_array(vertex_normals(part.vertices, part.faces)),
        uv=_array(part.uv),
        texture=_array(bake_texture(part.faces, part.uv, part.vertices, color_of_part, texture_size)),
        vertex_colors=_array(bake_vertices(part.faces, part.vertices, color_of_part)),
    )


def rigs(
    surface: HandSurface,
    valid: list[bool],
    shape: Float[Tensor, " K"],
    displacement: Float[Tensor, "V 3"] | None = None,
) -> list[Rig]:
    """The valid hands of a surface in rest pose, wrists where the zero pose has them, two hands side by side."""
    result, first_face = [], 0
    canonical = surface.split_vertices(surface.canonical)
    for number, (hand, part) in enumerate(zip(surface.hands, surface.vertex_slices, strict=True)):
        uv = surface.uv[first_face : first_face + len(hand.faces)]
        first_face += len(hand.faces)
        if not valid[number]:
            continue
        vertices = shaped_template(hand, shape[None].to(hand.template.device))[0]
        if displacement is not None:
            vertices = vertices + displacement[part]
        result.append(
            Rig(
                name=hand.side,
                vertices=_array(vertices),
                faces=_array(hand.faces),
                normals=_array(vertex_normals(vertices, hand.faces)),
                uv=_array(uv),
                weights=_array(hand.weights),
                joints=_array(rest_joints(hand, shape[None])[0]),
                joint_names=MANO_JOINT_NAMES,
                parents=hand.parents,
                offset=_array((canonical[number] - hand.template).mean(dim=0)),
            )
        )
    return result


def _array(tensor: Tensor):
    return tensor.detach().cpu().numpy()
