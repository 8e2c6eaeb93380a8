"""One rig, written in every format, is read alike; anything else is one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.written_calibrations import SIZE, WRITERS, made_up_rig, write_anipose, write_easymocap, write_transforms

from nerfstudio_hands.calibration.formats.anipose import anipose_text
from nerfstudio_hands.calibration.formats.transforms_json import transforms_text
from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import in_meters
from nerfstudio_hands.errors import HandsError

FISHEYE = Lens("fisheye", (0.05, -0.01, 0.003, -0.001))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("lens", ["polynomial", "none", "fisheye"])
def test_every_format_says_the_same(tmp_path: Path, name: str, lens: str):
    if name in ("easymocap",) and lens == "fisheye":
        pytest.skip("the format knows no fisheye lens")
    rig = {"polynomial": made_up_rig(), "none": made_up_rig(None), "fisheye": made_up_rig(FISHEYE)}[lens]
    found = read_calibration(WRITERS[name](tmp_path, rig))
    assert found.placed
    for index, expected in enumerate(rig):
        camera = found.camera(f"{index:02d}" if name == "param.npz" else expected.name)
        np.testing.assert_allclose(camera.intrinsics, expected.intrinsics, atol=1e-9)
        np.testing.assert_allclose(camera.world_to_camera, expected.world_to_camera, atol=1e-9)
        if name == "param.npz":
            continue
        assert camera.size == SIZE
        assert (camera.lens is None) == (expected.lens is None)
        if camera.lens is not None:
            assert camera.lens.model == expected.lens.model
            count = len(expected.lens.coefficients)
            assert camera.lens.coefficients[:count] == pytest.approx(expected.lens.coefficients)
            assert not any(camera.lens.coefficients[count:])


@pytest.mark.parametrize("lens", [None, FISHEYE, made_up_rig()[0].lens])
def test_what_we_write_is_read_back(tmp_path: Path, lens: Lens | None):
    rig = made_up_rig(lens)
    path = tmp_path / "calibration.toml"
    path.write_text(anipose_text(rig, unit=0.001, error=0.7))
    found = read_calibration(path)
    assert found.unit == 0.001 and list(found.cameras) == [camera.name for camera in rig]
    for camera in rig:
        np.testing.assert_allclose(found.cameras[camera.name].intrinsics, camera.intrinsics, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.cameras[camera.name].world_to_camera, camera.world_to_camera, atol=1e-9)
        assert (found.cameras[camera.name].lens or lens) == lens
    np.testing.assert_allclose(
        in_meters(found, 0.001).cameras["cam01"].world_to_camera[:3, 3], rig[1].world_to_camera[:3, 3] / 1000
    )


@pytest.mark.parametrize("name", ["rig.json", "rig.yml", "rig"])
def test_what_we_write_is_read_back_under_any_name(tmp_path: Path, name: str):
    """As `ns-hands calibrate --output rig.json` writes it."""
    (tmp_path / name).write_text(anipose_text(made_up_rig(), unit=1.0))
    assert list(read_calibration(tmp_path / name).cameras) == [camera.name for camera in made_up_rig()]


@pytest.mark.parametrize("lens", [None, FISHEYE, made_up_rig()[0].lens])
def test_images_that_we_write_are_read_back(tmp_path: Path, lens: Lens | None):
    rig = {f"{camera.name}.png": camera for camera in made_up_rig(lens)}
    (tmp_path / "transforms.json").write_text(transforms_text(rig))
    found = read_calibration(tmp_path).images
    assert list(found) == list(rig)
    for name, camera in rig.items():
        np.testing.assert_allclose(found[name].intrinsics, camera.intrinsics, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found[name].world_to_camera, camera.world_to_camera, atol=1e-9)
        assert found[name].size == camera.size and (found[name].lens is None) == (lens is None)


def test_images_find_their_cameras(tmp_path: Path):
    found = read_calibration(write_anipose(tmp_path, made_up_rig()))
    for name in ("cam01", "cam01.mp4", "videos/cam01.mp4", "1", "01.png", "GOPRO_0001"):
        assert found.camera(name).name == "cam01", name
    with pytest.raises(HandsError, match="expected a camera for 'kitchen.mp4', found cam00, cam01, cam02"):
        found.camera("kitchen.mp4")


def test_one_camera_serves_all_images(tmp_path: Path):
    found = read_calibration(write_anipose(tmp_path, made_up_rig()[:1]))
    assert found.camera("kitchen.mp4").name == "cam00"


def test_intrinsics_for_all_frames_and_sizes_from_images(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 200, 3), np.uint8))
    frame = {"file_path": "./a", "transform_matrix": np.eye(4).tolist()}
    (tmp_path / "transforms.json").write_text(json.dumps({"camera_angle_x": 1.2, "frames": [frame]}))
    (camera,) = read_calibration(tmp_path).images.values()
    assert camera.size == (200, 100)
    assert 2 * np.arctan(100 / camera.intrinsics[0, 0]) == pytest.approx(1.2)
    assert camera.intrinsics[:2, 2] == pytest.approx((100, 50))
    # A camera of Blender that stands in the origin looks along -z, up is y.
    np.testing.assert_allclose(camera.world_to_camera, np.diag([1.0, -1.0, -1.0, 1.0]))


def test_the_two_cameras_of_a_stereo_file(tmp_path: Path):
    path = tmp_path / "stereo.yml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    k = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    rotation = cv2.Rodrigues(np.array([0.0, 0.2, 0.0]))[0]
    matrices = {"M1": k, "D1": np.zeros(5), "M2": 2 * k - np.diag([0, 0, 1.0]), "D2": np.ones((1, 4)) / 9}
    for key, value in matrices.items():
        storage.write(key, value)
    storage.write("R", rotation)
    storage.write("T", np.array([[-0.1], [0.0], [0.02]]))
    storage.release()
    first, second = read_calibration(path).cameras.values()
    np.testing.assert_array_equal(first.world_to_camera, np.eye(4))
    np.testing.assert_allclose(second.world_to_camera[:3, :3], rotation)
    assert first.lens is None and second.lens.coefficients[0] == pytest.approx(1 / 9)


def test_ros_writes_plain_yaml(tmp_path: Path):
    (tmp_path / "left.yaml").write_text(
        "image_width: 640\nimage_height: 480\ncamera_name: left\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
        "  data: [500, 0, 320, 0, 500, 240, 0, 0, 1]\ndistortion_model: plumb_bob\ndistortion_coefficients:\n"
        "  rows: 1\n  cols: 5\n  data: [0.1, 0, 0, 0, 0]\n"
    )
    found = read_calibration(tmp_path)
    assert not found.placed and found.cameras["left"].intrinsics[0, 2] == 320.5


HUGE, DEEP = "9" * 400, "[" * 100_000
BROKEN = {
    "empty": ("a.yml", ""),
    "text": ("notes.txt", "hello world, no calibration"),
    "picture": ("a.png", "\x89PNG\r\n"),
    "yaml that is deep": ("a.yml", f"%YAML:1.0\n---\nK: {DEEP}"),
    "yaml that is deeply indented": ("a.yml", "%YAML:1.0\n---\n" + "".join(" " * i + "a:\n" for i in range(1200))),
    "yaml that holds itself": ("a.yml", "%YAML:1.0\n---\nK: &a [*a, *a]\n"),
    "yaml that grows": (
        "a.yml",
        "a0: &a0 []\n"
        + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(20))
        + "K: *a20\n",
    ),
    "json that is deep": ("a.json", '{"K": ' + DEEP),
    "json with a huge number": ("a.json", f'{{"K": [{HUGE}]}}'),
    "json of numbers": ("a.json", "{}"),
    "xml that is deep": ("a.xml", "<opencv_storage>" + "<a>" * 50_000),
    "xml with entities": ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage><K>&b;</K></opencv_storage>'),
    "toml that is deep": ("a.toml", f"[cam]\nmatrix = {DEEP}"),
    "toml with a huge number": ("a.toml", f"[cam]\nmatrix = [[{HUGE}, 0, 1], [0, 1, 1], [0, 0, 1]]"),
    "toml with NaN": ("a.toml", "[cam]\nmatrix = [[nan, 0, 1], [0, 1, 1], [0, 0, 1]]"),
    "toml without cameras": ("a.toml", "[metadata]\nerror = 1"),
    "half a place": ("a.toml", "[cam]\nmatrix = [[5, 0, 1], [0, 5, 1], [0, 0, 1]]\nrotation = [0, 0, 0]"),
    "frames without pictures": ("transforms.json", '{"frames": [{"transform_matrix": [[1]]}]}'),
    "frames of another kind": ("transforms.json", '{"frames": {"a": 1}, "fl_x": 3}'),
    "cameras.txt alone": ("cameras.txt", "1 PINHOLE 640 480 500 500 320 240"),
    "a camera twice in YAML": ("a.yml", 2 * "K: [5, 0, 1, 0, 5, 1, 0, 0, 1]\n"),
    "a camera twice in JSON": ("a.json", '{"K": [5, 0, 1, 0, 5, 1, 0, 0, 1], "K": [6, 0, 1, 0, 6, 1, 0, 0, 1]}'),
    "a camera twice in XML": ("a.xml", "<opencv_storage><K>5</K><K>6</K></opencv_storage>"),
    "a rotation without a place": ("a.yml", "%YAML:1.0\n---\nK: [5, 0, 1, 0, 5, 1, 0, 0, 1]\nrvec: [0, 0, 0]\n"),
    "a table that is cut": ("a.toml", '[a]\nmatrix = [[5, 0, 1], [0, 5, 1], [0, 0, 1]]\n[b]\nname = "b"\n'),
    "a camera without a name": ("a.toml", '[a]\nname = ""\nmatrix = [[5, 0, 1], [0, 5, 1], [0, 0, 1]]\n'),
    "a name without K": ("intri.yml", '%YAML:1.0\n---\nnames: ["a", "b"]\nK_a: [5, 0, 1, 0, 5, 1, 0, 0, 1]\n'),
    "names for K": ("intri.yml", '%YAML:1.0\n---\nnames: ["a"]\nK_a: [a, b]\n'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_anything_else_is_one_sentence(tmp_path: Path, case: str):
    name, text = BROKEN[case]
    (tmp_path / name).write_bytes(text.encode("latin1"))
    with pytest.raises(HandsError, match=r"expected .*found .*:") as error:
        read_calibration(tmp_path / name)
    assert str(tmp_path) in str(error.value) and len(str(error.value)) < 700


def test_a_pipe_and_a_missing_file_are_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "calibration.toml")
    for name, found in (("calibration.toml", "a named pipe"), ("no.toml", "no such file")):
        with pytest.raises(HandsError, match=found):
            read_calibration(tmp_path / name)


def test_two_calibrations_in_a_folder_are_asked_for(tmp_path: Path):
    write_anipose(tmp_path, made_up_rig())
    write_easymocap(tmp_path, made_up_rig())
    with pytest.raises(HandsError, match=r"expected one calibration, found intri.yml, calibration.toml"):
        read_calibration(tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_a_sentence_or_a_calibration(tmp_path: Path, name: str):
    """Bytes changed and cut at random places, in every format."""
    WRITERS[name](tmp_path, made_up_rig())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    rng = np.random.default_rng(0)
    for trial in range(25):
        path = files[trial % len(files)]
        whole = path.read_bytes()
        broken = bytearray(whole[: rng.integers(len(whole))] if trial % 2 else whole)
        for place in rng.integers(0, max(len(broken), 1), 4)[: len(broken)]:
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_calibration(tmp_path)
        except HandsError:
            pass
        path.write_bytes(whole)


def test_numbers_of_no_camera_are_refused(tmp_path: Path):
    def edited(**changes: object) -> Path:
        content = json.loads(write_transforms(tmp_path, made_up_rig()).read_text())
        content["frames"][0] |= changes
        (tmp_path / "transforms.json").write_text(json.dumps(content))
        return tmp_path / "transforms.json"

    for changes, found in (
        ({"fl_x": -3}, "positive focal lengths"),
        ({"fl_x": 1e-12, "fl_y": 1e-12}, "focal lengths of 2 to 1e"),
        ({"fl_x": 0.9, "fl_y": 0.9, "cx": 0.5, "cy": 0.5}, "K in pixels"),
        ({"fl_y": 1e5}, "nearly alike"),
        ({"cx": 1e8}, "principal point"),
        ({"w": 0.5}, "width and height in pixels"),
        ({"k1": 1e300}, "below 1e"),
        ({"transform_matrix": (2 * np.eye(4)).tolist()}, "expected a rotation"),
        ({"camera_model": "EQUIRECTANGULAR"}, "expected camera_model among"),
        ({"fl_x": True}, "one number under fl_x"),
    ):
        with pytest.raises(HandsError, match=found):
            read_calibration(edited(**changes))


@pytest.mark.parametrize(
    ("change", "found"),
    [(("T_cam01", "T_cam09"), "expected R_cam01 or Rot_cam01, and T_cam01"), (("0.9", "0.7"), "expected a rotation")],
)
def test_the_file_that_places_cameras_is_named(tmp_path: Path, change: tuple[str, str], found: str):
    write_easymocap(tmp_path, made_up_rig())
    text = (tmp_path / "extri.yml").read_text()
    (tmp_path / "extri.yml").write_text(text.replace(*change))
    with pytest.raises(HandsError, match=f"extri.yml: {found}"):
        read_calibration(tmp_path)


def test_two_cameras_of_one_name_are_refused(tmp_path: Path):
    for writer in (WRITERS["opencv yml"], WRITERS["opencv xml"]):
        writer(tmp_path, made_up_rig()[:1])
    with pytest.raises(HandsError, match="expected camera cam00 in one file"):
        read_calibration(tmp_path)
    model = WRITERS["colmap text"](tmp_path / "colmap", made_up_rig()) / "sparse" / "0"
    (model / "cameras.txt").write_text(2 * (model / "cameras.txt").read_text())
    with pytest.raises(HandsError, match="cameras.txt: expected camera 1 once, found it twice"):
        read_calibration(model)
