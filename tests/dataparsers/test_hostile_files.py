"""Thousands of ways to break a file: nothing but a HandsError may come out of a reader, and soon."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_hands import mano_arrays, small_random_hand
from helpers.make_deephandmesh import make_deephandmesh
from helpers.make_interhand import make_interhand
from helpers.make_scan import make_scan
from PIL import Image

from nerfstudio_hands.captures.capture import Capture, hand_mask
from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.captures.formats.deephandmesh import read_deephandmesh
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.cli.export import read_pose
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.geometry.light.environment import load_environment
from nerfstudio_hands.hand_model import HandPose, default_hand, load_hand
from nerfstudio_hands.hand_model.npz_file import write_npz_hand
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_mano_json, read_track, save_track
from nerfstudio_hands.video.camera_paths import read_camera_path

Reader = Callable[[Path], object]

HUGE = "9" * 400
DEEP = "[" * 100_000
JSON_VALUES = (HUGE, DEEP, "1e999", "Infinity", "NaN", "null", "-1", "1e308", '"text"', "[]", "{}", "true", '"\\ud800"')


def read_all(capture: Capture) -> None:
    """The pictures and masks of a capture, too."""
    for path in list(capture.images.values())[:2]:
        read_image(path)
    for key in list(capture.masks)[:2]:
        hand_mask(capture, key)


def scan(folder: Path) -> dict[str, Reader]:
    make_scan(folder / "1")
    shutil.copytree(folder / "1" / "mask", folder / "1" / "obj_mask")
    np.savez(folder / "1" / "object_pose.npz", object_to_world=np.eye(4), frames=np.array("1"))

    def read(path: Path) -> None:
        read_all(read_capture_room(folder / "1"))

    files = ("camera/param.npz", "pose/01.json", "img/00.png", "mask/01.png", "obj_mask/00.png", "object_pose.npz")
    return {f"1/{name}": read for name in (*files, "keypoints_3d_1.xyz")}


def interhand(folder: Path) -> dict[str, Reader]:
    make_interhand(folder)

    def read(path: Path) -> None:
        read_all(read_interhand(folder))

    kinds = ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
    files = [f"annotations/test/InterHand2.6M_test_{kind}.json" for kind in kinds]
    return dict.fromkeys([*files, "images/test/Capture0/ROM03_RT_No_Occlusion/cam400002/image18.jpg"], read)


def deephandmesh(folder: Path) -> dict[str, Reader]:
    make_deephandmesh(folder)
    some = sorted((folder / "annotations" / "keypoints").rglob("*.pts"))[0].relative_to(folder)

    def read(path: Path) -> None:
        read_all(read_deephandmesh(folder))

    return {"annotations/KRT_512": read, str(some): read}


def single_files(folder: Path) -> dict[str, Reader]:
    hand = default_hand("right")
    pose = HandPose.rest(1, (3,))
    save_track(folder / "track.npz", PoseTrack(("right",), pose, torch.arange(3.0), "made up"))
    parameters = {"pose": [0.1] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3}
    (folder / "mano.json").write_text(json.dumps({"0": {"3": {"right": parameters, "left": None}}}))
    camera = {"camera_to_world": np.eye(4).ravel().tolist(), "fov": 50, "aspect": 1}
    path = {"camera_type": "perspective", "render_height": 4, "render_width": 4, "camera_path": [camera], "seconds": 1}
    (folder / "path.json").write_text(json.dumps(path))
    np.savez(folder / "light.npz", coefficients=np.ones((9, 3)))
    (folder / "light.json").write_text(json.dumps({"coefficients": np.ones((9, 3)).tolist()}))
    Image.new("RGB", (64, 32), (9, 9, 9)).save(folder / "light.png")
    np.savez(folder / "pose.npz", local_rotations=np.zeros((1, 15, 3)), valid=np.ones(1))
    write_npz_hand(folder / "hand.npz", small_random_hand())
    (folder / "MANO_RIGHT.pkl").write_bytes(pickle.dumps(mano_arrays(), protocol=4))
    return {
        "track.npz": read_track,
        "mano.json": lambda file: read_mano_json(file, [hand]),
        "path.json": read_camera_path,
        "light.npz": load_environment,
        "light.json": load_environment,
        "light.png": load_environment,
        "pose.npz": lambda file: read_pose(file, HandPose.rest(1, (1,))),
        "hand.npz": lambda file: load_hand(file, "right"),
        "MANO_RIGHT.pkl": lambda file: load_hand(file, "right"),
    }


TREES = {"scan": scan, "interhand": interhand, "deephandmesh": deephandmesh, "single files": single_files}


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, with bytes changed, removed or put in."""
    where = int(rng.integers(len(content)))
    kind = rng.integers(4)
    if kind == 0:
        return content[:where]
    if kind == 1:
        return content[:where] + content[where + int(rng.integers(1, 40)) :]
    if kind == 2:
        return content[:where] + rng.bytes(int(rng.integers(1, 20))) + content[where:]
    changed = bytearray(content)
    for index in rng.integers(len(content), size=6):
        changed[index] = int(rng.integers(256))
    return bytes(changed)


