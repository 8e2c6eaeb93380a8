"""A picture in a mirror shows the same hand on the other side."""

from __future__ import annotations

import numpy as np
import torch

from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, mirrored
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand

SIZE = (60, 80)
INTRINSICS = np.array([[90.0, 0.0, 43.0], [0.0, 95.0, 29.0], [0.0, 0.0, 1.0]])


def drawn_hand(side: str) -> HandImage:
    """Labels of a posed hand half a meter before the camera, and noise for a picture."""
    generator = torch.Generator().manual_seed(3)
    rotations = 0.3 * torch.randn(16, 3, generator=generator)
    place = torch.tensor([[0.02, -0.03, 0.5]])
    posed = pose_hand(default_hand(side), rotations[:1], rotations[None, 1:], place, torch.zeros(3))
    joints = posed.keypoints[0].numpy()
    pixels = joints @ INTRINSICS.T
    pixels = (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
    labels = HandLabels(
        side=side,
        intrinsics=INTRINSICS,
        joints=joints,
        pixels=pixels,
        vertices=posed.vertices[0].numpy(),
        rotations=rotations.numpy(),
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
    )
    rng = np.random.default_rng(0)
    return HandImage(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), labels, rng.random(SIZE) < 0.5)


def test_mirrored_labels_are_those_of_the_other_hand():
    turned = mirrored(drawn_hand("left"))
    labels = turned.labels
    assert labels.side == "right"
    projected = labels.joints @ labels.intrinsics.T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], labels.pixels, atol=1e-3)
    # The mirrored parameters pose the model of the other side into the mirrored vertices.
    rotations = torch.from_numpy(labels.rotations)
    hand = default_hand("right")
    posed = pose_hand(hand, rotations[:1], rotations[None, 1:], torch.zeros(1, 3), torch.zeros(3))
    shift = torch.from_numpy(labels.joints[0]) - posed.keypoints[0, 0]
    np.testing.assert_allclose((posed.vertices[0] + shift).numpy(), labels.vertices, atol=1e-5)


def test_mirroring_twice_changes_nothing():
    picture = drawn_hand("right")
    again = mirrored(mirrored(picture))
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    np.testing.assert_array_equal(again.mask, picture.mask)
    np.testing.assert_allclose(again.labels.box, picture.labels.box, atol=1e-4)
    np.testing.assert_allclose(again.labels.vertices, picture.labels.vertices)
