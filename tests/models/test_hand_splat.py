"""The avatar of Gaussians: bound to the posed surface, and what it learns from pictures of its own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers.avatars import make_model, ray_batch, rays_to, vertices
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import AdamOptimizerConfig, Optimizers

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import rasterize_rays
from nerfstudio_hands.geometry.splats import compositing
from nerfstudio_hands.geometry.splats.compositing import composite
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.rasterization import image_rays, pinhole_rays
from nerfstudio_hands.models.hand_splat import HandSplatModel, HandSplatModelConfig
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics

SIZE = 80


def splat_model(count: int = 3000, **options: object) -> HandSplatModel:
    return make_model(HandSplatModelConfig(splats_per_hand=count, **options))


def rays(model: HandSplatModel, turn: float, frame: int = 0, size: int = SIZE):
    """Pinhole rays [size, size] from 0.5 m, turned about the hand's long axis x."""
    angle = torch.tensor(turn)
    back = torch.stack([torch.zeros(()), angle.cos(), angle.sin()])
    right = torch.tensor([1.0, 0.0, 0.0])
    middle = vertices(model).mean(dim=0)
    pose = torch.stack([right, torch.linalg.cross(back, right), back, middle + 0.5 * back], dim=1)
    cameras = Cameras(pose[None], fx=2.2 * size, fy=2.2 * size, cx=size / 2, cy=size / 2, width=size, height=size)
    bundle = cameras.generate_rays(camera_indices=0, keep_shape=True)
    shape = (*bundle.shape, 1)
    bundle.metadata |= {"frame_index": torch.full(shape, frame), "camera_index": torch.zeros(shape, dtype=torch.long)}
    return bundle


@pytest.mark.parametrize("frame", [0, 1])
def test_splats_go_where_the_surface_goes(frame: int):
    """Coverage, depth and normals against those of the mesh, drawn by another rasterizer."""
    model = splat_model(20000).eval()
    view = rays(model, 0.4, frame, size=2 * SIZE)
    found = model(view)
    posed = model.hands.at_frame(frame)
    mesh = rasterize_rays(posed.surfaces, *pinhole_rays(view))
    face = mesh.face.clamp(0, posed.surfaces.num_own_faces - 1)
    hand = (mesh.face >= 0) & (mesh.face < posed.surfaces.num_own_faces) & model.hands.surface.face_is_hand[face]
    shown = found["accumulation"][..., 0] > 0.5
    assert hand.sum() > 500
    assert (hand & shown).sum() > 0.93 * (hand | shown).sum()
    inner = hand & (found["accumulation"][..., 0] > 0.95)
    assert (found["depth"][..., 0] - mesh.ray_depth)[inner].abs().median() < 2e-3
    normals = posed.normals[0][posed.surfaces.faces[face]].mean(dim=2)
    cosine = torch.nn.functional.cosine_similarity(2 * found["normals"] - 1, normals, dim=-1)
    assert cosine[inner].median() > 0.95


