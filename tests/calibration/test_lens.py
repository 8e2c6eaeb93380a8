"""Lenses against OpenCV's own projection, and undistorted pictures against a plain one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nerfstudio_hands.calibration.lens import Lens, undistort, undistort_points, undistorted_camera

SIZE = (640, 480)
K = np.array([[500.0, 0.0, 330.5], [0.0, 510.0, 236.5], [0.0, 0.0, 1.0]])
LENSES = {
    "none": Lens("opencv", (0.0, 0.0, 0.0, 0.0)),
    "barrel": Lens("opencv", (-0.25, 0.08, 0.001, -0.002, 0.0)),
    "pincushion": Lens("opencv", (0.12, -0.02, 0.002, 0.001)),
    "a real webcam": Lens("opencv", (-0.01396, 1.41929, -0.003534, -0.003567, -6.39432)),
    "rational": Lens("opencv", (0.3, -0.1, 0.001, 0.0005, 0.01, 0.5, -0.05, 0.02)),
    "fisheye": Lens("fisheye", (0.05, -0.01, 0.003, -0.001)),
    "fisheye, equidistant": Lens("fisheye", (0.0, 0.0, 0.0, 0.0)),
}


def projected(points: np.ndarray, lens: Lens) -> np.ndarray:
    """OpenCV's projection of points in camera axes; K has our pixel centres, which is all that they change."""
    zero, numbers = np.zeros(3), np.array(lens.coefficients)
    if lens.model == "fisheye":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, K, numbers)[0][:, 0]
    return cv2.projectPoints(points, zero, zero, K, numbers)[0][:, 0]


@pytest.mark.parametrize("name", LENSES)
def test_undistorted_pixels_are_those_of_a_pinhole_camera(name: str):
    lens = LENSES[name]
    rng = np.random.default_rng(0)
    reach = 0.5 if name == "a real webcam" else 1.0  # Its polynomial turns back farther out.
    points = np.append(reach * rng.uniform((-0.6, -0.45), (0.6, 0.45), (500, 2)), np.ones((500, 1)), axis=1)
    pixels = projected(points, lens)
    new = undistorted_camera(K, lens, SIZE)
    expected = points[:, :2] * new[[0, 1], [0, 1]] + new[:2, 2]
    inside = ((pixels >= 0) & (pixels <= SIZE)).all(axis=1)
    assert inside.sum() > 200
    np.testing.assert_allclose(undistort_points(pixels, K, lens, new)[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in LENSES if name != "a real webcam"])
def test_every_pixel_was_seen_and_little_is_lost(name: str):
    lens = LENSES[name]
    new = undistorted_camera(K, lens, SIZE)
    rim = np.array([(x, y) for x in range(0, 641, 40) for y in range(0, 481, 40) if x in (0, 640) or y in (0, 480)])
    rays = (rim - new[:2, 2]) / new[[0, 1], [0, 1]]
    seen = projected(np.append(rays, np.ones((len(rays), 1)), axis=1), lens)
    assert (seen > -0.5).all() and (seen < np.array(SIZE) + 0.5).all()
    # It touches the rim somewhere: the picture could not be wider.
    assert np.abs(np.concatenate([seen, seen - SIZE])).min() < 0.5
    assert new[0, 0] / new[1, 1] == pytest.approx(K[0, 0] / K[1, 1])


def test_a_polynomial_that_turns_back_has_pixels_without_a_ray():
    lens = LENSES["a real webcam"]
    corner = np.array([[1.0, 1.0], [320.0, 240.0]])
    found = undistort_points(corner, K, lens, K)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()
    new = undistorted_camera(K, lens, SIZE)
    radii = np.linspace(0, 0.99 * min(new[0, 2], 640 - new[0, 2]) / new[0, 0], 200)
    drawn = projected(np.stack([radii, 0 * radii, np.ones(200)], axis=1), lens)
    assert (np.diff(drawn[:, 0]) > 0).all()


def test_a_image_of_a_lens_becomes_a_pinhole_image():
    lens = LENSES["barrel"]
    new = undistorted_camera(K, lens, SIZE)

    def shade(rays: np.ndarray) -> np.ndarray:
        return 128 + 50 * np.sin(12 * rays[..., 0]) + 50 * np.cos(9 * rays[..., 1])

    centers = np.stack(np.meshgrid(np.arange(640) + 0.5, np.arange(480) + 0.5), axis=-1)
    distorted = undistort_points(centers, K, lens, np.eye(3))
    picture = np.repeat(shade(distorted)[..., None], 3, axis=2).round().astype(np.uint8)
    expected = shade((centers - new[:2, 2]) / new[[0, 1], [0, 1]])
    found = undistort(picture, K, lens, new)
    assert np.abs(found[..., 1] - expected).max() < 2


def test_masks_keep_their_values():
    mask = np.zeros((480, 640), np.uint8)
    mask[100:300, 200:400] = 255
    new = undistorted_camera(K, LENSES["barrel"], SIZE)
    assert set(np.unique(undistort(mask, K, LENSES["barrel"], new, labels=True))) == {0, 255}


def test_what_is_absent_stays_absent():
    pixels = np.array([[np.nan, np.nan], [320.0, 240.0]])
    found = undistort_points(pixels, K, LENSES["fisheye"], K)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


def test_a_lens_has_as_many_numbers_as_its_model():
    with pytest.raises(ValueError, match="found 3"):
        Lens("fisheye", (0.1, 0.2, 0.3))
