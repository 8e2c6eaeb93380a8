from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.topology import closing_faces


def query_points(vertices: Tensor, faces: Tensor, count: int) -> Tensor:
    """Points on and near vertices, edges and faces, in the box and metres away, `count` in all."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    corners = vertices[faces[torch.randint(len(faces), (count // 10,), generator=generator)]]
    weights = rand(count // 10, 3)
    on_face = (corners * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1)
    on_edge = corners[:, 0] + rand(count // 10, 1) * (corners[:, 1] - corners[:, 0])
    on_vertex = corners[:, 2]
    near = [place + 0.006 * (rand(*place.shape) - 0.5) for place in (on_face, on_face, on_edge, on_vertex)]
    low, high = vertices.amin(0), vertices.amax(0)
    box = low + (high - low) * (1.2 * rand(count // 5, 3) - 0.1)
    far = 4 * rand(count // 10, 3) - 2
    return torch.cat([on_face, on_edge, on_vertex, *near, box, far])


def test_closest_is_exact_against_float64_brute_force(bumpy, brute_force) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 20_000)
    assert len(points) == 20_000
    distance, winding = brute_force(points, vertices, faces)
    result = Surfaces(faces, vertices[None]).closest(points)
    # Coordinates of 1 to 2 m have float32 roundings of 6e-8 to 1.2e-7 m, and so has a distance of that length; how many
    # of them add up depends on whether a processor multiplies and adds at once.
    error = (result.signed_distance.abs() - distance).abs()
    assert (error - 1.2e-7 * distance).max() < 5e-7
    assert error[distance < 0.01].max() < 5e-7
    clear = distance > 1e-6
    inside = winding > 0.5
    assert 0.1 < inside[clear].float().mean() < 0.9
    assert torch.equal((result.signed_distance < 0)[clear], inside[clear])
    corners = vertices.double()[faces[result.face]]
    assert result.barycentric.min() >= -1e-6
    rebuilt = (result.barycentric[..., None] * corners).sum(1)
    assert (rebuilt - result.point).norm(dim=-1).max() < 1e-6
    assert ((points - result.point).double().norm(dim=-1) - distance).abs().max() < 1e-6


def test_float64_points_are_recomputed_in_float64(bumpy, brute_force) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 2000).double()
    distance, _ = brute_force(points, vertices, faces)
    result = Surfaces(faces, vertices.double()[None]).closest(points)
    assert result.signed_distance.dtype == torch.float64
    # Where two faces are equally near to float32, either may be taken; nearly everywhere the face is the nearest one.
    error = (result.signed_distance.abs() - distance).abs()
    assert error.max() < 4e-7
    assert (error < 1e-12).float().mean() > 0.9


def test_recomputed_values_agree_with_the_kernel(bumpy) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 5000)
    surfaces = Surfaces(faces, vertices[None])
    plain = surfaces.closest(points)
    graph = surfaces.closest(points.clone().requires_grad_())
    assert torch.equal(plain.face, graph.face)
    assert (plain.point - graph.point).norm(dim=-1).max() < 5e-7
    # On the surface itself the sign is arbitrary.
    assert (plain.signed_distance - graph.signed_distance).abs().max() < 2e-6


def test_several_surfaces_and_refit(bumpy, brute_force) -> None:
    vertices, faces = bumpy
    moved = torch.stack([vertices, vertices * 1.1, vertices + torch.tensor([0.1, 0.0, 0.0])])
    points = query_points(vertices, faces, 3000)
    surface = torch.arange(3000) % 3
    surfaces = Surfaces(faces, vertices.expand(3, -1, -1))
    surfaces.update(moved)
    result = surfaces.closest(points, surface)
    for index in range(3):
        mine = surface == index
        distance, winding = brute_force(points[mine], moved[index], faces)
        signed = result.signed_distance[mine]
        assert ((signed.abs() - distance).abs() - 1.2e-7 * distance).max() < 2e-7
        clear = distance > 1e-6
        assert torch.equal((signed < 0)[clear], (winding > 0.5)[clear])


def test_refit_and_rebuild_give_the_same_answers(bumpy) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 3000)
    surfaces = Surfaces(faces, vertices[None])
    before = surfaces.closest(points)
    kept = surfaces._structure._meshes[0]
    turned = vertices[:, [1, 2, 0]]
    surfaces.update(vertices[None] * 1.01)
    surfaces.closest(points)
    assert surfaces._structure._meshes[0] is kept
    surfaces.update(turned[None])
    after = surfaces.closest(points[:, [1, 2, 0]])
    assert surfaces._structure._meshes[0] is not kept
    assert (after.signed_distance - before.signed_distance).abs().max() < 1e-6
    assert (after.point - before.point[:, [1, 2, 0]]).norm(dim=-1).quantile(0.99) < 1e-6


def test_who_asks_nothing_waits_for_no_hierarchy(bumpy) -> None:
    vertices, faces = bumpy
    surfaces = Surfaces(faces, vertices[None])
    assert surfaces.arrays[0].shape == (1, len(vertices)) and surfaces._structure._meshes == [None]
    # Two threads that ask at the same time find the same, and one hierarchy is built.
    points = query_points(vertices, faces, 2000)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: surfaces.closest(points).signed_distance, range(2))
    assert torch.equal(first, second) and surfaces._structure._meshes != [None]


def test_update_rebuilds_for_another_number_of_surfaces(bumpy) -> None:
    vertices, faces = bumpy
    surfaces = Surfaces(faces, vertices[None])
    surfaces.update(torch.stack([vertices, vertices + 1.0]))
    assert surfaces.num_surfaces == 2
    points = vertices[:2] + torch.tensor([[0.0] * 3, [1.0] * 3])
    assert surfaces.closest(points, torch.tensor([0, 1])).signed_distance.abs().max() < 1e-6


def test_max_distance_limits_the_search(bumpy) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 4000)
    surfaces = Surfaces(faces, vertices[None])
    full, limited = surfaces.closest(points), surfaces.closest(points, max_distance=0.002)
    beyond = full.signed_distance.abs() > 0.002
    assert 0.1 < beyond.float().mean() < 0.9
    assert torch.equal(limited.face == -1, beyond)
    assert torch.equal(limited.signed_distance[~beyond], full.signed_distance[~beyond])
    assert limited.signed_distance[beyond].isinf().all()
    graph = surfaces.closest(points.clone().requires_grad_(), max_distance=0.002)
    assert graph.signed_distance[beyond].isinf().all()


def test_results_do_not_depend_on_the_number_of_threads(bumpy) -> None:
    vertices, faces = bumpy
    points = query_points(vertices, faces, 50_000)
    surfaces = Surfaces(faces, vertices[None])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = surfaces.closest(points)
        torch.set_num_threads(3)
        three = surfaces.closest(points)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.face, three.face)
    assert torch.equal(one.signed_distance, three.signed_distance)


def test_closing_faces_give_an_open_tube_an_inside() -> None:
    tube = trimesh.creation.cylinder(radius=0.03, height=0.2, sections=24)
    axis = torch.tensor(tube.vertices, dtype=torch.float32)
    faces = torch.tensor(tube.faces.copy())
    hub = axis[:, :2].norm(dim=-1) < 1e-6
    side = faces[~hub[faces].any(1)]
    lids = closing_faces(side)
    surfaces = Surfaces(side, axis[None], closing_faces=lids)
    result = surfaces.closest(torch.tensor([[0.0, 0.0, 0.099], [0.0, 0.0, 0.101], [0.0, 0.0, 0.0]]))
    assert torch.allclose(result.signed_distance[:2], torch.tensor([-0.001, 0.001]), atol=1e-6)
    assert result.signed_distance[2] == pytest.approx(-0.03 * math.cos(math.pi / 24), abs=1e-5)
    assert (result.face[:2] >= surfaces.num_own_faces).all()
    assert result.face[2] < surfaces.num_own_faces


def test_gradients_against_finite_differences() -> None:
    # A tetrahedron with queries in the regions of faces, edges and vertices, outside and inside, away from switches.
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]], dtype=torch.float64)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    points = torch.tensor(
        [[0.5, 0.6, 0.7], [0.7, -0.3, -0.4], [-0.3, -0.2, -0.4], [1.6, 0.1, -0.1], [0.2, 0.06, 0.3], [0.7, 0.7, -0.2]],
        dtype=torch.float64,
    )
    surfaces = Surfaces(faces, vertices)
    kinds = (surfaces.closest(points).barycentric == 0).sum(1)
    assert set(kinds.tolist()) == {0, 1, 2}

    def query(points: Tensor, vertices: Tensor) -> tuple[Tensor, ...]:
        surfaces.update(vertices)
        result = surfaces.closest(points)
        # On an edge or a vertex several faces are equally near, so that the weights may change their meaning.
        return result.signed_distance, result.point, result.barycentric[kinds == 0]

    inputs = (points.requires_grad_(), vertices.requires_grad_())
    assert torch.autograd.gradcheck(query, inputs, eps=1e-6, atol=1e-7)
    assert torch.autograd.gradgradcheck(query, inputs, eps=1e-6, atol=1e-6)


def test_gradient_is_finite_on_the_surface_and_beyond_reach(bumpy) -> None:
    vertices, faces = bumpy
    points = torch.cat([vertices[:10], vertices[:10] + 5.0]).requires_grad_()
    vertices = vertices[None].clone().requires_grad_()
    result = Surfaces(faces, vertices).closest(points, max_distance=1.0)
    near = result.face >= 0
    assert near.sum() == 10
    (result.signed_distance[near].sum() + result.point.sum()).backward()
    assert points.grad.isfinite().all()
    assert vertices.grad.isfinite().all()
    assert points.grad[10:].abs().max() == 0


def test_cast_against_an_analytic_sphere() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.1)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    surfaces = Surfaces(torch.tensor(ball.faces.copy()), vertices[None])
    generator = torch.Generator().manual_seed(0)
    targets = 0.3 * (torch.rand(2000, 3, generator=generator) - 0.5)
    origins = torch.tensor([0.0, 0.1, -0.6]).expand(2000, 3)
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    hits = surfaces.cast(origins, directions)
    along = -(origins * directions).sum(-1)
    miss_distance = (origins + along[:, None] * directions).norm(dim=-1)
    certain = (miss_distance < 0.095) | (miss_distance > 0.1001)
    assert torch.equal((hits.face >= 0)[certain], (miss_distance < 0.1)[certain])
    hit = miss_distance < 0.095
    expected = along[hit] - (0.1**2 - miss_distance[hit] ** 2).sqrt()
    assert (hits.depth[hit] - expected).abs().max() < 3e-4
    assert hits.depth[miss_distance > 0.1001].isinf().all()
    corners = vertices[surfaces.faces[hits.face[hit]]]
    point = (hits.barycentric[hit][..., None] * corners).sum(1)
    assert (point - origins[hit] - hits.depth[hit, None] * directions[hit]).norm(dim=-1).max() < 1e-6
    assert (surfaces.cast(origins, directions, max_distance=0.3).face == -1).all()


def test_cast_gradients_against_finite_differences() -> None:
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0.2]]], dtype=torch.float64, requires_grad=True)
    origins = torch.tensor([[0.2, 0.3, -1.0], [0.1, 0.1, 2.0]], dtype=torch.float64, requires_grad=True)
    directions = torch.tensor([[0.1, 0.0, 1.0], [0.1, 0.1, -1.0]], dtype=torch.float64, requires_grad=True)
    surfaces = Surfaces(torch.tensor([[0, 1, 2]]), vertices)

    def query(origins: Tensor, directions: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
        surfaces.update(vertices)
        hits = surfaces.cast(origins, directions)
        return hits.depth, hits.barycentric

    assert torch.autograd.gradcheck(query, (origins, directions, vertices), eps=1e-6, atol=1e-7)


def test_wrong_surface_index_is_refused(bumpy) -> None:
    vertices, faces = bumpy
    surfaces = Surfaces(faces, torch.stack([vertices, vertices]))
    with pytest.raises(ValueError, match=r"surfaces in \[0, 2\)"):
        surfaces.closest(vertices[:2], torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="surface of each point"):
        surfaces.closest(vertices[:2])
    with pytest.raises(ValueError, match="expected vertices of shape"):
        surfaces.update(vertices[None, :5])


def test_inside_holds_where_surfaces_cross(brute_force) -> None:
    """Two balls that overlap are one body; in the overlap the nearest face looks into it."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.03)
    faces = torch.from_numpy(ball.faces).long()
    apart = torch.tensor([[-0.02, 0.0, 0.0], [0.02, 0.0, 0.0]])
    vertices = (torch.from_numpy(ball.vertices).float() + apart[:, None]).flatten(0, 1)
    faces = torch.cat([faces, faces + len(ball.vertices)])
    moved = torch.stack([vertices, vertices + 0.1])
    surfaces = Surfaces(faces, moved + 1.0)
    surfaces.inside(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))  # What is remembered of it must not stay.
    surfaces.update(moved)
    points = query_points(vertices, faces, 5000)
    which = torch.randint(2, (len(points),), generator=torch.Generator().manual_seed(1))
    distance, _ = brute_force(points, vertices, faces)
    found = surfaces.inside(points + 0.1 * which[:, None], which)
    expected = ((points[:, None] - apart).norm(dim=-1) < 0.03).any(dim=1)
    clear = distance > 3e-4  # The balls are polyhedra.
    assert torch.equal(found[clear], expected[clear])
    by_nearest = surfaces.closest(points + 0.1 * which[:, None], which).signed_distance < 0
    assert (by_nearest != expected)[clear].any()
