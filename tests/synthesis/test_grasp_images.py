"""Pictures and clips of hands that hold things."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.hand_image import HandImage
from nerfstudio_hands.synthesis.grasp_images import SyntheticGrasps, SyntheticGraspsOptions, _streaked
from nerfstudio_hands.synthesis.grasps.pool import is_for_testing

OPTIONS = SyntheticGraspsOptions(size=96, people=2, count=40)
COUNT = 10


@pytest.fixture(scope="module")
def source() -> SyntheticGrasps:
    return SyntheticGrasps(OPTIONS)


@pytest.fixture(scope="module")
def pictures(source: SyntheticGrasps) -> list[HandImage]:
    return [source.read(index) for index in range(COUNT)]


def seen(points: np.ndarray, labels) -> np.ndarray:
    pixels = points @ labels.intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


def placed(source: SyntheticGrasps, labels) -> np.ndarray:
    return source.held_mesh(labels.held.name).vertices @ labels.held.to_camera[:3, :3].T + labels.held.to_camera[:3, 3]


def test_the_same_index_is_the_same_image_in_every_order_and_process(source, pictures):
    again = pickle.loads(pickle.dumps(source))
    for index in (5, 1):
        picture = again.read(index)
        assert np.array_equal(picture.rgb, pictures[index].rgb)
        labels = again.labels(index)
        assert np.array_equal(labels.vertices, pictures[index].labels.vertices) and labels.side == picture.labels.side
        assert np.array_equal(labels.held.to_camera, pictures[index].labels.held.to_camera)
    assert len(pickle.dumps(source)) < 2000


def test_labels_lie_on_the_hand_and_things_in_the_image(source, pictures):
    on_hand, on_thing = [], []
    for picture in pictures:
        labels = picture.labels
        assert np.allclose(seen(labels.joints, labels), labels.pixels, atol=1e-2)
        column, row = np.clip(labels.pixels, 0, 95.9).astype(int).T
        on_hand.append(picture.mask[row, column].mean())
        pixels = seen(placed(source, labels), labels)
        on_thing.append(((pixels > 0) & (pixels < 96)).all(1).mean())
        # The network looks at about 1.8 times the hand.
        assert 1.6 < 96 / np.max(labels.box[2:] - labels.box[:2]) < 3.2
    # A hand is hidden by what it holds, in part.
    assert np.median(on_hand) > 0.6
    assert np.mean(on_thing) > 0.99


def test_hands_hold_what_the_labels_say(source, pictures):
    """Skin is near the thing, on either side, by the nearest of the true mesh's vertices, 2 mm from each other."""
    sides, near = set(), []
    for picture in pictures:
        labels = picture.labels
        apart, _ = cKDTree(placed(source, labels)).query(labels.vertices)
        assert apart.min() < 4e-3
        near.append((apart < 0.006).sum())
        assert np.linalg.det(labels.held.to_camera[:3, :3]) == pytest.approx(1, abs=1e-5)
        sides.add(labels.side)
    assert np.median(near) > 20
    assert sides == {"left", "right"}
    assert {SyntheticGrasps(replace(OPTIONS, left=0.0)).labels(index).side for index in range(4)} == {"right"}


def test_what_is_for_testing_is_never_learned_from(source):
    test = SyntheticGrasps(replace(OPTIONS, split="test"))
    for part, expected in ((source, False), (test, True)):
        for index in range(12):
            kind, _, seed = part.labels(index).held.name.rpartition("-")
            assert is_for_testing(kind, int(seed)) == expected
    people = [{part._sequences(index).who.albedo.tobytes() for index in range(8)} for part in (source, test)]
    assert not people[0] & people[1]


def test_clips_go_on_without_jumps(source):
    films = SyntheticGrasps(replace(OPTIONS, frames=6, count=22))
    labels = [films.labels(index) for index in range(12)]
    steps = [np.linalg.norm(b.joints - a.joints, axis=1).max() for a, b in zip(labels, labels[1:], strict=False)]
    within, between = [*steps[:5], *steps[6:]], steps[5]
    assert 1e-4 < np.median(within) < 0.02 and max(within) < 0.05 and between > 0.05
    for row in (0, 6):
        assert {one.held.name for one in labels[row : row + 6]} == {labels[row].held.name}
        assert all(np.array_equal(one.intrinsics, labels[row].intrinsics) for one in labels[row : row + 6])
    # A hand keeps hold of its thing.
    own = [np.linalg.inv(one.held.to_camera) @ np.append(one.joints[0], 1) for one in labels[:6]]
    assert np.ptp(np.array(own), axis=0).max() < 1e-4


def test_a_clip_ends_with_its_image_where_it_can():
    films = SyntheticGrasps(replace(OPTIONS, frames=6, count=22))
    assert films.clip(10, 3) == [8, 9, 10]
    assert films.clip(7, 3) == [6, 7, 8]
    assert films.clip(21, 3) == [19, 20, 21]
    assert films.clip(20, 6) == [18, 18, 18, 19, 20, 21]
    assert SyntheticGrasps(OPTIONS).clip(5, 2) == [5, 5]


def test_motion_blur_draws_out_along_the_motion():
    light, covered = np.zeros((21, 21, 3), np.float32), np.zeros((21, 21, 3), np.float32)
    light[10, 10] = covered[10, 10] = 1
    for motion in ([6.0, 0.0], [3.0, -3.0]):
        streak, part = _streaked((light, covered), np.array(motion, np.float32))
        assert np.allclose(streak.sum((0, 1)), 1, atol=1e-5) and np.allclose(streak, part)
        rows, columns = np.nonzero(streak[..., 0] > 1e-6)
        assert np.ptp(columns) == pytest.approx(abs(motion[0]), abs=1)
        assert np.ptp(rows) == pytest.approx(abs(motion[1]), abs=1)
        assert np.hypot(*(np.average(axis, weights=streak[rows, columns, 0]) - 10 for axis in (rows, columns))) < 0.2
    same, _ = _streaked((light, covered), np.zeros(2, np.float32))
    assert np.array_equal(same, light)


def test_what_passes_before_the_hand_moves():
    options = replace(OPTIONS, frames=8, occluders=1.0, left=0.0)
    films, plain = SyntheticGrasps(options), SyntheticGrasps(replace(options, occluders=0.0))
    rows = [8 * sequence + frame for sequence in range(4) for frame in (1, 5)]
    hidden = np.array([np.mean(plain.read(row).mask) - np.mean(films.read(row).mask) for row in rows]).reshape(4, 2)
    assert hidden.max() > 0.01 and np.ptp(hidden, axis=1).max() > 0.002


def test_other_names_and_numbers_are_refused(source):
    with pytest.raises(HandsError, match="expected a thing such as mug-0007"):
        source.held_mesh("teapot-0001")
    with pytest.raises(HandsError, match="frames"):
        SyntheticGrasps(replace(OPTIONS, frames=0))
