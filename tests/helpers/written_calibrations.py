"""A rig in every format, written apart from the package's code as the formats' documents describe them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.calibration.record import CalibratedCamera

SIZE = (640, 480)


def made_up_rig(lens: Lens | None = Lens("opencv", (-0.1, 0.05, 0.001, -0.002, 0.01))) -> list[CalibratedCamera]:  # noqa: B008
    """Three cameras with our pixel centres."""
    cameras = []
    for index, name in enumerate(("cam00", "cam01", "cam02")):
        k = np.array([[500.0 + index, 0.0, 320.5 + index], [0.0, 501.0, 241.25], [0.0, 0.0, 1.0]])
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec([0.1 + 0.2 * index, -0.7 * index, 0.3]).as_matrix()
        matrix[:3, 3] = [0.1 * index, -0.2, 1.5]
        cameras.append(CalibratedCamera(name, k, lens, matrix, SIZE))
    return cameras


def at_zero(k: np.ndarray) -> np.ndarray:
    """K where the centre of the first pixel is at 0."""
    return k - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def write_transforms(folder: Path, rig: list[CalibratedCamera]) -> Path:
    frames = []
    for camera in rig:
        to_world = np.linalg.inv(camera.world_to_camera)
        to_world[:, 1:3] *= -1
        frames.append({"file_path": f"images/{camera.name}.png", "transform_matrix": to_world.tolist(), **flat(camera)})
    path = folder / "transforms.json"
    model = "OPENCV_FISHEYE" if rig[0].lens is not None and rig[0].lens.model == "fisheye" else "OPENCV"
    path.write_text(json.dumps({"camera_model": model, "frames": frames}))
    return path


def flat(camera: CalibratedCamera) -> dict[str, float]:
    k = camera.intrinsics
    values = {"fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2], "w": SIZE[0], "h": SIZE[1]}
    if camera.lens is not None:
        names = ("k1", "k2", "k3", "k4") if camera.lens.model == "fisheye" else ("k1", "k2", "p1", "p2", "k3")
        values |= dict(zip(names, camera.lens.coefficients, strict=True))
    return values


def colmap_parts(rig: list[CalibratedCamera]) -> list[tuple]:
    parts = []
    for number, camera in enumerate(rig, 1):
        k, lens = camera.intrinsics, camera.lens
        fisheye = lens is not None and lens.model == "fisheye"
        model, number_of_model = ("OPENCV_FISHEYE", 5) if fisheye else ("FULL_OPENCV", 6)
        own = list(lens.coefficients) if lens else []
        parameters = [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *own, *[0.0] * ((4 if fisheye else 8) - len(own))]
        quaternion = Rotation.from_matrix(camera.world_to_camera[:3, :3]).as_quat()[[3, 0, 1, 2]]
        parts.append((number, model, number_of_model, parameters, quaternion, camera.world_to_camera[:3, 3], camera))
    return parts


def write_colmap_text(folder: Path, rig: list[CalibratedCamera]) -> Path:
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    cameras, images = ["# Camera list"], ["# Image list"]
    for number, name, _, parameters, quaternion, translation, camera in colmap_parts(rig):
        cameras.append(" ".join(map(repr, [number, 0, *SIZE])).replace(" 0 ", f" {name} ", 1))
        cameras[-1] += " " + " ".join(repr(float(value)) for value in parameters)
        pose = " ".join(repr(float(value)) for value in (*quaternion, *translation))
        images += [f"{number} {pose} {number} a folder/{camera.name}.png", "1.5 2.5 -1" if number == 1 else ""]
    (model / "cameras.txt").write_text("\n".join(cameras) + "\n")
    (model / "images.txt").write_text("\n".join(images) + "\n")
    return folder


def write_colmap_binary(folder: Path, rig: list[CalibratedCamera]) -> Path:
    parts = colmap_parts(rig)
    cameras, images = struct.pack("<Q", len(parts)), struct.pack("<Q", len(parts))
    for number, _, model, parameters, quaternion, translation, camera in parts:
        cameras += struct.pack(f"<iiQQ{len(parameters)}d", number, model, *SIZE, *parameters)
        images += struct.pack("<i7di", number, *quaternion, *translation, number)
        images += f"a folder/{camera.name}.png".encode() + b"\0" + struct.pack("<Qddq", 1, 1.5, 2.5, -1)
    (folder / "cameras.bin").write_bytes(cameras)
    (folder / "images.bin").write_bytes(images)
    return folder / "cameras.bin"


def write_anipose(folder: Path, rig: list[CalibratedCamera]) -> Path:
    lines = []
    for index, camera in enumerate(rig):
        k, rotation = at_zero(camera.intrinsics).tolist(), cv2.Rodrigues(camera.world_to_camera[:3, :3])[0].ravel()
        lines += [f"[cam_{index}]", f'name = "{camera.name}"', f"size = [ {SIZE[0]}.0, {SIZE[1]},]"]
        lines += ["matrix = [" + "".join(f" {row}," for row in k) + "]"]
        lines += [f"distortions = {list(camera.lens.coefficients) if camera.lens else [0.0] * 4}"]
        lines += [f"rotation = {rotation.tolist()}", f"translation = {camera.world_to_camera[:3, 3].tolist()}"]
        lines += [f"fisheye = {str(camera.lens is not None and camera.lens.model == 'fisheye').lower()}", ""]
    path = folder / "calibration.toml"
    path.write_text("\n".join([*lines, "[metadata]", "adjusted = false", "error = 0.4", ""]))
    return path


def write_easymocap(folder: Path, rig: list[CalibratedCamera]) -> Path:
    intri = cv2.FileStorage(str(folder / "intri.yml"), cv2.FILE_STORAGE_WRITE)
    extri = cv2.FileStorage(str(folder / "extri.yml"), cv2.FILE_STORAGE_WRITE)
    for storage in (intri, extri):
        storage.startWriteStruct("names", cv2.FileNode_SEQ)
        for camera in rig:
            storage.write("", camera.name)
        storage.endWriteStruct()
    for camera in rig:
        intri.write(f"K_{camera.name}", at_zero(camera.intrinsics))
        intri.write(f"dist_{camera.name}", np.array([camera.lens.coefficients if camera.lens else (0.0,) * 5]))
        intri.write(f"W_{camera.name}", SIZE[0])
        intri.write(f"H_{camera.name}", SIZE[1])
        extri.write(f"R_{camera.name}", cv2.Rodrigues(camera.world_to_camera[:3, :3])[0])
        extri.write(f"Rot_{camera.name}", np.ascontiguousarray(camera.world_to_camera[:3, :3]))
        extri.write(f"T_{camera.name}", camera.world_to_camera[:3, 3:].copy())
    intri.release()
    extri.release()
    return folder


def opencv_writer(suffix: str) -> Callable[[Path, list[CalibratedCamera]], Path]:
    def write(folder: Path, rig: list[CalibratedCamera]) -> Path:
        for camera in rig:
            storage = cv2.FileStorage(str(folder / f"{camera.name}{suffix}"), cv2.FILE_STORAGE_WRITE)
            storage.write("image_width", SIZE[0])
            storage.write("image_height", SIZE[1])
            storage.write("camera_matrix", at_zero(camera.intrinsics))
            if camera.lens:
                storage.write("distortion_coefficients", np.array(camera.lens.coefficients))
                storage.write("distortion_model", camera.lens.model)
            storage.write("rvec", cv2.Rodrigues(camera.world_to_camera[:3, :3])[0])
            storage.write("tvec", camera.world_to_camera[:3, 3:].copy())
            storage.release()
        return folder

    return write


def write_room(folder: Path, rig: list[CalibratedCamera]) -> Path:
    arrays = {}
    for index, camera in enumerate(rig):
        arrays |= {f"int_{index}": camera.intrinsics, f"ext_{index}": camera.world_to_camera}
    np.savez(folder / "param.npz", **arrays)
    return folder / "param.npz"


WRITERS: dict[str, Callable[[Path, list[CalibratedCamera]], Path]] = {
    "transforms.json": write_transforms,
    "colmap text": write_colmap_text,
    "colmap binary": write_colmap_binary,
    "anipose": write_anipose,
    "easymocap": write_easymocap,
    "opencv yml": opencv_writer(".yml"),
    "opencv xml": opencv_writer(".xml"),
    "opencv json": opencv_writer(".json"),
    "param.npz": write_room,
}
