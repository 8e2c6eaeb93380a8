"""A hand in MANO layout as one record, and its skinning.

Frame of the default hand's template, which is also MANO's for the right hand: x from the fingers to the wrist, y out
of the back of the hand, z towards the thumb; the left hand is the mirror image in x.  Metres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from smplx.lbs import batch_rigid_transform, batch_rodrigues, blend_shapes, vertices2joints
from torch import Tensor

from nerfstudio_hands.hand_model.joints import JOINTS_TO_MANO_WITH_TIPS, SIDES, TIP_JOINTS

Hand = TypeVar("Hand")

NUM_JOINTS = 16
NUM_POSE_FEATURES = 9 * (NUM_JOINTS - 1)


@dataclass(frozen=True)
class HandModel:
    """A posable hand.

    Every model source (the embedded hand, the user's MANO files) becomes this record; numbers of vertices, faces and
    shape directions differ between sources.
    """

    side: str
    """``left`` or ``right``."""
    template: Float[Tensor, "V 3"]
    """Rest vertices of the mean shape, metres."""
    faces: Int[Tensor, "F 3"]
    """Triangles, counter-clockwise seen from outside; open at the wrist."""
    weights: Float[Tensor, "V 16"]
    """Skinning weights, rows sum to one."""
    shape_dirs: Float[Tensor, "V 3 B"]
    """Vertex offsets of one standard deviation along each shape direction, metres."""
    pose_dirs: Float[Tensor, "V 3 P"]
    """Vertex offsets per entry of the 15 local rotation matrices minus identity, P = 135. Where a source has none they
    are zero, or P is 0 where zeros would be costly."""
    joint_regressor: Float[Tensor, "16 V"]
    """The 16 joints in MANO order from rest vertices."""
    keypoint_regressor: Float[Tensor, "21 V"]
    """The 21 joints in the project's order from vertices; for a posed hand only its tip rows are meaningful."""
    uv: Float[Tensor, "F 3 2"]
    """Texture coordinates per corner in [0, 1]."""
    parents: tuple[int, ...]
    """Parent of each of the 16 joints, -1 for the wrist."""
    hands_mean: Float[Tensor, "15 3"]
    """Local rotations (axis-angle) of the source's mean pose. They are NOT applied by :func:`pose_hand`: rotations
    given there are relative to the flat template; add this to MANO poses made with ``flat_hand_mean=False``."""
    name: str
    """Where the model comes from, for messages and cache keys."""
    hands_components: Float[Tensor, "45 45"] | None = None
    """MANO's principal components of local rotations, one a row; None where the source has none."""

    @property
    def num_vertices(self) -> int:
        return self.template.shape[0]

    @property
    def num_shape(self) -> int:
        return self.shape_dirs.shape[-1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> HandModel:
        """Copy with all tensors on ``device`` and all floating tensors in ``dtype``."""
        return with_tensors(self, lambda value: value.to(device, dtype if value.is_floating_point() else None))


def with_tensors(hand: Hand, change: Callable[[Tensor], Tensor]) -> Hand:
    """Copy of a hand model of any kind, a dataclass, with all its tensors changed."""
    values = {field.name: getattr(hand, field.name) for field in dataclasses.fields(hand)}  # pyright: ignore[reportArgumentType]
    changed = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
    return dataclasses.replace(hand, **changed)  # pyright: ignore[reportArgumentType]


@dataclass
class PosedHand:
    """A batch of posed hands; world frame, metres."""

    vertices: Float[Tensor, "B V 3"]
    keypoints: Float[Tensor, "B 21 3"]
    """In the order of ``joints.JOINT_NAMES``."""
    bone_transforms: Float[Tensor, "B 16 4 4"]
    """From the shaped rest pose to the posed hand, global orientation and translation included; MANO order."""


def shaped_template(
    model: HandModel,
    shape: Float[Tensor, "B K"],
    displacement: Float[Tensor, "V 3"] | None = None,
) -> Float[Tensor, "B V 3"]:
    """Rest vertices of a shape; ``shape`` may have fewer coefficients than the model has directions."""
    if shape.shape[-1] > model.num_shape:
        raise ValueError(f"The hand {model.name!r} has {model.num_shape} shape directions, got {shape.shape[-1]}.")
    vertices = model.template + blend_shapes(shape, model.shape_dirs[..., : shape.shape[-1]])
    return vertices if displacement is None else vertices + displacement


def rest_joints(model: HandModel, shape: Float[Tensor, "B K"]) -> Float[Tensor, "B 16 3"]:
    """The 16 joints in MANO order of the unposed hand, metres."""
    return vertices2joints(model.joint_regressor, shaped_template(model, shape))


def pose_hand(
    model: HandModel,
    global_orient: Float[Tensor, "B 3"],
    local_rotations: Float[Tensor, "B 15 3"],
    translation: Float[Tensor, "B 3"],
    shape: Float[Tensor, "*B K"],
    displacement: Float[Tensor, "V 3"] | None = None,
) -> PosedHand:
    """Linear blend skinning in MANO's convention, by the functions of ``smplx.lbs``.

    A vertex is ``sum_j w_j A_j (template + shape + displacement + pose offsets) + translation``, where ``A_j`` chains
    rotations about the rest joints. The global orientation turns about the root joint. The displacement does not move
    the joints, so that a refined surface keeps its skeleton.

    Args:
        model: The hand.
        global_orient: Rotation of the wrist, axis-angle in radians.
        local_rotations: Rotations of joints 1-15 in MANO order, axis-angle about the axes of the rest frame.
        translation: Metres, added last.
        shape: Shape coefficients, one set for all ``[K]`` or one a hand ``[B, K]``; unit one standard deviation.
        displacement: Offsets of the rest vertices, metres.

    Returns:
        Vertices, the 21 keypoints (16 joints by the transforms, tips from the posed vertices) and bone transforms.
    """
    batch = global_orient.shape[0]
    if shape.dim() == 1:
        shape = shape[None]
    unique_shapes = shape.shape[0]
    rest = shaped_template(model, shape)
    joints = vertices2joints(model.joint_regressor, rest).expand(batch, -1, -1)
    if displacement is not None:
        rest = rest + displacement
    if unique_shapes not in (1, batch):
        raise ValueError(f"Expected 1 or {batch} sets of shape coefficients, got {unique_shapes}.")

    axis_angle = torch.cat([global_orient[:, None], local_rotations], dim=1)
    rotations = batch_rodrigues(axis_angle.reshape(-1, 3)).view(batch, NUM_JOINTS, 3, 3)
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    pose_feature = (rotations[:, 1:] - identity).reshape(batch, NUM_POSE_FEATURES)
    rest = rest + torch.einsum("bp,vcp->bvc", pose_feature[:, : model.pose_dirs.shape[-1]], model.pose_dirs)

    vertices, posed_joints, transforms = skinned(rest, joints, rotations, model.parents, model.weights)
    vertices = vertices + translation[:, None]

    tips = torch.einsum("kv,bvc->bkc", model.keypoint_regressor[list(TIP_JOINTS)], vertices)
    keypoints = torch.cat([posed_joints + translation[:, None], tips], dim=1)[:, list(JOINTS_TO_MANO_WITH_TIPS)]
    shift = torch.nn.functional.pad(translation[:, None, :, None], (3, 0, 0, 1))
    return PosedHand(vertices=vertices, keypoints=keypoints, bone_transforms=transforms + shift)


def skinned(
    rest: Float[Tensor, "B V 3"],
    joints: Float[Tensor, "B J 3"],
    rotations: Float[Tensor, "B J 3 3"],
    parents: Sequence[int],
    weights: Float[Tensor, "V J"],
) -> tuple[Float[Tensor, "B V 3"], Float[Tensor, "B J 3"], Float[Tensor, "B J 4 4"]]:
    """Linear blend skinning of any tree: posed vertices and joints, and transforms from the rest pose.

    Args:
        rest: Vertices in the rest pose, offsets of the pose included.
        joints: In the rest pose.
        rotations: Of each joint against its parent's bone.
        parents: Of each joint, before it; -1 for the first.
        weights: Of the vertices, rows sum to one.
    """
    # Not on the device of the rest: smplx asks for each of them.
    posed_joints, transforms = batch_rigid_transform(rotations, joints, torch.tensor(parents), dtype=rest.dtype)
    blended = torch.einsum("vj,bjrc->bvrc", weights, transforms[:, :, :3])
    # One axis after the other: products of many small matrices with vectors take three times as long.
    vertices = blended[..., 3]
    for axis in range(3):
        vertices = torch.addcmul(vertices, blended[..., axis], rest[..., axis, None])
    return vertices, posed_joints, transforms


def mirror_hand(model: HandModel) -> HandModel:
    """The same hand on the other side: mirrored in x, triangles turned to keep facing outwards.

    Posing commutes with it: rotations mirrored by :func:`mirror_rotations` give the mirrored vertices.
    """
    flip = model.template.new_tensor([-1.0, 1.0, 1.0])
    # Entry (r, c) of a mirrored rotation matrix changes its sign when exactly one of r and c is x.
    feature_flip = (flip[:, None] * flip[None, :]).reshape(9).repeat(NUM_JOINTS - 1)[: model.pose_dirs.shape[-1]]
    other = SIDES[1 - SIDES.index(model.side)]
    components = model.hands_components
    return dataclasses.replace(
        model,
        side=other,
        template=model.template * flip,
        faces=model.faces[:, [0, 2, 1]],
        shape_dirs=model.shape_dirs * flip[:, None],
        pose_dirs=model.pose_dirs * flip[:, None] * feature_flip,
        uv=model.uv[:, [0, 2, 1]],
        hands_mean=mirror_rotations(model.hands_mean),
        hands_components=None if components is None else mirror_rotations(components.view(45, 15, 3)).flatten(1),
    )


def mirror_rotations(axis_angle: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """Axis-angle rotations as they look in a mirror across the plane x = 0."""
    return axis_angle * axis_angle.new_tensor([1.0, -1.0, -1.0])
