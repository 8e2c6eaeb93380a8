"""Surfaces that are known."""

from __future__ import annotations

import torch
import trimesh

from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.hand_model import default_hand


def mesh_of(shape: trimesh.Trimesh, shift=(0.0, 0.0, 0.0)) -> Mesh:
    return Mesh(torch.tensor(shape.vertices + shift).float(), torch.tensor(shape.faces.copy()))


def ball(radius: float, shift=(0.0, 0.0, 0.0)) -> Mesh:
    return mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=radius), shift)


def hand_mesh() -> Mesh:
    hand = default_hand("right")
    return Mesh(hand.template, hand.faces)
