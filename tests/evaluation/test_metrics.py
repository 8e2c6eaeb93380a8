"""Metrics against closed forms and a second library, the colour calibration on pictures where least squares fails."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nerfstudio_hands.evaluation import metrics, perceptual
from nerfstudio_hands.evaluation.metrics import calibrate_colors, crop_to_mask, hand_metrics, psnr, ssim

KEYS = {
    "psnr", "ssim", "hand_psnr", "hand_ssim", "hand_psnr_calibrated", "hand_psnr_calibrated_unsaturated", "mask_iou",
    "hand_coverage",
}  # fmt: skip
LPIPS_KEYS = {"lpips", "hand_lpips", "hand_lpips_calibrated"}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    metrics._lpips_network.cache_clear()
    perceptual.say_once.cache_clear()


def texture(seed: int = 0) -> torch.Tensor:
    """A smooth random picture, 96x80, with values from about 0.1 to 0.6."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 10, generator=generator)
    return 0.1 + 0.5 * torch.nn.functional.interpolate(coarse, (96, 80), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)


EVERYWHERE = torch.ones(96, 80, dtype=torch.bool)


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


def test_calibration_undoes_gain_and_bias_despite_outliers():
    truth = texture()
    pred = (truth - torch.tensor([0.05, -0.02, 0.0])) / torch.tensor([0.5, 1.5, 2.0])
    pred[:15] = texture(5)[:15]
    calibrated = calibrate_colors(pred, truth, EVERYWHERE)
    assert (calibrated - truth)[15:].abs().max() < 0.005


def test_calibration_keeps_contrast_where_least_squares_goes_flat():
    # Bright spots of the prediction lie beside those of the truth, and a third of the truth is saturated.
    truth = texture()
    truth[:30] = 1.0
    pred = 0.4 * texture().roll((6, 5), (0, 1))
    x, y = pred[..., 0].flatten().numpy(), truth[..., 0].flatten().numpy()
    squares = np.polyval(np.polyfit(x, y, 1), x)
    calibrated = calibrate_colors(pred, truth, EVERYWHERE)[..., 0]
    unsaturated = truth[30:, :, 0]
    assert squares.reshape(96, 80)[30:].std() < 0.3 * unsaturated.std()
    assert 0.4 * unsaturated.std() < calibrated[30:].std() < 1.5 * unsaturated.std()


def test_calibration_does_not_count_a_bright_prediction_against_saturated_truth():
    radiance = 2.5 * texture()
    truth = radiance.clamp(max=1.0)
    pred = radiance * 0.5
    calibrated = calibrate_colors(pred, truth, EVERYWHERE)
    assert (truth == 1).float().mean() > 0.25
    assert (calibrated - truth).abs().max() < 0.01


def test_calibration_leaves_empty_pixels_black():
    accumulation = torch.ones(96, 80)
    accumulation[:20] = 0
    truth, pred = texture() + 0.3, texture() * accumulation[..., None]
    calibrated = calibrate_colors(pred, truth, accumulation > 0.5, accumulation)
    assert (calibrated[:20] == 0).all()
    assert (calibrated - truth)[20:].abs().max() < 0.005


def test_calibration_of_a_flat_prediction_moves_its_level():
    calibrated = calibrate_colors(torch.full((96, 80, 3), 0.9), torch.full((96, 80, 3), 0.4), EVERYWHERE)
    assert torch.allclose(calibrated, torch.tensor(0.4))


def test_crop_is_the_box_with_black_outside_the_mask():
    image, mask = torch.ones(200, 200, 3), torch.zeros(200, 200, dtype=torch.bool)
    mask[50:150, 20:100] = True
    mask[60:70, 30:40] = False
    crop = crop_to_mask(image, mask)
    assert crop.shape == (100, 80, 3)
    assert crop.sum() == 3 * (100 * 80 - 100)


