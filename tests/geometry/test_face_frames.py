"""Frames of faces against the linear map that moves them."""

from __future__ import annotations

import torch
import trimesh

from nerfstudio_hands.geometry.face_frames import FaceFrames


def test_frames_are_at_right_angles_at_rest_and_move_as_the_faces_do():
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices, faces = torch.tensor(ball.vertices), torch.tensor(ball.faces)
    frames = FaceFrames(vertices, faces)
    rest = frames(vertices)
    assert torch.allclose(rest @ rest.transpose(1, 2), torch.eye(3).double().expand_as(rest), atol=1e-9)
    outward = vertices[faces].mean(dim=1)
    assert ((rest[:, 2] * outward).sum(dim=-1) > 0.9).all()
    bend = torch.tensor([[1.2, 0.3, 0.0], [-0.1, 0.8, 0.2], [0.0, 0.4, 1.5]]).double()
    moved = frames(vertices @ bend.T)
    assert torch.allclose(moved[:, :2], rest[:, :2] @ bend.T, atol=1e-9)
    assert torch.allclose(moved[:, 2].norm(dim=-1), torch.ones(len(faces)).double())
    assert torch.allclose((moved[:, :2] @ moved[:, 2, :, None])[..., 0], torch.zeros(len(faces), 2).double(), atol=1e-9)
