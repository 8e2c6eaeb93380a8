"""Normal maps, decoded from the file as a shader does, against normals in closed form and of the fine mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from helpers.gltf_reading import Gltf, degrees_between, unit

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.export.avatar import rigs
from nerfstudio_hands.export.normal_map import AtlasSurface, bake_normal_map
from nerfstudio_hands.export.rigged_glb import Rig, rigged_glb_bytes
from nerfstudio_hands.export.tangent_frames import vertex_tangents
from nerfstudio_hands.export.textured_mesh import split_at_seams
from nerfstudio_hands.hand_model import HandSurface, default_hand
from nerfstudio_hands.hand_model.subdivided import subdivide_hand

TEXTURE = np.full((16, 16, 3), 128, dtype=np.uint8)


def bumpy_point(place: torch.Tensor, bump: float) -> torch.Tensor:
    """A patch of a ball of 10 cm with waves; place is (s, t) in [0, 1]."""
    s, t = place.unbind(-1)
    longitude, latitude = 1.6 * (s - 0.5), 1.4 * (t - 0.5)
    radius = 0.1 + bump * torch.sin(30 * s) * torch.cos(24 * t + 9 * s)
    outward = [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    return radius[..., None] * torch.stack(outward, dim=-1)


def true_normals(place: torch.Tensor, bump: float) -> np.ndarray:
    along = torch.func.vmap(torch.func.jacfwd(lambda p: bumpy_point(p, bump)))(place.double())
    return unit(torch.linalg.cross(along[..., 0], along[..., 1]).numpy())


def patch(steps: int, bump: float, to_texture) -> AtlasSurface:
    """A grid over the patch; `to_texture` maps (s, t) to texture coordinates."""
    s, t = torch.meshgrid(torch.linspace(0, 1, steps + 1), torch.linspace(0, 1, steps + 1), indexing="ij")
    place = torch.stack([s, t], dim=-1).reshape(-1, 2)
    index = torch.arange(len(place)).reshape(steps + 1, steps + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = torch.cat([torch.stack([a, b, c], dim=-1).reshape(-1, 3), torch.stack([a, c, d], dim=-1).reshape(-1, 3)])
    return AtlasSurface(bumpy_point(place, bump), faces, to_texture(place)[faces])


def upright(place: torch.Tensor) -> torch.Tensor:
    return 0.1 + 0.8 * place


def mirrored(place: torch.Tensor) -> torch.Tensor:
    return upright(place) * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])


def turned(place: torch.Tensor) -> torch.Tensor:
    return 0.5 + (place - 0.5) @ torch.tensor([[0.5, 0.4], [-0.4, 0.5]])


def as_rig(surface: AtlasSurface) -> Rig:
    mesh = trimesh.Trimesh(surface.vertices.numpy(), surface.faces.numpy(), process=False)
    weights = np.zeros((len(mesh.vertices), 4))
    weights[:, 0] = 1
    arrays = (mesh.vertices, mesh.faces, np.asarray(mesh.vertex_normals), surface.uv.numpy(), weights)
    return Rig("right", *arrays, np.zeros((4, 3)), ("a", "b", "c", "d"), (-1, 0, 1, 2), np.zeros(3))


def points_of(count: int, num_faces: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, num_faces, count), rng.dirichlet(np.ones(3), count)


@pytest.mark.parametrize("to_texture", [upright, mirrored, turned])
def test_decoded_normals_are_the_true_ones(to_texture, validate, tmp_path):
    coarse, fine = patch(10, 0.0, to_texture), patch(128, 1e-3, to_texture)
    normal_map = bake_normal_map(coarse, fine, 256).numpy()
    content = rigged_glb_bytes([as_rig(coarse)], TEXTURE, lit=True, normal_map=normal_map)
    face, barycentric = points_of(3000, len(coarse.faces))
    found = Gltf(content).shading_normals(0, face, barycentric)
    place = torch.from_numpy(barycentric[..., None] * patch(10, 0.0, lambda p: p).uv[face].numpy()).sum(dim=1)
    expected = true_normals(place, 1e-3)
    assert degrees_between(found, expected).mean() < 0.5
    assert degrees_between(true_normals(place, 0.0), expected).mean() > 5
    report = validate(content, tmp_path)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_green_is_up():
    """A fine surface that leans upwards in the texture, as a ramp that rises downwards does, is greener than 128."""
    coarse = patch(2, 0.0, upright)
    coarse.vertices = torch.nn.functional.pad(torch.cartesian_prod(*[torch.linspace(0, 1, 3)] * 2), (0, 1))
    leaning = AtlasSurface(coarse.vertices.clone(), coarse.faces, coarse.uv)
    leaning.vertices[:, 2] = -0.5 * leaning.vertices[:, 1]
    red, green, blue = bake_normal_map(coarse, leaning, 16)[8, 8].tolist()
    assert (red, green, blue) == pytest.approx((128, 127.5 + 127.5 * 0.4472, 127.5 + 127.5 * 0.8944), abs=1)


@pytest.fixture(scope="module")
def waves() -> tuple[HandSurface, HandSurface, torch.Tensor]:
    """Two hands, their fine versions, and the vertices of these with waves of 6 mm."""
    coarse = HandSurface((default_hand("left"), default_hand("right")))
    fine = HandSurface([subdivide_hand(hand, 2) for hand in coarse.hands])
    mesh = trimesh.Trimesh(fine.canonical.numpy(), fine.faces.numpy(), process=False)
    height = 2e-4 * torch.sin(fine.canonical * (2 * np.pi / 6e-3)).sum(dim=-1, keepdim=True)
    normals = torch.tensor(mesh.vertex_normals, dtype=torch.float32)
    return coarse, fine, fine.canonical + height * normals


def test_detail_of_a_hand_is_in_its_map(waves):
    coarse, fine, vertices = waves
    surfaces = AtlasSurface(coarse.canonical, coarse.faces, coarse.uv), AtlasSurface(vertices, fine.faces, fine.uv)
    normal_map = bake_normal_map(*surfaces, 1024).numpy()
    content = rigged_glb_bytes(rigs(coarse, [True, True], torch.zeros(10)), TEXTURE, lit=True, normal_map=normal_map)
    mesh = trimesh.Trimesh(vertices.numpy(), fine.faces.numpy(), process=False)
    smooth = trimesh.Trimesh(coarse.canonical.numpy(), coarse.faces.numpy(), process=False)
    for number, hand in enumerate(coarse.hands):
        first = number * len(coarse.hands[0].faces)
        own = np.flatnonzero(fine.face_side.numpy() == number)
        face, barycentric = points_of(400, len(own))
        corners = fine.faces.numpy()[own[face]]
        expected = unit((barycentric[..., None] * np.asarray(mesh.vertex_normals)[corners]).sum(axis=1))
        # The coarse face with these texture coordinates, of all of the hand's.
        place = (barycentric[..., None] * fine.uv.numpy()[own[face]]).sum(axis=1)
        weights = barycentric_in(place, coarse.uv.numpy()[first : first + len(hand.faces)].astype(float))
        inside = weights.min(axis=-1).argmax(axis=1)
        there = weights[np.arange(len(place)), inside]
        found = Gltf(content).shading_normals(number, inside, there)
        normals = np.asarray(smooth.vertex_normals)[coarse.faces.numpy()[first + inside]]
        without = degrees_between(unit((there[..., None] * normals).sum(axis=1)), expected).mean()
        assert degrees_between(found, expected).mean() < 0.2 * without and without > 5


def barycentric_in(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Weights [N, F, 3] of every point in every triangle of the plane."""
    a, b, c = triangles.transpose(1, 0, 2)
    matrices = np.linalg.inv(np.stack([b - a, c - a], axis=-1))
    rest = np.einsum("fij,nfj->nfi", matrices, points[:, None] - a)
    return np.concatenate([1 - rest.sum(axis=-1, keepdims=True), rest], axis=-1)


