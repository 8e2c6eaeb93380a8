"""The colour calibration on pictures where least squares fails."""

import numpy as np
import torch
from helpers.textures import EVERYWHERE, texture

from nerfstudio_hands.evaluation.color_calibration import calibrate_colors


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


def test_calibration_of_many_barely_saturated_pixels_follows_the_others():
    generator = torch.Generator().manual_seed(0)
    pred = torch.cat(
        [0.5 + 0.48 * torch.rand(400, generator=generator), 1 + 0.1 * torch.rand(3600, generator=generator)]
    )
    noise = 0.02 * torch.randn(4000, generator=generator)
    truth = (pred + noise).clamp(0, 1)
    pred, truth = (values.reshape(40, 100, 1).repeat(1, 1, 3) for values in (pred, truth))
    found = calibrate_colors(pred, truth, torch.ones(40, 100, dtype=torch.bool))
    # Nine of ten say no more than that the truth is at least as bright as white; the others were right as they are.
    assert (found - pred)[pred < 0.95].abs().max() < 0.012


def test_calibration_tells_outliers_by_the_pixels_that_are_not_saturated():
    generator = torch.Generator().manual_seed(0)
    pred = torch.cat([0.5 + 0.4 * torch.rand(400, generator=generator), 1.2 + torch.rand(3600, generator=generator)])
    truth = (pred + 0.01 * torch.randn(4000, generator=generator)).clamp(0, 1)
    truth[:100] -= 0.3
    pred, truth = (values.reshape(40, 100, 1).repeat(1, 1, 3) for values in (pred, truth))
    found = calibrate_colors(pred, truth, torch.ones(40, 100, dtype=torch.bool))
    # Nine of ten are white and far exceeded; that does not make the misplaced quarter of the others usual.
    assert (found - pred)[pred < 0.95].abs().max() < 0.01


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
