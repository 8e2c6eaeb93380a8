"""The user's NIMBLE files as a :class:`NimbleHand`, and skins of its texture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_named_arrays, read_pickled_text
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.hand_model.mano_file import mano_file_in, read_mano_hand
from nerfstudio_hands.hand_model.nimble import (
    KEYPOINT_JOINTS,
    NUM_JOINTS,
    NUM_POSE,
    NUM_ROTATIONS,
    NUM_SHAPE,
    NimbleHand,
)
from nerfstudio_hands.hand_model.npz_file import check_magnitudes
from nerfstudio_hands.hand_model.uv_file import uv_of_obj
from nerfstudio_hands.transforms.color import srgb_to_linear

MODEL = "NIMBLE_DICT_9137.pkl"
TEXTURE = "NIMBLE_TEX_DICT.pkl"
TO_MANO = "NIMBLE_MANO_VREG.pkl"
TEXTURE_FACES = "NIMBLE_TEX_FUV.pkl"
FILES = (MODEL, TEXTURE, TO_MANO, TEXTURE_FACES)
"""The files, by the names that they are published under."""

REMEDY = "take the files as they are published"

LANDMARK_SETS = 20
"""Of barycentric landmarks, whose mean is MANO's surface."""

TEXTURE_COMPONENTS = 10
"""Of colors that are used, at most."""

MAGNITUDES = {
    "weights": 1.01,
    "shape_dirs": 1.0,
    "pose_dirs": 1.0,
    "joints": 10.0,
    "joint_dirs": 1.0,
    "pose_mean": 100.0,
    "pose_components": 100.0,
    "to_mano": 10.0,
    "to_keypoints": 10.0,
}
"""No number is larger: lengths in metres, angles in radians, shares of vertices."""

EXTENT = (80.0, 500.0)
"""Smallest and largest longest side of a hand's box, millimeters."""

FAR = 25.0
"""Millimeters up to which a row of NIMBLE's own regressor says the joint that it is nearest to."""


def is_nimble(source: str | Path) -> bool:
    """Whether a path is that of NIMBLE's files: their folder, or the model's."""
    path = Path(source)
    return path.name == MODEL or (path / MODEL).is_file()


def read_nimble_hand(source: str | Path) -> NimbleHand:
    """Reads NIMBLE's files.

    The 21 joints are MANO's: by the regressor of ``MANO_RIGHT.pkl`` in the same folder, or below it, from MANO's
    vertices as the surface says them; without that file by NIMBLE's own regressor (``jreg_mano``), each of whose rows
    is the joint that it lies nearest to in the rest pose.

    Args:
        source: Folder with the four files, or the path of ``NIMBLE_DICT_9137.pkl`` beside the others.

    Raises:
        HandsError: A file is missing, hostile, broken, in another unit than millimeters, or of other shapes.
    """
    folder = _folder(source)
    for name in FILES:
        if not (folder / name).is_file():
            raise HandsError(f"{folder}: expected NIMBLE's files {', '.join(FILES)}, found no {name}: put it there.")
    path = folder / MODEL
    numbers = _numbers(path)
    skin = slice(int(numbers["skin_v_sep"]), None)
    template = numbers["vert"][skin]
    _require_millimeters(path, template)
    faces = numbers["skin_f"].astype(np.int64)
    _require_indices(path, "skin_f", faces, len(template))
    shape_std, pose_std = numbers["shape_pm_std"][:NUM_SHAPE], numbers["pose_pm_std"][:NUM_POSE]
    basis = numbers["shape_basis"][:NUM_SHAPE].reshape(NUM_SHAPE, -1, 3)
    mean = numbers["vert"] + np.tensordot(numbers["shape_pm_mean"][:NUM_SHAPE], basis, 1)
    shape_dirs = np.moveaxis(basis * shape_std[:, None, None], 0, -1)
    bones = slice(0, int(numbers["bone_v_sep"]))
    joints = numbers["jreg_bone"] @ mean[bones]
    pose_basis = numbers["pose_basis"][:NUM_POSE]
    to_mano = _to_mano(folder / TO_MANO, faces, len(template))
    mano = mano_file_in(folder, "right")
    if mano.is_file():
        to_keypoints = _mano_keypoints(mano, folder / TO_MANO, len(to_mano)) @ to_mano
    else:
        to_keypoints = _in_our_order(path, numbers["jreg_mano"], mean[skin], joints)
    hand = NimbleHand(
        template=_meters(mean[skin]),
        faces=torch.from_numpy(faces),
        uv=_uv(folder / TEXTURE_FACES, torch.from_numpy(faces)),
        weights=_tensor(numbers["all_sw"][skin]),
        shape_dirs=_meters(shape_dirs[skin]),
        pose_dirs=_meters(numbers["all_pbs"][skin]),
        joints=_meters(joints),
        joint_dirs=_meters(np.einsum("jv,vck->jck", numbers["jreg_bone"], shape_dirs[bones])),
        pose_mean=_tensor(numbers["pose_mean"] + numbers["pose_pm_mean"][:NUM_POSE] @ pose_basis),
        pose_components=_tensor(pose_std[:, None] * pose_basis),
        to_mano=_tensor(to_mano),
        to_keypoints=_tensor(to_keypoints),
    )
    check_magnitudes(path, hand, MAGNITUDES)
    return hand


