"""Whole pictures in layers, beside the same pictures from samples."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components import image_layers
from nerfstudio_hands.models.hand_canonical import HandCanonicalModelConfig
from nerfstudio_hands.models.hand_sdf import HandSDFModelConfig
from nerfstudio_hands.models.hand_uvnerf import HandUVNeRFModel, HandUVNeRFModelConfig
from nerfstudio_hands.models.posed_hand_model import PosedHandModel

SIZE = 96


def make_model(sides: tuple[str, ...] = ("right",), **options) -> HandUVNeRFModel:
    """Hands bent at random, whose field says something else at every place and distance."""
    surface = HandSurface(tuple(default_hand(side) for side in sides))
    pose = HandPose.rest(len(sides), (2,))
    generator = torch.Generator().manual_seed(2)
    pose.local_rotations = pose.local_rotations + 0.4 * torch.rand(pose.local_rotations.shape, generator=generator)
    if len(sides) == 2:
        pose.translation = pose.translation + torch.tensor([[[0.0, 0, -0.06], [0.0, 0, 0.06]]])
    avatar = made_up_avatar(surface, pose, frame_names=["a", "b"], camera_names=["00"])
    torch.manual_seed(0)
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    config = HandUVNeRFModelConfig(beta=0.0005, num_samples=48, **options)
    model = config.setup(scene_box=box, num_train_data=1, metadata={"hands": avatar}).eval()
    with torch.no_grad():
        model.field.geometry_network.layers[-1].weight.mul_(4)
        for level in model.field.position.uv_planes.levels:
            level.mul_(2)
    return model


def camera(model: PosedHandModel, **changes) -> Cameras:
    """A camera half a meter from the hands that looks at their middle."""
    middle = model.hands.at_frame(0).surfaces.vertices[0].mean(0)
    back = torch.nn.functional.normalize(torch.tensor([0.3, 0.9, 0.2]), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 0.1, 1.0]), back), dim=0)
    pose = torch.stack([right, torch.linalg.cross(back, right), back, middle + 0.4 * back], dim=1)
    size = {"cx": SIZE / 2, "cy": SIZE / 2, "width": SIZE, "height": SIZE}
    return Cameras(pose[None], **{"fx": 130.0, "fy": 135.0, **size, **changes})


def both(model: PosedHandModel, view: Cameras) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A picture in layers, and from samples."""
    found = []
    for layered in (True, False):
        model.config.layered_images = layered
        found.append(model.get_outputs_for_camera(view))
    return found[0], found[1]


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    return -10 * math.log10(float((first - second).square().mean()))


LENSES = {
    "pinhole": {},
    "distorted": {"distortion_params": torch.tensor([0.1, -0.05, 0.0, 0.0, 0.01, -0.01])},
    "fisheye": {"camera_type": CameraType.FISHEYE, "distortion_params": torch.tensor([0.05, 0.01, 0.0, 0.0, 0.0, 0.0])},
    "ortho": {"camera_type": CameraType.ORTHOPHOTO, "fx": 300.0, "fy": 300.0},
}


@pytest.mark.parametrize("lens", LENSES)
def test_images_agree_through_any_lens(lens: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    drawn = []
    entry = image_layers.shell_entry
    monkeypatch.setattr(image_layers, "shell_entry", lambda *a, **k: drawn.append(entry(*a, **k)) or drawn[-1])
    layers, samples = both(model, camera(model, **LENSES[lens]))
    assert len(drawn) == 1 and (drawn[0] is not None) == (lens == "pinhole")
    assert layers.keys() == samples.keys()
    assert all(layers[name].shape == samples[name].shape for name in samples)
    assert 0.05 < float((samples["accumulation"] > 0.5).float().mean()) < 0.9
    assert psnr(layers["rgb"], samples["rgb"]) > 36
    assert psnr(layers["accumulation"], samples["accumulation"]) > 33
    solid = (samples["accumulation"] > 0.99) & (layers["accumulation"] > 0.99)
    off = (layers["depth"] - samples["depth"])[solid].abs()
    assert off.median() < 2e-4 and off.quantile(0.95) < 3e-3
    turned = (layers["normals"] - samples["normals"])[solid[..., 0]].norm(dim=-1)
    assert turned.median() < 0.02


def test_two_hands_and_another_pose() -> None:
    model = make_model(("left", "right"))
    for bend in (0.0, 0.3):
        pose = model.hands.pose_of(torch.tensor([0]))
        model.hands.set_override(replace(pose, local_rotations=pose.local_rotations + bend))
        layers, samples = both(model, camera(model))
        assert psnr(layers["rgb"], samples["rgb"]) > 31
    model.hands.set_override(None)


def test_corrected_cameras_and_learned_colors_count() -> None:
    model = make_model(refine_cameras=True)
    model.cameras.seen[:] = True
    view = camera(model)
    view.metadata = {name: torch.ones(1, 1, dtype=torch.long) for name in ("frame_index", "camera_index")}
    view.metadata["camera_index"] -= 1
    layers, samples = both(model, view)
    assert psnr(layers["rgb"], samples["rgb"]) > 38
    view.metadata["frame_index"] = torch.zeros(1, 1, dtype=torch.long)
    assert psnr(both(model, view)[0]["rgb"], layers["rgb"]) < 25


def test_distances_that_are_learned_are_drawn_alike() -> None:
    hands = {"hands": make_model().avatar}
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    torch.manual_seed(1)
    config = HandSDFModelConfig(subdivisions=1, num_samples=16)
    model = config.setup(scene_box=box, num_train_data=1, metadata=hands).eval()
    with torch.no_grad():
        model.scene.hand.field.network.layers[-1].parametrizations.weight.original0.mul_(2)
    layers, samples = both(model, camera(model))
    assert psnr(layers["rgb"], samples["rgb"]) > 33
    assert psnr(layers["accumulation"], samples["accumulation"]) > 30
    solid = (samples["accumulation"] > 0.99) & (layers["accumulation"] > 0.99)
    assert (layers["depth"] - samples["depth"])[solid].abs().median() < 2e-4


def test_a_image_beside_the_hand_is_empty() -> None:
    model = make_model()
    view = camera(model)
    view.camera_to_worlds[..., 3] += 5
    layers, samples = both(model, view)
    assert (layers["accumulation"] == 0).all() and torch.equal(layers["depth"], samples["depth"])


def test_training_and_methods_with_a_warp_look_at_samples() -> None:
    model = make_model(layered_images=True)
    assert model.draws_layers and not model.train().draws_layers
    hands = {"hands": model.avatar}
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    config = HandCanonicalModelConfig(layered_images=True)
    warped = config.setup(scene_box=box, num_train_data=1, metadata=hands).eval()
    assert not warped.draws_layers
