"""Where an object starts: a ball is put before the palm of the shipped capture, as masks that the hand covers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.datamanagers.crop_cutting import crop_pixels
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image, read_mask
from nerfstudio_hands.fitting.object_poses import _hull, with_object_poses
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_model import HandPose, load_surface
from nerfstudio_hands.labels import PixelLabel

RADIUS = 0.025


def _joints(demo_capture):
    return np.load(demo_capture.parent / "truth" / "truth.npz")["keypoints"][0, 0]


@pytest.fixture(scope="module")
def middle(demo_capture):
    """Three centimetres and the radius in front of the palm."""
    joints = _joints(demo_capture).astype(float)
    out_of_palm = np.cross(joints[5] - joints[0], joints[17] - joints[0])
    out_of_palm /= np.linalg.norm(out_of_palm)
    return joints[[0, 5, 17]].mean(0) + (0.03 + RADIUS) * out_of_palm


@pytest.fixture(scope="module")
def capture(demo_capture, middle, tmp_path_factory):
    """The shipped capture with masks of the ball, as if it hid nothing and the hand hid it where both are."""
    return with_ball(read_capture(demo_capture), middle, tmp_path_factory.mktemp("masks"))


def with_ball(shipped, middle, folder, *, before_hand=False):
    masks = {}
    for key, path in shipped.masks.items():
        camera = shipped.camera(key[1])
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.intrinsics).T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        ball = camera.world_to_camera[:3, :3] @ middle + camera.world_to_camera[:3, 3]
        seen = rays @ ball >= np.sqrt(ball @ ball - RADIUS**2)
        masks[key] = folder / f"{key[1]}.png"
        Image.fromarray(np.where(seen & (before_hand | ~read_mask(path, camera.size)), 255, 0).astype(np.uint8)).save(
            masks[key]
        )
    return replace(shipped, object_masks=masks)


def test_without_a_pose_the_frame_starts_in_the_middle_of_the_hull(capture, true_fit, middle):
    found = with_object_poses(capture, true_fit, capture.camera_names, "default").object_poses
    assert found.shape == (1, 4, 4)
    np.testing.assert_allclose(found[0, :3, :3], np.eye(3), atol=1e-6)
    assert np.linalg.norm(found[0, :3, 3] - middle) < 5e-3


def test_its_frame_turns_with_the_wrist_and_stays_where_no_hand_is(capture, true_fit, middle, demo_capture):
    out_of_palm = middle - _joints(demo_capture)[[0, 5, 17]].mean(0)
    turn = Rotation.from_rotvec(0.4 * out_of_palm / np.linalg.norm(out_of_palm))
    first = true_fit.pose
    orient = turn * Rotation.from_rotvec(first.global_orient[0, 0].numpy())
    pose = HandPose(
        torch.cat([first.global_orient, torch.from_numpy(orient.as_rotvec()).float()[None, None], first.global_orient]),
        first.local_rotations.repeat(3, 1, 1, 1),
        first.translation.repeat(3, 1, 1),
        torch.tensor([[True], [True], [False]]),
    )
    frames = ["1", "2", "3"]
    tables = {
        name: {(frame, key[1]): path for frame in frames for key, path in getattr(capture, name).items()}
        for name in ("images", "masks", "object_masks")
    }
    moving = replace(capture, frames=frames, detections=capture.detections.repeat(3, axis=0), **tables)
    fit = replace(true_fit, frames=frames, pose=pose)
    found = with_object_poses(moving, fit, capture.camera_names, "default").object_poses
    np.testing.assert_allclose(found[0, :3, :3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found[1, :3, :3], turn.as_matrix(), atol=1e-5)
    assert np.linalg.norm(found[:, :3, 3] - middle, axis=1).max() < 5e-3
    np.testing.assert_array_equal(found[2], found[1])


def test_held_out_masks_carve_nothing(capture, true_fit, tmp_path):
    names = capture.camera_names
    expected = with_object_poses(capture, true_fit, names[:-3], "default")
    spoilt = dict(capture.object_masks)
    for name in names[-3:]:
        width, height = capture.camera(name).size
        spoilt["1", name] = tmp_path / f"{name}.png"
        Image.fromarray(np.zeros((height, width), dtype=np.uint8)).save(spoilt["1", name])
    found = with_object_poses(replace(capture, object_masks=spoilt), true_fit, names[:-3], "default")
    np.testing.assert_array_equal(found.object_poses, expected.object_poses)
    assert found.object_radius == expected.object_radius
    np.testing.assert_array_equal(found.object_hull, expected.object_hull)


def test_its_hull_lies_in_its_frame(capture, true_fit, middle):
    """As poses that are given turn and shift it; a ball before the palm is in the hull of its masks."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    turned[:3, 3] = middle
    names = capture.camera_names
    plain = with_object_poses(capture, true_fit, names, "default")
    found = with_object_poses(replace(capture, object_poses=turned[None]), true_fit, names, "default")
    hulls = [one.object_hull @ one.object_poses[0, :3, :3].T + one.object_poses[0, :3, 3] for one in (plain, found)]
    np.testing.assert_allclose(*hulls, atol=1e-6)
    assert np.linalg.norm(found.object_hull, axis=1).max() < found.object_radius
    # Most of the ball is in it.
    inside = middle + RADIUS * np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    assert (cKDTree(hulls[1]).query(inside)[0] < 4e-3).mean() > 0.9


