"""Outlines against discs and spheres, whose outlines are known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh

from nerfstudio_hands.fitting.silhouettes.contours import (
    MaskBoundary,
    SilhouetteMesh,
    away_from,
    contour_distance,
    mask_boundary,
    projected_silhouette,
)
from nerfstudio_hands.fitting.silhouettes.mask_quality import mask_coverage
from nerfstudio_hands.fitting.silhouettes.segmentation import segment_hands, snap_boundary

SIZE = (400, 300)
CENTRE = np.array([201.3, 148.9])


def disc(radius: float, center: np.ndarray = CENTRE) -> np.ndarray:
    """Mask of all pixels whose centres are in a disc."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    return (x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2


def sphere(radius_pixels: float):
    """Outline of a sphere whose picture is a disc of that radius round `CENTRE`."""
    focal, distance = 500.0, 2.0
    # The silhouette cone of a sphere of radius r at distance d has the tangent r / sqrt(d^2 - r^2).
    tangent = radius_pixels / focal
    ball = trimesh.creation.icosphere(subdivisions=5, radius=distance * tangent / np.sqrt(1 + tangent**2))
    mesh = SilhouetteMesh.from_faces(ball.faces, np.zeros((0, 3), int), np.ones(len(ball.vertices), bool))
    k = np.array([[focal, 0, CENTRE[0]], [0, focal, CENTRE[1]], [0, 0, 1]])
    to_camera = np.eye(4)
    to_camera[2, 3] = distance
    return projected_silhouette(mesh, ball.vertices, ball.vertex_normals, k, to_camera, SIZE, spacing=1.0)


def test_the_outline_of_a_disc_is_its_circle_to_a_fraction_of_a_pixel():
    outline = mask_boundary(disc(80.0))
    arm = outline.points - CENTRE
    radius = np.linalg.norm(arm, axis=1)
    assert abs(radius.mean() - 80.0) < 0.1
    assert np.abs(radius - 80.0).max() < 0.6
    assert ((arm / radius[:, None] * outline.normals).sum(1) > 0.98).all()


def test_specks_and_the_edge_of_the_image_are_no_outline():
    mask = disc(1.5)
    assert len(mask_boundary(mask).points) == 0
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[:, :150] = True
    points = mask_boundary(mask).points
    np.testing.assert_allclose(points[:, 0], 150.0, atol=0.1)


def test_the_projected_outline_of_a_sphere_is_a_circle():
    outline = sphere(80.0)
    arm = outline.points - CENTRE
    radius = np.linalg.norm(arm, axis=1)
    assert np.abs(radius - 80.0).max() < 0.3
    assert ((arm / radius[:, None] * outline.normals).sum(1) > 0.99).all()
    angle = np.sort(np.arctan2(arm[:, 1], arm[:, 0]))
    assert np.diff(angle).max() < np.deg2rad(10)
    assert (outline.silhouette == disc(80.0)).mean() > 0.99


def test_the_rim_of_what_is_before_other_skin_is_no_outline():
    """A small ball before a large one."""
    large, small = (trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in (0.3, 0.05))
    small.apply_translation([0, 0, -0.5])
    both = trimesh.util.concatenate([large, small])
    mesh = SilhouetteMesh.from_faces(both.faces, np.zeros((0, 3), int), np.ones(len(both.vertices), bool))
    k = np.array([[500.0, 0, CENTRE[0]], [0, 500.0, CENTRE[1]], [0, 0, 1]])
    to_camera = np.eye(4)
    to_camera[2, 3] = 2.0
    outline = projected_silhouette(mesh, both.vertices, both.vertex_normals, k, to_camera, SIZE)
    assert len(outline.points) > 100
    assert np.linalg.norm(outline.points - CENTRE, axis=1).min() > 70