def test_colors_are_found_again():
    truth, model = splat_model(), splat_model()
    with torch.no_grad():
        place = truth.show(truth.hands.at_frame(0)).splats.means
        truth.splats.color.copy_(0.4 * torch.sin(60 * place))
    truth.eval()
    views = [rays(model, turn) for turn in (-1.0, -0.4, 0.2, 0.8)]
    batches = []
    for view in views:
        seen = truth(view)
        label = torch.where(seen["accumulation"] > 0.5, PixelLabel.HAND, PixelLabel.BACKGROUND)
        batches.append(ray_batch(seen["rgb"].detach(), label))

    def error() -> float:
        model.eval()
        view = rays(model, -0.1)
        found, wanted = model(view), truth(view)
        both = (found["accumulation"] > 0.9) & (wanted["accumulation"] > 0.9)
        return float((found["rgb"] - wanted["rgb"])[both[..., 0]].abs().mean())

    before = error()
    learned = [value for name, values in model.get_param_groups().items() if "camera" not in name for value in values]
    optimizer = torch.optim.Adam(learned, lr=2e-2)
    model.train()
    for step in range(60):
        loss = sum(model.get_loss_dict(model(views[step % 4]), batches[step % 4]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert error() < 0.2 * before


def test_nothing_leaves_the_shell():
    model = splat_model(500, shell=0.004)
    with torch.no_grad():
        for parameter in (*model.splats.parameters(), *model.look.parameters()):
            parameter.add_(20 * torch.randn_like(parameter))
    posed = model.hands.at_frame(1)
    shown = model.show(posed).splats
    assert posed.surfaces.closest(shown.means.detach()).signed_distance.abs().max() <= 0.004 + 1e-6
    rest = model.hands.at_pose(model.hands.pose_of(torch.tensor([0])))
    lengths = model.show(rest).splats.axes.norm(dim=-1)
    assert lengths.max() < 3 * model.splats.spacing.max()


def test_gaussians_are_dealt_out_anew_in_mid_training():
    """The picture stays, there are more where errors were, and the optimizer goes on with what it knew."""
    model = splat_model(6000, densify_at=(0.5,))
    splats, view = model.splats, rays(model, 0.4)
    with torch.no_grad():
        splats.color.copy_(0.2 * torch.sin(60 * model.show(model.hands.at_frame(0)).splats.means))
    config = {"splat_colors": {"optimizer": AdamOptimizerConfig(lr=1e-9), "scheduler": None}}
    optimizers = Optimizers(config, {"splat_colors": [splats.color]})
    trainer = SimpleNamespace(config=SimpleNamespace(max_num_iterations=10))
    callbacks = model.get_training_callbacks(TrainingCallbackAttributes(optimizers, None, None, trainer))

    def call(step: int) -> None:
        for callback in callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)

    model.train()(view)["rgb"].square().sum().backward()
    optimizers.optimizer_step_all()
    state = optimizers.optimizers["splat_colors"].state[splats.color]["exp_avg"]
    before, color, face, known = model.eval()(view), splats.color.clone(), splats.face.clone(), state.clone()
    pulled = splats.error > splats.error.median()
    call(4)
    assert torch.equal(splats.face, face)
    call(5)
    assert pulled[splats.face].sum() > 1.1 * pulled[face].sum()
    same = torch.cdist(splats.color, color).argmin(dim=1)
    assert torch.equal(splats.color, color[same]) and torch.equal(state, known[same])
    after = model(view)
    covered = before["accumulation"] > 0.9
    assert (after["accumulation"] - before["accumulation"])[covered].abs().mean() < 0.01
    assert (after["rgb"] - before["rgb"])[covered[..., 0]].abs().mean() < 0.02


def test_single_rays_are_refused_in_one_sentence():
    with pytest.raises(HandsError, match="expected the rays of a picture, found single ones"):
        splat_model(100).eval()(rays_to(torch.zeros(4, 3)))


def test_gsplat_is_refused_off_a_gpu():
    with pytest.raises(HandsError, match="rasterizer gsplat: expected a CUDA device, found cpu"):
        splat_model(100, rasterizer="gsplat")


def test_gsplat_is_asked_for_images_in_training_and_after_it(monkeypatch: pytest.MonkeyPatch):
    model = splat_model(300)
    view, asked = rays(model, 0.4, size=40), []

    def counted(projected, features, width, height):
        asked.append(features.shape[1])
        return composite(projected, features, width, height)

    monkeypatch.setattr(compositing, "gsplat_composite", counted)
    own = [model.train()(view)["rgb"], model.eval()(view)["rgb"]]
    assert not asked
    model.config.rasterizer = "gsplat"
    with torch.no_grad():
        drawn = model(view)["rgb"]
    assert torch.equal(torch.stack([model.train()(view)["rgb"], model.eval()(view)["rgb"]]), torch.stack(own))
    assert asked == [8, 3, 7] and torch.allclose(drawn, own[1], atol=1e-3)


def test_a_hand_out_of_the_image_is_black():
    model = splat_model(100).eval()
    view = rays(model, 0.0)
    outputs = model(replace(view, directions=-view.directions))
    assert not outputs["rgb"].any() and not outputs["accumulation"].any()
    assert outputs["depth"].isfinite().all()


def test_a_trained_model_says_what_it_shows():
    """The cloud of a pose, drawn by itself, is the model's own picture in the exposure of the mean camera."""
    model = splat_model(1500).eval()
    with torch.no_grad():
        model.splats.color.add_(0.1 * torch.rand_like(model.splats.color))
        model.splats.view.add_(0.1 * torch.rand_like(model.splats.view))
        model.cameras.seen[:] = True
        model.cameras.gain[1:] = 0.3
        model.cameras.bias[1:] = 0.05
        view = rays(model, 0.4, 1)
        del view.metadata["camera_index"]
        shown = model(view)
        cloud = model.splat_cloud(model.hands.pose_of(torch.tensor([1])))
        toward = torch.nn.functional.normalize(cloud.means - view.origins[0, 0], dim=-1)
        colors = cloud.constant + (spherical_harmonics(2, toward)[:, 1:, None] * cloud.linear).sum(dim=1)
        found, _ = draw_splats(Splats(cloud.means, cloud.axes, cloud.opacities), colors, *pinhole_rays(view))
    assert shown["accumulation"].mean() > 0.1
    assert (found - shown["radiance"]).abs().max() < 1e-3


def test_rays_of_a_image_are_those_of_nerfstudio():
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    camera = Cameras(
        torch.cat([turn, torch.randn(3, 1)], dim=1)[None],
        fx=120.0, fy=110.0, cx=20.5, cy=14.0, width=36, height=30, times=torch.tensor([[0.3]]),
        metadata={"frame_index": torch.tensor([[2]]), "camera_index": torch.tensor([[1]])},
    )  # fmt: skip
    ours, theirs = image_rays(camera), camera.generate_rays(camera_indices=0, keep_shape=True)
    for name in ("origins", "directions", "times"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6)
    assert ours.metadata.keys() == theirs.metadata.keys()
    for name, value in theirs.metadata.items():
        assert torch.allclose(ours.metadata[name].float(), value.float(), atol=1e-6)


@pytest.mark.parametrize("aside", [(0.0, 0.0), (0.13, -0.1), (0.0, 0.45), (3.0, 3.0)])
def test_only_the_part_that_shows_the_hand_is_drawn_and_the_picture_is_the_same(aside: tuple[float, float]):
    model, drawn = splat_model(20000).eval(), []
    axes = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    place = rays(model, 0.0).origins[0, 0] + axes @ torch.tensor([*aside, 0.0])
    pose = torch.cat([axes, place[:, None]], dim=1)[None]
    camera = Cameras(pose, fx=150.0, fy=140.0, cx=75.0, cy=58.0, width=160, height=120)
    with torch.no_grad():
        whole = model.get_outputs(image_rays(camera))
    model.register_forward_pre_hook(lambda _, given: drawn.append(given[0].shape))
    found = model.get_outputs_for_camera(camera)
    assert found.keys() == whole.keys()
    assert drawn[0].numel() < 0.7 * 160 * 120
    # A normal is one of something.
    there = whole["accumulation"] > 0.01
    for values in (found, whole):
        values["normals"] = values["normals"] * there
    for name, values in whole.items():
        assert torch.allclose(found[name], values, atol=1e-3), name


def test_vertices_that_no_image_shows_look_like_what_lies_round_them():
    model = splat_model(100, smooth_loss_weight=2.0)
    with torch.no_grad():
        even = float(model.splat_penalty())
        model.look.base[7, 1:] += 0.3
        found = float(model.splat_penalty()) - even
    around = (model.edges == 7).any(dim=1).sum()
    assert found == pytest.approx(2.0 * 3 * 0.3**2 * int(around) / (4 * len(model.edges)), rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"light_transfer": True, "pose_code": True}])
def test_without_gradients_kernels_say_the_same(options: dict[str, bool]):
    """Every number of a splat has a value of its own."""
    model = splat_model(500, **options).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in [*model.splats.parameters(), *model.look.parameters()]:
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    view = rays(model, 0.4, frame=1)
    expected = model(view)
    with torch.no_grad():
        found = model(view)
    assert (expected["accumulation"] > 0.5).float().mean() > 0.1
    for name, values in expected.items():
        assert (found[name] - values).abs().max() < 2e-4, name
