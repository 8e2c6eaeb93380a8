"""Every way to misread a rig is found by the rays of landmarks; a right one is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from helpers.moving_hand import SIZE, as_calibration, made_up_rig, moving_joints, seen

from nerfstudio_hands.calibration.conventions import AS_WRITTEN, find_convention
from nerfstudio_hands.calibration.hand_scale import hand_length
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError

Rig = list[CalibratedCamera]
JOINTS = moving_joints(12)
LENGTH = 1e3 * hand_length(JOINTS)
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def moved(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Rig], Rig]:
    return lambda rig: [replace(camera, world_to_camera=change(camera.world_to_camera)) for camera in rig]


def scaled(factor: float) -> Callable[[Rig], Rig]:
    def change(matrix: np.ndarray) -> np.ndarray:
        result = matrix.copy()
        result[:3, 3] *= factor
        return result

    return moved(change)


def shrunk(rig: Rig) -> Rig:
    return [replace(c, intrinsics=np.diag([0.5, 0.5, 1]) @ c.intrinsics, size=(640, 512)) for c in rig]


def exchanged(rig: Rig) -> Rig:
    first, second, *others = rig
    return [replace(second, name=first.name), replace(first, name=second.name), *others]


VARIANTS: dict[str, tuple[Callable[[Rig], Rig], str, float]] = {
    "nothing": (lambda rig: rig, AS_WRITTEN, 1.0),
    "millimetres": (scaled(1000), AS_WRITTEN, 0.001),
    "checkerboard squares": (scaled(1 / 0.038), AS_WRITTEN, 0.038),
    "camera-to-world": (moved(np.linalg.inv), "its transforms are camera-to-world", 1.0),
    "axes of OpenGL": (moved(lambda m: FLIP @ m), "its camera axes are OpenGL's (y up, z backward)", 1.0),
    "nerfstudio's": (
        moved(lambda m: np.linalg.inv(FLIP @ m)),
        "its transforms are camera-to-world with OpenGL's axes (y up, z backward)",
        1.0,
    ),
    "K of half the size": (shrunk, "its K is of another picture size", 1.0),
    "K of half the size, unsaid": (
        lambda rig: [replace(c, size=None) for c in shrunk(rig)],
        "its K is of another picture size",
        1.0,
    ),
    "half the size, camera-to-world": (
        lambda rig: moved(np.linalg.inv)(shrunk(rig)),
        "its transforms are camera-to-world and its K is of another picture size",
        1.0,
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_variant_under_which_rays_meet_is_found(variant: str, count: int):
    rig = made_up_rig(count)
    change, name, unit = VARIANTS[variant]
    found = find_convention(
        as_calibration(change(rig)),
        [c.name for c in rig],
        seen(rig, JOINTS),
        sizes=[SIZE] * count,
        hand_length_mm=LENGTH,
    )
    assert found.variant == name and found.after < 4 and found.outlying == ()
    assert (name == AS_WRITTEN) or (name in found.sentence and found.before > 5 * found.after)
    assert found.unit == pytest.approx(unit, rel=0.03)
    for expected, camera in zip(rig, found.calibration.cameras.values(), strict=True):
        np.testing.assert_allclose(camera.intrinsics, expected.intrinsics, atol=1e-6)
        np.testing.assert_allclose(camera.world_to_camera[:3, :3], expected.world_to_camera[:3, :3], atol=1e-9)
        np.testing.assert_allclose(camera.world_to_camera[:3, 3], expected.world_to_camera[:3, 3], rtol=0.03, atol=1e-9)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_exchanged_cameras_are_named_and_changed_back(count: int):
    rig = made_up_rig(count)
    found = find_convention(as_calibration(exchanged(rig)), [c.name for c in rig], seen(rig, JOINTS))
    assert found.variant == "its cameras 0 and 1 are exchanged" and not found.outlying
    for expected in rig:
        np.testing.assert_array_equal(
            found.calibration.cameras[expected.name].world_to_camera[:3, :3], expected.world_to_camera[:3, :3]
        )


@pytest.mark.parametrize("count", [3, 5])
def test_one_wrong_camera_is_named(count: int):
    rig = made_up_rig(count)
    wrong = [*rig[:-1], replace(rig[-1], world_to_camera=rig[0].world_to_camera @ np.diag([-1.0, 1, -1, 1]))]
    found = find_convention(as_calibration(wrong), [c.name for c in rig], seen(rig, JOINTS))
    assert found.variant == AS_WRITTEN and found.outlying == (rig[-1].name,)
    assert f"camera {rig[-1].name} disagrees with the other {count - 1}" in found.sentence


def test_cameras_of_elsewhere_meet_in_no_reading():
    rig, other = made_up_rig(4), made_up_rig(4, seed=7)
    shuffled = [replace(other[(c + 2) % 4], name=str(c)) for c in range(4)]
    found = find_convention(as_calibration(shuffled), [c.name for c in rig], seen(rig, JOINTS))
    assert found.variant is None and "expected rays of landmarks to meet" in found.sentence


def test_a_small_fault_is_no_convention():
    """A camera that is turned by a degree is left to the fit, which turns it back."""
    rig = made_up_rig(5)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.0175), -np.sin(0.0175)], [np.sin(0.0175), np.cos(0.0175)]]
    rig[2] = replace(rig[2], world_to_camera=turn @ rig[2].world_to_camera)
    found = find_convention(as_calibration(rig, 1.0), [c.name for c in rig], seen(made_up_rig(5), JOINTS))
    assert found.variant == AS_WRITTEN and found.unit == 1.0 and not found.outlying


def test_what_cannot_be_told_is_said():
    rig = made_up_rig(3)
    names = [camera.name for camera in rig]
    with pytest.raises(HandsError, match="found none"):
        find_convention(as_calibration(rig), names, np.full((2, 3, 2, 21, 2), np.nan))
    bare = as_calibration([replace(camera, world_to_camera=None) for camera in rig])
    with pytest.raises(HandsError, match="found intrinsics only"):
        find_convention(bare, names, seen(rig, JOINTS))
