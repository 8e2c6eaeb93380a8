from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces, antialias, interpolate, rasterize, rasterize_rays
from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.transforms.projection import pixel_rays

WIDTH, HEIGHT = 72, 64
INTRINSICS = torch.tensor([[170.0, 0, 36.3], [0, 170.0, 31.7], [0, 0, 1]], dtype=torch.float64)
FINER = 12
"""Samples a pixel, each way, of the coverage that the antialiased mask is compared with."""


def ball(subdivisions: int, bumps: float = 0.0) -> tuple[Tensor, Tensor]:
    """Vertices in metres and faces of a ball of 5 cm."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    unit = torch.tensor(mesh.vertices)
    return 0.05 * unit * (1 + bumps * torch.sin(9 * unit).sum(-1, keepdim=True)), torch.tensor(mesh.faces.copy())


def slab() -> tuple[Tensor, Tensor]:
    """A box of few, large faces, turned."""
    mesh = trimesh.creation.box((0.06, 0.05, 0.04), trimesh.transformations.euler_matrix(0.3, 0.5, 0.2))
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces.copy())


MESHES = {
    "coarse": lambda: ball(2),
    "subpixel": lambda: ball(6),
    "subpixel_bumpy": lambda: ball(5, 0.15),
    "box": slab,
}


def cameras(count: int) -> list[Tensor]:
    """World to camera, 35 cm away, moved by parts of pixels so that figures are no accident of one grid."""
    generator = torch.Generator().manual_seed(5)
    result = []
    for offset in torch.rand(count, 3, generator=generator).double() - 0.5:
        matrix = torch.tensor(trimesh.transformations.euler_matrix(0.4, -0.7, 0.2))
        matrix[:3, 3] = torch.tensor([0.003, -0.002, 0.35]) + 0.004 * offset
        result.append(matrix)
    return result


def mask(surfaces: Surfaces, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Antialiased and plain mask."""
    vertices = surfaces.vertices
    origins, directions = pixel_rays(INTRINSICS.to(vertices), matrix.to(vertices), WIDTH, HEIGHT)
    raster = rasterize_rays(surfaces, origins, directions)
    plain = (raster.face >= 0).to(vertices)[..., None]
    return antialias(plain, raster, surfaces, origins, directions)[..., 0], plain[..., 0]


def pixel_means(picture: Tensor) -> Tensor:
    return picture.view(HEIGHT, FINER, WIDTH, FINER, *picture.shape[2:]).mean((1, 3))


def finely(vertices: Tensor, faces: Tensor, matrix: Tensor, values: Tensor | None = None) -> Tensor:
    """Coverage of the pixels, or means of `values` over them, by many samples."""
    scaling = torch.diag(torch.tensor([FINER, FINER, 1.0], dtype=torch.float64))
    surfaces = Surfaces(faces, vertices.detach().float()[None])
    raster = rasterize(surfaces, (scaling @ INTRINSICS).float(), matrix.float(), WIDTH * FINER, HEIGHT * FINER)
    if values is None:
        return pixel_means((raster.face >= 0).double())
    return pixel_means(interpolate(values.float(), raster, faces).double())


def change(loss: Callable[[Tensor], Tensor], vertices: Tensor, motion: Tensor, step: float = 2e-4) -> Tensor:
    """Central difference; a step of 0.2 mm is 0.1 pixels."""
    return (loss(vertices + step * motion) - loss(vertices - step * motion)) / (2 * step)


def gradient_and_differences(
    vertices: Tensor, faces: Tensor, matrices: list[Tensor], motions: list[Tensor], step: float = 2e-4
) -> tuple[Tensor, Tensor]:
    """Derivative of a silhouette loss along each motion in each camera, ours and by differences of the coverage."""
    found, expected = [], []
    for matrix in matrices:
        target = 0.8 * finely(vertices, faces, matrix).roll((2, 3), (0, 1))

        def loss(moved: Tensor, matrix: Tensor = matrix, target: Tensor = target) -> Tensor:
            return (finely(moved, faces, matrix) - target).square().sum()

        leaf = vertices.clone().requires_grad_()
        blended, _ = mask(Surfaces(faces, leaf[None]), matrix)
        (gradient,) = torch.autograd.grad((blended - target).square().sum(), leaf)
        found += [(gradient * motion).sum() for motion in motions]
        expected += [change(loss, vertices, motion, step) for motion in motions]
    return torch.stack(found), torch.stack(expected)


