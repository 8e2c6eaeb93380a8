"""Sides over all cameras and frames, on made-up hands whose sides are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.detected_hands import SIZE, cameras_around, moving_joints, seen

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.landmark_files import ImageLandmarks
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.preparation.sides import SidedHands, bend, decide_sides, reassign, stated_hands

Hands = list[list[list[DetectedHand]]]


def sightings(frames: int, cameras: list[CaptureCamera], *, wrong: float = 0.0, seed: int = 0) -> Hands:
    """Both hands in every picture, the right one first in every other; of a part of the pictures the side is wrong."""
    rng = np.random.default_rng(seed)
    joints = moving_joints(frames)
    table: Hands = []
    for t in range(frames):
        row = []
        for camera in cameras:
            right = np.where(rng.random(2) < wrong, [0.9, 0.1], [0.1, 0.9])
            hands = [seen(joints[t, side], camera, right=right[side], rng=rng) for side in range(2)]
            row.append(hands[::-1] if t % 2 else hands)
        table.append(row)
    return table


def by_side(hands: Hands) -> list[list[list[DetectedHand | None]]]:
    """Left and right hand of every picture, as they were made."""
    return [[picture[::-1] if t % 2 else list(picture) for picture in row] for t, row in enumerate(hands)]


def mean_right_x(hands: SidedHands) -> np.ndarray:
    """How far the right hand lies to the right of the left one, pixels [T, C]; in the made-up takes it always does."""
    return hands.pixels[:, :, 1, :, 0].mean(-1) - hands.pixels[:, :, 0, :, 0].mean(-1)


def names(cameras: list[CaptureCamera]) -> list[str]:
    return [camera.name for camera in cameras]


def test_fingers_bend_to_opposite_sides() -> None:
    joints = moving_joints(5)
    assert (bend(joints) * [-1, 1] > 0.3).all()
    np.testing.assert_allclose(bend(-joints), -bend(joints))
    np.testing.assert_allclose(bend(1000 * joints), bend(joints))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("calibrated", [True, False])
def test_sides_do_not_flicker_with_single_images(count: int, calibrated: bool) -> None:
    cameras = cameras_around(count)
    hands = sightings(30, cameras, wrong=0.3)
    decided = decide_sides(hands, names(cameras), cameras if calibrated else None)
    assert np.isfinite(decided.pixels).all() and np.isfinite(decided.metric).all()
    assert (mean_right_x(decided) > 50).all()
    assert decided.problems == []


def test_one_hand_seen_alone_keeps_one_side_through_gaps() -> None:
    """A hand that was lost for a while, and looks like the other one when it comes back."""
    cameras = cameras_around(1)
    joints, rng = moving_joints(60), np.random.default_rng(0)
    hands: Hands = []
    for t in range(60):
        lost = 30 <= t < 50
        right = 0.2 if 50 <= t < 53 else 0.9
        hands.append([[] if lost else [seen(joints[t, 1], cameras[0], right=right, rng=rng)]])
    decided = decide_sides(hands, names(cameras))
    present = np.isfinite(decided.pixels).all((-1, -2))[:, 0]
    assert not present[:, 0].any() and present[:, 1].sum() == 40


def test_images_of_a_still_hand_agree_on_its_side() -> None:
    """Every picture from another place, nothing calibrated yet; one sees the hand from its edge and errs."""
    cameras = cameras_around(8)
    joints, rng = moving_joints(1), np.random.default_rng(0)
    hands = [[[seen(joints[0, 0], c, right=0.99 if i == 3 else 0.05, rng=rng)] for i, c in enumerate(cameras)]]
    decided = decide_sides(hands, names(cameras))
    np.testing.assert_array_equal(np.isfinite(decided.pixels).all((-1, -2))[0], [[True, False]] * 8)


def test_cameras_agree_about_a_hand_that_one_of_them_misjudges_throughout() -> None:
    cameras = cameras_around(4)
    hands = sightings(12, cameras)
    for row in hands:
        row[2] = [replace(hand, right=1 - hand.right) for hand in row[2]]
    assert (mean_right_x(decide_sides(hands, names(cameras), cameras)) > 0).all()
    # Without calibration nothing ties this camera to the others.
    assert (mean_right_x(decide_sides(hands, names(cameras)))[:, 2] < 0).all()


def test_hands_that_cross_while_a_camera_loses_them_are_given_back() -> None:
    """Where they come back is nearer to where the other one was, so that following them in this camera alone errs."""
    cameras = cameras_around(4)
    joints, rng = moving_joints(24), np.random.default_rng(0)
    way = 0.3 * np.clip((np.arange(24) - 7) / 8, 0, 1)
    joints[:, :, :, 0] += way[:, None, None] * np.array([1, -1])[:, None]
    joints[:, :, :, 2] += 0.12 * np.array([1, -1])[:, None]
    hands = [
        [
            [] if c == 1 and 8 <= t < 15 else [seen(joints[t, s], camera, right=0.1 + 0.8 * s, rng=rng) for s in (0, 1)]
            for c, camera in enumerate(cameras)
        ]
        for t in range(24)
    ]
    decided = decide_sides(hands, names(cameras), cameras)
    assert decided.problems == []
    for c, camera in enumerate(cameras):
        truth = [[seen(joints[t, s], camera, right=0.5, rng=rng).pixels for s in (0, 1)] for t in range(24)]
        assert np.nanmax(np.linalg.norm(decided.pixels[:, c] - truth, axis=-1)) < 10


def test_hands_that_a_camera_exchanges_are_given_back() -> None:
    """Two hands that jump to each other's place: whoever follows them takes one for the other."""
    cameras = cameras_around(4)
    hands = sightings(16, cameras)
    table = by_side(hands)
    for frame in table[10:]:
        frame[1].reverse()
    problems: list[str] = []
    reassign(table, names(cameras), cameras, problems)
    assert table == by_side(hands)
    assert problems[0].startswith("Camera 1: hands of 6 pictures were given to the other side")


