"""NIMBLE's files with a hand of our own in them: the same names, keys and shapes, a small texture."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.hand_model.joints import FINGERS, MANO_JOINT_NAMES
from nerfstudio_hands.hand_model.nimble_file import MODEL, TEXTURE, TEXTURE_FACES, TO_MANO

BONE_OF_MANO = {"index": 5, "middle": 10, "ring": 15, "pinky": 20}
"""NIMBLE's first joint of these fingers, which MANO has not."""
SIDE = 8
"""Texels along each side of the texture."""


def nimble_joint(name: str) -> int:
    """Place of one of our 21 joints among NIMBLE's 25."""
    if name == "wrist":
        return 0
    finger, number = name.split("_")
    return int(number) + (BONE_OF_MANO[finger] if finger != "thumb" else 0)


def nimble_arrays() -> dict[str, dict | list[str]]:
    """Content of NIMBLE's four files, by their names: the default hand, in axes of NIMBLE's own, in millimeters."""
    hand, rng = default_hand("right").to(dtype=torch.float64), np.random.default_rng(4)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    # One vertex more than MANO's file has, in the middle of the first face: the two surfaces are told apart.
    first = hand.faces[0].tolist()
    more = np.concatenate([np.eye(hand.num_vertices), np.eye(hand.num_vertices)[first].mean(0, keepdims=True)])
    faces = np.concatenate([hand.faces.numpy()[1:], [[*pair, hand.num_vertices] for pair in _edges(first)]])
    uv = hand.uv.numpy()
    parts = [[*pair, uv[0].mean(0)] for pair in _edges(list(uv[0]))]
    uv = np.concatenate([uv[1:], parts])
    skin = more @ (1000 * hand.template.numpy() @ turn.T)
    keypoints = np.pad(hand.keypoint_regressor.numpy(), ((0, 0), (0, 1)))
    names = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (1, 2, 3, 4)))
    own = np.zeros((25, len(skin)))
    for name, row in zip(names, keypoints, strict=True):
        own[nimble_joint(name)] = row
    for joint in BONE_OF_MANO.values():
        own[joint] = 0.7 * own[0] + 0.3 * own[joint + 1]
    weights = np.zeros((len(skin), 25))
    for name, column in zip(MANO_JOINT_NAMES, (more @ hand.weights.numpy()).T, strict=True):
        weights[:, nimble_joint(name)] = column
    # Inner vertices: a bone's is its joint, muscles are points that nothing asks for.
    muscles = np.full((5, 3), 1e3)
    own_shapes = np.einsum("wv,vck->wck", more, hand.shape_dirs.numpy())
    shapes = np.concatenate([own_shapes, 1e-4 * rng.normal(size=(len(skin), 3, 12))], 2)
    shapes = np.einsum("ij,vjk->kvi", turn, 1000 * shapes)
    inner = np.concatenate([own @ shapes, np.zeros((len(shapes), 5, 3))], 1)
    std = rng.uniform(0.5, 2, len(shapes))
    basis = np.concatenate([inner, shapes], 1) / std[:, None, None]
    axes = np.linalg.qr(rng.normal(size=(57, 57)))[0]
    count = 30 + len(skin)
    landmarks = _at_vertices(faces, hand.num_vertices)
    diffuse = {
        "mean": rng.uniform(0.3, 0.7, 3 * SIDE**2).astype(np.float32),
        "basis": rng.normal(size=(3 * SIDE**2, 12)).astype(np.float32),
        "std": np.full(12, 0.03, np.float32),
    }
    return {
        MODEL: {
            "vert": np.concatenate([own @ skin, muscles, skin])[None].astype(np.float32),
            "face": np.zeros((1, 1, 3), np.int64),
            "all_sw": np.concatenate([np.eye(25), np.eye(25)[:5], weights]).astype(np.float32),
            "all_pbs": (0.01 * rng.normal(size=(count, 3, 171))).astype(np.float32),
            "jreg_bone": np.eye(25, dtype=np.float32),
            "jreg_mano": keypoints[rng.permutation(21)].astype(np.float32),
            "shape_basis": basis.reshape(len(basis), -1).astype(np.float32),
            "shape_pm_std": std,
            "shape_pm_mean": np.zeros(len(std)),
            "pose_basis": axes,
            "pose_mean": 0.05 * rng.normal(size=57),
            "pose_pm_std": np.full(57, 0.1),
            "pose_pm_mean": 0.02 * rng.normal(size=57),
            "bone_v_sep": 25,
            "skin_v_sep": 30,
            "bone_f": np.zeros((1, 1, 3), np.int64),
            "muscle_f": np.zeros((1, 1, 3), np.int64),
            "skin_f": faces[None],
            "skin_v_surface_mask": np.ones(len(skin), bool),
            "skin_v_gd": np.zeros((2, 2)),
        },
        TEXTURE: {"normal": {"mean": np.zeros(3)}, "diffuse": diffuse, "spec": {"mean": np.zeros(3)}},
        TO_MANO: {"lmk_faces_idx": [landmarks[0]] * 20, "lmk_bary_coords": [landmarks[1]] * 20},
        TEXTURE_FACES: _texture_faces(uv, faces),
    }


def write_nimble_files(folder: Path, arrays: dict[str, dict | list[str]] | None = None) -> Path:
    """Writes the four files into a folder, and gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (nimble_arrays() if arrays is None else arrays).items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))
    return folder


def _edges(corners: list) -> list[list]:
    return [[corners[k], corners[(k + 1) % 3]] for k in range(3)]


def _at_vertices(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks that are the first vertices: some face around each, and coordinates there."""
    found, corner = np.zeros(faces.max() + 1, np.int64), np.zeros(faces.max() + 1, np.int64)
    found[faces.reshape(-1)], corner[faces.reshape(-1)] = np.divmod(np.arange(faces.size), 3)
    return found[:count], np.eye(3)[corner[:count]]


def _texture_faces(uv: np.ndarray, faces: np.ndarray) -> list[str]:
    lines = [f"vt {u:.6f} {v:.6f}\n" for u, v in uv.reshape(-1, 2)]
    for index, face in enumerate(faces):
        corners = (f"{vertex + 1}/{3 * index + corner + 1}" for corner, vertex in enumerate(face))
        lines.append(f"f {' '.join(corners)}\n")
    return lines
