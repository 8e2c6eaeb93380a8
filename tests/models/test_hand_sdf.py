"""The signed distance of a hand of known pose: before learning it is the hand model's."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from helpers.avatars import make_model, ray_batch, rays_to, vertices

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.export.avatar_meshes import avatar_meshes
from nerfstudio_hands.export.isosurface import isosurface_part
from nerfstudio_hands.export.mesh_sequence import rest_pose
from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.fields.hand_sdf_field import HandSDFFieldConfig
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.samplers import march_shell, points_on
from nerfstudio_hands.model_components.schedules import Schedule
from nerfstudio_hands.models.hand_sdf import HandSDFModelConfig


def sdf(**options):
    return make_model(HandSDFModelConfig(resolutions=(16,), subdivisions=0, inverse_s=1e-4, **options))


def on_the_hand(model, frame: int = 0, every: int = 40) -> torch.Tensor:
    face = model.hands.surface.face_is_hand.nonzero().flatten()[::every]
    return vertices(model, frame)[model.hands.surface.faces[face]].mean(dim=1)


@pytest.fixture(scope="module", params=["canonical", "posed"])
def model(request):
    return sdf(space=request.param).eval()


@torch.no_grad()
def test_the_hand_is_there_in_every_pose(model):
    for frame in (0, 1):
        there = on_the_hand(model, frame)
        outputs = model.get_outputs(rays_to(there, frame=frame))
        # A ray along the silhouette meets half of the surface only.
        assert (outputs["accumulation"] > 0.9).float().mean() > 0.8
        hit = outputs["depth"][:, 0]
        mesh = trimesh.Trimesh(vertices(model, frame).numpy(), model.hands.surface.faces.numpy(), process=False)
        origins = (there + torch.tensor([0.0, 0.5, 0.0])).numpy()
        first, ray, _ = mesh.ray.intersects_location(origins, np.tile([0.0, -1.0, 0.0], (len(there), 1)), False)
        depth = np.linalg.norm(first - origins[ray], axis=1)
        assert np.median(np.abs(hit.numpy()[ray] - depth)) < 5e-4
        missed = model.get_outputs(rays_to(there + 0.4, frame=frame))
        assert (missed["accumulation"] == 0).all() and (missed["depth"] > 0.8).all()


@pytest.mark.parametrize("levels", [0, 1])
def test_normals_are_those_of_the_surface_before_learning(levels):
    config = HandSDFModelConfig(resolutions=(16,), subdivisions=levels, inverse_s=1e-4)
    model = make_model(config).eval()
    there = on_the_hand(model, every=40 * 4**levels)
    rays = rays_to(there)
    posed = model.hands.for_rays(rays)
    for away in (2e-3, 1e-4):
        points = there + away * torch.randn_like(there)
        located = model.scene.locate(points, posed.ray_surface, posed)
        shading = model.scene.shade(located, rays.directions, posed.code[posed.ray_surface])
        step, slope = away / 20, []
        for axis in torch.eye(3):
            ahead, behind = (model.scene(points + s * step * axis, posed.ray_surface, posed)[0] for s in (1, -1))
            slope.append((ahead - behind) / (2 * step))
        error = (torch.stack(slope, dim=-1) - shading.gradient).norm(dim=-1)
        assert error.median() < 0.05 and error.quantile(0.7) < 0.1
        assert shading.gradient.norm(dim=-1).median() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("space", ["canonical", "posed"])
@pytest.mark.parametrize("start", ["template", "geometric"])
def test_training_reaches_every_parameter(space, start):
    model = sdf(space=space, sdf_field=HandSDFFieldConfig(start=start), refine_poses=True).train()
    outputs = model.get_outputs(rays_to(on_the_hand(model, every=10)))
    (outputs["rgb"].sum() + outputs["diffuse"].sum() + outputs["accumulation"].sum() + outputs["penalty"]).backward()
    for name, group in model.get_param_groups().items():
        for parameter in group:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert all(p.grad[0].abs().max() > 0 for p in model.get_param_groups()["poses"])


@torch.no_grad()
def test_samples_lie_at_the_surface_and_where_nothing_is_seen_any_more():
    model = sdf().train()
    rays = rays_to(on_the_hand(model, every=5))
    posed = model.hands.for_rays(rays)

    def distances(samples):
        return model.scene(*points_on(rays, samples.ray, samples.depth, posed), posed)[0].view_as(samples.depth)

    config = model.config
    marched = march_shell(rays, posed, shell=config.shell, num_samples=200, max_steps=config.march_steps, jitter=True)
    through = distances(marched).amin(dim=1) < -0.002
    assert through.float().mean() > 0.5
    samples = model.sampler(model.scene, rays, posed, inverse_s=model.inverse_s, training=True)
    drawn = distances(samples)[through]
    # Were all of them only a little below the surface, opacity would push it outward.
    assert (drawn.amin(dim=1) < -10 * float(model.inverse_s)).float().mean() > 0.9
    assert drawn.abs().amin(dim=1).quantile(0.9) < 2e-4


def test_colour_says_where_the_surface_should_be():
    model = sdf(num_eikonal=0).eval()
    with torch.no_grad():
        model.log_inverse_s.fill_(math.log(1e-5))  # Far narrower than samples are apart.
    rays = rays_to(on_the_hand(model, every=20))

    def radiance(places, geometry, directions):
        ramp = 10 * places.canonical
        return Radiance(ramp, ramp, 0 * ramp)

    model.scene.hand.field.radiance = radiance
    bias = model.scene.hand.field.network.layers[-1].bias
    with torch.enable_grad():
        outputs = model.get_outputs(rays)
        opaque = (outputs["accumulation"][:, 0] > 0.999) & (outputs["normals"][:, 1] > 0.75)
        (slope,) = torch.autograd.grad(outputs["radiance"][opaque].mean(), bias)
    step, around = 2e-3, []
    for sign in (1, -1):
        with torch.no_grad():
            bias[0] += sign * step
            around.append(float(model.get_outputs(rays)["radiance"][opaque].mean()))
            bias[0] -= sign * step
    assert opaque.float().mean() > 0.3
    # 9 % apart: samples are placed anew about the moved surface, which the slope does not count.
    assert float(slope[0]) == pytest.approx((around[0] - around[1]) / (2 * step), rel=0.15)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_colour_has_no_say_in_the_opacity_of_a_pixel_that_the_outline_cuts_unless_it_is_asked(weight):
    model = sdf(cover_loss_weight=weight, opacity_loss_weight=0.0).train()
    alpha = torch.tensor([[0.4]], requires_grad=True)
    skin = torch.tensor([[0.7, 0.5, 0.4]])
    outputs = {"rgb": alpha * skin, "diffuse": alpha * skin, "accumulation": alpha}
    loss = model.get_loss_dict(outputs, ray_batch(skin.clone(), torch.tensor([[PixelLabel.HAND]])))
    assert loss["color"].item() < 1e-9 and loss["diffuse"].item() < 1e-9
    sum(loss.values()).backward()
    assert (alpha.grad < -1e-3).all() if weight else alpha.grad.abs().max() < 1e-6


def test_what_keeps_it_near_the_template_fades():
    model = sdf(template_loss_weight=1.0, template_fade=Schedule(0.0, 0.5), offset_loss_weight=0.01)
    attributes = SimpleNamespace(trainer=SimpleNamespace(config=SimpleNamespace(max_num_iterations=100)))
    (callback,) = model.get_training_callbacks(attributes)
    weights = []
    for step in (0, 25, 50, 99):
        callback.run_callback(step)
        weights.append(model.template_weight)
    assert weights == pytest.approx([1.01, 0.51, 0.01, 0.01])


def test_images_beside_the_hand_are_empty(model):
    # All of these rays pass the shell; none of them meets the surface.
    edge = vertices(model)[:, 0].argmax()
    beside = vertices(model)[edge] + torch.tensor([[0.003, 0.0, 0.0], [0.004, 0.0, 0.0]])
    outputs = model.get_outputs(rays_to(beside))
    assert outputs["accumulation"].max() < 1e-3 and outputs["rgb"].abs().max() < 1e-3


def test_exporters_see_the_pose_that_is_set(model):
    assert hasattr(model.config, "sdf_field")
    points = torch.rand(400, 3) * 0.3 - 0.15
    for frame in (0, 1):
        model.hands.set_override(model.hands.pose_of(torch.tensor([frame])) if frame else None)
        faces = torch.cat([model.hands.surface.faces, model.hands.surface.closing_faces])
        mesh = trimesh.Trimesh(vertices(model, frame).numpy(), faces.numpy(), process=False)
        found = model.field.forward_geonetwork(points)
        assert found.shape == (400, 1)
        expected = -trimesh.proximity.signed_distance(mesh, points.numpy())
        clear = np.abs(expected) > 3e-4
        assert np.abs(found[:, 0].numpy() - expected)[clear].max() < 5e-4
    model.hands.set_override(None)


def test_a_bent_finger_is_solid_where_its_faces_cross():
    model = sdf().eval()
    pose = model.hands.pose_of(torch.tensor([0]))
    pose.local_rotations[:, :, 3:6, 2] = 1.9
    posed = model.hands.at_pose(pose)
    zero = posed.ray_surface.new_zeros(200_000)
    low, high = posed.surfaces.vertices[0].amin(dim=0), posed.surfaces.vertices[0].amax(dim=0)
    points = low + (high - low) * torch.rand(len(zero), 3, generator=torch.Generator().manual_seed(0))
    fitted = posed.surfaces.closest(points, zero).signed_distance
    inside = posed.surfaces.inside(points, zero)
    clear = fitted.abs() > 3e-4
    assert ((fitted > 0) & inside & clear).any()
    found = model.scene.hand.exact(points, zero, posed)
    assert torch.equal((found < 0)[clear], inside[clear])


def isosurface(model, pose, **options):
    return isosurface_part(model.hands, model.export_source().distance, pose, **options)


def test_the_isosurface_is_where_exporters_are_told():
    model = sdf().eval()
    with torch.no_grad():
        # The surface lies about a millimetre below the hand model's.
        model.scene.hand.field.network.layers[-1].bias[0] = 0.2
    pose = model.hands.pose_of(torch.tensor([1]))
    part = isosurface(model, pose[0], voxel=0.003)
    model.hands.set_override(pose)
    assert model.field.forward_geonetwork(part.vertices).abs().median() < 1e-4
    posed = model.hands.at_pose(pose)
    below = posed.surfaces.closest(part.vertices, torch.zeros(len(part.vertices), dtype=torch.long)).signed_distance
    assert below.median() == pytest.approx(-0.005 * math.tanh(0.2), abs=2e-4)
    outer = isosurface(model, pose[0], voxel=0.003, level=0.002)
    assert model.field.forward_geonetwork(outer.vertices).median() == pytest.approx(0.002, abs=1e-4)


def test_before_learning_it_holds_as_much_as_the_flat_faces_that_were_fitted():
    solids = []
    for levels in (0, 1):
        model = make_model(HandSDFModelConfig(resolutions=(16,), subdivisions=levels)).eval()
        pose = model.hands.pose_of(torch.tensor([0]))[0]
        part = isosurface(model, pose, voxel=0.002)
        solids.append(trimesh.Trimesh(part.vertices.numpy(), part.faces.numpy(), process=False).volume)
    # Subdivided faces alone hold 2 percent more.
    assert solids[1] == pytest.approx(solids[0], rel=0.006)


def test_what_cannot_be_meshed_is_said():
    model = sdf().eval()
    pose = model.hands.pose_of(torch.tensor([0]))[0]
    with pytest.raises(HandsError, match=r"cross the level -500 mm, found values from -\d.* give a --level between"):
        isosurface(model, pose, voxel=0.003, level=-0.5)
    with pytest.raises(HandsError, match=r"--voxel of 0.005 mm; 0\.\d+ mm fits"):
        isosurface(model, pose, voxel=0.000005)
    for voxel in (0.0, -0.001, math.nan):
        with pytest.raises(HandsError, match="voxel: expected a positive size"):
            isosurface(model, pose, voxel=voxel)
    with torch.no_grad():
        model.scene.hand.field.network.layers[0].bias[0] = math.nan
    with pytest.raises(HandsError, match="expected finite distances"):
        isosurface(model, pose, voxel=0.003)


def test_the_isosurface_is_closed_textured_and_rigged():
    model = sdf().eval()
    pose = model.hands.pose_of(torch.tensor([1]))
    meshes = avatar_meshes(model.export_source(), pose, pose[0], voxel=0.003)
    part = meshes.part(pose[0])
    mesh = trimesh.Trimesh(part.vertices.numpy(), part.faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.volume > 0
    assert part.uv.shape == (len(part.faces), 3, 2)
    # No triangle is spread over the atlas.
    assert (part.uv.amax(dim=1) - part.uv.amin(dim=1)).max() < 0.1
    colors = meshes.color_fn(part.vertices[:50], part.face_ids[:50], part.vertices[:50], part.vertices[:50])
    assert colors.shape == (50, 3) and ((colors >= 0) & (colors <= 1)).all()
    (rig,), _ = meshes.rigs([True], 64)
    assert np.allclose(rig.weights.sum(axis=1), 1, atol=1e-4) and len(rig.weights) == len(rig.vertices)
    own = model.hands.surface.hands[0].template.numpy()
    assert np.abs(rig.vertices.max(axis=0) - own.max(axis=0)).max() < 2e-3
    resting = avatar_meshes(model.export_source(), pose, rest_pose(model.hands.surface), voxel=0.003)
    assert resting.part(rest_pose(model.hands.surface)).vertices.isfinite().all()
