"""The mesh avatar: what it learns from pictures that it rendered itself with other parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.avatars import ray_batch
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.geometry.large_steps import AdamUniform
from nerfstudio_hands.geometry.light.environment import load_environment
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.models.hand_mesh import HandMeshModel, HandMeshModelConfig
from nerfstudio_hands.models.hand_mesh_neural import HandMeshNeuralModelConfig

SIZE = 96


def make_model(config: HandMeshModelConfig) -> HandMeshModel:
    """A flat right hand at the origin."""
    config.subdivisions = 1
    surface = HandSurface((default_hand("right"),))
    names = {"frame_names": ["a"], "camera_names": ["00", "01"]}
    avatar = made_up_avatar(surface, HandPose.rest(1, (1,)), **names)
    torch.manual_seed(0)
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    return config.setup(scene_box=box, num_train_data=2, metadata={"hands": avatar})


def rays(model: HandMeshModel, turn: float, size: int = SIZE, camera: int = 0):
    """Pinhole rays [size, size] from 0.5 m away from the middle of the hand, turned about its long axis x."""
    middle = model.mesh.rest_vertices.mean(dim=0)
    back = torch.tensor([0.0, torch.tensor(turn).cos(), torch.tensor(turn).sin()])
    right = torch.tensor([1.0, 0.0, 0.0])
    pose = torch.stack([right, torch.linalg.cross(back, right), back, middle + 0.5 * back], dim=1)
    cameras = Cameras(pose[None], fx=2.2 * size, fy=2.2 * size, cx=size / 2, cy=size / 2, width=size, height=size)
    bundle = cameras.generate_rays(camera_indices=0, keep_shape=True)
    shape = (*bundle.shape, 1)
    bundle.metadata |= {"frame_index": torch.zeros(shape, dtype=torch.long), "camera_index": torch.full(shape, camera)}
    return bundle


def smooth_bump(model: HandMeshModel) -> torch.Tensor:
    """Displacement of 1.5 mm out of the back of the hand."""
    rest = model.mesh.rest_vertices
    away = (rest[:, [0, 2]] - rest[:, [0, 2]].mean(dim=0)).norm(dim=1)
    return torch.stack([torch.zeros_like(away), 1.5e-3 * torch.exp(-((away / 0.02) ** 2)), torch.zeros_like(away)], 1)


def test_shape_albedo_and_light_are_found_again():
    torch.manual_seed(0)
    truth, model = make_model(HandMeshModelConfig(texture_size=64)), make_model(HandMeshModelConfig(texture_size=64))
    bump = smooth_bump(truth)
    with torch.no_grad():
        truth.mesh.displacement.copy_(truth.mesh.topology.steps.parameter(bump))
        truth.albedo.levels[0].add_(torch.randn_like(truth.albedo.levels[0]))
        truth.lighting.coefficients[0, 1:4] = torch.tensor([[0.3, 0.2, 0.1], [0.8, 0.8, 0.8], [-0.5, -0.5, -0.5]])
    truth.eval()
    views = [rays(model, turn) for turn in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    batches = []
    for view in views:
        seen = truth(view)
        label = torch.where(seen["accumulation"] > 0.5, PixelLabel.HAND, PixelLabel.BACKGROUND)
        batches.append(ray_batch(seen["rgb"].detach(), label))
    rates = {"displacement": 4e-3, "albedo": 5e-2, "light": 2e-2, "camera_colors": 0.0}
    optimizers = [
        (AdamUniform if name == "displacement" else torch.optim.Adam)(parameters, lr=rates[name])
        for name, parameters in model.get_param_groups().items()
    ]
    model.train()
    for step in range(80):
        view, batch = views[step % len(views)], batches[step % len(views)]
        loss = sum(model.get_loss_dict(model(view), batch).values())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    model.eval()
    unseen = rays(model, 0.25)
    found, wanted = model(unseen), truth(unseen)
    both = (found["accumulation"] > 0.99) & (wanted["accumulation"] > 0.99)
    assert (found["rgb"] - wanted["rgb"]).abs()[both[..., 0]].mean() < 0.01
    # How far the surface stands out is seen, how far it slides along itself hardly: much of the bump is found.
    with torch.no_grad():
        high = bump[:, 1] > 1e-3
        assert (model.hands.offset - bump)[high, 1].abs().mean() < 0.6 * bump[high, 1].mean()
    # Up to a common scale, shading is shading and albedo albedo.
    ratio = (found["shading"] / wanted["shading"].clamp(min=1e-3))[both[..., 0]]
    assert ratio.std(dim=0).max() < 0.1 * ratio.mean()


def test_cameras_that_are_off_find_their_way_back():
    config = HandMeshModelConfig(texture_size=64, refine_cameras=True, camera_pose_loss_weight=0)
    model = make_model(config)
    with torch.no_grad():
        model.albedo.levels[0].add_(torch.randn_like(model.albedo.levels[0]))
    true = [rays(model, turn, camera=camera) for camera, turn in enumerate((-0.5, 0.5))]
    batches = []
    for view in true:
        seen = model.eval()(view)
        label = torch.where(seen["accumulation"] > 0.5, PixelLabel.HAND, PixelLabel.BACKGROUND)
        batches.append(ray_batch(seen["rgb"].detach(), label))
    # Opposite, for what all cameras share is not theirs: 0.5 degrees and 2 mm.
    off = torch.tensor([2e-3, -2e-3, 0.0, 6e-3, 0.0, 6e-3])
    wrong = []
    for sign, view in zip((1, -1), true, strict=True):
        move = exp_map_SO3xR3(sign * off[None])[0]
        wrong.append(replace(view, origins=view.origins + move[:, 3], directions=view.directions @ move[:, :3].T))

    @torch.no_grad()
    def distance() -> float:
        """Mean distance in metres between corrected and true rays where they pass the hand."""
        found = []
        for view, given in zip(true, wrong, strict=True):
            ours = model.cameras.correct(given, model.cameras.of(given))
            gap = (ours.origins + 0.5 * ours.directions) - (view.origins + 0.5 * view.directions)
            across = gap - (gap * view.directions).sum(-1, keepdim=True) * view.directions
            found.append(across.norm(dim=-1).mean())
        return float(torch.stack(found).mean())

    optimizer = torch.optim.Adam(model.get_param_groups()["camera_opt"], lr=5e-4)
    model.train()
    for view in wrong:
        model.cameras.of(view)
    assert distance() > 2e-3
    for step in range(60):
        optimizer.zero_grad()
        sum(model.get_loss_dict(model(wrong[step % 2]), batches[step % 2]).values()).backward()
        optimizer.step()
    assert distance() < 4e-4
    model.eval().cameras.seen[1] = False
    assert model.cameras.correct(true[1], model.cameras.of(true[1])).origins.equal(true[1].origins)


def test_single_rays_see_what_the_image_shows():
    model = make_model(HandMeshModelConfig(texture_size=64)).eval()
    picture = rays(model, 0.3)
    whole, single = model(picture), model(picture.flatten())
    inner = (whole["accumulation"] == 1).view(-1)
    assert inner.sum() > 300
    for name in ("rgb", "depth", "normals", "albedo"):
        off = (whole[name].view(SIZE**2, -1) - single[name])[inner].abs().amax(dim=1)
        # A ray that passes an edge of two faces may be given to either.
        assert (off < 1e-3).float().mean() > 0.99


def test_images_fade_over_the_silhouette():
    """The share of the hand in a pixel is that of a finer picture."""
    model = make_model(HandMeshModelConfig(texture_size=64)).eval()
    fine = model(rays(model, 0.2, size=8 * SIZE))["accumulation"].round()
    share = torch.nn.functional.avg_pool2d(fine[None, ..., 0], 8)[0]
    found = model(rays(model, 0.2))["accumulation"][..., 0]
    partly = (share > 0) & (share < 1)
    assert partly.sum() > 100
    assert (found - share)[partly].abs().mean() < 0.5 * (found.round() - share)[partly].abs().mean()


def test_the_stub_behind_the_wrist_is_not_shown():
    model = make_model(HandMeshModelConfig(texture_size=64)).eval()
    view = rays(model, 0.0)
    shown = model(view)["accumulation"].view(-1)
    mesh = model.hands.at_pose(model.hands.pose_of(torch.tensor([0]))).surfaces
    face = mesh.cast(view.flatten().origins, view.flatten().directions).face
    own = (face >= 0) & (face < mesh.num_own_faces)
    hand = own & model.face_is_hand[face.clamp(0, mesh.num_own_faces - 1)]
    assert (own & ~hand).sum() > 3
    assert (shown[own & ~hand] < 0.6).all() and (shown[hand] > 0.4).float().mean() > 0.99


@pytest.mark.parametrize("variant", ["mlp", "unet"])
def test_the_network_starts_as_the_mesh_and_leaves_it_alone_in_its_stage(variant):
    model = make_model(HandMeshNeuralModelConfig(shader=variant, texture_size=64))
    view = rays(model, 0.3, size=48)
    model.eval()
    shown = model(view)
    assert torch.allclose(shown["rgb"], shown["shaded"], atol=1e-6)
    model.train()
    model.drawing.stage = "shader"
    label = torch.where(shown["accumulation"] > 0.5, PixelLabel.HAND, PixelLabel.BACKGROUND)
    batch = ray_batch(0.5 * shown["rgb"].detach(), label)
    sum(model.get_loss_dict(model(view), batch).values()).backward()
    assert model.mesh.displacement.grad is None and model.lighting.coefficients.grad is None
    assert model.shader.diffuse.weight.grad.abs().sum() > 0
    model.drawing.stage = "joint"
    sum(model.get_loss_dict(model(view), batch).values()).backward()
    assert model.mesh.displacement.grad.abs().sum() > 0


def test_rays_of_no_image_show_the_shaded_mesh_where_the_network_needs_neighbours():
    model = make_model(HandMeshNeuralModelConfig(shader="unet", texture_size=64)).eval()
    torch.nn.init.constant_(model.shader.diffuse.bias, 0.5)
    view = rays(model, 0.3, size=32)
    picture, single = model(view), model(view.flatten())
    assert torch.equal(single["rgb"], single["shaded"])
    assert picture["rgb"].sum() > 1.2 * picture["shaded"].sum()


def test_a_light_a_camera_is_its_own():
    model = make_model(HandMeshModelConfig(lighting="per-camera", texture_size=64)).train()
    for camera in (0, 1):
        model(rays(model, 0.3, size=32, camera=camera))
    model.eval()
    before = model(rays(model, 0.3, size=32, camera=0))["rgb"]
    with torch.no_grad():
        model.lighting.coefficients[1] *= 2
    assert torch.equal(model(rays(model, 0.3, size=32, camera=0))["rgb"], before)
    brighter = model(rays(model, 0.3, size=32, camera=1))["rgb"]
    assert brighter.sum() > 1.2 * before.sum()


def test_a_texture_that_mipmaps_cannot_halve_is_refused():
    with pytest.raises(SystemExit, match="power of two from 16 to 8192"):
        make_model(HandMeshModelConfig(texture_size=500))


def test_another_light_is_as_bright_and_ends():
    model = make_model(HandMeshModelConfig(texture_size=64)).eval()
    view = rays(model, 0.3, size=48)
    before = model(view)
    model.relight(load_environment("sunset"))
    relit = model(view)
    assert (relit["rgb"] - before["rgb"]).abs().max() > 0.1
    assert torch.equal(relit["albedo"], before["albedo"])
    # Turned about the vertical by a whole turn it is the same light, by a half another.
    model.relight(load_environment("sunset"), 2 * torch.pi)
    assert torch.allclose(model(view)["rgb"], relit["rgb"], atol=1e-4)
    model.relight(load_environment("sunset"), torch.pi)
    assert (model(view)["rgb"] - relit["rgb"]).abs().max() > 0.02
    model.relight(None)
    assert torch.equal(model(view)["rgb"], before["rgb"])
