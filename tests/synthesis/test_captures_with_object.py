"""Captures of a hand that holds something, in both layouts, against Open3D's view of the true meshes."""

import numpy as np
import open3d as o3d
import pytest
import torch
import trimesh
from helpers.grainy import grainy
from PIL import Image

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis import held_object
from nerfstudio_hands.synthesis.capture_room import subject_in_motion, synthesize_capture_room
from nerfstudio_hands.synthesis.grasps import search
from nerfstudio_hands.synthesis.interhand import synthesize_interhand
from nerfstudio_hands.synthesis.options import CaptureRoomOptions, InterHandOptions


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """A coarse object that fingers close on in one size of steps is enough to see whether the files agree."""
    with grainy(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_object, "CELL", 4e-3)
        patch.setattr(search, "STEPS", (3.0,))
        yield


@pytest.fixture(scope="module")
def room(tmp_path_factory, coarse):
    options = CaptureRoomOptions(num_cameras=2, resolution=64, seed=1, supersampling=1, subdivisions=1, object="box")
    return synthesize_capture_room(tmp_path_factory.mktemp("room") / "capture", options)


def _first_hits(camera, *meshes) -> np.ndarray:
    """Which of the meshes each pixel sees, -1 where none."""
    scene = o3d.t.geometry.RaycastingScene()
    for vertices, faces in meshes:
        scene.add_triangles(np.asarray(vertices, np.float32), np.asarray(faces, np.uint32))
    rays = scene.create_rays_pinhole(
        o3d.core.Tensor(camera.intrinsics), o3d.core.Tensor(camera.world_to_camera), camera.width, camera.height
    )
    return scene.cast_rays(rays)["geometry_ids"].numpy().astype(np.int64).astype(np.int32)


def _read(path) -> np.ndarray:
    values = np.asarray(Image.open(path))
    assert set(np.unique(values)) <= {0, 255}
    return values > 0


def _placed(truth, pose) -> np.ndarray:
    return truth["object_vertices"] @ pose[:3, :3].T + pose[:3, 3]


def test_masks_show_what_is_seen_of_hand_and_object(room):
    capture, truth = read_capture_room(room), np.load(room / "truth" / "truth.npz")
    for t, frame in enumerate(capture.frames):
        skin = trimesh.load(room / "truth" / f"mesh_{frame}.ply", process=False)
        held = trimesh.load(room / "truth" / f"object_{frame}.ply", process=False)
        np.testing.assert_allclose(held.vertices, _placed(truth, truth["object_to_world"][t]), atol=1e-5)
        for camera in capture.cameras:
            mask = _read(room / frame / "mask" / f"{camera.name}.png")
            object_mask = _read(room / frame / "obj_mask" / f"{camera.name}.png")
            assert not (mask & object_mask).any()
            seen = _first_hits(camera, (skin.vertices, skin.faces), (held.vertices, held.faces))
            assert (object_mask == (seen == 1)).mean() > 0.995
            assert object_mask.sum() > 100
            # Where the object hides the hand, the hand's mask is empty; the sleeve hides forearm.
            assert (mask & (seen == 1)).sum() <= 0.02 * mask.sum()
            assert (mask & (seen != 0)).sum() <= 0.03 * mask.sum()


def test_the_object_moves_rigidly_with_the_wrist():
    subject, motion = subject_in_motion(CaptureRoomOptions(frames=2, subdivisions=1, object="mug", hand="left"))
    names = ("global_orient", "local_rotations", "translation")
    arrays = [torch.from_numpy(getattr(motion, name)[:, SIDES.index("left")]) for name in names]
    wrist = pose_hand(default_hand("left"), *arrays, subject.shape).bone_transforms[:, 0].double().numpy()
    poses = motion.object_to_world
    in_wrist = np.linalg.inv(wrist) @ poses
    np.testing.assert_allclose(in_wrist[0], in_wrist[1], atol=1e-5)
    assert np.abs(poses[0] - poses[1]).max() > 0.1
    assert torch.equal(arrays[1][0], arrays[1][1])
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1, atol=1e-5)


def test_rendered_skin_and_object_stay_apart(room):
    skin = trimesh.load(room / "truth" / "mesh_1.ply", process=False)
    held = trimesh.load(room / "truth" / "object_1.ply", process=False)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(np.asarray(held.vertices, np.float32), np.asarray(held.faces, np.uint32))
    distance = scene.compute_signed_distance(np.asarray(skin.vertices, np.float32)).numpy()
    assert -1e-3 < distance.min() < 2e-3


def test_the_other_layout_has_object_masks_beside_its_images(tmp_path):
    options = InterHandOptions(
        num_cameras=1,
        frames=1,
        sequences=("ROM03_LT_No_Occlusion",),
        supersampling=1,
        subdivisions=2,
        object="superquadric",
    )
    root = synthesize_interhand(tmp_path / "capture", options)
    capture = read_interhand(root)
    subject = np.load(root / "truth" / "subject.npz")
    pose = np.load(root / "truth" / "ROM03_LT_No_Occlusion.npz")["object_to_world"][0]
    (image,) = capture.images.values()
    name = image.relative_to(root / "images").with_suffix(".png")
    object_mask = _read(root / "obj_mask" / name)
    alone = _first_hits(capture.cameras[0], (_placed(subject, pose), subject["object_faces"])) == 0
    skin = _read(root / "truth" / "mask_skin" / name)
    assert object_mask.sum() > 300 and not (object_mask & skin).any()
    # What is seen of the object is what the hand does not hide of it.
    assert (object_mask & ~alone).sum() < 0.02 * alone.sum()
    assert (alone & ~object_mask & ~skin).sum() < 0.05 * alone.sum()


def test_two_hands_with_one_object_are_refused(tmp_path):
    with pytest.raises(HandsError, match="expected a single hand"):
        synthesize_capture_room(tmp_path / "a", CaptureRoomOptions(hand="both", object="mug"))
    with pytest.raises(HandsError, match="expected a single hand"):
        synthesize_interhand(
            tmp_path / "b", InterHandOptions(sequences=("ROM09_Interaction_Fingers_Touching",), object="mug")
        )
