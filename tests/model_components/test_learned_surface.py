"""The colour of a surface point comes from the learned surface, wherever in the shell that lies."""

from types import SimpleNamespace

import pytest
import torch

from nerfstudio_hands.fields.surface_samples import SurfaceSamples
from nerfstudio_hands.model_components.learned_surface import learned_surface_colors

SHELL = 0.005


def locate(points, surface, face, barycentric, distance, posed):
    assert (surface == 0).all()
    # Above the mesh point (1, 1, 1) along the normal y there.
    torch.testing.assert_close(points, torch.ones(3) + SHELL * distance[:, None] * torch.tensor([0.0, 1, 0]))
    none = torch.zeros(len(face), 0)
    return SurfaceSamples(face, barycentric, distance, torch.zeros(len(face), 3), none), None


@pytest.mark.parametrize("level", [-0.6, 0.0, 0.45])
def test_color_is_taken_at_the_learned_surface(level):
    def geometry(points, code):
        assert torch.equal(code, torch.full((len(points.face), 5), 0.25))
        # A surface at `level`, from which the shift departs by 20 % of the distance to it.
        return SimpleNamespace(shift=-level + 0.2 * (points.normalized_distance - level))

    def radiance(points, geometry, directions):
        torch.testing.assert_close(directions, -points.normal)
        return SimpleNamespace(
            diffuse=torch.stack(
                [0.25 + 0.25 * points.normalized_distance, points.normal[:, 1] / 4, points.barycentric[:, 2]], dim=1
            )
        )

    field = SimpleNamespace(geometry=geometry, radiance=radiance)
    posed = SimpleNamespace(code=torch.full((1, 5), 0.25))
    color = learned_surface_colors(field, locate, posed, shell=SHELL, exposure=lambda color: color * 2)
    barycentric = torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])
    normal = torch.tensor([[0.0, 1, 0], [0.0, 1, 0]])
    found = color(torch.ones(2, 3), torch.tensor([3, 4]), barycentric, normal)
    # The exposure doubles everything.
    expected = torch.tensor([[0.5 + 0.5 * level, 0.5, 0.5], [0.5 + 0.5 * level, 0.5, 0.0]])
    torch.testing.assert_close(found, expected, atol=0.005, rtol=0)
