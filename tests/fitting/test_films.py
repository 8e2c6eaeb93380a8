"""Films of hands whose landmarks a detector found: one camera is enough, and poses do not jump."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_key
from nerfstudio_hands.fitting.capture_landmarks import fit_capture_landmarks
from nerfstudio_hands.fitting.joints.landmarks_in_space import lifted
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers
from nerfstudio_hands.transforms.rotations import rigid_registration

FRAMES = 24
FOCAL, SIZE = 700.0, (640, 480)
PIXELS, METRIC_METERS = 1.5, 0.004
"""Noise of the made-up detector."""


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """Joints [T, 21, 3] of a right hand that closes and turns half a metre before the origin."""
    hand = default_hand("right")
    phase = torch.linspace(0, 2, FRAMES)
    bend = (0.4 + 0.4 * torch.sin(phase))[:, None].expand(-1, 5)
    pose = HandPose(
        global_orient=torch.stack([1.2 + 0.3 * torch.sin(phase), 0.4 * phase, 0.2 * torch.cos(phase)], -1)[:, None],
        local_rotations=bend_fingers(hand, bend, torch.zeros(FRAMES, 5))[:, None],
        translation=torch.stack([0.02 * phase, 0.03 * torch.sin(phase), 0.5 + 0.03 * torch.cos(phase)], -1)[:, None],
        valid=torch.ones(FRAMES, 1, dtype=torch.bool),
    )
    return HandSurface((hand,)).pose(pose, 0.3 * torch.ones(10)).keypoints[:, 0].double().numpy()


def filmed(joints: np.ndarray, cameras: int) -> Capture:
    """What cameras side by side, 20 degrees apart, and a detector with noise make of joints."""
    rng = np.random.default_rng(0)
    k = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    rig, detections = [], np.full((FRAMES, cameras, 2, 21, 2), np.nan)
    metric = np.full((FRAMES, cameras, 2, 21, 3), np.nan)
    for c in range(cameras):
        matrix, center = np.eye(4), np.array([0.0, 0.0, 0.5])
        angle = np.radians(20) * c
        matrix[:3, :3] = [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
        matrix[:3, 3] = center - matrix[:3, :3] @ center
        points = joints @ matrix[:3, :3].T + matrix[:3, 3]
        pixels = points @ k.T
        detections[:, c, 1] = pixels[..., :2] / pixels[..., 2:] + rng.normal(0, PIXELS, (FRAMES, 21, 2))
        form = points - points.mean(1, keepdims=True)
        metric[:, c, 1] = form + rng.normal(0, METRIC_METERS, form.shape)
        rig.append(CaptureCamera(str(c), k, matrix, *SIZE))
    names = [f"{t:02d}" for t in range(FRAMES)]
    return Capture(
        Path("film"), rig, names, {(name, "0"): Path(f"{name}.png") for name in names}, {}, detections, [],
        metric_landmarks=metric, times=np.arange(FRAMES) / 25,
    )  # fmt: skip


OPTIONS = FitOptions(cameras=("0",), sides=("right",), refine_masks=False)


def fitted_joints(capture: Capture, options: FitOptions = OPTIONS) -> np.ndarray:
    return posed_joints(fit_capture_landmarks(capture, options))


def posed_joints(fit: HandFit) -> np.ndarray:
    posed = HandSurface((default_hand("right"),)).pose(fit.pose, fit.shape, fit.displacement)
    return posed.keypoints[:, 0].double().numpy()


def aligned_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in millimetres after the best rigid motion of each frame."""
    source, target = torch.from_numpy(found), torch.from_numpy(truth)
    rotation, translation = rigid_registration(source, target, torch.ones(source.shape[:-1], dtype=source.dtype))
    moved = source @ rotation.mT + translation[:, None]
    return float((moved - target).norm(dim=-1).mean()) * 1000


def test_one_camera_is_enough(joints: np.ndarray) -> None:
    found = fitted_joints(filmed(joints, 1))
    rooted = np.linalg.norm((found - found[:, :1]) - (joints - joints[:, :1]), axis=-1).mean() * 1000
    assert rooted < 9
    assert aligned_error(found, joints) < 5
    assert np.abs(found.mean(1) - joints.mean(1))[:, 2].mean() < 0.02


def test_two_cameras_know_the_depth(joints: np.ndarray) -> None:
    one, two = fitted_joints(filmed(joints, 1)), fitted_joints(filmed(joints, 2), replace(OPTIONS, cameras=("0", "1")))

    def error(found: np.ndarray) -> float:
        return np.linalg.norm(found - joints, axis=-1).mean() * 1000

    assert error(two) < 4 and error(two) < 0.6 * error(one)


def test_poses_do_not_jump(joints: np.ndarray) -> None:
    def jerk(points: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff(points, 2, axis=0), axis=-1).mean())

    capture = filmed(joints, 1)
    k = torch.from_numpy(capture.cameras[0].intrinsics)
    alone = np.stack(
        [lifted(*(torch.from_numpy(a[t, 0, 1]) for a in (capture.detections, capture.metric_landmarks)), k)[0].numpy()
         for t in range(FRAMES)]
    )  # fmt: skip
    assert jerk(fitted_joints(capture)) < 0.15 * jerk(alone)


def test_landmarks_under_the_wrong_name_are_named_and_left_out(joints: np.ndarray) -> None:
    """A detector that takes a right hand for a left one in two frames draws neither these nor others along."""
    mirrored, middle = joints.copy(), joints[9:11].mean(1, keepdims=True)
    mirrored[9:11] = middle + [-1.0, 1.0, 1.0] * (joints[9:11] - middle)
    fit = fit_capture_landmarks(filmed(mirrored, 2), replace(OPTIONS, cameras=("0", "1")))
    said = "Joints of the right hand look like those of a left one in 2 of 24 frames (09, 10)"
    assert fit.report["doubts"][0].startswith(said)
    beside = posed_joints(fit)[[8, 11]] - joints[[8, 11]]
    assert np.linalg.norm(beside, axis=-1).mean() < 0.005


def test_nothing_is_learnt_from_frames_that_are_held_out(joints: np.ndarray) -> None:
    capture, learning = filmed(joints, 1), [t for t in range(FRAMES) if t % 5 != 2]
    other = replace(capture, detections=capture.detections.copy(), metric_landmarks=capture.metric_landmarks.copy())
    other.detections[2::5] += 5.0
    other.metric_landmarks[2::5] *= 1.2
    options = replace(OPTIONS, shape_frames=learning)
    one, two = fit_capture_landmarks(capture, options), fit_capture_landmarks(other, options)
    torch.testing.assert_close(one.shape, two.shape, rtol=0, atol=0)
    torch.testing.assert_close(one.pose.translation[learning], two.pose.translation[learning], rtol=0, atol=0)
    assert not torch.equal(one.pose.translation, two.pose.translation)
    assert fit_key(capture, options) != fit_key(other, options)


def test_a_hand_that_nobody_placed_is_one_sentence(joints: np.ndarray) -> None:
    capture = replace(filmed(joints, 1), metric_landmarks=None)
    with pytest.raises(HandsError, match="in two cameras or with the detector's metric landmarks, found none"):
        fit_capture_landmarks(capture, OPTIONS)
    with pytest.raises(HandsError, match="expected landmarks of the left hand"):
        fit_capture_landmarks(filmed(joints, 1), replace(OPTIONS, sides=("left",)))