def read_nimble_skins(source: str | Path, hand: NimbleHand, seeds: Sequence[int]) -> Float[np.ndarray, "P S 3"]:
    """Linear albedo at the vertices of people whom NIMBLE's texture makes up, each of a seed.

    Args:
        source: See `read_nimble_hand`.
        hand: Read from there.
        seeds: Of P people.

    Raises:
        HandsError: The texture cannot be read, or is none.
    """
    path = _folder(source) / TEXTURE
    keys = {key: f"diffuse/{key}" for key in ("mean", "basis", "std")}
    found = _named(path, keys.values())
    mean, basis, std = (np.squeeze(found[name]) for name in keys.values())
    side = round((mean.size / 3) ** 0.5)
    if mean.shape != (3 * side**2,) or basis.ndim != 2 or len(basis) != len(mean) or std.shape != basis.shape[1:]:
        raise HandsError(
            f"{path}: expected diffuse with mean [3 S S], basis [3 S S, k] and std [k], found the shapes {mean.shape}, "
            f"{basis.shape} and {std.shape}: {REMEDY}."
        )
    uv = torch.zeros(hand.num_vertices, 2)
    uv[hand.faces.reshape(-1)] = hand.uv.reshape(-1, 2)
    column, row = (places.numpy() for places in ((uv * torch.tensor([1, -1]) + torch.tensor([0, 1])) * side - 0.5).T)
    texels = mean.reshape(side, side, 3), basis.reshape(side, side, 3, -1)[..., :TEXTURE_COMPONENTS]
    at_mean, at_basis = (_blended(values, row, column) for values in texels)
    some = np.stack([np.random.default_rng(seed).standard_normal(at_basis.shape[-1]) for seed in seeds])
    colors = at_mean + np.einsum("pk,vck->pvc", some * std[: at_basis.shape[-1]], at_basis)
    # Texels are blue, green, red.
    return srgb_to_linear(torch.from_numpy(colors[..., ::-1].clip(0, 1).astype(np.float64))).numpy()


