"""What a hand of Gaussians holds: Gaussians of its own, drawn together with the hand's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from helpers.avatars import make_model, ray_batch, vertices
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from plyfile import PlyData

from nerfstudio_hands.export.avatar_files import AvatarFiles, FileOptions
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.export_source import SplatCloud
from nerfstudio_hands.model_components.rasterization import image_rays, pinhole_rays
from nerfstudio_hands.models.hand_splat import HandSplatModel, HandSplatModelConfig
from nerfstudio_hands.transforms.rotations import rotation_matrix
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics

SIZE = 80
RADIUS = 0.03
"""Meters; of the ball that is held."""

MOVE = torch.eye(4)
MOVE[:3, :3] = rotation_matrix(torch.tensor([0.2, -0.3, 0.4]))
MOVE[:3, 3] = torch.tensor([0.01, 0.005, -0.01])
"""From where the ball is in the first frame to where it is in the second, nerfstudio's world."""


def above(model: HandSplatModel, height: float) -> torch.Tensor:
    return vertices(model).mean(dim=0) + torch.tensor([0.0, height, 0.0])


def holding(height: float = 0.05, **options: object) -> HandSplatModel:
    """A hand with a ball so high above it, from where `view` looks."""
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, 3] = above(make_model(HandSplatModelConfig(splats_per_hand=100)), height)
    pose[1] = MOVE @ pose[1]
    config = HandSplatModelConfig(**{"splats_per_hand": 3000, "object_splats": 2000, **options})
    return make_model(config, object_pose=pose, object_radius=RADIUS)


def view(model: HandSplatModel, *, turn: float = 0.0, frame: int = 0, move: torch.Tensor | None = None) -> RayBundle:
    """Rays from half a meter above the hand, turned about its long axis x; with a move the camera is moved by it."""
    angle = torch.tensor(turn)
    back = torch.stack([torch.zeros(()), angle.cos(), angle.sin()])
    right = torch.tensor([1.0, 0.0, 0.0])
    pose = torch.eye(4)
    pose[:3] = torch.stack([right, torch.linalg.cross(back, right), back, above(model, 0.0) + 0.5 * back], dim=1)
    pose = (pose if move is None else move @ pose)[:3]
    cameras = Cameras(pose[None], fx=2.2 * SIZE, fy=2.2 * SIZE, cx=SIZE / 2, cy=SIZE / 2, width=SIZE, height=SIZE)
    rays = image_rays(cameras)
    shape = (SIZE, SIZE, 1)
    rays.metadata |= {"frame_index": torch.full(shape, frame), "camera_index": torch.zeros(shape, dtype=torch.long)}
    return rays


def painted(model: HandSplatModel) -> HandSplatModel:
    """The object in colors that change from place to place."""
    with torch.no_grad():
        model.held.splats.color.copy_(0.5 + 0.4 * torch.sin(150 * model.held.splats.mean))
    return model


