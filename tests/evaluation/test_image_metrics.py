"""Metrics against closed forms and a second library."""

import math

import pytest
import torch
from helpers.textures import EVERYWHERE, texture
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nerfstudio_hands.evaluation import image_metrics, perceptual
from nerfstudio_hands.evaluation.image_metrics import (
    Judged,
    crop_to_mask,
    eight_bits,
    hand_metrics,
    inner_metrics,
    predict,
    psnr,
    reduced,
    ssim,
)

KEYS = {
    "psnr", "ssim", "hand_psnr", "hand_ssim", "hand_psnr_calibrated", "hand_psnr_calibrated_unsaturated", "mask_iou",
    "hand_coverage",
}  # fmt: skip
LPIPS_KEYS = {"lpips", "hand_lpips", "hand_lpips_calibrated"}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    image_metrics._lpips_network.cache_clear()
    perceptual.warn_once.cache_clear()


def test_psnr_of_a_constant_error():
    assert psnr(torch.full((4, 5, 3), 0.6), torch.full((4, 5, 3), 0.5)) == pytest.approx(20.0, abs=1e-4)


def test_psnr_counts_masked_pixels_only():
    pred, mask = torch.zeros(10, 10, 3), torch.zeros(10, 10, dtype=torch.bool)
    pred[:5] = 0.01
    mask[:5] = True
    assert psnr(pred, torch.zeros(10, 10, 3), mask) == pytest.approx(40.0, abs=1e-3)
    assert math.isnan(psnr(pred, pred, torch.zeros_like(mask)))


