"""Baking, against colours known in closed form at every texel."""

import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.export.bake import PADDING, bake_texture, bake_vertices, surface_points_of_texels
from nerfstudio_hands.hand_model import HandSurface, default_hand

SIZE = 64


@pytest.fixture
def square():
    """Two triangles, x and y from 0 to 1, drawn upright into the middle half of the texture."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return vertices, faces, 0.25 + 0.5 * vertices[faces][..., :2]


def position_color(points, face, barycentric, normal):
    return points


def texel_centres(size=SIZE):
    """u and v of every texel; the first row is at the top, where v is 1."""
    centers = (torch.arange(size) + 0.5) / size
    row, column = torch.meshgrid(1 - centers, centers, indexing="ij")
    return torch.stack([column, row], dim=-1)


def test_inside_an_island_a_texel_shows_the_point_of_its_own_coordinates(square):
    vertices, faces, uv = square
    texture = bake_texture(faces, uv, vertices, position_color, SIZE).float() / 255
    expected = (texel_centres() - 0.25) / 0.5
    inside = ((expected > 0) & (expected < 1)).all(dim=-1)
    assert inside.sum() == (SIZE / 2) ** 2
    assert (texture[..., :2] - expected)[inside].abs().max() < 0.003


def test_the_first_row_is_the_top(square):
    vertices, faces, uv = square
    texture = bake_texture(faces, uv, vertices, position_color, SIZE)
    assert texture[SIZE // 4 + 1, SIZE // 2, 1] > 240 and texture[3 * SIZE // 4 - 2, SIZE // 2, 1] < 15


def test_padding_continues_the_edge_and_ends(square):
    vertices, faces, uv = square
    texture = bake_texture(faces, uv, vertices, position_color, SIZE).float() / 255
    row = SIZE // 2
    left = SIZE // 4
    assert (texture[row, left - PADDING : left, 0] == 0).all()
    mean = texture[row, 0]
    assert torch.allclose(mean, torch.tensor([0.5, 0.5, 0.0]), atol=0.05)
    assert torch.equal(texture[row, left - PADDING - 1], mean)


def test_normals_and_faces_are_those_of_the_point(square):
    vertices, faces, uv = square
    seen = []

    def color(points, face, barycentric, normal):
        seen.append(normal)
        rebuilt = (barycentric[..., None] * vertices[faces[face]]).sum(dim=1)
        assert torch.allclose(rebuilt, points, atol=1e-5)
        return points

    bake_texture(faces, uv, vertices, color, SIZE)
    assert torch.allclose(torch.cat(seen), torch.tensor([0.0, 0.0, 1.0]))


def test_vertex_colors_are_those_at_the_vertices():
    surface = HandSurface((default_hand("left"), default_hand("right")))
    vertices = (surface.canonical - surface.canonical.amin(0)) / 0.5
    colors = bake_vertices(surface.faces, vertices, position_color)
    assert (colors.float() / 255 - vertices).abs().max() < 0.0021


@pytest.mark.parametrize("size", [0, 8, 1000, 16384])
def test_size_must_be_a_power_of_two(square, size):
    vertices, faces, uv = square
    with pytest.raises(HandsError, match=f"power of two.*{size}"):
        bake_texture(faces, uv, vertices, position_color, size)


def test_every_face_of_two_hands_is_in_the_texture():
    surface = HandSurface((default_hand("left"), default_hand("right")))
    face, barycentric = surface_points_of_texels(surface.uv, 512)
    shown = face[face >= 0].unique()
    area = surface.uv.double()
    edge, other = area[:, 1] - area[:, 0], area[:, 2] - area[:, 0]
    texels = (edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]).abs() / 2 * 512**2
    assert set(torch.nonzero(texels > 4).flatten().tolist()) <= set(shown.tolist())
    # The atlases lie side by side: the left half shows the left hand.
    sides = surface.face_side[face.clamp(0)]
    assert (sides[:, :248][face[:, :248] >= 0] == 0).all() and (sides[:, 264:][face[:, 264:] >= 0] == 1).all()
    assert torch.allclose(barycentric[face >= 0].sum(dim=-1), torch.tensor(1.0), atol=1e-4)
