from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from nerfstudio.utils.eval_utils import eval_setup

from nerfstudio_hands.cli import trained_run
from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import save_track


@pytest.fixture(scope="module")
def loaded(tiny_run: Path):
    """The run, loaded once for all commands."""
    config, pipeline, _, _ = eval_setup(tiny_run, test_mode="inference")
    return config, pipeline


@pytest.fixture(autouse=True)
def from_memory(loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_run, "load_run", lambda path, data=None, **_: loaded)


@pytest.fixture(scope="module")
def curl(loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in which the fingers close and open again."""
    hands = loaded[1].model.hands
    frame = hands.frames_track()
    pose = frame.at(torch.zeros(3))
    pose.local_rotations[1, :, :12, 2] += 1.0
    path = tmp_path_factory.mktemp("tracks") / "curl.npz"
    save_track(path, PoseTrack(frame.sides, pose, torch.tensor([0.0, 1.0, 2.0]), "curl"))
    return path


def read_video(path: Path) -> tuple[np.ndarray, float]:
    frames = imageio_ffmpeg.read_frames(str(path))
    header = next(frames)
    width, height = header["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]), header["fps"]


def different(first: np.ndarray, second: np.ndarray) -> float:
    """Share of pixels that differ by more than compression does."""
    return float((abs(first.astype(int) - second).max(axis=-1) > 40).mean())


def test_a_track_from_a_camera_of_the_capture(tiny_run: Path, curl: Path, tmp_path: Path) -> None:
    animate(tiny_run, tmp_path / "new" / "curl.mp4", track=curl, fps=5, size=64)
    pictures, fps = read_video(tmp_path / "new" / "curl.mp4")
    assert pictures.shape[0] == 10 and max(pictures.shape[1:3]) == 64 and fps == 5
    assert (pictures[0].max(axis=-1) > 40).mean() > 0.02
    assert different(pictures[0], pictures[5]) > 0.01
    # The hand opens as it closed.
    for k in (1, 3):
        assert different(pictures[k], pictures[10 - k]) < different(pictures[0], pictures[5]) / 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curl.mp4"]


def test_mesh_beside_and_split(tiny_run: Path, curl: Path, tmp_path: Path) -> None:
    for mesh, name in (("none", "a"), ("beside", "b"), ("split", "c")):
        animate(tiny_run, tmp_path / f"{name}.mp4", track=curl, fps=2, seconds=1, size=64, mesh=mesh, camera="02")
    alone, beside, split = (read_video(tmp_path / f"{name}.mp4")[0].astype(int) for name in "abc")
    width = alone.shape[2]
    assert beside.shape[2] == 2 * width and split.shape == alone.shape
    drawn = beside[:, :, width:]
    for k in range(2):
        avatar, mesh = (picture.max(axis=-1) > 60 for picture in (alone[k], drawn[k]))
        # The mesh is where the avatar is; it has a stub of the forearm, and no colour of skin.
        assert (avatar & mesh).sum() > 0.8 * avatar.sum()
        assert alone[k][avatar][:, 0].mean() > alone[k][avatar][:, 2].mean() + 10
        assert drawn[k][mesh][:, 2].mean() > drawn[k][mesh][:, 0].mean() + 10
        assert different(split[k][:, : width // 2 - 2], alone[k][:, : width // 2 - 2]) < 0.01
        assert different(split[k][:, width // 2 + 2 :], drawn[k][:, width // 2 + 2 :]) < 0.01


def test_a_spiral_goes_round(tiny_run: Path, curl: Path, tmp_path: Path) -> None:
    animate(tiny_run, tmp_path / "s.mp4", track=curl, spiral=True, fps=2, size=64, speed=1000)
    assert len(read_video(tmp_path / "s.mp4")[0]) == 1
    animate(tiny_run, tmp_path / "t.mp4", track=curl, spiral=True, fps=4, size=64, seconds=1, speed=0.001)
    pictures, _ = read_video(tmp_path / "t.mp4")
    # The pose hardly changes, so what moves is the camera.
    assert len(pictures) == 4 and all(different(pictures[k], pictures[k + 1]) > 0.02 for k in range(3))


def test_a_camera_path_chooses_poses_by_its_render_time(loaded, tiny_run: Path, curl: Path, tmp_path: Path) -> None:
    pose = torch.eye(4)
    pose[:3] = loaded[1].datamanager.train_dataset.cameras.camera_to_worlds[0]
    keyframe = {"camera_to_world": pose.flatten().tolist(), "fov": 30.0, "aspect": 1.0}
    path = {"render_height": 60, "render_width": 60, "camera_path": []}
    path["camera_path"] = [keyframe | {"render_time": time} for time in (0.0, 0.5, 1.0)]
    (tmp_path / "path.json").write_text(json.dumps(path))
    animate(tiny_run, tmp_path / "p.mp4", track=curl, camera_path=tmp_path / "path.json", size=60, fps=3)
    pictures, _ = read_video(tmp_path / "p.mp4")
    assert len(pictures) == 3
    assert different(pictures[0], pictures[1]) > 0.01 > different(pictures[0], pictures[2])


def test_a_video_of_one_pose_needs_a_length(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="expected several poses, found one"):
        animate(tiny_run, tmp_path / "a.mp4")
    animate(tiny_run, tmp_path / "a.mp4", seconds=1, fps=2, size=32)
    assert len(read_video(tmp_path / "a.mp4")[0]) == 2


def test_nothing_is_overwritten_and_faults_are_said_at_once(
    tiny_run: Path, curl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(path: Path) -> None:
        pytest.fail("the run was loaded first")

    monkeypatch.setattr(trained_run, "load_run", never)
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    with pytest.raises(HandsError, match="mine.mp4: expected a new video file"):
        animate(tiny_run, tmp_path / "mine.mp4", track=curl)
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine"
    with pytest.raises(HandsError, match="ends in .mp4, found '.avi'"):
        animate(tiny_run, tmp_path / "a.avi", track=curl)
    with pytest.raises(HandsError, match="one of --camera, --spiral and --camera-path"):
        animate(tiny_run, tmp_path / "a.mp4", spiral=True, camera="00")
    for option in ({"fps": 0.0}, {"speed": -1.0}, {"size": 2}, {"seconds": float("nan")}):
        with pytest.raises(HandsError, match=f"--{next(iter(option))}: expected a number"):
            animate(tiny_run, tmp_path / "a.mp4", **option)
    with pytest.raises(HandsError, match="expected a pose track, found no such file"):
        animate(tiny_run, tmp_path / "a.mp4", track=tmp_path / "none.npz")
    with pytest.raises(HandsError, match="--track-frames: expected --track FILE with it, found none"):
        animate(tiny_run, tmp_path / "a.mp4", track_frames=(0, 9))


def test_an_interrupted_video_leaves_nothing(
    loaded, tiny_run: Path, curl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(camera) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loaded[1].model, "get_outputs_for_camera", interrupted)
    with pytest.raises(KeyboardInterrupt):
        animate(tiny_run, tmp_path / "a.mp4", track=curl)
    assert not list(tmp_path.iterdir())
