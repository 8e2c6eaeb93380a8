"""A crop is what a camera that looks at the hand would have taken."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_images.crops import crop_hand, hand_box, view_of
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels, HeldLabels, mirrored

SIZE = 96


def dotted(intrinsics: np.ndarray, joints: np.ndarray, width: int, height: int) -> HandImage:
    """A picture with a soft white dot at each joint."""
    pixels = joints @ intrinsics.T
    pixels = (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
    y, x = np.mgrid[:height, :width] + 0.5
    near = np.exp(-((x[..., None] - pixels[:, 0]) ** 2 + (y[..., None] - pixels[:, 1]) ** 2) / 8).max(-1)
    rgb = np.repeat((255 * near).astype(np.uint8)[..., None], 3, -1)
    labels = HandLabels("right", intrinsics, joints=joints.astype(np.float32), pixels=pixels)
    return HandImage(rgb, labels, near > 0.1)


def scattered_joints(middle: tuple[float, float, float]) -> np.ndarray:
    return np.array(middle) + 0.06 * np.random.default_rng(1).uniform(-1, 1, (21, 3))


@pytest.mark.parametrize("roll", [0.0, 0.8])
@pytest.mark.parametrize("middle", [(0.0, 0.0, 0.5), (0.22, -0.16, 0.5), (-0.05, 0.1, 0.45)])
def test_dots_lie_where_the_labels_of_the_crop_say(middle, roll):
    intrinsics = np.array([[300.0, 0.0, 165.0], [0.0, 310.0, 115.0], [0.0, 0.0, 1.0]])
    picture = dotted(intrinsics, scattered_joints(middle), 320, 240)
    view = view_of(intrinsics, hand_box(picture.labels, 320, 240), SIZE, roll=roll)
    crop = crop_hand(picture, view, SIZE)
    labels = crop.labels
    projected = labels.joints @ view.intrinsics.T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], labels.pixels, atol=2e-3)
    inside = ((labels.pixels > 3) & (labels.pixels < SIZE - 3)).all(1)
    # Joints may be outside of the picture; those that it shows are bright in the crop.
    seen = inside & ((picture.labels.pixels > 3) & (picture.labels.pixels < [317, 237])).all(1)
    assert seen.sum() > 8
    places = (labels.pixels[seen] - 0.5).astype(np.float32)
    bright = cv2.remap(crop.rgb[..., 0], places[:, None, 0], places[:, None, 1], cv2.INTER_LINEAR)
    assert bright.min() > 200
    assert crop.mask[places[:, 1].round().astype(int), places[:, 0].round().astype(int)].all()


def test_the_crop_holds_the_box_and_looks_at_its_middle():
    intrinsics = np.array([[200.0, 0.0, 160.0], [0.0, 200.0, 120.0], [0.0, 0.0, 1.0]])
    view = view_of(intrinsics, np.array([250.0, 40.0, 310.0, 100.0]), SIZE, scale=1.0)
    to_crop = view.homography(intrinsics)
    corners = np.array([[280, 70, 1], [250, 70, 1], [310, 70, 1], [280, 40, 1], [280, 100, 1]]) @ to_crop.T
    corners = corners[:, :2] / corners[:, 2:]
    np.testing.assert_allclose(corners[0], SIZE / 2, atol=1e-6)
    assert corners.min() > -1e-6 and corners.max() < SIZE + 1e-6
    assert np.abs(corners - SIZE / 2).max() == pytest.approx(SIZE / 2)


@pytest.mark.parametrize("roll", [0.0, 0.8])
def test_affine_crops_are_those_of_gsdf(roll: float):
    """By its own formulas: the virtual camera's angles from the ray through the box's middle, K with the focal length
    scaled as the box is, and pixels cut out of the picture."""
    intrinsics = np.array([[300.0, 0.0, 165.0], [0.0, 300.0, 115.0], [0.0, 0.0, 1.0]])
    left, top, side = 210.0, 20.0, 80.0
    view = view_of(intrinsics, np.array([left, top, left + side, top + side]), SIZE, scale=1.0, roll=roll, affine=True)
    x, y = (left + side / 2 - 165) / 300, (top + side / 2 - 115) / 300
    theta, phi = np.arcsin(-y / np.sqrt(1 + x**2 + y**2)), np.arcsin(x / np.sqrt(1 + x**2))
    toward = Rotation.from_euler("YX", (phi, theta)).as_matrix()
    turn = Rotation.from_euler("Z", roll).as_matrix()
    np.testing.assert_allclose(view.rotation, toward @ turn, atol=1e-12)
    np.testing.assert_allclose(view.intrinsics[[0, 0], [0, 2]], [300 * SIZE / side, SIZE / 2])
    points = np.random.default_rng(0).uniform(0, 1, (9, 2)) * [320, 240]
    cut = (points - [left, top]) * SIZE / side
    expected = (cut - SIZE / 2) @ turn[:2, :2] + SIZE / 2
    found = np.column_stack([points, np.ones(9)]) @ view.homography(intrinsics).T
    np.testing.assert_allclose(found, np.column_stack([expected, np.ones(9)]), atol=1e-9)
    # In the middle it is what the camera sees.
    exact = replace(view, is_affine=False)
    near = np.array([[left + side / 2, top + side / 2, 1], [left + side / 2 + 1, top + side / 2, 1]])
    places = [(near @ one.homography(intrinsics).T) for one in (view, exact)]
    places = [place[:, :2] / place[:, 2:] for place in places]
    np.testing.assert_allclose(places[0], places[1], atol=0.2)


def test_a_large_image_is_made_smaller_without_aliases():
    intrinsics = np.array([[2400.0, 0.0, 800.0], [0.0, 2400.0, 600.0], [0.0, 0.0, 1.0]])
    stripes = np.zeros((1200, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    labels = HandLabels("right", intrinsics, box=np.array([300.0, 100.0, 1300.0, 1100.0], np.float32))
    view = view_of(intrinsics, hand_box(labels, 1600, 1200), SIZE, scale=1.0)
    crop = crop_hand(HandImage(stripes, labels), view, SIZE)
    assert np.abs(crop.rgb[5:-5, 5:-5].astype(float) - 127.5).max() < 20


def test_a_hand_without_joints_is_cut_by_its_box_or_not_at_all():
    labels = HandLabels("right", np.eye(3))
    np.testing.assert_array_equal(hand_box(labels, 30, 20), [0, 0, 30, 20])
    box = np.array([1, 2, 3, 4], np.float32)
    np.testing.assert_array_equal(hand_box(replace(labels, box=box), 30, 20), box)


def test_what_is_held_goes_with_the_hand_into_crops_and_mirrors():
    intrinsics = np.array([[300.0, 0.0, 165.0], [0.0, 310.0, 115.0], [0.0, 0.0, 1.0]])
    joints = scattered_joints((0.1, -0.05, 0.5))
    to_camera = np.eye(4)
    to_camera[:3, :3] = cv2.Rodrigues(np.array([0.3, -0.8, 0.5]))[0]
    to_camera[:3, 3] = joints[9]
    picture = dotted(intrinsics, joints, 320, 240)
    picture = replace(picture, labels=replace(picture.labels, held=HeldLabels("mug", to_camera)))
    own = np.linalg.solve(to_camera, np.append(joints[4], 1.0))
    other = mirrored(picture)
    crop = crop_hand(other, view_of(other.labels.intrinsics, hand_box(other.labels, 320, 240), SIZE, roll=0.4), SIZE)
    for labels in (other.labels, crop.labels):
        np.testing.assert_allclose((labels.held.to_camera @ own)[:3], labels.joints[4], atol=1e-6)
        assert np.linalg.det(labels.held.to_camera) == pytest.approx(-1)