def test_small_crop_is_grown_for_the_networks():
    image, mask = torch.ones(200, 200, 3), torch.zeros(200, 200, dtype=torch.bool)
    mask[190:200, 195:200] = True
    assert crop_to_mask(image, mask).shape == (64, 64, 3)
    assert crop_to_mask(image, mask).sum() == 3 * 50


def test_hand_metrics_of_a_perfect_prediction_ignore_the_forearm():
    truth = texture()
    mask, region = torch.zeros(96, 80, dtype=torch.bool), torch.zeros(96, 80, dtype=torch.bool)
    mask[20:, 10:70] = True
    region[20:70, 10:70] = True
    figures = hand_metrics(truth * region[..., None], region[..., None].float(), truth, mask, region)
    assert figures["psnr"] == figures["hand_psnr"] == 100
    assert figures["ssim"] == pytest.approx(1) and figures["hand_ssim"] == pytest.approx(1)
    assert figures["mask_iou"] == figures["hand_coverage"] == 1


def test_hand_metrics_of_an_imperfect_prediction():
    truth = torch.full((96, 80, 3), 0.5)
    region = torch.zeros(96, 80, dtype=torch.bool)
    region[20:70, 10:70] = True
    accumulation = torch.zeros(96, 80)
    accumulation[20:60, 10:70] = 1  # ten rows of the region stay empty
    accumulation[10:20, 10:70] = 1  # and ten rows are too much
    pred = torch.full((96, 80, 3), 0.4) * accumulation[..., None]
    figures = hand_metrics(pred, accumulation, truth, region, region)
    assert figures["hand_coverage"] == pytest.approx(40 / 50)
    assert figures["mask_iou"] == pytest.approx(40 / 60)
    assert figures["hand_psnr"] == pytest.approx(-10 * math.log10((40 * 0.1**2 + 10 * 0.5**2) / 50), abs=1e-3)
    assert figures["hand_psnr_calibrated"] == pytest.approx(-10 * math.log10(10 * 0.5**2 / 50), abs=1e-3)
    total = 60 * (40 * 0.1**2 + 10 * 0.5**2 + 10 * 0.4**2) / (96 * 80)
    assert figures["psnr"] == pytest.approx(-10 * math.log10(total), abs=1e-3)


def test_unsaturated_figure_leaves_out_saturated_truth():
    truth = texture()
    truth[:48] = 1.0
    pred = truth.clone()
    pred[:48] = 0.2
    figures = hand_metrics(pred, torch.ones(96, 80), truth, EVERYWHERE, EVERYWHERE)
    assert figures["hand_psnr_calibrated_unsaturated"] > figures["hand_psnr_calibrated"] + 10


def test_no_hand_in_view_gives_nan_for_the_hand_and_figures_for_the_frame():
    nothing = torch.zeros(96, 80, dtype=torch.bool)
    figures = hand_metrics(torch.zeros(96, 80, 3), torch.zeros(96, 80), texture(), nothing, nothing)
    assert figures["psnr"] == 100
    assert all(math.isnan(figures[key]) for key in KEYS if key.startswith("hand_"))


def test_without_weights_the_lpips_keys_are_missing_and_it_is_said_once(capsys):
    for _ in range(3):
        figures = hand_metrics(texture(), torch.ones(96, 80), texture(), EVERYWHERE, EVERYWHERE)
        assert set(figures) == KEYS
    said = capsys.readouterr().out
    assert said.count("ns-hands fetch-weights") == 1


def test_with_weights_the_lpips_keys_are_there(monkeypatch):
    monkeypatch.setattr(metrics, "load_lpips", lambda net: torch.nn.L1Loss())
    figures = hand_metrics(texture() * 0.5, torch.ones(96, 80), texture(), EVERYWHERE, EVERYWHERE)
    assert set(figures) == KEYS | LPIPS_KEYS
    # The stand-in network returns the mean absolute difference, doubled by the range [-1, 1].
    assert figures["lpips"] == pytest.approx(2 * (texture() * 0.5).mean().item(), rel=1e-5)
    assert figures["hand_lpips_calibrated"] < 0.01
