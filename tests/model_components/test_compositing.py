"""From what samples show to what pixels show."""

from __future__ import annotations

import torch

from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.model_components.compositing import WeightedSamples, composite_outputs, empty_outputs


def two_rays() -> WeightedSamples:
    """Of three rays the first meets nothing, the second is opaque, the third half so."""
    depth = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    weight = torch.tensor([[0.25, 0.75], [0.4, 0.0]])
    return WeightedSamples(3, torch.tensor([1, 2]), depth, weight, visible=torch.tensor([0, 1, 2]))


def test_sums_are_over_each_ray_s_visible_samples():
    samples = two_rays()
    assert samples.visible_ray.tolist() == [1, 1, 2]
    torch.testing.assert_close(samples.accumulation(), torch.tensor([[0.0], [1.0], [0.4]]))
    found = samples.composite(torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [0.25, 1.5], [2.0, 2.0]]))


def test_depth_is_beyond_where_more_is_seen_through_than_met():
    beyond = torch.full((3, 1), 9.0)
    depth = two_rays().mean_depth(two_rays().accumulation(), beyond)
    torch.testing.assert_close(depth, torch.tensor([[9.0], [1.75], [9.0]]))


def test_colors_are_what_the_camera_records_and_held_in_range_outside_training():
    color = torch.full((3, 3), 4.0)
    radiance = Radiance(diffuse=color / 8, color=color, view_residual=color)
    normal = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    beyond = torch.full((3, 1), 9.0)
    outputs = {
        training: composite_outputs(
            two_rays(),
            radiance,
            normal,
            respond=lambda color, accumulation: color + accumulation,
            beyond=beyond,
            training=training,
        )
        for training in (True, False)
    }
    torch.testing.assert_close(outputs[True]["rgb"][:, 0], torch.tensor([0.0, 5.0, 2.0]))
    torch.testing.assert_close(outputs[True]["diffuse"][:, 0], torch.tensor([0.0, 1.5, 0.6]))
    torch.testing.assert_close(outputs[False]["rgb"][:, 0], torch.tensor([0.0, 1.0, 1.0]))
    assert "diffuse" not in outputs[False] and torch.equal(outputs[False]["radiance"], outputs[True]["rgb"])
    torch.testing.assert_close(outputs[False]["normals"][1:], torch.tensor([[0.5, 0.5, 1.0]]).expand(2, 3))
    # What meets nothing looks the same when nothing else was rendered with it.
    for name, value in empty_outputs(beyond).items():
        torch.testing.assert_close(value[:1], outputs[False][name][:1])