def test_psnr_and_ssim_agree_with_scikit_image():
    # The two libraries treat the border of a picture differently, so this one has a black border.
    border = (0, 0, 6, 6, 6, 6)
    pred, truth = (torch.nn.functional.pad(texture(seed), border) for seed in (0, 1))
    theirs = peak_signal_noise_ratio(truth.numpy(), pred.numpy(), data_range=1.0)
    assert psnr(pred, truth) == pytest.approx(theirs, abs=1e-4)
    options = dict(data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    full = structural_similarity(truth.numpy(), pred.numpy(), full=True, **options)[1]
    assert ssim(pred, truth) == pytest.approx(full.mean(), abs=1e-4)


def test_crop_is_the_box_with_a_margin():
    image, mask = torch.rand(200, 200, 3), torch.zeros(200, 200, dtype=torch.bool)
    mask[50:150, 3:100] = True
    mask[60:70, 30:40] = False
    assert torch.equal(crop_to_mask(image, mask), image[42:158, :108])


def test_small_crop_is_grown_for_the_networks():
    image, mask = torch.ones(200, 200, 3), torch.zeros(200, 200, dtype=torch.bool)
    mask[190:200, 195:200] = True
    assert crop_to_mask(image, mask).shape == (64, 64, 3)
    assert crop_to_mask(image, mask).sum() == 3 * 18 * 13


def figures_of(pred, accumulation, truth, region, ignored=None):
    """Figures of a prediction; nothing is ignored where nothing is said."""
    truth = eight_bits(truth)
    judged = Judged(truth, region, torch.ones_like(region) if ignored is None else ~ignored)
    return hand_metrics(predict(pred, accumulation, judged), judged)


def box(top: int, bottom: int, left: int = 10, right: int = 70) -> torch.Tensor:
    mask = torch.zeros(96, 80, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def test_hand_metrics_of_a_perfect_prediction_ignore_the_forearm():
    truth, region, forearm = texture(), box(20, 70), box(70, 96)
    for drawn in (region, region | forearm):
        figures = figures_of(eight_bits(truth) * drawn[..., None], drawn.float(), truth, region, forearm)
        assert figures["psnr"] == figures["hand_psnr"] == 100
        assert figures["ssim"] == pytest.approx(1) and figures["hand_ssim"] == pytest.approx(1)
        assert figures["mask_iou"] == figures["hand_coverage"] == 1


def test_hand_metrics_of_an_imperfect_prediction():
    truth = torch.full((96, 80, 3), 0.6)
    # Ten rows of the hand stay empty, and ten are too much.
    region, drawn = box(20, 70), box(10, 60)
    pred = torch.full((96, 80, 3), 0.4) * drawn[..., None]
    figures = figures_of(pred, drawn.float(), truth, region)
    assert figures["hand_coverage"] == pytest.approx(40 / 50)
    assert figures["mask_iou"] == pytest.approx(40 / 60)
    # 0.6, 0.4 and 0.2 are whole numbers of 255.
    error = 40 * 0.2**2 + 10 * 0.6**2 + 10 * 0.4**2
    assert figures["hand_psnr"] == pytest.approx(-10 * math.log10(error / 60), abs=1e-3)
    # A flat prediction is brought to the level of the truth, also where it should not be.
    assert figures["hand_psnr_calibrated"] == pytest.approx(-10 * math.log10(20 * 0.6**2 / 60), abs=1e-3)
    assert figures["psnr"] == pytest.approx(-10 * math.log10(60 * error / (96 * 80)), abs=1e-3)


def test_inner_figures_do_not_see_what_is_drawn_outside():
    truth, region, mask = eight_bits(texture()), box(30, 60), box(20, 70)
    inner = Judged(truth, region, region | ~mask)
    drawn = box(30, 80)
    found = inner_metrics(predict(truth * drawn[..., None], drawn.float(), inner), inner)
    assert found["inner_hand_psnr"] == 100 and found["inner_hand_coverage"] == 1
    # Beyond the mask, yet not in what the fit leaves of it, the old figures did look.
    assert found["inner_mask_iou"] == pytest.approx(30 / 40) and found["inner_psnr"] < 100


def test_figures_are_of_the_images_that_are_written():
    truth, region = texture(), box(20, 70)
    pred = (texture(1) + 0.001) * region[..., None]
    judged = Judged(eight_bits(truth), region, torch.ones_like(region))
    prediction = predict(pred, region.float(), judged)
    assert torch.equal(prediction.rgb * 255, (prediction.rgb * 255).round())
    assert hand_metrics(prediction, judged)["hand_psnr"] == psnr(prediction.rgb, judged.truth, region)


def test_unsaturated_figure_leaves_out_saturated_truth():
    truth = texture()
    truth[:48] = 1.0
    pred = truth.clone()
    pred[:48] = 0.2
    figures = figures_of(pred, torch.ones(96, 80), truth, EVERYWHERE)
    assert figures["hand_psnr_calibrated_unsaturated"] > figures["hand_psnr_calibrated"] + 10


def test_no_hand_in_view_gives_nan_for_the_hand_and_figures_for_the_frame():
    nothing = torch.zeros(96, 80, dtype=torch.bool)
    figures = figures_of(torch.zeros(96, 80, 3), torch.zeros(96, 80), texture(), nothing)
    assert figures["psnr"] == 100
    assert all(math.isnan(figures[key]) for key in KEYS if key.startswith("hand_") or key == "mask_iou")
    assert figures_of(texture(), torch.ones(96, 80), texture(), nothing)["psnr"] < 20


def test_a_reduced_image_keeps_the_pixels_that_all_agree():
    region, counted = torch.zeros(8, 8, dtype=torch.bool), torch.ones(8, 8, dtype=torch.bool)
    region[:5], counted[5] = True, False
    small = reduced(Judged(torch.full((8, 8, 3), 0.2), region, counted), 0.5)
    assert small.truth.shape == (4, 4, 3) and torch.allclose(small.truth, torch.tensor(0.2))
    # Row 2 came from hand and unknown, so it says nothing.
    assert small.region.all(dim=1).tolist() == [True, True, False, False]
    assert small.counted.all(dim=1).tolist() == [True, True, False, True]


def test_without_weights_the_lpips_keys_are_missing_and_it_is_said_once(capsys):
    for _ in range(3):
        figures = figures_of(texture(), torch.ones(96, 80), texture(), EVERYWHERE)
        assert set(figures) == KEYS
    said = capsys.readouterr().out
    assert said.count("ns-hands fetch-weights") == 1


def test_with_weights_the_lpips_keys_are_there(monkeypatch):
    monkeypatch.setattr(image_metrics, "load_lpips", lambda net: torch.nn.L1Loss())
    figures = figures_of(texture() * 0.5, torch.ones(96, 80), texture(), EVERYWHERE)
    assert set(figures) == KEYS | LPIPS_KEYS
    # The stand-in network returns the mean absolute difference, doubled by the range [-1, 1].
    assert figures["lpips"] == pytest.approx(2 * (texture() * 0.5).mean().item(), abs=0.01)
    assert figures["hand_lpips_calibrated"] < 0.01