@pytest.mark.parametrize("name", MESHES)
def test_mask_is_near_the_coverage(name: str) -> None:
    vertices, faces = MESHES[name]()
    errors, plain_errors = [], []
    for matrix in cameras(3):
        coverage = finely(vertices, faces, matrix)
        blended, plain = mask(Surfaces(faces, vertices[None]), matrix)
        assert 0 <= blended.min() <= blended.max() <= 1
        beside = ((coverage > 0) & (coverage < 1)) | (blended != plain)
        errors.append((blended - coverage)[beside])
        plain_errors.append((plain - coverage)[beside])
    error, plain_error = torch.cat(errors), torch.cat(plain_errors)
    assert plain_error.square().mean().sqrt() > 0.2
    assert error.square().mean().sqrt() < 0.05
    assert error.mean().abs() < 0.005


@pytest.mark.parametrize("name", MESHES)
def test_silhouette_gradient_against_differences_of_the_coverage(name: str) -> None:
    vertices, faces = MESHES[name]()
    matrices = cameras(3)
    outward = torch.nn.functional.normalize(vertices, dim=1)
    motions = [
        matrices[0][0, :3].expand_as(vertices),
        matrices[0][1, :3].expand_as(vertices),
        vertices / 0.05,
        outward * torch.sin(80 * vertices + 1).sum(1, keepdim=True),
    ]
    found, expected = gradient_and_differences(vertices, faces, matrices, motions)
    # Each outline is sampled at some 200 places only, so single values scatter by a tenth around the truth.
    assert (found - expected).norm() < 0.15 * expected.norm()
    assert 0.93 < (found * expected).sum() / expected.square().sum() < 1.07


def test_gradients_of_single_vertices() -> None:
    vertices, faces = ball(1)
    matrices = cameras(2)
    motions = []
    for vertex in range(0, len(vertices), 3):
        motions.append(torch.zeros_like(vertices))
        motions[-1][vertex] = matrices[0][0, :3]
    found, expected = gradient_and_differences(vertices, faces, matrices, motions, 5e-4)
    assert (expected != 0).float().mean() > 0.2
    # A vertex has some 20 pixels of outline beside it; a single derivative may be wrong by half.
    assert (found - expected).norm() < 0.25 * expected.norm()


def test_edges_found_between_subpixel_faces_are_on_the_outline() -> None:
    vertices, faces = ball(6)
    matrix = cameras(1)[0]
    surfaces = Surfaces(faces, vertices[None])
    origins, directions = pixel_rays(INTRINSICS, matrix, WIDTH, HEIGHT)
    face = rasterize_rays(surfaces, origins, directions).face
    pairs = (face[:, :-1] >= 0) & (face[:, 1:] < 0)
    count = int(pairs.sum())
    assert count > 40
    edges = surfaces.cross_silhouette(
        origins[:, :-1][pairs],
        directions[:, :-1][pairs],
        directions[:, 1:][pairs],
        face[:, :-1][pairs],
        torch.ones(count, dtype=torch.bool),
    )
    assert (edges >= 0).all()
    # One of the two faces at such an edge is turned to the camera and the other away from it.
    corners = vertices[faces]
    facing = (
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        * (corners[:, 0] - origins[0, 0])
    ).sum(-1) < 0
    for u, v in edges.tolist():
        around = ((faces == u).any(1) & (faces == v).any(1)).nonzero()[:, 0]
        assert facing[around].sum() == 1


def test_ball_finds_its_way_home() -> None:
    vertices, faces = ball(3)
    matrix = cameras(1)[0]
    target = finely(vertices, faces, matrix)
    surfaces = Surfaces(faces, vertices[None])
    offset = torch.tensor([0.012, -0.009, 0.03], dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.Adam([offset], lr=3e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.94)
    for _ in range(80):
        optimiser.zero_grad()
        surfaces.update((vertices + offset @ matrix[:3, :3])[None])
        (mask(surfaces, matrix)[0] - target).square().mean().backward()
        optimiser.step()
        schedule.step()
    # A pixel is 2 mm wide; depth is told by the size alone.
    assert offset[:2].abs().max() < 2e-4
    assert offset[2].abs() < 1e-3


def square(z: float, half: float) -> Tensor:
    return torch.tensor([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]], dtype=torch.float64)


