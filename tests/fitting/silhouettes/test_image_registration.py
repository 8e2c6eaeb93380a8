"""A hand that was said of a picture, a centimeter beside it, comes to lie on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from nerfstudio_hands.fitting.silhouettes.boundary_fit import silhouette_at, silhouette_mesh
from nerfstudio_hands.fitting.silhouettes.image_registration import register_to_image
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers
from nerfstudio_hands.transforms.projection import project

K = np.array([[420.0, 0, 160], [0, 420, 120], [0, 0, 1]])


def drawn(surface: HandSurface, pose: HandPose) -> np.ndarray:
    vertices = surface.pose(pose, torch.zeros(10)).vertices[0]
    mesh = silhouette_mesh(surface)
    normals = vertex_normals(vertices, torch.from_numpy(mesh.faces))
    return silhouette_at(mesh, vertices, normals, torch.from_numpy(K), torch.eye(4), (320, 240)).silhouette


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_a_hand_beside_its_picture_is_moved_onto_it() -> None:
    hand = default_hand("right")
    surface = HandSurface((hand,))
    pose = HandPose(
        torch.tensor([[[0.3, 0.2, 0.1]]]),
        bend_fingers(hand, torch.full((1, 5), 0.3), torch.zeros(1, 5))[:, None],
        torch.tensor([[[0.0, 0.0, 0.45]]]),
        torch.ones(1, 1, dtype=torch.bool),
    )
    joints = surface.pose(pose, torch.zeros(10)).keypoints[0, 0]
    middle = torch.tensor([0.0, 0.0, 0.45]) - joints.mean(0)
    pose = replace(pose, translation=pose.translation + middle)
    true = drawn(surface, pose)
    grain = np.random.default_rng(0).normal(0, 6, (240, 320, 3))
    image = np.where(true[..., None], [205, 150, 120], [60, 80, 70]) + grain
    said = replace(pose, translation=pose.translation + torch.tensor([0.008, -0.005, 0.0]))
    keypoints = surface.pose(said, torch.zeros(10)).keypoints[0]
    pixels, _ = project(keypoints[0].double().numpy(), K, np.eye(4))
    found = register_to_image(
        surface, said, torch.zeros(10), pixels[None], np.full((1, 21), 12.0), image.clip(0, 255).astype(np.uint8), K
    )
    assert iou(drawn(surface, said), true) < 0.85
    assert iou(drawn(surface, found), true) > 0.93
    # Without an outline in sight it stays.
    nothing = np.full((240, 320, 3), 90, np.uint8)
    still = register_to_image(surface, said, torch.zeros(10), pixels[None], np.full((1, 21), 12.0), nothing, K)
    assert still is said
