"""The user's MANO files as :class:`HandModel`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from smplx.vertex_ids import vertex_ids
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.hand_model.joints import (
    FINGERS,
    MANO_FINGERS,
    MANO_PARENTS,
    MANO_TO_JOINTS,
    SIDES,
    TIP_JOINTS,
)
from nerfstudio_hands.hand_model.model import NUM_JOINTS, HandModel
from nerfstudio_hands.hand_model.npz_file import check_dimensions, check_hand
from nerfstudio_hands.hand_model.uv_file import read_uv, uv_file_beside

_DIMENSIONS = {
    "v_template": 2,
    "f": 2,
    "weights": 2,
    "shapedirs": 3,
    "posedirs": 3,
    "J_regressor": 2,
    "kintree_table": 2,
    "hands_mean": 1,
}

_OFFICIAL_FACES = 1538
"""Number of triangles of the official mesh, by which its published tip vertices (in smplx) are recognized."""


def mano_file_in(folder: Path, side: str) -> Path:
    """MANO's file of a side in a folder or below it, as the archives unpack; else that of the other side.

    Where there is neither, the path at which the side's file was expected.
    """
    for wanted in (side, SIDES[1 - SIDES.index(side)]):
        for depth in ("", "*/", "*/*/"):
            found = sorted(folder.glob(f"{depth}MANO_{wanted.upper()}.pkl"))
            if found:
                return found[0]
    return folder / f"MANO_{side.upper()}.pkl"


def read_mano_hand(path: Path) -> HandModel:
    """Read ``MANO_RIGHT.pkl`` or ``MANO_LEFT.pkl``.

    The rest pose is MANO's flat template; the mean pose goes into ``hands_mean`` and is not applied. The shape
    directions of the left model are mirrored where the file has them unmirrored. Files carry no texture coordinates:
    those of an .obj beside the file are taken (`uv_file_beside`), else the palm and the back are laid out flat side by
    side. Units metres, float32.

    Raises:
        HandsError: If the file is hostile, broken or no hand in MANO layout.
    """
    try:
        arrays = read_array_pickle(path)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected an official MANO file, found {error}; get it again from https://mano.is.tue.mpg.de, or "
            "save its arrays alone."
        ) from error
    missing = sorted(set(_DIMENSIONS) - arrays.keys())
    if missing:
        raise HandsError(f"{path}: a MANO hand needs {', '.join(missing)}, which the file lacks; give MANO_RIGHT.pkl.")
    check_dimensions(path, arrays, _DIMENSIONS)
    parents = tuple(int(p) if int(p) < NUM_JOINTS else -1 for p in arrays["kintree_table"][0])
    if parents != MANO_PARENTS:
        raise HandsError(
            f"{path}: expected the tree of MANO's {NUM_JOINTS} joints, found the parents {parents}; give a hand model, "
            "not a body."
        )
    num_vertices = len(arrays["v_template"])
    expected = {
        "v_template": (num_vertices, 3),
        "J_regressor": (NUM_JOINTS, num_vertices),
        "weights": (num_vertices, NUM_JOINTS),
        "shapedirs": (num_vertices, 3, arrays["shapedirs"].shape[-1]),
        "hands_mean": (3 * (NUM_JOINTS - 1),),
        "f": (len(arrays["f"]), 3),
    }
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise HandsError(
                f"{path}: expected {key} of the shape {shape}, found {arrays[key].shape}; give MANO_RIGHT.pkl or "
                "MANO_LEFT.pkl."
            )
    idle = sorted(set(range(NUM_JOINTS)) - set(arrays["weights"].argmax(axis=1).tolist()))
    if idle:
        raise HandsError(
            f"{path}: every joint of a hand moves some vertices most, but joints {idle} move none; give MANO_RIGHT.pkl "
            "or MANO_LEFT.pkl."
        )
    tensors = {
        key: torch.from_numpy(np.ascontiguousarray(arrays[key], dtype=np.float32)) for key in _DIMENSIONS if key != "f"
    }
    faces = torch.from_numpy(arrays["f"].astype(np.int64))
    template, regressor = tensors["v_template"], tensors["J_regressor"]
    joints = regressor @ template
    # MANO's right hand points its fingers along -x, its left hand along +x.
    side = "right" if joints[1 + 3 * MANO_FINGERS.index("middle"), 0] < joints[0, 0] else "left"
    shape_dirs = tensors["shapedirs"]
    if side == "left" and shape_is_unmirrored(template, shape_dirs):
        shape_dirs = shape_dirs * shape_dirs.new_tensor([-1.0, 1.0, 1.0])[:, None]
    if len(faces) == _OFFICIAL_FACES:
        tips = [vertex_ids["mano"][finger] for finger in FINGERS]
    else:
        tips = fingertip_vertices(template, tensors["weights"], joints)
    keypoint_regressor = torch.zeros(21, len(template))
    keypoint_regressor[list(MANO_TO_JOINTS)] = regressor
    keypoint_regressor[list(TIP_JOINTS), tips] = 1.0
    model = HandModel(
        side=side,
        template=template,
        faces=faces,
        weights=tensors["weights"],
        shape_dirs=shape_dirs,
        pose_dirs=tensors["posedirs"],
        joint_regressor=regressor,
        keypoint_regressor=keypoint_regressor,
        uv=torch.zeros(len(faces), 3, 2),
        parents=parents,
        hands_mean=tensors["hands_mean"].reshape(-1, 3),
        name=f"mano-{side}",
        hands_components=_components(arrays),
    )
    check_hand(model, path)
    beside = uv_file_beside(path, side)
    return dataclasses.replace(model, uv=planar_uv(template, faces) if beside is None else read_uv(beside, faces))


def _components(arrays: dict[str, np.ndarray]) -> Float[Tensor, "45 45"] | None:
    """The principal components of poses, which only some tracks need."""
    found = arrays.get("hands_components")
    if not isinstance(found, np.ndarray) or found.shape != (45, 45) or found.dtype.kind != "f":
        return None
    return torch.from_numpy(found.astype(np.float32))


def shape_is_unmirrored(template: Float[Tensor, "V 3"], shape_dirs: Float[Tensor, "V 3 B"]) -> bool:
    """Whether shape directions belong to the mirror image (in x) of a template: the known bug of ``MANO_LEFT.pkl``.

    A direction that makes a hand larger moves every vertex away from the wrist, in x as in y and z. With directions of
    the other hand, x shrinks while y and z grow. Decided on the direction with most growth. With both files at hand the
    published test, that left and right directions are equal, says the same.
    """
    centered = template - template.mean(dim=0)
    growth = torch.einsum("vc,vcb->cb", centered, shape_dirs)
    across = growth[1] + growth[2]
    largest = int((growth[0].abs() * across.abs()).argmax())
    return bool(growth[0, largest] * across[largest] < 0)


def fingertip_vertices(
    template: Float[Tensor, "V 3"], weights: Float[Tensor, "V 16"], joints: Float[Tensor, "16 3"]
) -> list[int]:
    """The vertex farthest out along the end of each finger, in the order of ``joints.FINGERS``.

    Every finger needs vertices that move most with its last bone.
    """
    tips = []
    for finger in FINGERS:
        last = 3 + 3 * MANO_FINGERS.index(finger)
        members = torch.nonzero(weights.argmax(dim=1) == last).squeeze(1)
        arms = template[members] - joints[last]
        axis = torch.nn.functional.normalize(arms.mean(dim=0), dim=0)
        reach = arms @ axis
        # A blunt end is almost level: the rim of the nail may be farthest, the middle is the tip.
        reach = reach - 0.5 * torch.linalg.vector_norm(arms - reach[:, None] * axis, dim=1)
        tips.append(int(members[reach.argmax()]))
    return tips


def planar_uv(template: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates of a flat hand in MANO's frame: from the back (left half), from the palm (right half).

    Both views keep the aspect. Parts that cover each other in a view share texture.
    """
    corners = template[faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = template[:, [2, 0]]
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    extent = (high - low) * template.new_tensor([2.0, 1.0])
    placed = (flat - (low + high) / 2) * (0.98 / extent.max()) + template.new_tensor([0.25, 0.5])
    uv = placed[faces]
    uv[..., 0] += 0.5 * (normal[:, 1] < 0).to(uv)[:, None]
    return uv


def relative_to_flat(model: HandModel, local_rotations: Float[Tensor, "*B 15 3"]) -> Float[Tensor, "*B 15 3"]:
    """Rotations for :func:`pose_hand` from poses relative to MANO's mean pose (``flat_hand_mean=False``).

    This is MANO's own rule: axis-angle vectors are added.
    """
    return local_rotations + model.hands_mean.to(local_rotations)
