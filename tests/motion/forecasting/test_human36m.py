"""Human3.6M's files and protocol, on files that are made here in its form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.forecasting import human36m
from nerfstudio_hands.motion.forecasting.human36m import body_joints, errors_of_all_joints, read_take, window_begins


def write_take(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, delimiter=",", fmt="%.7f")


def test_the_body_at_rest_stands_upright() -> None:
    joints = body_joints(torch.zeros(1, 99))[0]
    torch.testing.assert_close(joints[3], torch.tensor([-0.132948591, -0.442894612 - 0.454206447, 0.0]))
    torch.testing.assert_close(
        joints[15], torch.tensor([0.0, 0.0001 + 0.233383263 + 0.257077681 + 0.121134938 + 0.115002227, 0.0])
    )
    for copy, copied in zip(human36m.COPIES, human36m.COPIED, strict=True):
        torch.testing.assert_close(joints[copy], joints[copied])


def test_rotations_act_on_rows_from_the_right_as_in_the_published_code() -> None:
    rows = torch.randn(2, 99, generator=torch.Generator().manual_seed(0)) * 0.4
    found = body_joints(rows)
    turned = [Rotation.from_rotvec(rows[1, 3 + 3 * j : 6 + 3 * j].numpy()).as_matrix() for j in range(32)]
    turned[0] = np.eye(3)
    frames, places = [turned[0]], [np.zeros(3)]
    for joint in range(1, 32):
        parent = human36m.PARENTS[joint]
        offset = np.array(human36m._BONES.get(joint, (0, 0, 0))) / 1000
        places.append(offset @ frames[parent] + places[parent])
        frames.append(turned[joint] @ frames[parent])
    np.testing.assert_allclose(found[1], np.array(places), atol=1e-5)
    # Where the body is and how it is turned as a whole counts for nothing.
    rows[:, :6] = 3.0
    torch.testing.assert_close(body_joints(rows), found)


def test_every_second_row_is_read(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(0, 0.3, (7, 99))
    write_take(tmp_path / "walking_1.txt", rows)
    torch.testing.assert_close(
        read_take(tmp_path / "walking_1.txt"), body_joints(torch.from_numpy(rows[::2]).float()), atol=1e-5, rtol=0
    )
    (tmp_path / "walking_1.txt").write_text("1,2,3\n")
    with pytest.raises(HandsError, match=r"expected a text of Human3.6M, 99 numbers a row .* found .* \(1, 3\)"):
        read_take(tmp_path / "walking_1.txt")
    with pytest.raises(HandsError, match="walking_2.txt: expected a text of Human3.6M"):
        read_take(tmp_path / "walking_2.txt")


def test_windows_are_those_that_everybody_measures_on() -> None:
    first, second = window_begins(1600, 1200, 10)
    assert len(first) == len(second) == 128
    # The generator draws for both takes in turn.
    rng = np.random.RandomState(1234567890)
    assert (int(first[0]), int(second[0]), int(first[1])) == tuple(
        rng.randint(16, high) + 40 for high in (1450, 1050, 1450)
    )
    # Whoever reads 50 frames forecasts the same moments.
    assert torch.equal(window_begins(1600, 1200, 50)[0] + 50, first + 10)
    with pytest.raises(HandsError, match="more than 166 frames"):
        window_begins(1600, 160, 10)


def test_a_whole_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(human36m, "ACTIONS", ("walking",))
    rng = np.random.default_rng(1)
    for subject in (5, 11):
        for take in (1, 2):
            write_take(tmp_path / f"S{subject}" / f"walking_{take}.txt", rng.normal(0, 0.2, (400, 99)))
    found = human36m.test_windows(tmp_path, 10, 25)
    assert found["walking"].shape == (256, 35, 66)
    recordings = human36m.recordings(tmp_path, human36m.VALIDATION)
    assert [recording.states.shape for recording in recordings] == [(200, 66), (200, 66)]
    assert recordings[0].fps == 25


def test_the_mean_is_over_32_joints() -> None:
    predicted, truth = torch.zeros(22, 3), torch.zeros(22, 3)
    predicted[:, 0] = 1.0
    errors = errors_of_all_joints(predicted, truth)
    # Four joints never move; six lie on others and count again.
    assert errors.sum() == 28 and len(errors) == 32
    only = torch.zeros(22, 3)
    only[human36m.USED.index(13), 2] = 0.3
    assert errors_of_all_joints(only, truth).sum() == pytest.approx(0.9)
