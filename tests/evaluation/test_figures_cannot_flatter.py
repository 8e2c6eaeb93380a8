"""A hand that is drawn wrong loses in every figure, also where the fit that cuts the wrist is wrong in the same way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import split_capture
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs
from nerfstudio_hands.evaluation import image_metrics
from nerfstudio_hands.evaluation.image_metrics import Judged, hand_metrics, predict
from nerfstudio_hands.evaluation.perceptual import MissingWeights
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import default_hand

HIGHER_IS_BETTER = ("psnr", "ssim", "hand_psnr", "hand_psnr_calibrated", "hand_ssim", "mask_iou", "hand_coverage")
INDEX_FINGER = [1, 2, 3]
"""Its joints in MANO order."""


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """LPIPS is of no use here, and slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_metrics, "load_lpips", missing)
        image_metrics._lpips_network.cache_clear()
        yield


def missing(net: str):
    raise MissingWeights("not here")


@pytest.fixture(scope="module")
def figures(demo_capture: Path, true_fit: HandFit) -> Callable[..., dict[str, float]]:
    """Figures of the template as a fit has it, drawn in the picture's own colours, in a held-out picture of the
    shipped synthetic capture, whose masks are the truth."""
    capture = read_capture(demo_capture, layout="auto")
    split = split_capture(capture, eval_cameras=("03",))
    hand = default_hand(true_fit.sides[0])
    outward = vertex_normals(hand.template[None], hand.faces)[0]

    def dataset(fit: HandFit) -> EvaluationImages:
        options = {"hand": "both", "hand_model": "default", "resolution_scale": None, "max_resolution": 640}
        return EvaluationImages(capture_to_outputs(capture, fit, split, train=False, max_eval_images=0, **options))

    def measure(*, thicker: float = 0.0, shift: float = 0.0, without_finger: bool = False, true: bool = False):
        pose = replace(true_fit.pose, translation=true_fit.pose.translation + shift / math.sqrt(3))
        data = dataset(replace(true_fit, displacement=true_fit.displacement + thicker * outward, pose=pose))
        rows = []
        for row in range(len(data)):
            batch = data[row]
            region, ignored = (batch[f"hand_{name}"][..., 0] for name in ("region", "ignored"))
            judged = Judged(batch["image"], region, ~ignored)
            drawn = region if true else silhouette(data, row, without_finger)
            radiance = batch["image"] * drawn[..., None]
            rows.append(hand_metrics(predict(radiance, drawn.float(), judged), judged))
        return {key: sum(row[key] for row in rows) / len(rows) for key in HIGHER_IS_BETTER}

    def silhouette(data: EvaluationImages, row: int, without_finger: bool) -> torch.Tensor:
        faces = hand.faces
        if without_finger:
            finger = hand.weights[:, INDEX_FINGER].sum(dim=1) > 0.5
            faces = faces[~finger[faces].any(dim=1)]
        return data.hands.draw(row, Surfaces(faces, data.hands.posed(0).vertices)).face >= 0

    return measure


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([{"thicker": -0.001}, {"thicker": -0.003}], id="thinner"),
        pytest.param([{"thicker": 0.001}, {"thicker": 0.003}], id="thicker"),
        pytest.param([{"shift": 0.002}, {"shift": 0.005}], id="shifted"),
        pytest.param([{"without_finger": True}], id="finger missing"),
    ],
)
def test_each_fault_costs_in_every_figure(figures, changes):
    found = [figures(), *(figures(**change) for change in changes)]
    for better, worse in zip(found, found[1:], strict=False):
        for key in HIGHER_IS_BETTER:
            # All of the hand is covered, and more, where it is too thick.
            if key == "hand_coverage" and "thicker" in changes[0] and changes[0]["thicker"] > 0:
                assert worse[key] >= better[key]
            else:
                assert worse[key] < better[key], key


def test_nothing_scores_better_than_the_true_silhouette(figures):
    best = figures(true=True)
    assert best["mask_iou"] == best["hand_coverage"] == 1 and best["hand_psnr"] == best["psnr"] == 100
    # The template at the true pose misses nothing but the relief of the skin, which is lost in the rim.
    assert all(best[key] >= value for key, value in figures().items())
    thin = figures(thicker=-0.003)
    assert all(best[key] > value for key, value in thin.items()) and thin["mask_iou"] < 0.9
