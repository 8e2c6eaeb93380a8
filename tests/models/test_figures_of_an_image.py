"""What a model says of a held-out picture: names of figures, and the pixels that they are taken of."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.model_components.image_figures import image_figures

SIDE = 64


pytestmark = pytest.mark.usefixtures("no_lpips")


def evaluate(**more):
    """A hand in rows 10-49, the forearm below; drawn are rows 10-39, at the right colour, and half of the forearm."""
    region, ignored = (torch.zeros(SIDE, SIDE, 1, dtype=torch.bool) for _ in range(2))
    region[10:50], ignored[50:] = True, True
    inner = region.clone()
    inner[40:50] = False
    drawn = torch.zeros(SIDE, SIDE, 1)
    drawn[10:40] = drawn[50:57] = 1
    image = torch.full((SIDE, SIDE, 3), 0.4)
    batch = {"image": image, "hand_mask": region | ignored, "hand_region": region, "hand_ignored": ignored}
    outputs = {"radiance": image * drawn, "accumulation": drawn, "rgb": image * drawn, "depth": drawn}
    batch |= {"hand_inner": inner, "mask_is_own": False, "training_scale": 1.0, **more}
    return image_figures({**outputs, "normals": image}, batch, shows_object=False)


def test_the_whole_hand_counts_and_the_inner_figures_see_its_fitted_part_alone():
    figures, images = evaluate()
    assert figures["hand_coverage"] == figures["mask_iou"] == pytest.approx(30 / 40)
    assert figures["inner_hand_psnr"] == 100 > 30 > figures["hand_psnr"]
    assert (figures["image_width"], figures["image_height"]) == (SIDE, SIDE)
    assert images["counted"].sum() == 50 * SIDE and images["drawn"].sum() == 37 * SIDE
    assert images["img"].shape == (SIDE, 3 * SIDE, 3)
    # Truth, calibrated prediction, prediction: opacity has been in the prediction from the start.
    assert torch.equal(images["img"][:, SIDE : 2 * SIDE], images["calibrated"])


def test_figures_by_a_mask_of_our_own_say_so():
    figures, _ = evaluate(mask_is_own=True)
    assert all(key.startswith(("own_mask_", "image_")) for key in figures)
    assert figures["own_mask_iou"] == pytest.approx(30 / 40) and "own_mask_hand_psnr" in figures


def test_figures_at_the_size_of_the_training_stand_beside():
    figures, _ = evaluate(training_scale=0.5)
    assert figures["reduced_hand_coverage"] == pytest.approx(30 / 40)
    assert not any(key.startswith("reduced_") for key in evaluate()[0])
