"""A camera inside a hand, or all but touching it, is refused, with where it is and what is likely wrong."""

from __future__ import annotations

import re
import shutil
from copy import deepcopy
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from helpers.kept_fit import keep

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.dataparsers import avatar_data
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandSurface, load_hand
from nerfstudio_hands.transforms.rigid import apply_rigid

CAMERAS = ["00", "02", "05"]

METHODS = {
    entry.name: entry
    for entry in entry_points(group="nerfstudio.method_configs")
    # Those of single pictures, or of joints, know no rig.
    if "hand" in entry.name and not any(kind in entry.name for kind in ("monocular", "hand-object", "from-joints"))
}


@pytest.fixture(scope="module")
def hand(true_fit: HandFit) -> trimesh.Trimesh:
    """The posed hand in the capture's world, closed at the wrist."""
    surface = HandSurface(tuple(load_hand("default", side) for side in true_fit.sides))
    posed = surface.pose(true_fit.pose, true_fit.shape, true_fit.displacement).vertices[0]
    return trimesh.Trimesh(posed.numpy(), torch.cat([surface.faces, surface.closing_faces]).numpy(), process=False)


def moved(capture: Capture, places: dict[str, np.ndarray]) -> Capture:
    """The capture with the centres of some cameras elsewhere."""
    cameras = []
    for camera in capture.cameras:
        extrinsics = camera.world_to_camera.copy()
        if camera.name in places:
            extrinsics[:3, 3] = -extrinsics[:3, :3] @ places[camera.name]
        cameras.append(replace(camera, world_to_camera=extrinsics))
    return replace(capture, cameras=cameras)


def outputs(capture: Capture, fit: HandFit, cameras: list[str] = CAMERAS, held_out: tuple[str, ...] = (), train=True):
    split = Split(cameras, list(held_out), np.ones(1, dtype=bool))
    options = {"resolution_scale": None, "max_resolution": 640, "max_eval_images": 0}
    return capture_to_outputs(capture, fit, split, train=train, hand="both", hand_model="default", **options)


def place_beside(hand: trimesh.Trimesh, distance: float) -> np.ndarray:
    """A place at this signed distance (metres, positive outside) of the hand, by another library's search."""
    for face in range(0, len(hand.faces), 97):
        place = hand.triangles_center[face] + distance * hand.face_normals[face]
        if abs(-trimesh.proximity.signed_distance(hand, place[None])[0] - distance) < 1e-4:
            return place
    raise AssertionError(f"no place {distance} m from the hand")


@pytest.fixture(scope="module")
def scan_with_a_camera_inside(
    demo_capture: Path, true_fit: HandFit, hand: trimesh.Trimesh, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The shipped capture with another calibration, and a fit of it that is kept."""
    scan = shutil.copytree(demo_capture, tmp_path_factory.mktemp("spoilt") / "1")
    file = scan / "camera" / "param.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["ext_2"][:3, 3] = -arrays["ext_2"][:3, :3] @ place_beside(hand, -0.003)
    arrays["world_mat_2"] = arrays["int_2"] @ arrays["ext_2"]
    np.savez(file, **arrays)
    keep(true_fit, scan)
    return scan


@pytest.mark.parametrize("distance", [-0.005, -0.001, 0.002, 0.0095])
def test_where_it_is_and_by_how_much_is_said(demo_capture: Path, true_fit, hand, distance):
    capture = moved(read_capture(demo_capture), {"02": place_beside(hand, distance)})
    with pytest.raises(HandsError, match="at least 10 mm outside") as raised:
        outputs(capture, true_fit)
    name, found, side = re.search(r"found camera (\d+) ([\d.]+) mm (\w+) in frame 1:", str(raised.value)).groups()
    assert name == "02" and side == ("inside" if distance < 0 else "outside")
    assert float(found) == pytest.approx(abs(distance) * 1000, abs=0.2)
    assert str(capture.root) in str(raised.value) and "world to camera" in str(raised.value)
    # The remedy that the sentence names.
    assert len(outputs(capture, true_fit, ["00", "05"]).image_filenames) == 2


def test_a_camera_that_is_far_enough_is_taken(demo_capture: Path, true_fit, hand):
    capture = moved(read_capture(demo_capture), {"02": place_beside(hand, 0.011)})
    assert len(outputs(capture, true_fit).image_filenames) == 3


def test_kilometers_for_meters_concern_all_cameras(demo_capture: Path, true_fit, hand):
    """Translations a thousand times too small put every camera where the world's origin is: here, into the hand."""
    inside = place_beside(hand, -0.004)
    capture = moved(read_capture(demo_capture), {name: inside + 1e-4 * n for n, name in enumerate(CAMERAS)})
    with pytest.raises(HandsError, match="and 2 more as near: check the unit"):
        outputs(capture, true_fit)


def test_a_held_out_camera_is_looked_at_too(demo_capture: Path, true_fit, hand):
    capture = moved(read_capture(demo_capture), {"05": place_beside(hand, -0.004)})
    outputs(capture, true_fit, ["00", "02"], held_out=("05",))
    with pytest.raises(HandsError, match="camera 05"):
        outputs(capture, true_fit, ["00", "02"], held_out=("05",), train=False)


def test_no_hand_is_posed_for_cameras_that_are_far(demo_capture: Path, true_fit, monkeypatch):
    """Thousands of frames would take minutes; and the reach within which hands are posed holds all of them."""
    capture = read_capture(demo_capture)
    known = outputs(capture, true_fit).metadata["hands"]
    vertices = known.all_vertices([0])[0]
    model = known.all_hands.hands[0]
    wrist = apply_rigid(
        known.world_transform, known.all_pose.translation[0, 0] + model.joint_regressor[0] @ model.template
    )
    reach = avatar_data.REACH * (model.template - model.joint_regressor[0] @ model.template).norm(dim=1).max()
    assert (vertices - wrist).norm(dim=1).max() < 0.8 * reach < 0.3
    monkeypatch.setattr(avatar_data, "Surfaces", None)
    assert len(outputs(capture, true_fit).image_filenames) == 3


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_ends_with_this_sentence(method: str, scan_with_a_camera_inside: Path, tmp_path: Path):
    data = METHODS[method].load().config.pipeline.datamanager
    config = replace(data, data=scan_with_a_camera_inside, dataparser=deepcopy(data.dataparser))
    with pytest.raises(SystemExit, match=r"^error: .*/1: expected cameras .* found camera 02 .* in frame 1"):
        config.setup(device="cpu", test_mode="val")
