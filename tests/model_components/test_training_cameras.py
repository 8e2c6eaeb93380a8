"""How cameras answer to light, as far as training can know."""

from __future__ import annotations

import torch

from nerfstudio_hands.model_components.training_cameras import TrainingCameras


def test_the_first_camera_is_the_fixed_one():
    cameras = TrainingCameras(3, learn_colors=True, refine_poses=False)
    cameras.seen[1:] = True
    with torch.no_grad():
        cameras.gain += 0.3
        cameras.bias += 0.1
    color, opaque = torch.full((1, 3), 0.5), torch.ones(1, 1)
    first, second = (cameras.respond(color, opaque, torch.tensor([camera])) for camera in (1, 2))
    assert torch.equal(first, color)
    assert torch.allclose(second, color * torch.tensor(0.3).exp() + 0.1)
    # A camera that training has not seen shows the mean of those that it has; so does a picture of no camera.
    cameras.seen[0] = True
    cameras.seen[2] = False
    unseen, none = (cameras.respond(color, opaque, camera) for camera in (torch.tensor([2]), None))
    assert torch.allclose(unseen, color * torch.tensor(0.15).exp() + 0.05) and torch.allclose(none, unseen)
    # Where nothing is, every camera sees black.
    assert cameras.respond(color * 0, opaque * 0, torch.tensor([2])).abs().max() == 0
