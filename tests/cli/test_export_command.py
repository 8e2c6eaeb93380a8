"""Reading a pose from a file, and what is said of a bad one."""

import numpy as np
import pytest
import torch

from nerfstudio_hands.cli.export import export, read_pose
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose


@pytest.fixture
def of_frame() -> HandPose:
    pose = HandPose.rest(2, (1,))
    pose.translation += 0.5
    return pose


def test_what_the_file_lacks_comes_from_the_frame(tmp_path, of_frame):
    local = np.random.default_rng(0).normal(size=(2, 15, 3))
    np.savez(tmp_path / "pose.npz", local_rotations=local, valid=np.array([True, False]))
    pose = read_pose(tmp_path / "pose.npz", of_frame)
    assert np.allclose(pose.local_rotations[0], local, atol=1e-6)
    assert torch.equal(pose.translation, of_frame.translation)
    assert pose.valid.tolist() == [[True, False]] and pose.local_rotations.dtype == torch.float32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"fingers": np.zeros(3)}, r"pose.npz: expected an array local_rotations, found \['fingers'\]"),
        ({"local_rotations": np.zeros((1, 15, 3))}, r"shape \(2, 15, 3\), found shape \(1, 15, 3\)"),
        ({"local_rotations": np.full((2, 15, 3), np.nan)}, "finite"),
        ({"local_rotations": np.full((2, 15, 3), 1e300)}, "finite"),
        ({"local_rotations": np.zeros((2, 15, 3)), "translation": np.zeros(3)}, r"translation .*shape \(2, 3\)"),
    ],
)
def test_bad_arrays(tmp_path, of_frame, arrays, message):
    np.savez(tmp_path / "pose.npz", **arrays)
    with pytest.raises(HandsError, match=message):
        read_pose(tmp_path / "pose.npz", of_frame)


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_bad_files(tmp_path, of_frame, content):
    path = tmp_path / "pose.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HandsError, match="pose.npz: expected an .npz"):
        read_pose(path, of_frame)


def test_a_single_array_is_no_archive(tmp_path, of_frame):
    np.save(tmp_path / "pose.npy", np.zeros((2, 15, 3)))
    with pytest.raises(HandsError, match="pose.npy: expected an .npz"):
        read_pose(tmp_path / "pose.npy", of_frame)


def test_pickled_arrays_are_refused(tmp_path, of_frame):
    np.savez(tmp_path / "pose.npz", local_rotations=np.array([{"a": 1}], dtype=object))
    with pytest.raises(HandsError, match="pose.npz"):
        read_pose(tmp_path / "pose.npz", of_frame)


def test_options_are_checked_before_the_run_is_loaded(tmp_path):
    with pytest.raises(HandsError, match="power of two"):
        export(tmp_path / "config.yml", tmp_path, texture_size=1000)
    with pytest.raises(HandsError, match="--format: expected files to write, found none"):
        export(tmp_path / "config.yml", tmp_path, format=())
    with pytest.raises(HandsError, match=r"config.yml: expected the config.yml of a run"):
        export(tmp_path / "config.yml", tmp_path)


def test_a_frame_that_is_refused_leaves_no_folder(tiny_run, tmp_path):
    with pytest.raises(HandsError, match="--frame: expected"):
        export(tiny_run, tmp_path / "mesh", frame=5)
    assert not (tmp_path / "mesh").exists()