def _blended(values: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of texels at places between their centers, by the four around each."""
    last = len(values) - 1
    total = np.zeros(1)
    for rows, part in _neighbors(row, last):
        for columns, other in _neighbors(column, last):
            share = (part * other).reshape(-1, *[1] * (values.ndim - 2))
            total = total + share * values[rows, columns]
    return total


def _neighbors(places: np.ndarray, last: int) -> list[tuple[np.ndarray, np.ndarray]]:
    low = np.floor(places)
    high = places - low
    return [(np.clip(low + step, 0, last).astype(int), part) for step, part in ((0, 1 - high), (1, high))]


def _folder(source: str | Path) -> Path:
    path = Path(source)
    return path.parent if path.name == MODEL else path


def _named(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Arrays of a file, all of them there."""
    names = tuple(names)
    try:
        found = read_named_arrays(path, names)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected one of NIMBLE's files, found {error}: {REMEDY}.") from error
    missing = sorted(set(names) - found.keys())
    if missing:
        raise HandsError(f"{path}: expected the numbers of NIMBLE, found none named {', '.join(missing)}: {REMEDY}.")
    return found


def _numbers(path: Path) -> dict[str, np.ndarray]:
    """The model's arrays, of the shapes that they should have; lists of components may be longer than what is used."""
    names = ("skin_v_sep", "bone_v_sep", "vert", "skin_f", "all_sw", "all_pbs", "jreg_bone", "jreg_mano")
    components = ("shape_basis", "shape_pm_mean", "shape_pm_std", "pose_basis", "pose_pm_mean", "pose_pm_std")
    # Arrays have an axis of one hand before the others, or have not.
    found = {key: np.squeeze(value) for key, value in _named(path, (*names, *components, "pose_mean")).items()}
    count = found["vert"].size // 3
    bones, skin = (int(found[key].flat[0]) for key in ("bone_v_sep", "skin_v_sep"))
    expected = {
        "vert": (count, 3),
        "skin_f": (found["skin_f"].size // 3, 3),
        "all_sw": (count, NUM_JOINTS),
        "all_pbs": (count, 3, 9 * NUM_ROTATIONS),
        "jreg_bone": (NUM_JOINTS, bones),
        "jreg_mano": (21, count - skin),
        "shape_basis": (NUM_SHAPE, 3 * count),
        "shape_pm_mean": (NUM_SHAPE,),
        "shape_pm_std": (NUM_SHAPE,),
        "pose_basis": (NUM_POSE, 3 * NUM_ROTATIONS),
        "pose_pm_mean": (NUM_POSE,),
        "pose_pm_std": (NUM_POSE,),
        "pose_mean": (3 * NUM_ROTATIONS,),
    }
    for key in components:
        found[key] = found[key][: expected[key][0]]
    for key, shape in expected.items():
        if found[key].shape != shape or not np.isfinite(found[key]).all():
            raise HandsError(
                f"{path}: expected {key} of the shape {shape}, finite, for {count} vertices of which {count - skin} "
                f"are skin, found {found[key].shape}: {REMEDY}."
            )
    return found


def _require_millimeters(path: Path, template: Float[np.ndarray, "S 3"]) -> None:
    extent = float(np.ptp(template, axis=0).max())
    if not EXTENT[0] <= extent <= EXTENT[1]:
        in_meters = EXTENT[0] <= 1000 * extent <= EXTENT[1]
        found = f"{extent:.3g}, as in meters" if in_meters else f"{extent:.3g}"
        raise HandsError(
            f"{path}: expected a hand in millimeters, {EXTENT[0]:.0f} to {EXTENT[1]:.0f} long, found one of {found}: "
            f"{REMEDY}."
        )


def _require_indices(path: Path, key: str, indices: np.ndarray, count: int) -> None:
    if indices.min() < 0 or indices.max() >= count:
        raise HandsError(
            f"{path}: expected {key} with indices 0 to {count - 1}, found {indices.min()} to {indices.max()}: {REMEDY}."
        )


def _to_mano(path: Path, faces: Int[np.ndarray, "F 3"], num_vertices: int) -> Float[np.ndarray, "M S"]:
    """MANO's vertices from the skin's: the mean over the sets of barycentric landmarks."""
    found = _named(path, ("lmk_faces_idx", "lmk_bary_coords"))
    indices, shares = found["lmk_faces_idx"].astype(np.int64), found["lmk_bary_coords"]
    if indices.ndim != 2 or len(indices) != LANDMARK_SETS or shares.shape != (*indices.shape, 3):
        raise HandsError(
            f"{path}: expected {LANDMARK_SETS} sets of faces [M] and coordinates [M, 3], found the shapes "
            f"{indices.shape} and {shares.shape}: {REMEDY}."
        )
    _require_indices(path, "lmk_faces_idx", indices, len(faces))
    matrix = np.zeros((indices.shape[1], num_vertices))
    rows = np.broadcast_to(np.arange(len(matrix))[:, None], shares.shape)
    np.add.at(matrix, (rows, faces[indices]), shares / LANDMARK_SETS)
    return matrix


def _mano_keypoints(path: Path, landmarks: Path, num_vertices: int) -> Float[np.ndarray, "21 M"]:
    """The 21 joints from MANO's vertices."""
    mano = read_mano_hand(path)
    if mano.num_vertices != num_vertices:
        raise HandsError(
            f"{path}: expected a hand of {num_vertices} vertices, as {landmarks.name} has them, found one of "
            f"{mano.num_vertices}: put MANO's own file there, or none."
        )
    return mano.keypoint_regressor.double().numpy()


def _in_our_order(
    path: Path,
    regressor: Float[np.ndarray, "21 S"],
    skin: Float[np.ndarray, "S 3"],
    joints: Float[np.ndarray, "25 3"],
) -> Float[np.ndarray, "21 S"]:
    """Rows of NIMBLE's own regressor of MANO's joints, whose order nobody says, by the joints that they lie nearest
    to."""
    apart = np.linalg.norm(joints[list(KEYPOINT_JOINTS)][:, None] - (regressor @ skin)[None], axis=-1)
    places, rows = linear_sum_assignment(apart)
    if (farthest := float(apart[places, rows].max())) > FAR:
        raise HandsError(
            f"{path}: expected jreg_mano to say joints within {FAR:.0f} mm of NIMBLE's own, found one "
            f"{farthest:.0f} mm off: put MANO_RIGHT.pkl beside the file, whose regressor is then taken."
        )
    return regressor[rows]


def _uv(path: Path, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3 2"]:
    try:
        return uv_of_obj(read_pickled_text(path), faces)
    except (UnreadableFile, ValueError) as error:
        raise HandsError(f"{path}: expected texture coordinates of NIMBLE's skin, found {error}: {REMEDY}.") from error


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _meters(millimeters: np.ndarray) -> Tensor:
    return _tensor(millimeters / 1000)
