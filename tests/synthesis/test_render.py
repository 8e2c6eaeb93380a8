"""Quick images against fine ones."""

import dataclasses

import numpy as np

from nerfstudio_hands.synthesis.dome import dome, dome_cameras
from nerfstudio_hands.synthesis.motion_sequence import pose_sequence
from nerfstudio_hands.synthesis.range_of_motion import opening_and_closing
from nerfstudio_hands.synthesis.render import render_frame
from nerfstudio_hands.synthesis.rig import CameraRig
from nerfstudio_hands.synthesis.scene import FINE, QUICK
from nerfstudio_hands.synthesis.subject import make_subject

CENTER = np.array([0.1, 0.2, 1.0])


def test_quick_images_agree_with_fine_ones():
    # Fine ones look up skin at every sample and trace several times as many rays.
    camera = dome_cameras(CENTER, num_color=1, num_gray=0, rng=np.random.default_rng(1))[0]
    intrinsics = np.diag([0.25, 0.25, 1.0]) @ camera.intrinsics
    camera = dataclasses.replace(camera, intrinsics=intrinsics, width=84, height=128)
    rig = CameraRig(dome(CENTER, np.random.default_rng(0)), [camera])
    images = []
    for quality in (FINE, QUICK):
        subject = make_subject(("right",), subdivisions=1, quality=quality, seed=3)
        motions = opening_and_closing(("right",), 2)
        motion = pose_sequence("", np.arange(2), motions, subject, CENTER)
        images += [image for _, image in render_frame(subject, motion, 1, rig, quality, supersampling=2)]
    fine, quick = images
    np.testing.assert_allclose(quick.skin, fine.skin, atol=1e-9)
    assert (quick.hand <= quick.skin).all() and 0.02 < quick.hand.mean() < quick.skin.mean()
    error = np.abs(quick.color - fine.color)
    assert error[quick.skin == 0].max() < 0.1
    inside = fine.skin == 1
    assert error[inside].mean() < 0.02
    # The shadows of bent fingers are in both.
    shade = fine.color[inside][:, 1]
    assert shade.std() > 0.05
    assert np.corrcoef(shade, quick.color[inside][:, 1])[0, 1] > 0.97
