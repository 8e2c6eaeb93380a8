"""A person may fly the viewer's camera into the hand, or past it: every picture is made of numbers."""

from __future__ import annotations

import pytest
import torch
import trimesh
from helpers.avatars import ray_batch
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.models.hand_mesh import HandMeshModelConfig
from nerfstudio_hands.models.hand_mesh_neural import HandMeshNeuralModelConfig
from nerfstudio_hands.models.hand_uvnerf import HandUVNeRFModelConfig
from nerfstudio_hands.models.posed_hand_model import PosedHandModel

SIZE = 32
TO_FINGERS = (-1.0, 0.0, 0.0)

CONFIGS = {
    "mesh": lambda: HandMeshModelConfig(subdivisions=1, texture_size=64),
    "mlp": lambda: HandMeshNeuralModelConfig(subdivisions=1, texture_size=64),
    "unet": lambda: HandMeshNeuralModelConfig(subdivisions=1, texture_size=64, shader="unet"),
    "uvnerf": lambda: HandUVNeRFModelConfig(),
}


def make_model(name: str) -> PosedHandModel:
    """A flat right hand at the origin."""
    surface = HandSurface((default_hand("right"),))
    avatar = made_up_avatar(surface, HandPose.rest(1, (1,)), frame_names=["a"], camera_names=["00"])
    torch.manual_seed(0)
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    return CONFIGS[name]().setup(scene_box=box, num_train_data=1, metadata={"hands": avatar})


@pytest.fixture(scope="module", params=CONFIGS)
def model(request) -> PosedHandModel:
    return make_model(request.param)


def camera(place: torch.Tensor, toward: tuple[float, float, float]) -> Cameras:
    """Pinhole of 53 degrees, nerfstudio's axes."""
    back = -torch.nn.functional.normalize(torch.tensor(toward), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.1, 0.9, 0.3]), back), dim=0)
    pose = torch.stack([right, torch.linalg.cross(back, right), back, place], dim=1)
    return Cameras(pose[None], fx=float(SIZE), fy=float(SIZE), cx=SIZE / 2, cy=SIZE / 2, width=SIZE, height=SIZE)


def check_numbers(outputs: dict[str, torch.Tensor]) -> None:
    for name, picture in outputs.items():
        assert picture.shape[:2] == (SIZE, SIZE) and picture.isfinite().all(), name
        assert picture.min() >= 0, name
        assert name in ("depth", "radiance") or picture.max() <= 1 + 1e-5, name


@pytest.fixture(scope="module")
def places() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A vertex of the flat hand, its normal, and the place that is farthest inside of it."""
    surface = HandSurface((default_hand("right"),))
    rest = surface.pose(HandPose.rest(1), torch.zeros(10)).vertices
    closed = torch.cat([surface.faces, surface.closing_faces])
    mesh = trimesh.Trimesh(rest.numpy(), closed.numpy(), process=False)
    normals = torch.tensor(mesh.vertex_normals).float()
    inside = (rest - 7e-3 * normals)[surface.vertex_is_hand]
    depth = trimesh.proximity.signed_distance(mesh, inside[::20].numpy())
    assert depth.max() > 5e-3
    chosen = int(surface.vertex_is_hand.nonzero()[40])
    return rest[chosen], normals[chosen], inside[::20][int(depth.argmax())]


def test_from_inside_the_hand_is_all_around(model, places):
    outputs = model.eval().get_outputs_for_camera(camera(places[2], TO_FINGERS))
    check_numbers(outputs)
    if "wireframe" in outputs:  # A radiance field begins at the surface of the body, and has nothing inside.
        assert (outputs["accumulation"] > 0.999).all() and outputs["depth"].max() < 0.25


@pytest.mark.parametrize("inward", [0.0, 1e-4, 1.1e-3, -1e-4])
def test_a_camera_that_touches_the_skin(model, places, inward):
    vertex, normal, _ = places
    for toward in ((-normal).tolist(), TO_FINGERS, (0.3, -0.5, 0.8)):
        check_numbers(model.eval().get_outputs_for_camera(camera(vertex - inward * normal, toward)))


def test_a_camera_that_sees_past_the_hand(model):
    outputs = model.eval().get_outputs_for_camera(camera(torch.tensor([0.0, 0.5, 0.0]), (0.0, 1.0, 0.2)))
    check_numbers(outputs)
    assert outputs["accumulation"].max() == 0 == outputs["rgb"].max()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_on_a_image_beside_the_hand_moves_nothing_to_infinity(name):
    """A mask may reach into a picture whose border the fitted hand just does not reach."""
    model = make_model(name).train()
    rays = camera(torch.tensor([0.0, 0.5, 0.0]), (0.0, 1.0, 0.2)).generate_rays(camera_indices=0, keep_shape=True)
    number = torch.zeros(SIZE, SIZE, 1, dtype=torch.long)
    rays.metadata |= {"frame_index": number, "camera_index": number}
    label = torch.full((SIZE, SIZE, 1), PixelLabel.BACKGROUND)
    label[:2] = PixelLabel.HAND
    image = torch.rand(SIZE, SIZE, 3)
    if name == "uvnerf":
        rays, image, label = RayBundle.flatten(rays), image.flatten(0, 1), label.flatten(0, 1)
    losses = model.get_loss_dict(model(rays), ray_batch(image, label))
    assert all(loss.isfinite() for loss in losses.values()) and losses["color"] > 0
    sum(losses.values()).backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert found and all(gradient.isfinite().all() for gradient in found)