def damaged_json(content: bytes, rng: np.random.Generator) -> bytes:
    """With a number, a list or a name replaced by something that JSON allows and the format does not."""
    text = content.decode()
    tokens = list(re.finditer(r"-?\d+\.?\d*|\[[^][]*\]|\"[^\"]*\"|null", text))
    token = tokens[int(rng.integers(len(tokens)))]
    return (text[: token.start()] + str(rng.choice(JSON_VALUES)) + text[token.end() :]).encode()


def odd_arrays(rng: np.random.Generator) -> np.ndarray:
    """An array of another kind or shape than anybody expects."""
    choices = (
        np.array(["text"] * 3),
        np.zeros((0, 3)),
        np.zeros(()),
        np.full((4, 4), np.nan),
        np.full((4, 4), np.inf),
        np.full((4, 4), 2**63, dtype=np.uint64),
        np.zeros((4, 4), dtype=complex),
        np.zeros(3, dtype=[("a", float)]),
        np.array([b"raw"]),
        np.zeros((2, 2, 2, 2, 2)),
        np.array("2020-01-01", dtype="datetime64[D]"),
        np.full((4, 4), 1e300),
        np.zeros(7, dtype="S0"),
    )
    return choices[int(rng.integers(len(choices)))]


def damaged_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """With one array replaced, or a header that claims 10^13 numbers."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    written = io.BytesIO()
    if rng.integers(4):
        np.savez(written, **arrays | {name: odd_arrays(rng)})
        return written.getvalue()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % rng.choice([10**13, 10**18, 10**5])
    with zipfile.ZipFile(written, "w") as archive:
        for other in arrays:
            if other == name:
                archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
            else:
                array = io.BytesIO()
                np.save(array, arrays[other])
                archive.writestr(f"{other}.npy", array.getvalue())
    return written.getvalue()


def damaged_pickle(content: bytes, rng: np.random.Generator) -> bytes:
    """With one array replaced."""
    arrays = pickle.loads(content)
    return pickle.dumps(arrays | {sorted(arrays)[int(rng.integers(len(arrays)))]: odd_arrays(rng)}, protocol=4)


def forged_png(width: int, height: int) -> bytes:
    """A picture that claims a size and has nothing of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def damage(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    suffix = Path(name).suffix
    if suffix == ".json" and rng.integers(3):
        return damaged_json(content, rng)
    if suffix == ".npz" and rng.integers(3):
        return damaged_npz(content, rng)
    if suffix == ".pkl" and rng.integers(3):
        return damaged_pickle(content, rng)
    if suffix in (".png", ".jpg") and not rng.integers(4):
        return forged_png(*(int(side) for side in rng.choice([[60000, 60000], [0, 5], [2, 1], [10**9, 1]])))
    return damaged_bytes(content, rng)


@pytest.mark.parametrize("tree", TREES)
def test_nothing_but_one_sentence_comes_out_of_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: str
) -> None:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tree"
    folder.mkdir()
    readers = TREES[tree](folder)
    rng = np.random.default_rng(11)
    refused = 0
    for name, read in readers.items():
        path = folder / name
        whole = path.read_bytes()
        read(path)
        for _ in range(ROUNDS):
            path.write_bytes(damage(name, whole, rng))
            try:
                read(path)
            except HandsError as error:
                refused += 1
                sentence = str(error)
                assert "\n" not in sentence and len(sentence) < 2000, (name, sentence[:200])
                sentence.encode()
        path.write_bytes(whole)
    assert refused > ROUNDS * len(readers) / 3


ROUNDS = int(os.environ.get("HANDS_FUZZ_ROUNDS", 18))
"""Damaged copies of each file; more of them are a longer hunt."""


@pytest.mark.parametrize("kind", ["named pipe", "device", "folder", "link to nothing"])
@pytest.mark.parametrize("tree", TREES)
def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: str, kind: str) -> None:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, read in TREES[tree](folder).items():
        path = folder / name
        path.rename(folder / "aside")
        make = {
            "named pipe": lambda: os.mkfifo(path),  # noqa: B023
            "device": lambda: path.symlink_to("/dev/zero"),  # noqa: B023
            "folder": path.mkdir,
            "link to nothing": lambda: path.symlink_to("nowhere"),  # noqa: B023
        }
        make[kind]()
        try:
            read(path)
        except HandsError as error:
            assert "\n" not in str(error)
        path.rmdir() if kind == "folder" else path.unlink()
        (folder / "aside").rename(path)
