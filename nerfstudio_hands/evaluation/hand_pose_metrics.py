"""How near predicted hands are to true ones, by the definitions of FreiHAND's and HO-3D's evaluations.

FreiHAND: Zimmermann et al., ICCV 2019; HO-3D: Hampali et al., CVPR 2020. Where the released script is wrong, that is
said (`_surface_figures`). Errors are in millimeters, which the data sets' pages print in centimeters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from nerfstudio_hands.errors import HandsError

WRIST, MIDDLE_BASE = 0, 9
"""Places among the 21 joints; HO-3D's joint 4, by which it scales, is the base of the middle finger, too."""

AUC_THRESHOLDS = np.linspace(0, 0.05, 100)
"""Meters."""

F_MILLIMETERS = (5, 15)
"""Thresholds of the F-scores."""

NO_DIVISION_BY_ZERO = 1e-8
"""What the alignment adds to norms, as the released one does."""

Points = Float[np.ndarray, "N K 3"]


@dataclass(frozen=True)
class Similarity:
    """Best similarity from each of N predicted sets of points to its true one, reflections among them."""

    predicted_mean: Float[np.ndarray, "N 1 3"]
    predicted_norm: Float[np.ndarray, "N 1 1"]
    turn: Float[np.ndarray, "N 3 3"]
    """Orthogonal; the points are rows, multiplied from the left."""
    scale: Float[np.ndarray, "N 1 1"]
    """Between sets of norm one."""
    true_mean: Float[np.ndarray, "N 1 3"]
    true_norm: Float[np.ndarray, "N 1 1"]

    def __call__(self, points: Points) -> Points:
        """Points of the predicted frame in the true one, meters."""
        unit = (points - self.predicted_mean) / self.predicted_norm
        return unit @ self.turn * self.scale * self.true_norm + self.true_mean


def hand_pose_metrics(
    predicted_joints: Float[np.ndarray, "N 21 3"],
    true_joints: Float[np.ndarray, "N 21 3"],
    predicted_vertices: Float[np.ndarray, "N V 3"] | None = None,
    true_vertices: Float[np.ndarray, "N W 3"] | None = None,
) -> dict[str, float]:
    """Figures over N hands.

    Args:
        predicted_joints: In the camera's frame, meters, order of `joints.JOINT_NAMES`.
        true_joints: The same.
        predicted_vertices: Meters; None for a method that has no surface.
        true_vertices: Meters. Where their number is another one, there is no error of vertices, and the F-scores are
            those of vertices aligned as the joints are.

    Returns:
        By name, a plain float each. `mpjpe_mm`, `mpvpe_mm`: mean distance of joints and of vertices in the camera's
        frame; `auc`, `vertex_auc`: area under the share of these within 0 to 50 mm; `f_5mm`, `f_15mm`: harmonic mean of
        the shares of vertices, of either surface, with a vertex of the other nearer than that. With `pa_` before it:
        after the best similarity of each hand (Procrustes; reflections allowed, as in the released scripts).
        `wrist_` and `middle_mpjpe_mm`: after moving the wrist, or the base of the middle finger, onto the true one.
        `scaled_mpjpe_mm`, `scaled_auc`: HO-3D's, after moving the wrist and scaling by its distance to the base of the
        middle finger. `root_mm` and `root_depth_mm`: distance of the base of the middle finger, and its depth alone.

    Raises:
        HandsError: The arrays do not fit each other, or hold what is no number.
    """
    predicted_joints, true_joints = (np.asarray(part, np.float64) for part in (predicted_joints, true_joints))
    _check(predicted_joints, true_joints, "joints")
    similarity = best_similarity(predicted_joints, true_joints)
    figures = _errors(predicted_joints, true_joints, "mpjpe_mm", "auc")
    figures |= _errors(similarity(predicted_joints), true_joints, "pa_mpjpe_mm", "pa_auc")
    figures |= _errors(wrist_scaled(predicted_joints, true_joints), true_joints, "scaled_mpjpe_mm", "scaled_auc")
    for name, joint in (("wrist", WRIST), ("middle", MIDDLE_BASE)):
        off = (predicted_joints - predicted_joints[:, [joint]]) - (true_joints - true_joints[:, [joint]])
        figures[f"{name}_mpjpe_mm"] = _mean_mm(np.linalg.norm(off, axis=-1))
    root = predicted_joints[:, MIDDLE_BASE] - true_joints[:, MIDDLE_BASE]
    figures["root_mm"] = _mean_mm(np.linalg.norm(root, axis=-1))
    figures["root_depth_mm"] = _mean_mm(np.abs(root[:, 2]))
    if predicted_vertices is not None and true_vertices is not None:
        figures |= _surface_figures(np.asarray(predicted_vertices), np.asarray(true_vertices), similarity)
    return figures


def dexycb_metrics(predicted: Float[np.ndarray, "N 21 3"], true: Float[np.ndarray, "N 21 3"]) -> dict[str, float]:
    """Joint figures of DexYCB's evaluation (Chao et al., CVPR 2021) over the samples whose joints are known.

    Args:
        predicted: In the camera's frame, meters.
        true: The same; a sample that nobody labelled is -1 throughout, or NaN.

    Returns:
        `mpjpe_mm` and `auc` in the camera's frame, with `wrist_` before them after moving the wrist onto the true one,
        with `pa_` after the best similarity, reflections among them; `unlabelled`: samples that were left out.

    Raises:
        HandsError: The arrays do not fit each other, no sample has labels, or one of those that have is no number.
    """
    known = ~(np.isnan(true).any((1, 2)) | (true == -1).all((1, 2)))
    found, wanted = predicted[known].astype(np.float64), true[known].astype(np.float64)
    _check(found, wanted, "joints with labels")
    wrists = found - found[:, [WRIST]] + wanted[:, [WRIST]]
    figures = _errors(found, wanted, "mpjpe_mm", "auc")
    figures |= _errors(wrists, wanted, "wrist_mpjpe_mm", "wrist_auc")
    figures |= _errors(best_similarity(found, wanted)(found), wanted, "pa_mpjpe_mm", "pa_auc")
    return figures | {"unlabelled": float((~known).sum())}


