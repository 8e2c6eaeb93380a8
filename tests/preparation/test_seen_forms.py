"""The form of a hand that one camera saw: the network's opinion beside the detector's."""

from __future__ import annotations

import numpy as np
import torch

from nerfstudio_hands.captures.landmark_files import ImageLandmarks, no_landmarks
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.preparation.seen_forms import SeenForms
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions
from nerfstudio_hands.transforms.rotations import rotation_matrix


def test_a_form_that_is_turned_is_turned_back_by_what_the_picture_shows() -> None:
    source, forms = SyntheticHands(SyntheticHandsOptions(split="test", count=6, people=2, size=160)), SeenForms()
    turn = rotation_matrix(torch.tensor([0.0, 0.9, 0.0])).numpy()
    before, after = [], []
    for index in range(6):
        picture = source.read(index)
        labels, side = picture.labels, SIDES.index(picture.labels.side)
        true = labels.joints - labels.joints.mean(0)
        known = no_landmarks()
        known.pixels[side], known.metric[side], known.score[side] = labels.pixels, 1.1 * true @ turn + 0.02, 1.0
        found = forms(picture.rgb, known, labels.intrinsics)
        other = 1 - side
        assert np.isnan(found[other]).all()
        form = found[side]
        np.testing.assert_allclose(form.mean(0), known.metric[side].mean(0), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(form - form.mean(0)), 1.1 * np.linalg.norm(true), rtol=1e-5)
        for errors, metric in ((before, known.metric[side]), (after, form)):
            errors.append(np.linalg.norm((metric - metric.mean(0)) / 1.1 - true, axis=-1).mean())
    assert np.mean(after) < 0.75 * np.mean(before)


def test_a_hand_without_a_form_is_left_as_it_is() -> None:
    image, k = np.full((90, 120, 3), 128, np.uint8), np.array([[100.0, 0, 60], [0, 100, 45], [0, 0, 1]])
    known = ImageLandmarks(np.full((2, 21, 2), 40.0), np.full((2, 21, 3), np.nan), np.ones(2))
    assert np.isnan(SeenForms()(image, known, k)).all()
