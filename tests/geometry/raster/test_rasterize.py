from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import (
    Surfaces,
    interpolate,
    rasterize,
    rasterize_rays,
)
from nerfstudio_hands.geometry.raster import nvdiffrast_backend
from nerfstudio_hands.geometry.subdivision import loop_subdivision
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.transforms.projection import pixel_rays


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


@pytest.fixture(scope="module")
def fine_hand() -> tuple[Tensor, Tensor]:
    """Vertices, about the origin, and faces of the default hand with four faces for one, closed at the wrist."""
    hand = default_hand("right")
    closed = torch.cat([hand.faces, closing_faces(hand.faces)])
    faces, matrix = loop_subdivision(closed, len(hand.template), 1)
    vertices = torch.from_numpy(matrix @ hand.template.double().numpy()).float()
    return vertices - vertices.mean(0), faces


@pytest.mark.parametrize("backend", ["scan", "cast"])
def test_faces_and_depths_are_those_of_embree(fine_hand: tuple[Tensor, Tensor], backend: str) -> None:
    vertices, faces = fine_hand
    intrinsics, matrix = camera()
    scale = torch.tensor([[2.0], [2.0], [1.0]])
    raster = rasterize(Surfaces(faces, vertices[None]), intrinsics * scale, matrix, 320, 240, backend=backend)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices.numpy()), o3d.core.Tensor(faces.numpy().astype(np.uint32)))
    y, x = torch.meshgrid(torch.arange(240) + 0.5, torch.arange(320) + 0.5, indexing="ij")
    in_camera = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(intrinsics * scale).T
    origin = (-matrix[:3, :3].T @ matrix[:3, 3]).expand(240, 320, 3)
    found = scene.cast_rays(o3d.core.Tensor(torch.cat([origin, in_camera @ matrix[:3, :3]], -1).numpy()))
    depth = torch.from_numpy(found["t_hit"].numpy())
    face = torch.from_numpy(found["primitive_ids"].numpy().astype(np.int64))
    face = torch.where(depth.isinf(), -1, face)
    assert (face >= 0).sum() > 15_000
    # Rays within rounding of an edge may go to either face.
    assert (raster.face != face).sum() < 5
    same = (raster.face == face) & (face >= 0)
    # Embree's single precision, with the instructions that a processor has.
    assert (raster.z_depth - depth)[same].abs().max() < 1e-5
    assert raster.barycentric.min() > -1e-4


@pytest.mark.parametrize("backend", ["scan", "cast"])
def test_rays_of_a_crop_see_what_the_image_sees(fine_hand: tuple[Tensor, Tensor], backend: str) -> None:
    vertices, faces = fine_hand
    surfaces = Surfaces(faces, vertices[None])
    intrinsics, matrix = camera()
    whole = rasterize(surfaces, intrinsics, matrix, 160, 120, backend=backend)
    origins, directions = pixel_rays(intrinsics, matrix, 160, 120)
    for crop in ((slice(30, 71), slice(50, 110)), (slice(40, 41), slice(0, 160)), (slice(0, 120), slice(75, 77))):
        part = rasterize_rays(surfaces, origins[crop], directions[crop], backend=backend)
        assert (part.face >= 0).any()
        assert (part.face != whole.face[crop]).sum() <= 1
        same = (part.face == whole.face[crop]) & (part.face >= 0)
        assert (part.ray_depth - whole.ray_depth[crop])[same].abs().max() < 2e-6


def test_faces_that_cross_the_plane_of_the_camera() -> None:
    # A floor that begins behind the camera: half of the picture.
    vertices = torch.tensor([[-9.0, 0.1, -1.0], [9.0, 0.1, -1.0], [9.0, 0.1, 90.0], [-9.0, 0.1, 90.0]])
    surfaces = Surfaces(torch.tensor([[0, 1, 2], [0, 2, 3]]), vertices[None])
    raster = rasterize(surfaces, torch.tensor([[50.0, 0, 20], [0, 50.0, 15], [0, 0, 1]]), torch.eye(4), 40, 30)
    assert (raster.face[:15] == -1).all()
    assert (raster.face[16:] >= 0).all()
    assert torch.allclose(raster.z_depth[-1], torch.tensor(0.1 * 50 / 14.5), rtol=1e-4)