def _surface_figures(predicted: Points, true: Points, by_joints: Similarity) -> dict[str, float]:
    """Errors and F-scores of vertices, in the camera's frame and aligned."""
    same = predicted.shape == true.shape
    _check(predicted, true if same else predicted, "vertices")
    figures: dict[str, float] = {}
    if same:
        aligned = best_similarity(predicted, true)(predicted)
        figures |= _errors(predicted, true, "mpvpe_mm", "vertex_auc")
        figures |= _errors(aligned, true, "pa_mpvpe_mm", "pa_vertex_auc")
    else:
        # The released function for this case scales by the true norm without dividing by the predicted one, and turns
        # about the mean of the vertices instead of that of the joints; neither is a similarity of the joints.
        aligned = by_joints(predicted)
    figures |= {f"f_{mm}mm": score for mm, score in f_scores(predicted, true).items()}
    return figures | {f"pa_f_{mm}mm": score for mm, score in f_scores(aligned, true).items()}


def best_similarity(predicted: Points, true: Points) -> Similarity:
    """Orthogonal Procrustes of centered sets of norm one (Gower, Psychometrika 1975)."""
    means = predicted.mean(1, keepdims=True), true.mean(1, keepdims=True)
    norms = [
        np.linalg.norm(points - mean, axis=(1, 2), keepdims=True) + NO_DIVISION_BY_ZERO
        for points, mean in zip((predicted, true), means, strict=True)
    ]
    unit_predicted, unit_true = (predicted - means[0]) / norms[0], (true - means[1]) / norms[1]
    left, singular, right = np.linalg.svd(unit_predicted.transpose(0, 2, 1) @ unit_true)
    return Similarity(means[0], norms[0], left @ right, singular.sum(1)[:, None, None], means[1], norms[1])


def wrist_scaled(predicted: Float[np.ndarray, "N 21 3"], true: Float[np.ndarray, "N 21 3"]) -> Points:
    """HO-3D's scale and translation: the wrists on each other, the middle finger's base as far from it as it is."""
    far = [np.linalg.norm(joints[:, MIDDLE_BASE] - joints[:, WRIST], axis=-1) for joints in (true, predicted)]
    scale = (far[0] / np.maximum(far[1], NO_DIVISION_BY_ZERO))[:, None, None]
    return (predicted - predicted[:, [WRIST]]) * scale + true[:, [WRIST]]


def area_under_curve(distances: Float[np.ndarray, "N K"]) -> float:
    """Mean over points of the area under the share of samples within 0 to 50 mm, from distances in meters."""
    shares = np.stack([(distances <= threshold).mean(0) for threshold in AUC_THRESHOLDS])
    # The trapezoids of even steps.
    return float((shares[1:] + shares[:-1]).mean() / 2)


def f_scores(predicted: Float[np.ndarray, "N V 3"], true: Float[np.ndarray, "N W 3"]) -> dict[int, float]:
    """By millimeters: the mean over hands of the harmonic mean of both shares of vertices nearer than that."""
    nearest = [_nearest_squares(found, wanted) for found, wanted in zip(predicted, true, strict=True)]
    ways = [np.stack(squares) for squares in zip(*nearest, strict=True)]
    scores = {}
    for millimeters in F_MILLIMETERS:
        one, other = ((squares < (1e-3 * millimeters) ** 2).mean(1) for squares in ways)
        scores[millimeters] = float((2 * one * other / np.maximum(one + other, NO_DIVISION_BY_ZERO)).mean())
    return scores


def _nearest_squares(
    points: Float[np.ndarray, "V 3"], others: Float[np.ndarray, "W 3"]
) -> tuple[Float32[np.ndarray, " V"], Float32[np.ndarray, " W"]]:
    """Squared distance of each point to the nearest of the others, and the other way round; one matrix for both is
    quicker than two trees."""
    points, others = points.astype(np.float32), others.astype(np.float32)
    squares = np.zeros((len(points), len(others)), np.float32)
    # A product of matrices this thin would be handed to threads, which wait for each other longer than they work.
    for axis in range(3):
        offset = np.subtract.outer(points[:, axis], others[:, axis])
        offset *= offset
        squares += offset
    return squares.min(1), squares.min(0)


def _errors(predicted: Points, true: Points, mean: str, area: str) -> dict[str, float]:
    distances = np.linalg.norm(predicted - true, axis=-1)
    return {mean: _mean_mm(distances), area: area_under_curve(distances)}


def _mean_mm(distances: np.ndarray) -> float:
    return 1e3 * float(distances.mean())


def _check(predicted: np.ndarray, true: np.ndarray, what: str) -> None:
    if predicted.shape != true.shape or predicted.ndim != 3 or predicted.shape[2] != 3 or not len(predicted):
        raise HandsError(
            f"{what}: expected as many predicted as true ones, [N, K, 3] in meters, found shapes {predicted.shape} and "
            f"{true.shape}; give both for the same pictures."
        )
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise HandsError(f"{what}: expected numbers, found NaN or infinity; leave hands out that are not known.")