def test_cameras_are_those_that_the_fit_turned(capture, true_fit):
    turn = np.array([0.03, -0.02, 0.01])
    back = np.eye(4)
    back[:3, :3] = Rotation.from_rotvec(-turn).as_matrix()
    cameras = [replace(camera, world_to_camera=back @ camera.world_to_camera) for camera in capture.cameras]
    fit = replace(true_fit, camera_rotation={name: turn for name in capture.camera_names})
    found = with_object_poses(replace(capture, cameras=cameras), fit, capture.camera_names, "default")
    expected = with_object_poses(capture, true_fit, capture.camera_names, "default")
    np.testing.assert_allclose(found.object_poses, expected.object_poses, atol=1e-3)
    assert found.object_radius == pytest.approx(expected.object_radius, abs=2e-3)


def test_the_hull_ends_where_the_hand_begins(demo_capture, true_fit, middle, tmp_path):
    joints = _joints(demo_capture)
    palm = joints[[0, 5, 17]].mean(0)
    # A ball sunk into the palm, of which the masks show all.
    touching = with_ball(read_capture(demo_capture), palm + 0.4 * (middle - palm), tmp_path, before_hand=True)
    surface = load_surface(true_fit.sides, "default")
    posed = surface.pose(true_fit.pose, true_fit.shape, true_fit.displacement)
    hand = Surfaces(surface.faces, posed.vertices, closing_faces=surface.closing_faces)
    hull = _hull(touching, true_fit, touching.camera_names, 0, hand, posed.keypoints[0])
    assert not hand.inside(torch.from_numpy(hull).float()).any()


def test_masks_that_agree_on_nothing_are_refused(capture, true_fit, tmp_path):
    corners = {}
    for number, key in enumerate(capture.masks):
        width, height = capture.camera(key[1]).size
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[-(number // 2 % 2) * 8 :, -(number % 2) * 8 :][:8, :8] = 255
        corners[key] = tmp_path / f"{key[1]}.png"
        Image.fromarray(mask).save(corners[key])
    with pytest.raises(HandsError, match="agree on a place near the hand in frame 1"):
        with_object_poses(replace(capture, object_masks=corners), true_fit, capture.camera_names, "default")


def test_a_hand_inside_the_object_is_refused(capture, true_fit):
    with pytest.raises(HandsError, match=r"outside of the object, found (19|2\d) of 21 joints .* in frame 1"):
        with_object_poses(replace(capture, object_masks=capture.masks), true_fit, capture.camera_names, "default")


def test_a_pose_that_was_given_is_kept_unless_it_contradicts_the_hand(capture, true_fit, middle, demo_capture):
    def given(place):
        pose = np.eye(4)
        pose[:3, 3] = place
        with_pose = replace(capture, object_poses=pose[None])
        return with_object_poses(with_pose, true_fit, capture.camera_names, "default").object_poses[0, :3, 3]

    np.testing.assert_array_equal(given(middle), middle)
    palm = _joints(demo_capture)[[0, 9]].mean(0)
    with pytest.raises(HandsError, match="beside the hand, found it 1[0-9] mm inside of it in frame 1"):
        given(palm)
    with pytest.raises(HandsError, match="mm away in frame 1: give object_to_world in metres"):
        given(1000 * middle)


def test_a_capture_without_an_object_stays_as_it_is(demo_capture, true_fit):
    capture = read_capture(demo_capture)
    assert with_object_poses(capture, true_fit, capture.camera_names, "default") is capture


def test_object_pixels_have_a_label_and_leave_the_hand_alone(capture, true_fit, tmp_path):
    # A square over the middle of each picture: hand, background and object meet.
    masks = {}
    for key in capture.masks:
        width, height = capture.camera(key[1]).size
        square = np.zeros((height, width), dtype=np.uint8)
        square[height // 3 : height // 2, width // 3 : 2 * width // 3] = 255
        masks[key] = tmp_path / f"{key[1]}.png"
        Image.fromarray(square).save(masks[key])
    posed = replace(capture, object_masks=masks, object_poses=np.eye(4)[None])
    outputs = capture_to_outputs(
        posed,
        true_fit,
        Split(list(capture.camera_names), [], np.ones(1, dtype=bool)),
        train=True,
        max_eval_images=0,
        hand="both",
        hand_model="default",
        resolution_scale=None,
        max_resolution=640,
    )
    assert torch.equal(outputs.metadata["hands"].object_pose, torch.eye(4)[None])
    dataset = EvaluationImages(outputs)
    masks_alone = [replace(one, held_object=None) for one in outputs.metadata["masks"]]
    without = EvaluationImages(replace(outputs, metadata={**outputs.metadata, "masks": masks_alone}))
    image = read_image(outputs.image_filenames[0])
    found, before = dataset.labels(0, image), without.labels(0, image)
    held = np.asarray(Image.open(masks["1", capture.camera_names[0]])) > 0
    assert (before.label[held] == PixelLabel.HAND).any() and not (before.label == PixelLabel.OBJECT).any()
    assert set(np.unique(found.label[held])) == {PixelLabel.IGNORE, PixelLabel.OBJECT}
    assert (found.label[held] == PixelLabel.OBJECT).mean() > 0.8 and not (found.label[~held] == PixelLabel.OBJECT).any()
    # No metric counts what a model draws there: the mask holds it, the region does not.
    assert found.mask[held].all() and not (found.region & held).any()
    # Away from the square nothing changes.
    far = np.ones_like(held)
    far[held.shape[0] // 3 - 12 : held.shape[0] // 2 + 12] = False
    assert (found.label[far] == before.label[far]).mean() > 0.99 and (found.label[far] == PixelLabel.BACKGROUND).any()
    pixels, top, left = crop_pixels(image, found, 0)
    rows, columns = np.nonzero(found.label == PixelLabel.OBJECT)
    assert top <= rows.min() and left <= columns.min()
    assert rows.max() < top + len(pixels) and columns.max() < left + pixels.shape[1]
