"""What a hand holds: where it is, what of it is seen, and what keeps it out of the hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from helpers.avatars import make_model, ray_batch, rays_to, vertices

from nerfstudio_hands.export.held_object_mesh import held_object_mesh
from nerfstudio_hands.export.isosurface import isosurface_part
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.method_configs.hand_canonical import hand_canonical
from nerfstudio_hands.method_configs.hand_sdf import hand_sdf
from nerfstudio_hands.method_configs.hand_splat import hand_splat
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.models.hand_sdf import HandSDFModelConfig

RADIUS = 0.03
"""Metres; of the ball that is held."""


def holding(middle: torch.Tensor, *, exact: bool = True, **options):
    """A hand with a ball, in the second frame 1 cm further along x; `exact`: the ball's distance is the network's."""
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, 3] = middle
    pose[1, 0, 3] += 0.01
    config = HandSDFModelConfig(resolutions=(16,), subdivisions=0, inverse_s=1e-4, **options)
    model = make_model(config, object_pose=pose, object_radius=0.06)
    if exact:

        def sdf(samples):
            return samples.position.norm(dim=-1) - RADIUS, samples.position.new_zeros(len(samples.position), 15)

        model.held.field.sdf = sdf
    return model


def above(model) -> torch.Tensor:
    """A place 5 cm over the middle of the hand, on the side that `rays_to` looks from."""
    hand = vertices(model) if not isinstance(model, torch.Tensor) else model
    return hand.mean(dim=0) + torch.tensor([0.0, 0.05, 0.0])


@pytest.fixture(scope="module")
def middle() -> torch.Tensor:
    plain = make_model(HandSDFModelConfig(resolutions=(16,), subdivisions=0))
    return above(vertices(plain))


def test_the_nearer_of_both_is_seen(middle):
    model = holding(middle).eval()
    side = torch.linspace(-0.028, 0.028, 15)
    through = middle + torch.stack([side, torch.zeros(15), torch.zeros(15)], dim=-1)
    outputs = model.get_outputs(rays_to(through))
    assert (outputs["object_accumulation"][1:-1] > 0.95).all()
    assert (outputs["parts"][1:-1, 2] > 0.95).all() and (outputs["parts"][1:-1, 0] < 0.05).all()
    expected = 0.5 - (RADIUS**2 - side.square()).sqrt()
    assert (outputs["depth"][:, 0] - expected).abs()[1:-1].max() < 5e-4
    normal = outputs["normals"] * 2 - 1
    assert (normal[7] - torch.tensor([0.0, 1.0, 0.0])).abs().max() < 0.05
    # In the second frame it has moved a centimetre, so that its rim is elsewhere.
    moved = model.get_outputs(rays_to(through + torch.tensor([0.01, 0.0, 0.0]), frame=1))
    assert (moved["depth"] - outputs["depth"]).abs()[1:-1].max() < 5e-4
    # Behind the hand it is hidden.
    behind = holding(middle - torch.tensor([0.0, 0.1, 0.0])).eval()
    face = behind.hands.surface.face_is_hand.nonzero().flatten()
    palm = vertices(behind)[behind.hands.surface.faces[face]].mean(dim=1)
    palm = palm[(palm - middle)[:, [0, 2]].norm(dim=1) < 0.015]
    hidden = behind.get_outputs(rays_to(palm))
    assert (hidden["accumulation"] > 0.9).float().mean() > 0.9
    # 10 of 11 rays; on another processor one more may see past the hand.
    assert (hidden["object_accumulation"] < 0.1).float().mean() > 0.8


@torch.no_grad()
def test_edges_of_the_hand_before_it_are_no_gaps(middle):
    model = holding(middle - torch.tensor([0.0, 0.065, 0.0])).eval()
    side = torch.linspace(-0.02, 0.02, 41)
    x, z = torch.meshgrid(side, side, indexing="ij")
    through = middle + torch.stack([x, torch.zeros_like(x), z], dim=-1).view(-1, 3)
    outputs = model.get_outputs(rays_to(through))
    shares = outputs["object_accumulation"] / outputs["accumulation"]
    assert (shares > 0.9).any() and (shares < 0.1).any()
    assert outputs["accumulation"].min() > 0.95


def test_each_part_can_be_switched_off(middle):
    model = holding(middle).eval()
    rays = rays_to(middle[None])
    both = model.get_outputs(rays)
    model.show_object.value = False
    hand = model.get_outputs(rays)
    assert hand["object_accumulation"] == 0 and hand["depth"] > both["depth"] + 0.03
    model.show_object.value, model.show_hand.value = True, False
    held_object = model.get_outputs(rays)
    assert abs(held_object["depth"] - both["depth"]) < 1e-4
    beside = model.get_outputs(rays_to(middle[None] + torch.tensor([0.05, 0.0, 0.0])))
    assert beside["accumulation"] < 0.01


def test_the_wrist_takes_it_along_where_no_frame_says_where_it_is(middle):
    model = holding(middle).eval()
    hands, held = model.hands, model.held
    pose = hands.pose_of(torch.tensor([0]))
    turned = hands.pose_of(torch.tensor([0]))
    turned.global_orient = turned.global_orient + torch.tensor([0.0, 0.0, 0.7])
    turned.translation = turned.translation + torch.tensor([0.1, 0.0, 0.2])
    before, after = (hands.at_pose(p) for p in (pose, turned))
    assert torch.allclose(held.poses(before)[0], held.first_poses[0], atol=1e-6)
    seen = [torch.linalg.inv(held.poses(p)[0]) @ p.bones[0, 0, 0] for p in (before, after)]
    assert torch.allclose(*seen, atol=1e-5)


def test_the_first_frame_says_where_its_frame_is(middle):
    model = holding(middle).train()
    with torch.no_grad():
        model.held.deltas += torch.tensor([0.004, 0.0, 0.0, 0.0, 0.0, 0.1])
    rays = rays_to(torch.stack([middle, middle]))
    rays.metadata["frame_index"] = torch.tensor([[0], [1]])
    poses = model.held.poses(model.hands.for_rays(rays))
    assert torch.allclose(poses[0], model.held.first_poses[0])
    assert torch.allclose(poses[1, :3, 3] - model.held.first_poses[1, :3, 3], torch.tensor([0.004, 0, 0]), atol=1e-6)
    cosine = (poses[1, :3, :3].diagonal().sum() - 1) / 2
    assert abs(cosine - np.cos(0.1)) < 1e-5


@pytest.mark.parametrize("space", ["canonical", "posed"])
def test_training_reaches_every_parameter(middle, space):
    model = holding(middle, exact=False, space=space).train()
    points = torch.cat([middle + 0.02 * torch.randn(40, 3), vertices(model)[::40]])
    rays = rays_to(points, frame=1)
    outputs = model.get_outputs(rays)
    label = torch.cat([torch.full((40,), PixelLabel.OBJECT), torch.full((len(points) - 40,), PixelLabel.HAND)])[:, None]
    label[::7], label[::9] = PixelLabel.BACKGROUND, PixelLabel.IGNORE
    loss = model.get_loss_dict(outputs, ray_batch(torch.rand(len(points), 3), label))
    assert {"color", "opacity", "part", "penalty"} <= set(loss)
    sum(loss.values()).backward()
    for name, group in model.get_param_groups().items():
        for parameter in group:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert model.held.deltas.grad[1].abs().max() > 0 and model.held.deltas.grad[0].abs().max() == 0


def test_contact_pushes_them_apart_and_attraction_pulls(middle):
    hand = middle - torch.tensor([0.0, 0.05, 0.0])
    for weights, depth, sign in (((1.0, 0.0), 0.02, 1), ((0.0, 1.0), None, -1)):
        place = hand.clone()
        model = holding(
            place,
            penetration_loss_weight=weights[0],
            attraction_loss_weight=weights[1],
            offset_loss_weight=0.0,
            template_loss_weight=0.0,
        ).train()
        highest = vertices(model)[:, 1][(vertices(model) - hand)[:, [0, 2]].norm(dim=1) < 0.008].max()
        gap = -depth if depth is not None else 0.002
        model.held.first_poses[:, 1, 3] = highest + RADIUS + gap
        rays = rays_to(hand[None], frame=1)
        model.held.first_poses[1, 0, 3] = hand[0]
        penalty = model.skin_penalty(model.hands.for_rays(rays))
        assert penalty > 0
        penalty.backward()
        # Up is away from the hand: going there lowers what contact costs, and raises what attraction costs.
        assert model.held.deltas.grad[1, 1] * sign < 0
    apart = holding(
        middle + torch.tensor([0.0, 0.1, 0.0]),
        attraction_loss_weight=1.0,
        offset_loss_weight=0.0,
        template_loss_weight=0.0,
    ).train()
    assert apart.skin_penalty(apart.hands.for_rays(rays_to(middle[None]))) == 0


def test_its_mesh_is_a_ball_where_it_is(middle):
    model = holding(middle).eval()
    posed = model.hands.at_pose(model.hands.pose_of(torch.tensor([0])))
    with torch.no_grad():
        mesh = held_object_mesh(model.export_source().held, posed, model.hands.world_transform, voxel=0.002)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    assert np.abs(mesh.center_mass - middle.numpy()).max() < 2e-4
    away = trimesh.proximity.signed_distance(mesh, middle.numpy()[None])
    assert away[0] == pytest.approx(RADIUS, rel=0.02)
    assert mesh.visual.vertex_colors.shape == (len(mesh.vertices), 4)


def test_the_hand_s_mesh_ends_where_the_object_begins(middle):
    sunk = middle - torch.tensor([0.0, 0.05, 0.0])
    model = holding(sunk).eval()
    pose = model.hands.pose_of(torch.tensor([0]))[0]
    found = isosurface_part(model.hands, model.export_source().distance, pose, voxel=0.003)
    hand = trimesh.Trimesh(found.vertices.numpy(), found.faces.numpy(), process=False)
    faces = torch.cat([model.hands.surface.faces, model.hands.surface.closing_faces])
    fitted = trimesh.Trimesh(vertices(model).numpy(), faces.numpy(), process=False)
    assert hand.is_watertight and hand.volume == pytest.approx(fitted.volume, rel=0.03)
    # Exporters of nerfstudio see both in one.
    rim = sunk + torch.tensor([[0.0, RADIUS, 0.0]])
    assert model.field.distance(rim) <= 1e-6 < 0.005 < model.field.distance(rim + torch.tensor([0, 0.006, 0]))


def test_methods_that_learn_the_object_draw_its_pixels():
    samplers = {
        spec.config.method_name: spec.config.pipeline.datamanager.pixel_sampler
        for spec in (hand_sdf, hand_splat, hand_uvnerf, hand_canonical)
    }
    assert [name for name, sampler in samplers.items() if sampler.draws_objects] == ["hand-sdf", "hand-splat"]