def test_detections_that_name_the_other_hand_everywhere_are_found_out_in_space() -> None:
    cameras = cameras_around(4)
    hands = [
        [[replace(hand, right=1 - hand.right) for hand in picture] for picture in row] for row in sightings(12, cameras)
    ]
    decided = decide_sides(hands, names(cameras), cameras)
    assert (mean_right_x(decided) > 0).all()
    assert "name the other hand" in decided.problems[0]


def test_a_mirrored_camera_is_named_and_left_out() -> None:
    cameras = cameras_around(4)
    hands = sightings(12, cameras)
    for row in hands:
        row[1] = [replace(hand, right=1 - hand.right, pixels=[SIZE[0], 0] + hand.pixels * [-1, 1]) for hand in row[1]]
    decided = decide_sides(hands, names(cameras), cameras)
    assert "Camera 1: its hands meet those of the other cameras once its pictures are mirrored" in decided.problems[0]
    assert np.isnan(decided.pixels[:, 1]).all() and (mean_right_x(decided)[:, [0, 2, 3]] > 0).all()


def test_a_camera_with_images_of_another_one_is_named() -> None:
    cameras = cameras_around(4)
    turned = np.diag([1.0, -1.0, -1.0, 1.0]) @ cameras[1].world_to_camera
    turned[:3, 3] = [0.1, 0.2, 0.9]
    decided = decide_sides(
        sightings(12, cameras),
        names(cameras),
        [replace(c, world_to_camera=turned) if c.name == "1" else c for c in cameras],
    )
    assert "Camera 1: its hands meet those of no other camera" in " ".join(decided.problems)


def test_two_peoples_hands_are_said_and_those_seen_most_are_kept() -> None:
    cameras = cameras_around(1)
    near, far = moving_joints(20), moving_joints(20) + [0.1, 0.25, 1.0]
    rng = np.random.default_rng(0)
    hands = [
        [
            [
                seen(person[t, side], cameras[0], right=0.1 + 0.8 * side, rng=rng)
                for person in (far, near)
                for side in (0, 1)
            ]
        ]
        for t in range(20)
    ]
    decided = decide_sides(hands, names(cameras))
    assert "20 pictures show more than two hands" in " ".join(decided.problems)
    assert (np.ptp(decided.pixels, axis=3).max(-1) > 55).all()


def test_two_right_hands_are_two_people_or_a_mirror() -> None:
    cameras = cameras_around(1)
    joints, rng = moving_joints(20), np.random.default_rng(0)
    far = joints[:, 1] + [-0.4, 0.1, 0.5]
    hands = [[[seen(points[t], cameras[0], right=0.97, rng=rng) for points in (joints[:, 1], far)]] for t in range(20)]
    decided = decide_sides(hands, names(cameras))
    assert "two hands of one side" in decided.problems[0]
    present = np.isfinite(decided.pixels).all((-1, -2))
    assert present[..., 1].all() and not present[..., 0].any()


def test_stated_sides_are_votes() -> None:
    pixels = np.random.default_rng(0).uniform(0, 100, (2, 21, 2))
    pixels[0] = np.nan
    landmarks = ImageLandmarks(pixels, np.full((2, 21, 3), np.nan), np.full(2, np.nan))
    (hand,) = stated_hands(landmarks)
    np.testing.assert_array_equal(hand.pixels, pixels[SIDES.index("right")])
    assert hand.right > 0.5 and hand.score == 1.0
    np.testing.assert_array_equal(decide_sides([[[hand]]], ["0"]).picture(0, 0).pixels, pixels)
