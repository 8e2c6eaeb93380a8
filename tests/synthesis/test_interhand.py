"""A small capture in the layout of InterHand2.6M, read here by the published rules and checked against its truth."""

import dataclasses
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
from helpers.forked import context
from helpers.grainy import grainy, render_frame_grainily
from helpers.run_files import digests
from PIL import Image
from scipy.ndimage import binary_dilation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES, from_interhand
from nerfstudio_hands.synthesis import interhand
from nerfstudio_hands.synthesis.interhand import synthesize_interhand
from nerfstudio_hands.synthesis.options import InterHandOptions

LEFT, BOTH = "ROM03_LT_No_Occlusion", "ROM09_Interaction_Fingers_Touching"
SMALL = InterHandOptions(
    num_cameras=1, gray_cameras=1, frames=2, sequences=(LEFT, BOTH), split="val", capture=3, supersampling=1,
    subdivisions=2,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_rays() -> Iterator[None]:
    with grainy():
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return synthesize_interhand(tmp_path_factory.mktemp("small") / "capture", SMALL)


@pytest.fixture(scope="module")
def annotations(small) -> dict[str, dict]:
    folder = small / "annotations" / "val"
    names = ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
    return {name: json.loads((folder / f"InterHand2.6M_val_{name}.json").read_text()) for name in names}


def _project(annotations: dict, image: dict, points: np.ndarray) -> np.ndarray:
    """Pixel indices of points in millimetres, as InterHand2.6M's own reader computes them."""
    camera, name = annotations["camera"][str(image["capture"])], image["camera"]
    eye = (points - np.array(camera["campos"][name])) @ np.array(camera["camrot"][name]).T
    assert (eye[:, 2] > 0).all()
    return eye[:, :2] / eye[:, 2:] * np.array(camera["focal"][name]) + np.array(camera["princpt"][name])


def _truth(root: Path, image: dict) -> tuple[dict[str, np.ndarray], int]:
    with np.load(root / "truth" / f"{image['seq_name']}.npz") as file:
        truth = dict(file)
    return truth, truth["frames"].tolist().index(image["frame_idx"])


def test_every_listed_image_is_there_and_no_other(small, annotations):
    images = annotations["data"]["images"]
    listed = {f"images/val/{image['file_name']}" for image in images}
    assert listed == {str(path.relative_to(small)) for path in (small / "images").rglob("*.*")}
    assert len(listed) == len({image["id"] for image in images}) == 2 * 2 * 2
    for image, annotation in zip(images, annotations["data"]["annotations"], strict=True):
        name = f"Capture3/{image['seq_name']}/cam{image['camera']}/image{image['frame_idx']}.jpg"
        assert image["file_name"] == name and annotation["image_id"] == image["id"]
        assert (image["width"], image["height"]) == (334, 512)
        with Image.open(small / "images" / "val" / image["file_name"]) as picture:
            assert picture.size == (334, 512)
            assert picture.mode == ("RGB" if image["camera"].startswith("400") else "L")
        assert annotation["hand_type"] == ("left" if image["seq_name"] == LEFT else "interacting")


def test_frames_step_by_18_and_are_unique_in_the_capture(annotations):
    by_sequence = {LEFT: set(), BOTH: set()}
    for image in annotations["data"]["images"]:
        by_sequence[image["seq_name"]].add(image["frame_idx"])
    first, second = (sorted(frames) for frames in by_sequence.values())
    assert first[1] - first[0] == second[1] - second[0] == 18
    everything = {str(frame) for frame in first + second}
    assert len(everything) == 4
    assert set(annotations["joint_3d"]["3"]) == set(annotations["MANO_NeuralAnnot"]["3"]) == everything


def test_skeleton_is_a_tree_per_hand_with_tips_first(small):
    rows = [line.split(" ") for line in (small / "annotations" / "skeleton.txt").read_text().splitlines()]
    rows = [row for row in rows if row[0] != "#"]
    assert [int(row[1]) for row in rows] == list(range(42))
    assert rows[0][0] == "r_thumb4" and rows[41][0] == "l_wrist"
    for name, joint, parent in rows:
        if name.endswith("wrist"):
            assert parent == "-1"
        else:
            expected = f"{name[:-1]}{int(name[-1]) - 1}" if name[-1] != "1" else f"{name[0]}_wrist"
            assert rows[int(parent)][0] == expected and int(parent) > int(joint)


def test_joints_of_both_hands_are_where_the_truth_has_them(small, annotations):
    for image in annotations["data"]["images"]:
        truth, t = _truth(small, image)
        entry = annotations["joint_3d"]["3"][str(image["frame_idx"])]
        coordinates = np.array(entry["world_coord"])
        valid = np.array(entry["joint_valid"]).ravel().astype(bool)
        assert coordinates.shape == (42, 3) and valid.shape == (42,)
        assert (coordinates[~valid] == 0).all()
        for start, side in ((0, "right"), (21, "left")):
            s = SIDES.index(side)
            here = valid[start : start + 21]
            if not truth["is_there"][s]:
                assert not here.any() and np.isnan(truth["keypoints"][:, s]).all()
                continue
            assert here[20] and here.sum() >= 17
            found = from_interhand(coordinates[start : start + 21], axis=0)
            error = np.linalg.norm(found - 1e3 * truth["keypoints"][t, s], axis=1)[from_interhand(here, axis=0)]
            assert 0 < error.mean() < 3


def test_cameras_of_the_annotations_see_the_true_hands_where_the_images_do(small, annotations):
    with np.load(small / "truth" / "subject.npz") as subject:
        faces = {side: subject[f"faces_{side}"] for side in SIDES}
    offsets = []
    for image, annotation in zip(annotations["data"]["images"], annotations["data"]["annotations"], strict=True):
        truth, t = _truth(small, image)
        camera, name = annotations["camera"]["3"], image["camera"]
        # Pixel centres lie at +0.5 for Open3D, at whole numbers for InterHand2.6M.
        intrinsics = np.eye(3)
        intrinsics[[0, 1], [0, 1]] = camera["focal"][name]
        intrinsics[:2, 2] = np.array(camera["princpt"][name]) + 0.5
        extrinsics = np.eye(4)
        extrinsics[:3, :3] = camera["camrot"][name]
        extrinsics[:3, 3] = -extrinsics[:3, :3] @ np.array(camera["campos"][name]) * 1e-3
        scene = o3d.t.geometry.RaycastingScene()
        for s in np.flatnonzero(truth["is_there"]):
            scene.add_triangles(truth["vertices"][t, s], faces[SIDES[s]].astype(np.uint32))
        rays = scene.create_rays_pinhole(o3d.core.Tensor(intrinsics), o3d.core.Tensor(extrinsics), 334, 512)
        expected = np.isfinite(scene.cast_rays(rays)["t_hit"].numpy())

        path = Path("truth", "mask_hand", "val", image["file_name"]).with_suffix(".png")
        hand = np.asarray(Image.open(small / path)) > 0
        skin = np.asarray(Image.open(small / Path("truth", "mask_skin", *path.parts[2:]))) > 0
        assert (hand & expected).sum() > 0.95 * (hand | expected).sum()
        assert not (hand & ~skin).any() and skin.sum() > 1.02 * hand.sum()
        offsets.append(np.argwhere(hand).mean(0) - np.argwhere(expected).mean(0))
        # The picture is bright where there is skin and dark where there is nothing.
        gray = np.asarray(Image.open(small / "images" / "val" / image["file_name"]).convert("L")).astype(float)
        far = ~binary_dilation(skin, iterations=12)
        assert np.percentile(gray[skin], 5) > 1.3 * np.median(gray[far])

        x, y, width, height = annotation["bbox"]
        inside = np.zeros_like(hand)
        inside[int(y) : int(np.ceil(y + height)) + 1, int(x) : int(np.ceil(x + width)) + 1] = True
        assert (hand & ~inside).sum() < 0.01 * hand.sum()
        seen = np.array(annotation["joint_valid"], dtype=bool)
        coordinates = np.array(annotations["joint_3d"]["3"][str(image["frame_idx"])]["world_coord"])
        pixels = _project(annotations, image, coordinates[seen])
        column, row = np.round(pixels).astype(int).clip(0, [333, 511]).T
        assert binary_dilation(skin, iterations=4)[row, column].all()
    # Half a pixel of confusion about pixel centres would show here.
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.2


def test_absent_hands_have_no_mano_annotation(annotations):
    for image in annotations["data"]["images"]:
        hands = annotations["MANO_NeuralAnnot"]["3"][str(image["frame_idx"])]
        assert set(hands) == {"right", "left"}
        assert (hands["right"] is None) == (image["seq_name"] == LEFT)
        assert {key: len(value) for key, value in hands["left"].items()} == {"pose": 48, "shape": 10, "trans": 3}


def test_two_processes_and_other_sequences_leave_a_sequence_as_it_is(small, tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)
    monkeypatch.setattr(interhand, "_render_frame", render_frame_grainily)
    alone = dataclasses.replace(SMALL, sequences=(LEFT,))
    again = digests(synthesize_interhand(tmp_path / "again", alone, processes=2))
    before = {name: digest for name, digest in digests(small).items() if LEFT in name}
    assert len(before) == 2 * 2 * 3 + 1
    assert {name: digest for name, digest in again.items() if LEFT in name} == before
    assert {name for name in again if name.startswith("images")} == {n for n in before if n.startswith("images")}


def test_an_existing_folder_is_left_alone(small):
    before = sorted(small.rglob("*"))
    with pytest.raises(HandsError, match="expected a folder that does not exist yet"):
        synthesize_interhand(small, SMALL)
    assert sorted(small.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_cameras": 0}, "--num-cameras: expected a number from 1 to 1000, found 0"),
        ({"subdivisions": 1}, "--subdivisions: expected a number from 2 to 5, found 1"),
        ({"split": "eval"}, "--split: expected train, val or test, found 'eval'"),
        ({"fps": 10}, "--fps: expected 5 or 30, found 10"),
        ({"sequences": ("ROM99",)}, "out of ROM03_RT_No_Occlusion, .*found ROM99"),
        ({"sequences": (LEFT, LEFT)}, "expected different names"),
    ],
)
def test_nonsense_is_refused_and_leaves_nothing(tmp_path, change, message):
    with pytest.raises(HandsError, match=message):
        synthesize_interhand(tmp_path / "a", dataclasses.replace(SMALL, **change))
    assert list(tmp_path.iterdir()) == []
