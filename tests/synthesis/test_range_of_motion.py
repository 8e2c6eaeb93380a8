"""Range-of-motion takes: within the joint limits, smooth, alike on both hands, and hands that do not pass through."""

import numpy as np
import open3d as o3d
import pytest
import torch

from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import mirror_rotations, pose_hand
from nerfstudio_hands.synthesis.range_of_motion import SEQUENCES, play


@pytest.mark.parametrize("name", SEQUENCES)
def test_takes_stay_within_the_joint_limits_and_are_smooth(name):
    take = SEQUENCES[name]
    assert set(take) == {"_RT_": {"right"}, "_LT_": {"left"}}.get(name[5:9], {"left", "right"})
    for side, motion in play(take, 400, np.random.default_rng(0)).items():
        model = default_hand(side)
        angles = rotations_to_angles(joint_axes(model), motion.local_rotations)
        limits = joint_limits(model)
        assert (angles >= limits[..., 0] - 1e-4).all() and (angles <= limits[..., 1] + 1e-4).all()
        # Fingers travel through more than half a turn in all, but by a few degrees from one frame to the next.
        assert torch.rad2deg(np.ptp(angles[:, :, 0].numpy(), axis=0).max() * torch.ones(1)) > 60
        assert torch.rad2deg(angles.diff(dim=0).abs().max()) < 12
        assert np.abs(np.diff(motion.middle, axis=0)).max() < 3e-3
        posed = pose_hand(model, motion.global_orient, motion.local_rotations, torch.zeros(400, 3), torch.zeros(1))
        assert posed.keypoints.diff(dim=0).norm(dim=-1).max() < 0.025


def test_a_left_hand_does_the_mirror_image():
    right = play(SEQUENCES["ROM03_RT_No_Occlusion"], 9, np.random.default_rng(3))["right"]
    left = play(SEQUENCES["ROM03_LT_No_Occlusion"], 9, np.random.default_rng(3))["left"]
    torch.testing.assert_close(left.local_rotations, mirror_rotations(right.local_rotations))
    np.testing.assert_allclose(left.middle, right.middle * [-1, 1, 1])
    zeros = torch.zeros(9, 3)
    ours = pose_hand(default_hand("left"), left.global_orient, left.local_rotations, zeros, torch.zeros(1))
    theirs = pose_hand(default_hand("right"), right.global_orient, right.local_rotations, zeros, torch.zeros(1))
    # Orientations turn about the root joint, which lies mirrored as well.
    torch.testing.assert_close(ours.keypoints, theirs.keypoints * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_few_frames_play_the_whole_take():
    take = SEQUENCES["ROM04_RT_Occlusion"]
    few, many = (play(take, count, np.random.default_rng(0))["right"] for count in (3, 401))
    torch.testing.assert_close(few.local_rotations, many.local_rotations[::200])


def test_interacting_hands_touch_without_passing_through():
    motions = play(SEQUENCES["ROM09_Interaction_Fingers_Touching"], 40, np.random.default_rng(0))
    vertices, bodies = {}, {}
    for side, motion in motions.items():
        model = default_hand(side)
        turn = motion.global_orient, motion.local_rotations
        free = pose_hand(model, *turn, torch.zeros(40, 3), torch.zeros(1))
        shift = torch.from_numpy(motion.middle).float() - free.keypoints[:, [0, 9, 12]].mean(1)
        vertices[side] = (free.vertices + shift[:, None]).numpy()
        bodies[side] = torch.cat([model.faces, closing_faces(model.faces)]).numpy().astype(np.uint32)
    nearest = []
    for t in range(40):
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(np.ascontiguousarray(vertices["right"][t]), bodies["right"])
        distance = scene.compute_signed_distance(np.ascontiguousarray(vertices["left"][t])).numpy()
        nearest.append(distance.min())
    assert min(nearest) > -4e-3
    assert np.sum(np.array(nearest) < 0.03) > 10