def test_bent_rays_are_refused(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    origins, directions = pixel_rays(*camera(), 160, 120)
    center = directions[60, 80]
    bent = directions + 0.5 * (directions - center).square().sum(-1, keepdim=True) * (directions - center)
    with pytest.raises(ValueError, match="expected a perspective one, .*found one of bent rays"):
        rasterize_rays(Surfaces(faces, vertices[None]), origins, bent)


def test_interpolated_positions_lie_on_the_rays(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    vertices = vertices - vertices.mean(0)
    intrinsics, matrix = camera()
    surfaces = Surfaces(faces, vertices[None])
    origins, directions = pixel_rays(intrinsics, matrix, 160, 120)
    raster = rasterize_rays(surfaces, origins, directions)
    hit = raster.face >= 0
    seen = interpolate(vertices, raster, faces)
    expected = origins + raster.z_depth.where(hit, 0)[..., None] * directions
    assert (seen - expected)[hit].abs().max() < 2e-6
    assert (seen[~hit] == 0).all()
    # Faces beyond those of the values count as missed.
    few = interpolate(vertices, raster, faces[:400])
    assert torch.equal(few, torch.where((raster.face < 400)[..., None], seen, 0))


def test_gradients_of_interpolation(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    vertices = (vertices - vertices.mean(0)).double()
    intrinsics, matrix = (tensor.double() for tensor in camera())
    generator = torch.Generator().manual_seed(0)
    values, motion = (torch.randn(len(vertices), 3, generator=generator, dtype=torch.float64) for _ in range(2))
    step = 1e-7

    def seen(moved: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        raster = rasterize(Surfaces(faces, moved[None]), intrinsics, matrix, 80, 60)
        return raster.face, interpolate(colours, raster, faces)

    leaves = vertices.clone().requires_grad_(), values.clone().requires_grad_()
    face, colours = seen(*leaves)
    (face_before, before), (face_after, after) = (seen(vertices + s * motion, values) for s in (-step, step))
    same = (face >= 0) & (face_before == face) & (face_after == face)
    gradient, by_values = torch.autograd.grad(colours[same].square().sum(), leaves)
    expected = (after[same].square().sum() - before[same].square().sum()) / (2 * step)
    assert torch.isclose((gradient * motion).sum(), expected, rtol=1e-5)
    # Quadratic in the values.
    assert torch.isclose((by_values * values).sum(), 2 * colours[same].square().sum())


def test_without_nvdiffrast_or_cuda_the_backend_says_so(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    with pytest.raises(HandsError, match="expected tensors on a CUDA device, found cpu"):
        rasterize(Surfaces(faces, vertices[None] - vertices.mean(0)), *camera(), 16, 12, backend="nvdiffrast")


def test_images_that_are_too_large_for_nvdiffrast_are_refused(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    surfaces = Surfaces(faces, vertices[None] - vertices.mean(0))
    with pytest.raises(HandsError, match="expected at most 2048 pixels along a side, found 2049x4; draw a smaller"):
        rasterize(surfaces, *camera(), 2049, 4, backend="nvdiffrast")


@pytest.mark.parametrize("size", [(80, 56), (77, 59)])
def test_nvdiffrast_gets_opengl_clip_space(
    size: tuple[int, int], bumpy: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OpenGL:
        """Brute force over faces, by the conventions that nvdiffrast documents: the first row is that of lowest y."""

        @staticmethod
        def rasterize(_: None, clip: Tensor, faces: Tensor, resolution: tuple[int, int], grad_db: bool) -> tuple:
            height, width = resolution
            assert height % 8 == width % 8 == 0
            points = (clip[0, :, :3] / clip[0, :, 3:]).double()
            assert (points[:, 2].abs() <= 1).all()
            y = (torch.arange(height).double() + 0.5) / height * 2 - 1
            x = (torch.arange(width).double() + 0.5) / width * 2 - 1
            here = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
            nearest, drawn = torch.full((height, width), 1.0).double(), torch.zeros(height, width)
            for index, corners in enumerate(points[faces.long()]):
                sides = torch.stack([corners[1, :2] - corners[0, :2], corners[2, :2] - corners[0, :2]], 1)
                v, w = ((here - corners[0, :2]) @ torch.linalg.inv(sides).T).unbind(-1)
                depth = corners[0, 2] + v * (corners[1, 2] - corners[0, 2]) + w * (corners[2, 2] - corners[0, 2])
                closer = (v >= 0) & (w >= 0) & (v + w <= 1) & (depth < nearest)
                nearest[closer], drawn[closer] = depth[closer], float(index + 1)
            return torch.cat([torch.zeros(height, width, 3), drawn[..., None]], -1)[None], None

    monkeypatch.setattr(nvdiffrast_backend, "_context", lambda device: (OpenGL, None))
    vertices, faces = bumpy
    surfaces = Surfaces(faces, vertices[None] - vertices.mean(0))
    asked, own = (rasterize(surfaces, *camera(), *size, backend=backend) for backend in ("nvdiffrast", "scan"))
    assert (own.face >= 0).sum() > 500
    assert (asked.face != own.face).sum() <= 2
    same = asked.face == own.face
    assert (asked.barycentric - own.barycentric)[same].abs().max() < 1e-3