def test_no_detail_gives_a_flat_map(waves):
    coarse = waves[0]
    order = torch.randperm(len(coarse.faces))
    same = AtlasSurface(coarse.canonical, coarse.faces[order], coarse.uv[order])
    normal_map = bake_normal_map(AtlasSurface(coarse.canonical, coarse.faces, coarse.uv), same, 256).int()
    away = (normal_map - torch.tensor([128, 128, 255])).abs().amax(dim=-1)
    assert (away == 0).float().mean() > 0.999 and away.max() <= 1


def test_size_must_be_a_power_of_two():
    with pytest.raises(HandsError, match="power of two"):
        bake_normal_map(patch(2, 0.0, upright), patch(4, 0.0, upright), 100)


def test_tangents_where_the_texture_is_mirrored_in_the_middle():
    """Two triangles that share an edge and, mirrored, the same part of the texture."""
    vertices = np.array([[0.0, 0, 0], [0, 1, 0], [-1, 0, 0], [1, 0, 0]])
    faces = np.array([[0, 1, 2], [0, 3, 1]])
    uv = np.abs(vertices[faces][..., :2])
    split = split_at_seams(faces, uv)
    assert len(split.source) == 6
    tangents = vertex_tangents(vertices, np.tile([0.0, 0, 1], (4, 1)), split)
    left, right = tangents[split.faces[0]], tangents[split.faces[1]]
    np.testing.assert_allclose(left, np.tile([-1.0, 0, 0, -1], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(right, np.tile([1.0, 0, 0, 1], (3, 1)), atol=1e-6)


def test_tangents_without_texture_extent_are_across_the_normal_and_finite():
    vertices, faces = np.eye(3), np.array([[0, 1, 2]])
    normals = np.tile(unit(np.ones(3)), (3, 1))
    tangents = vertex_tangents(vertices, normals, split_at_seams(faces, np.full((1, 3, 2), 0.5)))
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(tangents[:, :3] @ normals[0], 0, atol=1e-6)