@pytest.mark.parametrize("gap", [0.0, 3.0, 7.0])
def test_the_distance_of_concentric_circles_is_their_gap(gap: float):
    distance = contour_distance(sphere(80.0), mask_boundary(disc(80.0 + gap)))
    assert distance.mean == pytest.approx(gap, abs=0.35)
    assert distance.projected_to_mask == pytest.approx(gap, abs=0.35)
    assert distance.mask_to_projected == pytest.approx(gap, abs=0.35)
    assert distance.matched == 1.0


def test_what_is_out_of_reach_or_forearm_does_not_count():
    projected = sphere(80.0)
    assert contour_distance(projected, mask_boundary(disc(120.0))).matched == 0.0
    arm = disc(80.0)
    arm[110:188, : int(CENTRE[0])] = True
    distance = contour_distance(projected, mask_boundary(arm))
    assert distance.mean < 0.8
    assert 0.8 < distance.matched < 0.97
    nothing = MaskBoundary(np.zeros((0, 2)), np.zeros((0, 2)))
    assert np.isnan(contour_distance(projected, nothing).mean)
    all_forearm = replace(projected, is_hand=np.zeros(len(projected.points), dtype=bool))
    distance = contour_distance(all_forearm, mask_boundary(disc(80.0)))
    assert distance.matched == 0.0 and np.isnan(distance.mean)


@pytest.mark.parametrize("background", [(40, 90, 70), (205, 235, 215)], ids=["dark", "bright"])
def test_colours_move_a_rough_silhouette_onto_the_object(background):
    true = disc(80.0)
    picture = np.where(true[..., None], (200, 150, 130), background).astype(np.float64)
    # A bright rim, as a light from behind draws it.
    picture[true & ~disc(76.5)] = (254, 248, 190)
    picture += np.random.default_rng(0).normal(0, 4, picture.shape)
    picture = cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (0, 0), 0.8)
    rough = disc(78.0, CENTRE + [6.0, -4.0])
    mask, trusted = segment_hands(picture, rough, np.zeros_like(true), band=14.0)
    outline = mask_boundary(mask)
    column, row = outline.points.astype(int).T
    kept = trusted[row, column]
    assert kept.mean() > 0.9
    snapped = snap_boundary(picture, MaskBoundary(outline.points[kept], outline.normals[kept]))
    assert len(snapped.points) > 0.9 * kept.sum()
    np.testing.assert_allclose(np.linalg.norm(snapped.points - CENTRE, axis=1).mean(), 80.0, atol=0.7)


def test_without_hands_in_the_image_nothing_is_cut_out():
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    mask, trusted = segment_hands(picture, np.zeros(picture.shape[:2], bool), np.zeros(picture.shape[:2], bool), band=9)
    assert not mask.any() and not trusted.any()


def test_where_an_object_hides_the_hand_there_is_no_outline():
    y, x = np.mgrid[:200, :200] + 0.5
    disc, object_seen = np.hypot(x - 100, y - 100) < 60, x > 120
    whole = mask_boundary(disc)
    seen = away_from(mask_boundary(disc & ~object_seen), object_seen)
    assert len(seen.points) and seen.points[:, 0].max() < 120
    # What is left lies on the disc: the straight border with the object is gone.
    assert np.abs(np.hypot(*(seen.points - 100).T) - 60).max() < 1
    assert len(seen.points) == pytest.approx((whole.points[:, 0] < 117).sum(), abs=3)
    assert away_from(whole, None) is whole


def test_what_an_object_hides_is_no_hole_of_the_mask():
    y, x = np.mgrid[:200, :200] + 0.5
    disc, object_seen = np.hypot(x - 100, y - 100) < 60, x > 100
    mask = disc & ~object_seen
    assert mask_coverage(mask, disc) == pytest.approx(0.5, abs=0.01)
    assert mask_coverage(mask, disc, object_seen) == 1
    assert mask_coverage(mask & (y > 100), disc, object_seen) == pytest.approx(0.5, abs=0.01)
