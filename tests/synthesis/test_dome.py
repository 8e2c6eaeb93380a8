"""Cameras of the dome: their responses to color, and where they stand."""

import numpy as np
import pytest

from nerfstudio_hands.synthesis.dome import dome_cameras

CENTER = np.array([0.1, 0.2, 1.0])


def test_a_camera_stores_gain_times_power_plus_bias():
    cameras = dome_cameras(CENTER, num_color=3, num_gray=1, rng=np.random.default_rng(0))
    assert [camera.name for camera in cameras] == ["400262", "400263", "400264", "410001"]
    values = np.full((60, 50, 3), [0.2, 0.4, 0.6])
    first = cameras[0].develop(values, np.random.default_rng(0))
    np.testing.assert_allclose(first.mean((0, 1)) / 255, [0.2, 0.4, 0.6], atol=1e-3)
    means = []
    for camera in cameras[1:3]:
        expected = camera.gain * np.array([0.2, 0.4, 0.6]) ** camera.gamma + camera.bias
        found = camera.develop(values, np.random.default_rng(0)).mean((0, 1)) / 255
        np.testing.assert_allclose(found, expected, atol=1e-3)
        means.append(found)
    assert np.abs(means[0] - means[1]).max() > 0.01
    gray = cameras[3].develop(values, np.random.default_rng(0))
    assert gray.shape == (60, 50) and cameras[3].is_gray
    assert (cameras[1].develop(values * 5, np.random.default_rng(0)) == 255).any()


@pytest.mark.parametrize("number", [1, 5, 9])
def test_cameras_surround_the_hands_and_look_at_them(number):
    cameras = dome_cameras(CENTER, num_color=number, num_gray=0, rng=np.random.default_rng(4))
    azimuths = []
    for camera in cameras:
        eye = -camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]
        assert 0.9 < np.linalg.norm(eye - CENTER) < 1.2
        np.testing.assert_allclose(camera.project(CENTER[None])[0], [167, 256], atol=30)
        # 19 cm, an outstretched hand, take about half of the picture's height.
        ends = camera.project(CENTER + np.array([[0, 0, -0.095], [0, 0, 0.095]]))
        assert 130 < np.linalg.norm(ends[1] - ends[0]) < 290
        azimuths.append(np.degrees(np.arctan2(*(eye - CENTER)[[1, 0]])))
    if number > 1:
        gaps = np.diff(np.sort([*azimuths, min(azimuths) + 360]))
        assert gaps.max() < 720 / number
