"""Pinhole projection against the definition, one point at a time."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.transforms.projection import corrected_extrinsics, ndc_projection, pixel_rays, project

INTRINSICS = np.array([[500.0, 2.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]])


def extrinsics(seed: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = 0.1, -0.2, 2.0
    return matrix


def test_points_fall_where_the_matrices_put_them() -> None:
    points = np.random.default_rng(0).normal(size=(7, 3)) * 0.3
    matrix = extrinsics(1)
    pixels, depth = project(points, INTRINSICS, matrix)
    for point, pixel, z in zip(points, pixels, depth, strict=True):
        x, y, w = INTRINSICS @ (matrix @ [*point, 1.0])[:3]
        np.testing.assert_allclose(pixel, [x / w, y / w])
        np.testing.assert_allclose(z, w)


def test_tensors_of_several_cameras_give_what_arrays_of_each_give() -> None:
    points = np.random.default_rng(0).normal(size=(4, 7, 3)) * 0.3
    cameras = np.stack([extrinsics(1), extrinsics(2)])
    pixels, depth = project(
        torch.from_numpy(points)[:, None],
        torch.from_numpy(INTRINSICS),
        torch.from_numpy(cameras)[:, None],
    )
    assert pixels.shape == (4, 2, 7, 2)
    for k, camera in enumerate(cameras):
        expected = project(points, INTRINSICS, camera)
        np.testing.assert_allclose(pixels[:, k].numpy(), expected[0])
        np.testing.assert_allclose(depth[:, k].numpy(), expected[1])


def test_a_point_behind_the_camera_has_a_finite_pixel_and_a_negative_depth() -> None:
    pixels, depth = project(np.array([[0.0, 0.0, -5.0]]), INTRINSICS, np.eye(4))
    assert np.isfinite(pixels).all() and depth[0] == -5


def test_rays_of_pixels_come_back_to_their_centers() -> None:
    intrinsics, matrix = torch.from_numpy(INTRINSICS), torch.from_numpy(extrinsics(3))
    origins, directions = pixel_rays(intrinsics, matrix, 4, 3)
    pixels, depth = project(origins + 0.7 * directions, intrinsics, matrix)
    column, row = torch.meshgrid(torch.arange(4) + 0.5, torch.arange(3) + 0.5, indexing="xy")
    torch.testing.assert_close(pixels, torch.stack([column, row], dim=-1).double())
    torch.testing.assert_close(depth, torch.full((3, 4), 0.7, dtype=torch.float64))


def test_corrected_cameras_keep_their_center() -> None:
    matrix = torch.from_numpy(extrinsics(4))[None]
    turned = corrected_extrinsics(matrix, torch.tensor([[0.1, -0.2, 0.05]], dtype=torch.float64))
    center = -matrix[0, :3, :3].T @ matrix[0, :3, 3]
    torch.testing.assert_close((turned[0] @ torch.cat([center, center.new_ones(1)]))[:3], torch.zeros(3).double())
    torch.testing.assert_close(
        turned[0, :3, :3] @ matrix[0, :3, :3].T,
        torch.from_numpy(Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()),
    )


def test_normalized_device_coordinates_say_where_pixels_are() -> None:
    """Against PyTorch3D's definition: +x left, +y up, one at the border that the shorter side reaches."""
    points = np.random.default_rng(3).normal(size=(9, 3)) * 0.2 + [0.0, 0.0, 1.0]
    for width, height in ((640, 480), (480, 640)):
        x, y = project(points, INTRINSICS, np.eye(4))[0].T
        half = min(width, height) / 2
        seen = np.concatenate([points * [-1, -1, 1], np.ones((9, 1))], 1) @ ndc_projection(INTRINSICS, width, height).T
        expected = np.stack([(width / 2 - x) / half, (height / 2 - y) / half, 1 / points[:, 2]], 1)
        np.testing.assert_allclose(seen[:, :3] / seen[:, 3:], expected, rtol=1e-12)
