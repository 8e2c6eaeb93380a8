"""What projects into a view, and what says that it does not."""

from __future__ import annotations

import numpy as np
import torch

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.inspection.hand_view import fitted_joints, pose_capture, project_points


def test_points_before_and_behind_a_camera():
    turned = np.array([[0.0, 0, -1, 0.5], [0, 1, 0, 0], [1, 0, 0, 2], [0, 0, 0, 1]])
    camera = CaptureCamera("00", np.array([[400.0, 0, 320], [0, 500, 240], [0, 0, 1]]), turned, 640, 480)
    # In camera axes (0.4, 0.2, 3) and (0.4, 0.2, -1).
    found = project_points(camera, np.array([[1.0, 0.2, 0.1], [-3.0, 0.2, 0.1]]))
    np.testing.assert_allclose(found[0], [320 + 400 * 0.4 / 3, 240 + 500 * 0.2 / 3])
    assert np.isnan(found[1]).all()


def test_hands_that_are_absent_have_no_joints_and_one_of_two_keeps_its_side():
    right = default_hand("right")
    pose = HandPose.rest(1, (3,))
    pose.translation[2, 0, 1] = 0.25
    pose.valid[1] = False
    fit = HandFit(
        sides=("right",),
        frames=["1", "2", "3"],
        shape=torch.zeros(10),
        displacement=torch.zeros(right.num_vertices, 3),
        pose=pose,
        camera_rotation={},
        keypoints_3d=np.full((3, 2, 21, 3), np.nan),
    )
    posed = pose_capture(fit, HandSurface([right]), [2], fitted_joints(fit, HandSurface([right])))
    assert np.isnan(posed.keypoints[:, 0]).all() and np.isnan(posed.keypoints[1]).all()
    np.testing.assert_allclose(posed.keypoints[2, 1], posed.keypoints[0, 1] + (0, 0.25, 0), atol=1e-6)
    wrist = (right.joint_regressor @ right.template)[0]
    np.testing.assert_allclose(posed.keypoints[0, 1, 0], wrist, atol=1e-6)
    np.testing.assert_allclose(posed.surfaces.vertices[0], right.template + torch.tensor([0.0, 0.25, 0.0]), atol=1e-6)
