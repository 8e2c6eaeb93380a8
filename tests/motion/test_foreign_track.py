"""Tracks of other tools, against hands that are posed here from what the tools' own layers document."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandModel, HandPose, default_hand, pose_hand
from nerfstudio_hands.hand_model.model import mirror_hand
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_any_track, save_track

KEYS = 3


@pytest.fixture(scope="module")
def right() -> HandModel:
    """A hand with a mean pose and components, as MANO's files have them."""
    generator = torch.Generator().manual_seed(0)
    components, _ = torch.linalg.qr(torch.randn(45, 45, generator=generator))
    mean = 0.2 * torch.randn(15, 3, generator=generator)
    return replace(default_hand("right"), name="mano-right", hands_mean=mean, hands_components=components)


@pytest.fixture(scope="module")
def left(right: HandModel) -> HandModel:
    return mirror_hand(right)


@pytest.fixture
def numbers() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "orient": random.normal(size=(KEYS, 3)),
        "fingers": 0.4 * random.normal(size=(KEYS, 15, 3)),
        "translation": random.normal(size=(KEYS, 3)),
    }


def matrices(axis_angle: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix().reshape(*axis_angle.shape[:-1], 3, 3)


def vertices(hand: HandModel, pose: HandPose) -> torch.Tensor:
    return pose_hand(
        hand, pose.global_orient[:, 0], pose.local_rotations[:, 0], pose.translation[:, 0], torch.zeros(10)
    ).vertices


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_rotation_matrices_of_a_right_hand(right: HandModel, numbers, tmp_path: Path) -> None:
    path = write(
        tmp_path / "hamer.npz",
        global_orient=matrices(numbers["orient"])[:, None], hand_pose=matrices(numbers["fingers"]),
        pred_cam_t_full=numbers["translation"], is_right=np.ones(KEYS), betas=np.zeros((KEYS, 10)),
    )  # fmt: skip
    track = read_any_track(path, [right])
    assert track.sides == ("right",) and track.placed and track.name == "hamer"
    found = track.pose
    np.testing.assert_allclose(matrices(found.local_rotations[:, 0].numpy()), matrices(numbers["fingers"]), atol=1e-6)
    np.testing.assert_allclose(matrices(found.global_orient[:, 0].numpy()), matrices(numbers["orient"]), atol=1e-6)
    np.testing.assert_allclose(found.translation[:, 0], numbers["translation"], atol=1e-6)
    np.testing.assert_allclose(track.times, np.arange(KEYS) / 30, atol=1e-6)


def test_a_left_hand_of_hamer_is_a_right_hand_in_a_mirror(right: HandModel, left: HandModel, numbers, tmp_path) -> None:
    """HaMeR's demo poses the right hand, negates x of its vertices and adds the translation."""
    path = write(
        tmp_path / "a.npz", global_orient=matrices(numbers["orient"])[:, None], hand_pose=matrices(numbers["fingers"]),
        pred_cam_t_full=numbers["translation"], is_right=np.zeros(KEYS),
    )  # fmt: skip
    track = read_any_track(path, [left, right])
    assert track.sides == ("left",)
    as_right = {name: torch.from_numpy(values).float() for name, values in numbers.items()}
    shown = pose_hand(right, as_right["orient"], as_right["fingers"], torch.zeros(KEYS, 3), torch.zeros(10)).vertices
    expected = shown * torch.tensor([-1.0, 1.0, 1.0]) + as_right["translation"][:, None]
    torch.testing.assert_close(vertices(left, track.pose), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("convention", "on_mean"), [("mano-mean", True), ("mano-flat", False)])
def test_angles_from_the_mean_pose_or_the_flat_hand(right, numbers, tmp_path, convention: str, on_mean: bool) -> None:
    path = write(
        tmp_path / "a.npz", global_orient=numbers["orient"], hand_pose=numbers["fingers"].reshape(KEYS, 45),
        transl=numbers["translation"], fps=np.array(10.0),
    )  # fmt: skip
    with pytest.raises(HandsError, match="give --track-convention, one of hamer"):
        read_any_track(path, [right])
    track = read_any_track(path, [right], convention=convention)
    mean = right.hands_mean.numpy() if on_mean else 0
    np.testing.assert_allclose(track.pose.local_rotations[:, 0], numbers["fingers"] + mean, atol=1e-6)
    assert track.duration == pytest.approx(0.2)


def test_coefficients_of_dexycb(right: HandModel, numbers, tmp_path: Path) -> None:
    coefficients = np.random.default_rng(2).normal(size=(KEYS, 45))
    rows = np.concatenate([numbers["orient"], coefficients, numbers["translation"]], axis=1)
    rows[1] = 0
    for shape in ((KEYS, 51), (KEYS, 1, 51)):
        track = read_any_track(write(tmp_path / "a.npz", pose_m=rows.reshape(shape)), [right])
        # manopth: th_hands_mean + coefficients @ th_selected_comps
        expected = right.hands_mean.numpy() + (coefficients @ right.hands_components.numpy()).reshape(-1, 15, 3)
        np.testing.assert_allclose(track.pose.local_rotations[[0, 2], 0], expected[[0, 2]], atol=1e-5)
        # Zeros mark frames in which the hand is not there.
        assert track.pose.valid[:, 0].tolist() == [True, False, True]
    with pytest.raises(HandsError, match="expected an avatar of MANO's hand model"):
        read_any_track(tmp_path / "a.npz", [default_hand("right")])


def test_few_coefficients_on_the_flat_hand(right: HandModel, numbers, tmp_path: Path) -> None:
    six = np.random.default_rng(3).normal(size=(KEYS, 6))
    path = write(tmp_path / "a.npz", global_orient=numbers["orient"], hand_pose=six, transl=numbers["translation"])
    track = read_any_track(path, [right], convention="mano-pca-flat")
    expected = (six @ right.hands_components.numpy()[:6]).reshape(-1, 15, 3)
    np.testing.assert_allclose(track.pose.local_rotations[:, 0], expected, atol=1e-5)


def test_bodies_move_fingers_alone(left: HandModel, right: HandModel, tmp_path: Path) -> None:
    """SMPL-X and AMASS: where a wrist is follows from the body, which is not there."""
    both = 0.3 * np.random.default_rng(4).normal(size=(2, KEYS, 45))
    smplx = write(tmp_path / "smplx.npz", left_hand_pose=both[0], right_hand_pose=both[1], transl=np.ones((KEYS, 3)))
    body = np.zeros((KEYS, 165))
    body[:, 75:120], body[:, 120:] = both
    amass = write(tmp_path / "amass.npz", poses=body, trans=np.ones((KEYS, 3)), mocap_frame_rate=np.array(60.0))
    for track in (read_any_track(smplx, [left, right], convention="mano-flat"), read_any_track(amass, [left, right])):
        assert track.sides == ("left", "right") and not track.placed
        for side in range(2):
            np.testing.assert_allclose(track.pose.local_rotations[:, side], both[side].reshape(-1, 15, 3), atol=1e-6)
    still = HandPose.rest(2)
    still.translation += 0.7
    still.global_orient += 0.1
    settled = read_any_track(amass, [left, right]).for_hands(("left", "right"), still)
    assert settled.placed and torch.equal(settled.pose.translation, still.translation.expand(KEYS, 2, 3))
    assert torch.equal(settled.pose.global_orient, still.global_orient.expand(KEYS, 2, 3))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_say_what_archives_say(right: HandModel, numbers, tmp_path: Path, protocol: int) -> None:
    """HaMeR's output as people pickle it: per-frame lists, parameters in a dictionary within, names beside them."""
    poses = {"global_orient": matrices(numbers["orient"])[:, None], "hand_pose": matrices(numbers["fingers"])}
    archive = write(
        tmp_path / "a.npz", **poses, pred_cam_t_full=numbers["translation"], is_right=np.ones(KEYS), fps=np.array(12.0)
    )
    content = {
        "pred_mano_params": {name: values.astype(np.float32) for name, values in poses.items()},
        "pred_cam_t_full": list(numbers["translation"]),
        "is_right": [1] * KEYS,
        "img_name": np.array(["a.png"] * KEYS),
        "fps": 12,
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    pickled, expected = (read_any_track(path, [right]) for path in (tmp_path / "a.pkl", archive))
    assert pickled.sides == expected.sides and pickled.placed and pickled.name == "a"
    for name in HandPose.__dataclass_fields__:
        torch.testing.assert_close(getattr(pickled.pose, name), getattr(expected.pose, name), atol=1e-6, rtol=0)
    torch.testing.assert_close(pickled.times, expected.times)


class _Touch:
    """Pickles as a call that leaves a mark on disk when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_hostile_pickle_is_refused_and_not_run(right: HandModel, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"hand_pose": ANGLES, "fps": _Touch(mark)}))
    # The file does harm when an ordinary unpickler reads it, else the test would prove nothing.
    pickle.loads(path.read_bytes())
    assert mark.exists()
    mark.unlink()
    with pytest.raises(HandsError, match=r"a\.pkl: .*which could run code; nothing was run: .* numpy\.savez") as error:
        read_any_track(path, [right], convention="mano-flat")
    assert not mark.exists() and "\n" not in str(error.value)


def test_other_pickles_are_told_how_to_save_again(right: HandModel, tmp_path: Path) -> None:
    joblib.dump({"hand_pose": ANGLES}, tmp_path / "a.pkl", compress=3)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps([{"hand_pose": ANGLES}]))
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"hand_pose": ANGLES})[:50])
    torch.save({"hand_pose": torch.zeros(KEYS, 45)}, tmp_path / "d.pkl")
    for name, found in (("a", "joblib"), ("b", "a pickled list"), ("c", "a broken pickle"), ("d", "a broken pickle")):
        with pytest.raises(HandsError, match=rf"{name}\.pkl: .*found {'.*' if name == 'a' else ''}{found}.*savez"):
            read_any_track(tmp_path / f"{name}.pkl", [right])
    with pytest.raises(HandsError, match="found no such file"):
        read_any_track(tmp_path / "e.pkl", [right])


ANGLES = np.zeros((KEYS, 45))


@pytest.mark.parametrize(
    ("arrays", "convention", "message"),
    [
        ({"joints": np.zeros(3)}, None, "found the arrays joints; give another file"),
        ({"hand_pose": ANGLES, "is_right": np.array([1, 0, 1])}, "mano-flat", "those of both mixed"),
        ({"hand_pose": ANGLES, "is_right": np.zeros(KEYS)}, "mano-flat", "found those of the left hand"),
        ({"hand_pose": ANGLES[:, :44]}, "mano-flat", r"the fingers' angles of the shape \[3, 15, 3\], found \[3, 44\]"),
        ({"hand_pose": np.ones((KEYS, 15, 3, 3))}, None, "expected rotation matrices as the fingers' rotations"),
        ({"hand_pose": np.tile(np.eye(3), (KEYS, 15, 1, 1))}, "mano-mean", "which are those of the flat hand"),
        ({"hand_pose": np.full((KEYS, 45), np.nan)}, "mano-flat", "expected finite numbers"),
        ({"hand_pose": ANGLES, "transl": np.zeros((2, 3))}, "mano-flat", r"the translation of the shape \[3, 3\]"),
        ({"hand_pose": ANGLES, "fps": np.array(-5.0)}, "mano-flat", "from 0.1 to 1000 poses a second, found -5.0"),
        ({"pose_m": np.zeros((KEYS, 48))}, None, r"pose_m of the shape \[T, 51\]"),
        ({"hand_pose": np.zeros(())}, "mano-flat", "angles"),
        ({"hand_pose": np.zeros((0, 45))}, "mano-flat", "angles"),
    ],
)
def test_what_makes_no_sense_is_refused(right: HandModel, arrays, convention, message: str, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match=message):
        read_any_track(write(tmp_path / "a.npz", **arrays), [right], convention=convention)


def test_our_own_tracks_need_no_convention(right: HandModel, tmp_path: Path) -> None:
    own = PoseTrack.of_frames(HandPose.rest(1, (2,)), ("right",), fps=5, name="own")
    save_track(tmp_path / "own.npz", own)
    assert read_any_track(tmp_path / "own.npz", [right]).name == "own"
    with pytest.raises(HandsError, match="expected a file of another tool with --track-convention"):
        read_any_track(tmp_path / "own.npz", [right], convention="hamer")


def test_json_of_the_flat_hand(right: HandModel, tmp_path: Path) -> None:
    entry = {"right": {"pose": [0.1] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3}, "left": None}
    (tmp_path / "a.json").write_text(json.dumps({"0": entry, "3": entry}))
    flat, mean = (read_any_track(tmp_path / "a.json", [right], convention=name) for name in ("mano-flat", None))
    np.testing.assert_allclose(flat.pose.local_rotations, 0.1, atol=1e-6)
    np.testing.assert_allclose(mean.pose.local_rotations[0, 0], 0.1 + right.hands_mean.numpy(), atol=1e-6)
    with pytest.raises(HandsError, match="mano-mean or mano-flat for JSON, found dexycb"):
        read_any_track(tmp_path / "a.json", [right], convention="dexycb")
