"""The whole fit on a made-up capture whose hands are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.held_out_fits import end_early

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_capture, fit_contour_distances
from nerfstudio_hands.fitting.silhouettes.mask_refinement import frame_groups


@pytest.fixture(scope="module")
def fitted(made_up_capture) -> HandFit:
    return fit_capture(made_up_capture, FitOptions(made_up_capture.camera_names))


def vertex_errors(fit: HandFit, truth) -> torch.Tensor:
    """Distances of fitted from true vertices in millimetres."""
    vertices = truth.surface.pose(fit.pose, fit.shape, fit.displacement).vertices
    return 1000 * (vertices - truth.posed.vertices).norm(dim=-1)[0]


def test_joints_alone_find_the_pose(made_up_capture, truth):
    fit = fit_capture(made_up_capture, FitOptions(made_up_capture.camera_names, refine_masks=False))
    assert fit.pose.valid.all()
    keypoints = truth.surface.pose(fit.pose, fit.shape, fit.displacement).keypoints
    assert 1000 * (keypoints - truth.posed.keypoints).norm(dim=-1).mean() < 4
    assert vertex_errors(fit, truth).mean() < 5
    assert ["a", "01", "right"] in fit.report["outlier_detections"]


def test_outlines_bring_the_surface_to_about_a_millimeter(fitted, truth):
    errors = vertex_errors(fitted, truth)
    assert errors.mean() < 1.3
    assert errors.quantile(0.95) < 3.0


def test_the_turned_camera_is_turned_back_and_the_others_stay(fitted, truth):
    np.testing.assert_allclose(fitted.camera_rotation["05"], truth.turn, atol=np.deg2rad(0.12))
    others = [np.linalg.norm(turn) for name, turn in fitted.camera_rotation.items() if name != "05"]
    assert max(others) < np.deg2rad(0.12)


def test_the_other_focal_length_is_found_and_those_that_are_right_stay(fitted):
    zooms = {name: fitted.camera_zoom.get(name, 0.0) for name in fitted.camera_rotation}
    assert abs(zooms.pop("03") - 0.02) < 0.004
    assert max(map(abs, zooms.values())) < 0.002


def test_outlines_agree_and_the_empty_mask_is_named(made_up_capture, fitted):
    distances = fit_contour_distances(made_up_capture, fitted)
    for (_, name), distance in distances.items():
        if name != "02":
            assert distance["mean"] < 1.2
            assert distance["matched"] > 0.95
    verdicts = {key[1]: fitted.mask_verdict(key) for key in made_up_capture.masks}
    assert verdicts.pop("02") == "useless"
    assert set(verdicts.values()) == {"good"}
    assert fitted.mask_coverage.keys() == made_up_capture.masks.keys() and fitted.mask_coverage["a", "02"] < 0.1


def test_cameras_stay_where_they_may_not_move(made_up_capture, monkeypatch):
    end_early(monkeypatch)
    kept = fit_capture(
        made_up_capture, FitOptions(made_up_capture.camera_names, refine_masks=False, refine_cameras=False)
    )
    assert all((turn == 0).all() for turn in kept.camera_rotation.values())


def test_of_one_detected_hand_that_one_is_fitted(made_up_capture, truth, monkeypatch):
    end_early(monkeypatch)
    detections = made_up_capture.detections.copy()
    detections[:, :, 0] = np.nan
    alone = replace(made_up_capture, detections=detections)
    fit = fit_capture(alone, FitOptions(alone.camera_names, refine_masks=False))
    assert fit.sides == ("right",)
    assert fit.displacement.shape == (truth.surface.hands[1].num_vertices, 3)
    with pytest.raises(HandsError, match="left hand"):
        fit_capture(alone, FitOptions(alone.camera_names, sides=("left",)))


@pytest.mark.parametrize(("count", "learning"), [(1, 1), (5, 5), (8, 8), (30, 30), (30, 20), (30, 0)])
def test_frame_groups_hold_every_frame_once(count: int, learning: int):
    groups = frame_groups(count, range(learning), 8)
    assert sorted(frame for group, _ in groups for frame in group) == list(range(count))
    assert all(0 < len(group) <= 8 for group, _ in groups)
    assert all(len({frame < learning for frame in group}) == 1 for group, _ in groups)
    assert [shared for _, shared in groups] == [bool(learning)] * bool(groups) + [False] * (len(groups) - 1)
    if learning:
        assert groups[0][0][0] == 0 and groups[0][0][-1] == learning - 1


@pytest.mark.parametrize(("focal", "place"), [(1.0, 1e-6), (1e3, 1.0)])
def test_cameras_under_which_no_hand_is_one_are_refused(made_up_capture, focal: float, place: float):
    cameras = [
        replace(
            camera,
            intrinsics=np.diag([focal, focal, 1.0]) @ camera.intrinsics,
            world_to_camera=np.diag([1.0, 1.0, 1.0, 1 / place]) @ camera.world_to_camera * [1, 1, 1, place],
        )
        for camera in made_up_capture.cameras
    ]
    options = FitOptions(made_up_capture.camera_names, refine_masks=False, refine_cameras=False)
    with pytest.raises(HandsError, match="expected rays of landmarks to meet in joints of a hand, 5 to 500 mm"):
        fit_capture(replace(made_up_capture, cameras=cameras), options)
