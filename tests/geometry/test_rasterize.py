from __future__ import annotations

import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces, rasterize


def camera() -> tuple[Tensor, Tensor]:
    """Intrinsics, and a camera 50 cm from the origin that looks at it from a skew direction."""
    intrinsics = torch.tensor([[420.0, 0, 77.5], [0, 400.0, 61.0], [0, 0, 1]])
    matrix = torch.tensor(trimesh.transformations.euler_matrix(0.4, -0.7, 0.2), dtype=torch.float32)
    matrix[:3, 3] = torch.tensor([0.01, -0.02, 0.5])
    return intrinsics, matrix


def project(points: Tensor, intrinsics: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    in_camera = points @ matrix[:3, :3].T + matrix[:3, 3]
    pixels = in_camera @ intrinsics.T
    return pixels[..., :2] / pixels[..., 2:], in_camera


def test_hit_points_project_to_pixel_centres(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    vertices = vertices - vertices.mean(0)
    intrinsics, matrix = camera()
    raster = rasterize(Surfaces(faces, vertices[None]), intrinsics, matrix, 160, 120)
    hit = raster.face >= 0
    assert 0.1 < hit.float().mean() < 0.9
    points = (vertices[faces[raster.face[hit]]] * raster.barycentric[hit][..., None]).sum(1)
    pixels, in_camera = project(points, intrinsics, matrix)
    rows, columns = torch.nonzero(hit, as_tuple=True)
    assert (pixels - torch.stack([columns, rows], 1) - 0.5).abs().max() < 1e-3
    assert (in_camera[:, 2] - raster.z_depth[hit]).abs().max() < 1e-6
    assert (in_camera.norm(dim=-1) - raster.ray_depth[hit]).abs().max() < 1e-6
    assert raster.z_depth[~hit].isinf().all()
    assert raster.ray_depth[~hit].isinf().all()


def test_silhouette_of_a_sphere() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)[None]
    intrinsics, matrix = camera()
    raster = rasterize(Surfaces(torch.tensor(ball.faces.copy()), vertices), intrinsics, matrix, 160, 120)
    y, x = torch.meshgrid(torch.arange(120) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(intrinsics).T
    rays = torch.nn.functional.normalize(rays, dim=-1)
    distance = torch.linalg.cross(rays, matrix[:3, 3].expand_as(rays)).norm(dim=-1)
    clear = (distance < 0.0495) | (distance > 0.0501)
    assert torch.equal((raster.face >= 0)[clear], (distance < 0.05)[clear])


def test_depth_gradient_against_finite_difference(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    vertices = (vertices - vertices.mean(0)).double().requires_grad_()
    intrinsics, matrix = camera()
    motion = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = 1e-7

    def depths(moved: Tensor) -> tuple[Tensor, Tensor]:
        raster = rasterize(Surfaces(faces, moved[None]), intrinsics.double(), matrix.double(), 80, 60)
        return raster.face, raster.z_depth

    face, z_depth = depths(vertices)
    face_before, before = depths((vertices - step * motion).detach())
    face_after, after = depths((vertices + step * motion).detach())
    same = (face >= 0) & (face_before == face) & (face_after == face)
    assert same.sum() > 500
    expected = ((after - before)[same] / (2 * step)).sum()
    (gradient,) = torch.autograd.grad(z_depth[same].sum(), vertices)
    assert torch.isclose((gradient * motion).sum(), expected, rtol=1e-5)


def test_only_the_asked_surface_and_a_view_beside_it(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    vertices = vertices - vertices.mean(0)
    intrinsics, matrix = camera()
    surfaces = Surfaces(faces, torch.stack([vertices + 5.0, vertices]))
    alone = rasterize(Surfaces(faces, vertices[None]), intrinsics, matrix, 160, 120)
    assert torch.equal(rasterize(surfaces, intrinsics, matrix, 160, 120, surface=1).face, alone.face)
    assert (rasterize(surfaces, intrinsics, matrix, 160, 120, surface=0).face == -1).all()


def test_camera_inside_the_surface_sees_it_everywhere() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    surfaces = Surfaces(torch.tensor(ball.faces.copy()), torch.tensor(ball.vertices, dtype=torch.float32)[None])
    intrinsics, _ = camera()
    raster = rasterize(surfaces, intrinsics, torch.eye(4), 160, 120)
    assert (raster.face >= 0).all()
    assert 0.45 < raster.ray_depth.min() <= raster.ray_depth.max() < 0.501