@torch.no_grad()
def test_the_nearer_of_both_is_seen():
    middle = (slice(SIZE // 2 - 4, SIZE // 2 + 4),) * 2
    for height, of_object in ((0.05, 1.0), (-0.08, 0.0)):
        model = holding(height, splats_per_hand=20000).eval()
        rays = view(model)
        found = model(rays)
        assert (found["accumulation"][middle] > 0.95).all()
        assert found["object_accumulation"][middle].median() == pytest.approx(of_object, abs=0.05)
        assert torch.allclose(found["parts"][..., 2:], found["object_accumulation"])
        assert torch.allclose(found["parts"].sum(dim=-1, keepdim=True), found["accumulation"], atol=1e-6)
    top = holding(splats_per_hand=100).eval()(rays)
    # The ray through the middle meets the ball's top, whose normal looks back along it.
    assert top["depth"][SIZE // 2, SIZE // 2] == pytest.approx(0.5 - 0.05 - RADIUS, abs=2e-3)
    assert torch.allclose(top["normals"][SIZE // 2, SIZE // 2] * 2 - 1, torch.tensor([0.0, 1.0, 0.0]), atol=0.1)


@torch.no_grad()
def test_it_moves_with_the_pose_of_its_frame():
    """A camera that moves along with it sees the same object in another frame."""
    model = painted(holding()).eval()
    model.show_hand.value = False
    first = model(view(model, turn=0.3))
    second = model(view(model, turn=0.3, frame=1, move=MOVE))
    stood = model(view(model, turn=0.3, frame=1))
    assert first["accumulation"].mean() > 0.05
    # Gaussians of one depth may change places.
    assert (first["rgb"] - second["rgb"]).abs().mean() < 1e-4
    assert (first["rgb"] - stood["rgb"]).abs().mean() > 0.01


@torch.no_grad()
def test_what_a_switch_hides_is_not_drawn():
    model = holding().eval()
    rays = view(model)
    plain = make_model(HandSplatModelConfig(splats_per_hand=3000)).eval()(rays)
    model.show_object.value = False
    hand = model(rays)
    assert torch.equal(hand["accumulation"], plain["accumulation"]) and not hand["object_accumulation"].any()
    model.show_hand.value, model.show_object.value = False, True
    found = model(rays)
    assert torch.allclose(found["accumulation"], found["object_accumulation"], atol=1e-5)
    assert found["accumulation"].mean() > 0.02
    model.show_object.value = False
    assert not model(rays)["accumulation"].any()


def test_without_gradients_kernels_say_the_same():
    model = holding(light_transfer=True, pose_code=True).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.held.splats.named_parameters():
            spread = 0.002 if name == "mean" else 0.2
            parameter += spread * torch.randn(parameter.shape, generator=generator)
    rays = view(model, turn=0.4, frame=1)
    expected = model(rays)
    with torch.no_grad():
        found = model(rays)
    assert expected.keys() == found.keys() and (expected["object_accumulation"] > 0.5).float().mean() > 0.02
    for name, values in expected.items():
        assert (found[name] - values).abs().max() < 2e-4, name


@torch.no_grad()
def test_only_the_part_that_shows_hand_or_object_is_drawn():
    model = holding(0.15).eval()
    rays = view(model, turn=1.2)
    angle = torch.tensor(1.2)
    back = torch.stack([torch.zeros(()), angle.cos(), angle.sin()])
    right = torch.tensor([1.0, 0.0, 0.0])
    pose = torch.stack([right, torch.linalg.cross(back, right), back, rays.origins[0, 0]], dim=1)[None]
    camera = Cameras(pose, fx=1.2 * SIZE, fy=1.2 * SIZE, cx=SIZE / 2, cy=SIZE / 2, width=SIZE, height=SIZE)
    whole, found = model.get_outputs(image_rays(camera)), model.get_outputs_for_camera(camera)
    assert whole["object_accumulation"].mean() > 0.005
    for name in ("rgb", "accumulation", "object_accumulation", "parts"):
        assert torch.allclose(found[name], whole[name], atol=1e-3), name


def batches_of(truth: HandSplatModel, views: list[RayBundle]):
    """What pictures of a model say, with the labels of its parts."""
    for rays in views:
        with torch.no_grad():
            seen = truth(rays)
        label = torch.where(seen["accumulation"] > 0.5, int(PixelLabel.HAND), int(PixelLabel.BACKGROUND))
        label[seen["object_accumulation"] > 0.5] = int(PixelLabel.OBJECT)
        mask = seen["accumulation"] > 0.5
        yield ray_batch(seen["rgb"], label, in_mask=mask, on_boundary=torch.zeros_like(mask))


def test_form_and_colors_are_found_again():
    """A ball of two thirds the size in colors of its own, half a centimeter from where it is looked for."""
    truth = painted(holding()).eval()
    with torch.no_grad():
        truth.held.splats.mean.mul_(0.67).add_(torch.tensor([0.004, 0.0, 0.003]))
        truth.held.splats.log_half_axes.add_(np.log(0.67))
    model = holding()
    views = [view(model, turn=turn) for turn in (-1.0, -0.4, 0.2, 0.8)]
    batches = list(batches_of(truth, views))
    asked = view(model, turn=-0.1)

    def figures() -> tuple[float, float]:
        with torch.no_grad():
            found, wanted = model.eval()(asked), truth(asked)
        mine, theirs = (one["object_accumulation"][..., 0] > 0.5 for one in (found, wanted))
        error = (found["rgb"] - wanted["rgb"])[theirs].abs().mean()
        return float(error), float((mine & theirs).sum() / (mine | theirs).sum())

    error, iou = figures()
    free = dict(model.held.splats.named_parameters())
    rates = {"mean": 4e-4, "view": 2e-3, "opacity": 3e-2}
    optimizer = torch.optim.Adam([{"params": [value], "lr": rates.get(name, 2e-2)} for name, value in free.items()])
    model.train()
    for step in range(80):
        losses = model.get_loss_dict(model(views[step % 4]), batches[step % 4])
        assert {"color", "mask", "part", "penalty"} <= losses.keys()
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert iou < 0.7
    learned_error, learned_iou = figures()
    assert learned_error < 0.5 * error and learned_iou > 0.85


def test_training_reaches_every_parameter():
    model = holding().train()
    rays = view(model, turn=0.3, frame=1)
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(4, (SIZE, SIZE, 1), generator=generator)
    losses = model.get_loss_dict(model(rays), ray_batch(torch.rand(SIZE, SIZE, 3, generator=generator), label))
    sum(losses.values()).backward()
    groups = model.get_param_groups()
    for parameter in model.held.parameters():
        assert any(parameter is value for group in groups.values() for value in group)
        assert parameter.grad.isfinite().all() and parameter.grad.any()
    # The first frame says where the object's frame is.
    assert model.held.deltas.grad[1].any() and not model.held.deltas.grad[0].any()


def test_without_an_object_nothing_of_it_is_there():
    model = make_model(HandSplatModelConfig(splats_per_hand=200))
    assert model.held is None and model.learned_labels == (PixelLabel.HAND,)
    assert not any("held" in name for name in model.state_dict())
    assert model.export_source().held_splats is None
    assert not {"parts", "object_accumulation"} & model.eval()(view(model)).keys()
    with pytest.raises(ValueError, match="hold something"):
        model.held_cloud(model.hands.at_frame(0))


def options(**changed: object) -> FileOptions:
    plain = {
        "world": np.eye(3, 4), "formats": ("splat", "splat-glb"), "at_rest": False, "texture_size": 16,
        "open_wrist": True, "voxel": 1e-3, "level": 0.0,
    }  # fmt: skip
    return FileOptions(**{**plain, **changed})


@pytest.mark.parametrize("frame", [0, 1, None])
def test_files_hold_both_where_they_are(frame: int | None):
    model = holding(splats_per_hand=300, object_splats=200).eval()
    hands = model.hands
    pose = hands.pose_of(torch.tensor([1 if frame is None else frame]))
    files = AvatarFiles(model.export_source(), pose, options(), frame)
    ply = PlyData.read(io.BytesIO(dict(files.hands())["hands_splat.ply"]))["vertex"]
    assert len(ply) == 500 and not list(files.held_object())
    place = np.stack([ply[axis] for axis in "xyz"], axis=1)
    expected = model.held.first_poses[frame or 0, :3, 3].numpy()
    if frame is None:
        # In a pose of no frame the wrist takes it along, and in the second frame the wrist is where it was.
        bones = [hands.at_frame(number).bones[0, 0, 0] for number in (0, 1)]
        expected = (bones[1] @ torch.linalg.inv(bones[0]) @ model.held.first_poses[0])[:3, 3].numpy()
    assert np.abs(place[300:].mean(axis=0) - expected).max() < 1e-3
    assert np.abs(np.linalg.norm(place[300:] - expected, axis=1) - RADIUS).max() < 2e-3
    lone = AvatarFiles(model.export_source(), pose, options(at_rest=True), frame)
    assert len(PlyData.read(io.BytesIO(dict(lone.hands())["hands_splat.ply"]))["vertex"]) == 300


def draw_cloud(cloud: SplatCloud, rays: RayBundle) -> tuple[torch.Tensor, torch.Tensor]:
    """By the formulas of files."""
    toward = torch.nn.functional.normalize(cloud.means - rays.origins[0, 0], dim=-1)
    colors = cloud.constant + (spherical_harmonics(2, toward)[:, 1:, None] * cloud.linear).sum(dim=1)
    # As the model has it: no color is below black.
    return draw_splats(Splats(cloud.means, cloud.axes, cloud.opacities), colors.clamp(min=0), *pinhole_rays(rays))

@torch.no_grad()
def test_a_trained_model_says_what_it_shows():
    """The clouds of hand and object, drawn by themselves, are the model's own picture."""
    model = painted(holding(splats_per_hand=1500)).eval()
    generator = torch.Generator().manual_seed(0)
    model.held.splats.view.add_(0.1 * torch.randn(model.held.splats.view.shape, generator=generator))
    rays = view(model, turn=0.3, frame=1)
    del rays.metadata["camera_index"]
    shown, source = model(rays), model.export_source()
    cloud = source.splats(model.hands.pose_of(torch.tensor([1]))).beside(source.held_splats(model.hands.at_frame(1)))
    found, covered = draw_cloud(cloud, rays)
    assert shown["object_accumulation"].mean() > 0.02
    assert (covered - shown["accumulation"]).abs().max() < 1e-3
    assert (found - shown["radiance"]).abs().max() < 2e-3

