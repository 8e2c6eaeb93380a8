"""Exposure, a shutter that stays open, and masks, on small quick images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.dome import dome, dome_cameras
from nerfstudio_hands.synthesis.masks import made_mask
from nerfstudio_hands.synthesis.motion_sequence import moved, pose_sequence
from nerfstudio_hands.synthesis.options import ImageOptions, MaskOptions, check_images
from nerfstudio_hands.synthesis.range_of_motion import opening_and_closing
from nerfstudio_hands.synthesis.render import RenderedImage, render_frame
from nerfstudio_hands.synthesis.rig import CameraRig
from nerfstudio_hands.synthesis.scene import Quality
from nerfstudio_hands.synthesis.subject import make_subject

FAST = Quality(at_samples=False, light_levels=1, shadow_rays=1, ambient_rays=8)
CENTER = np.array([0.1, 0.2, 1.0])


@pytest.fixture(scope="module")
def scene():
    camera = dome_cameras(CENTER, num_color=1, num_gray=0, rng=np.random.default_rng(1))[0]
    intrinsics = np.diag([0.25, 0.25, 1.0]) @ camera.intrinsics
    camera = dataclasses.replace(camera, intrinsics=intrinsics, width=84, height=128)
    subject = make_subject(("right",), subdivisions=1, quality=FAST, seed=3)
    motions = opening_and_closing(("right",), 3)
    return subject, pose_sequence("", np.arange(3), motions, subject, CENTER), camera


def _taken(scene, t: int = 0, **options: float) -> RenderedImage:
    subject, motion, camera = scene
    rig = CameraRig(dome(CENTER, np.random.default_rng(0)), [camera])
    pictures = ImageOptions(**options)
    ((_, image),) = render_frame(subject, motion, t, rig, FAST, supersampling=2, taken=pictures)
    return image


@pytest.fixture(scope="module")
def plain(scene) -> RenderedImage:
    return _taken(scene)


def test_more_light_saturates_the_skin(scene, plain):
    shares = []
    for image in (plain, _taken(scene, exposure=6.0)):
        picture = scene[2].develop(image.color, np.random.default_rng(0))
        shares.append((picture[plain.skin > 0.99] == 255).any(-1).mean())
    assert shares[0] < 0.1 and shares[1] > 0.6


def test_an_open_shutter_blurs_what_moves_and_leaves_truth_and_light(scene, plain):
    blurred = _taken(scene, shutter=0.6)
    np.testing.assert_array_equal(blurred.skin, plain.skin)
    light = [(image.color**2.2).sum() for image in (plain, blurred)]
    assert light[1] == pytest.approx(light[0], rel=0.05)
    # Fingers bend and the arm rests.
    change = np.abs(blurred.color - plain.color).max(-1)
    subject, motion, camera = scene
    tips = np.round(camera.project(motion.keypoints[0, 1, [8, 12, 16, 20]].astype(float))).astype(int)
    at_tips = [change[row - 3 : row + 4, column - 3 : column + 4].max() for column, row in tips]
    arm = (plain.skin > 0.99) & (plain.hand < 0.01)
    assert min(at_tips) > 0.1 and np.median(change[arm]) < 0.02


def test_hands_between_frames(scene):
    motion = scene[1]
    vertices = motion.vertices
    np.testing.assert_allclose(moved(motion, 0, 0.5).vertices[0], 0.5 * (vertices[0] + vertices[1]), atol=1e-6)
    np.testing.assert_allclose(moved(motion, 1, -0.25).vertices[0], vertices[1] + 0.25 * (vertices[0] - vertices[1]))
    # There is no frame behind the last and before the first.
    for t, other, offset in ((2, 1, 0.2), (0, 1, -0.2)):
        expected = vertices[t] - 0.2 * (vertices[other] - vertices[t])
        np.testing.assert_allclose(moved(motion, t, offset).vertices[0], expected, atol=1e-6)


def test_nothing_moves_in_a_single_frame():
    with pytest.raises(HandsError, match="--pictures.shutter: expected at least two frames"):
        check_images(ImageOptions(shutter=0.1), 1)
    check_images(ImageOptions(exposure=3.0), 1)


def test_masks_end_where_they_are_asked_to(plain):
    rng = np.random.default_rng(0)
    hand, forearm, sleeve = (
        made_mask(plain, MaskOptions(show=show), rng) > 0.5 for show in ("hand", "forearm", "sleeve")
    )
    assert (hand == (plain.hand > 0.5)).all() and (forearm == (plain.skin > 0.5)).all()
    assert (forearm | ~hand).all() and (sleeve | ~forearm).all()
    assert forearm.sum() > 1.1 * hand.sum() and sleeve.sum() > 1.05 * forearm.sum()


def test_holes_are_where_skin_is_and_differ_from_image_to_image(plain):
    whole = plain.skin > 0.5
    holed = [made_mask(plain, MaskOptions(holes=4), np.random.default_rng(seed)) > 0.5 for seed in (0, 0, 1)]
    assert (holed[0] == holed[1]).all() and (holed[0] != holed[2]).any()
    for mask in holed:
        assert not (mask & ~whole).any() and 0.02 < 1 - mask.sum() / whole.sum() < 0.5
