"""The quick renderer against the slow one, and cameras' responses to colour."""

import dataclasses

import numpy as np
import pytest

from nerfstudio_hands.synthesis import performer
from nerfstudio_hands.synthesis.dome import dome, dome_cameras
from nerfstudio_hands.synthesis.performer import dress, light_hands, shoot
from nerfstudio_hands.synthesis.render import render
from nerfstudio_hands.synthesis.scene import assemble
from nerfstudio_hands.synthesis.subject import make_subject, pose_subject

CENTRE = np.array([0.1, 0.2, 1.0])


def test_the_quick_renderer_agrees_with_the_slow_one(monkeypatch):
    # The slow one looks up skin at every sample and traces several times as many rays.
    monkeypatch.setattr(performer, "_complexion", lambda seed: np.ones(3))
    subject = make_subject(("right",), subdivisions=2, seed=3)
    (posed,) = pose_subject(subject, CENTRE, 1.0)
    room = dome(CENTRE, np.random.default_rng(0))
    camera = dome_cameras(CENTRE, num_colour=1, num_grey=0, rng=np.random.default_rng(1))[0]
    intrinsics = np.diag([0.25, 0.25, 1.0]) @ camera.intrinsics
    camera = dataclasses.replace(camera, intrinsics=intrinsics, width=84, height=128)
    slow = render(assemble(list(posed.parts), subject.skin, room), camera, supersampling=2)
    hand = dress(subject.models[0], subject.tessellations[0], 2, subject.skin, subject.shape)
    surface = np.concatenate([posed.surface, posed.parts[1].vertices])
    quick = shoot(light_hands([hand], [surface], room), camera, supersampling=2)
    np.testing.assert_allclose(quick.skin, slow.coverage, atol=1e-9)
    assert (quick.hand <= quick.skin).all() and 0.02 < quick.hand.mean() < quick.skin.mean()
    error = np.abs(quick.colour - slow.colour)
    assert error[quick.skin == 0].max() < 0.1
    inside = slow.coverage == 1
    assert error[inside].mean() < 0.02
    # The shadows of bent fingers are in both.
    shade = slow.colour[inside][:, 1]
    assert shade.std() > 0.05
    assert np.corrcoef(shade, quick.colour[inside][:, 1])[0, 1] > 0.97


def test_a_camera_stores_gain_times_power_plus_bias():
    cameras = dome_cameras(CENTRE, num_colour=3, num_grey=1, rng=np.random.default_rng(0))
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
    grey = cameras[3].develop(values, np.random.default_rng(0))
    assert grey.shape == (60, 50) and cameras[3].is_grey
    assert (cameras[1].develop(values * 5, np.random.default_rng(0)) == 255).any()


@pytest.mark.parametrize("number", [1, 5, 9])
def test_cameras_surround_the_hands_and_look_at_them(number):
    cameras = dome_cameras(CENTRE, num_colour=number, num_grey=0, rng=np.random.default_rng(4))
    azimuths = []
    for camera in cameras:
        eye = -camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]
        assert 0.9 < np.linalg.norm(eye - CENTRE) < 1.2
        np.testing.assert_allclose(camera.project(CENTRE[None])[0], [167, 256], atol=30)
        # 19 cm, an outstretched hand, take about half of the picture's height.
        ends = camera.project(CENTRE + np.array([[0, 0, -0.095], [0, 0, 0.095]]))
        assert 130 < np.linalg.norm(ends[1] - ends[0]) < 290
        azimuths.append(np.degrees(np.arctan2(*(eye - CENTRE)[[1, 0]])))
    if number > 1:
        gaps = np.diff(np.sort([*azimuths, min(azimuths) + 360]))
        assert gaps.max() < 720 / number