def test_occlusion_of_a_far_square_by_a_near_one() -> None:
    turn = torch.tensor(trimesh.transformations.euler_matrix(0, 0, 0.3)[:3, :3])
    vertices = torch.cat([square(0.0, 0.02) @ turn, square(0.1, 0.07)])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 6, 5], [4, 7, 6]])
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor([0.0013, 0.0007, 0.35])
    colours = torch.tensor([[0.9, 0.1]] * 4 + [[0.2, 0.6]] * 4, dtype=torch.float64)
    near = torch.zeros(8, 1, dtype=torch.float64)
    near[:4] = 1
    means = finely(vertices, faces, matrix, colours)
    target = means.roll((3, 1), (0, 1))

    def picture(moved: Tensor) -> Tensor:
        surfaces = Surfaces(faces, moved[None])
        origins, directions = pixel_rays(INTRINSICS, matrix, WIDTH, HEIGHT)
        raster = rasterize_rays(surfaces, origins, directions)
        return antialias(interpolate(colours, raster, faces), raster, surfaces, origins, directions)

    assert (picture(vertices) - means).square().mean().sqrt() < 0.004
    leaf = vertices.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((picture(leaf) - target).square().sum(), leaf)
    found, expected = [], []
    for motion in (torch.eye(3)[0].double() * near, torch.eye(3)[1].double() * near, vertices * near / 0.02):
        found.append((gradient * motion).sum())
        expected.append(
            change(lambda moved: (finely(moved, faces, matrix, colours) - target).square().sum(), vertices, motion)
        )
    found, expected = torch.stack(found), torch.stack(expected)
    assert (found - expected).norm() < 0.1 * expected.norm()


def test_colours_of_both_sides_get_gradients() -> None:
    vertices, faces = ball(4)
    matrix = cameras(1)[0]
    surfaces = Surfaces(faces, vertices[None])
    origins, directions = pixel_rays(INTRINSICS, matrix, WIDTH, HEIGHT)
    raster = rasterize_rays(surfaces, origins, directions)
    picture = torch.rand(HEIGHT, WIDTH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(HEIGHT, WIDTH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def blend(colours: Tensor) -> Tensor:
        return (weights * antialias(colours, raster, surfaces, origins, directions)).sum()

    (gradient,) = torch.autograd.grad(blend(picture.requires_grad_()), picture)
    # Linear in the colours, constant where they are constant.
    assert torch.isclose(blend(picture.detach()), (gradient * picture).sum())
    assert not torch.equal(gradient, weights)
    assert torch.isclose(gradient.sum(), weights.sum())


def test_what_covers_one_pixel_centre_stays_between_the_colours() -> None:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[2, 3] = 0.35
    pixel = 0.35 / 170
    center = torch.tensor([0.2 + 2, 0.8 + 1, 0]) * pixel
    shape = torch.tensor([[-0.35, -0.3, 0], [0.35, -0.3, 0], [0.0, 0.4, 0]], dtype=torch.float64)
    vertices = (center + pixel * shape).requires_grad_()
    blended, plain = mask(Surfaces(torch.tensor([[0, 1, 2]]), vertices[None]), matrix)
    assert plain.sum() == 1
    assert 0 <= blended.min() <= blended.max() < 0.5
    (gradient,) = torch.autograd.grad(blended.sum(), vertices)
    assert gradient.isfinite().all()


def test_float32_with_closing_faces() -> None:
    vertices, faces = ball(5, 0.15)
    order = vertices[faces].mean(1)[:, 0].argsort()
    open_faces = faces[order[200:]]
    leaf = vertices.float().requires_grad_()
    surfaces = Surfaces(open_faces, leaf[None], closing_faces=closing_faces(open_faces))
    origins, directions = pixel_rays(INTRINSICS.float(), cameras(1)[0].float(), WIDTH, HEIGHT)
    raster = rasterize_rays(surfaces, origins, directions)
    plain = (raster.face >= 0).float()[..., None]
    blended = antialias(plain, raster, surfaces, origins, directions)
    assert blended.dtype == torch.float32
    (gradient,) = torch.autograd.grad((blended * torch.linspace(0, 1, WIDTH)[None, :, None]).sum(), leaf)
    assert gradient.isfinite().all()
    closed, _ = mask(Surfaces(faces, vertices[None]), cameras(1)[0])
    assert (blended[..., 0] - closed).abs().mean() < 0.01
