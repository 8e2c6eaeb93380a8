"""The Laplacian against a naive loop, and its derivative."""

import torch
from torch import Tensor

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.mesh import cotangent_laplacian


def test_uniform_against_a_loop(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    neighbors: list[set[int]] = [set() for _ in vertices]
    for a, b, c in faces.tolist():
        neighbors[a] |= {b, c}
        neighbors[b] |= {a, c}
        neighbors[c] |= {a, b}
    expected = torch.stack([(vertices[i] - vertices[list(ring)]).sum(0) for i, ring in enumerate(neighbors)])
    laplacian = Laplacian.uniform(faces, len(vertices))
    # Sums of some six coordinates of about one, in any order, are a few roundings of 1.2e-7 apart.
    torch.testing.assert_close(laplacian.times(vertices), expected, rtol=0, atol=5e-6)
    assert laplacian.diagonal.tolist() == [len(ring) for ring in neighbors]


def test_cotangent_energy_is_that_of_dirichlet(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy[0].double(), bumpy[1]
    values = torch.randn(len(vertices), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # The integral over the surface of the squared gradient of the piecewise linear function.
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    double_area = normal.norm(dim=-1, keepdim=True)
    opposite = torch.stack([c - b, a - c, b - a], dim=1)
    slope = (values[faces] * torch.linalg.cross((normal / double_area)[:, None], opposite)).sum(1) / double_area
    expected = (slope.square().sum(-1) * double_area[:, 0] / 2).sum()
    laplacian = Laplacian(-cotangent_laplacian(vertices, faces))
    torch.testing.assert_close((values * laplacian.times(values)).sum(), expected)


def test_product_has_first_and_second_derivatives() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2]])
    laplacian = Laplacian(-cotangent_laplacian(vertices, faces))
    assert torch.autograd.gradcheck(lambda v: laplacian.times(v) ** 2, (vertices,))
    assert torch.autograd.gradgradcheck(lambda v: laplacian.times(v) ** 2, (vertices,))
