from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.fitting.silhouettes.contours import ContourDistance, ProjectedSilhouette
from nerfstudio_hands.inspection.hand_view import HandView
from nerfstudio_hands.inspection.image_outline import OutlineQuality
from nerfstudio_hands.inspection.joint_verdict import JointVerdict
from nerfstudio_hands.inspection.view_measures import camera_gains, measure_view


def disc_view(mask: np.ndarray | None, *, radius: float = 60.0, size: int = 240) -> HandView:
    """A left hand that is a disc: upper half face 0, colour (80, 40, 20), lower half face 1, colour (160, 90, 40)."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    disc = np.hypot(x, y) <= radius
    upper = y < 0
    image = np.zeros((size, size, 3), np.uint8)
    image[disc & upper], image[disc & ~upper] = (80, 40, 20), (160, 90, 40)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    normals = np.stack([np.cos(angle), np.sin(angle)], -1)
    outline = ProjectedSilhouette(
        points=normals * radius + size / 2,
        normals=normals,
        ends=np.zeros((400, 2), int),
        fraction=np.zeros(400),
        is_hand=np.ones(400, bool),
        silhouette=disc,
    )
    joints = np.full((2, 21, 2), np.nan)
    return HandView(
        frame="1",
        camera=CaptureCamera("00", np.diag([500.0, 500.0, 1.0]), np.eye(4), size, size),
        image=image,
        mask=mask,
        face=np.where(disc, np.where(upper, 0, 1), -1),
        sides=np.where(disc, 0, -1),
        detections=joints,
        triangulated=joints,
        triangulated_as_calibrated=joints,
        fitted=joints,
        outline=outline,
        forearm=np.zeros((size, size), bool),
        meters_per_pixel=np.array([0.001, np.nan]),
    )


def disc(radius: float, size: int = 240) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.hypot(x, y) <= radius


def test_outline_distance_of_concentric_discs_is_the_difference_of_radii() -> None:
    quality = measure_view(disc_view(disc(65.0)), 2).mask
    assert quality.outline_distance == pytest.approx(5.0, abs=0.2)
    assert quality.outline_matched == 1.0
    assert quality.coverage == 1.0 and quality.fault is None


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (disc(60.0), None),
        (disc(60.0) & ~disc(25.0), "holes"),
        (disc(15.0), "nearly empty"),
        (np.roll(disc(60.0), 14, axis=1), "9 px (9 mm) beside the hand"),
        (np.roll(disc(60.0), 90, axis=1), "elsewhere than the hand"),
        (np.zeros((240, 240), bool), "nearly empty"),
    ],
)
def test_says_what_is_wrong_with_a_mask(mask: np.ndarray, fault: str | None) -> None:
    found = measure_view(disc_view(mask), 2).mask.fault
    assert found is None if fault is None else fault in found


def test_brightness_by_face() -> None:
    measures = measure_view(disc_view(None), 3)
    assert measures.mask is None
    # Of the darkest channel: sRGB 20 and 40 are 0.00699 and 0.02122 of full light.
    np.testing.assert_allclose(measures.face_brightness, [0.00699, 0.02122, np.nan], atol=2e-5)
    assert measures.saturated == 0.0


def test_saturated_pixels_are_counted_and_tell_no_brightness() -> None:
    view = disc_view(None)
    view.image[view.face == 1] = 255
    measures = measure_view(view, 2)
    assert measures.saturated == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(measures.face_brightness, [0.00699, np.nan], atol=2e-5)


def test_gains_do_not_depend_on_which_places_a_camera_sees() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([0.5, 1.0, 2.0, 1.0])
    places = rng.uniform(0.05, 0.4, size=400)
    brightness = truth[:, None] * places
    # Cameras 0 and 2 see disjoint places, tied by camera 1 alone; some values are wrong.
    brightness[0, 200:] = np.nan
    brightness[2, :200] = np.nan
    brightness[1, rng.choice(400, 40, replace=False)] *= 3
    np.testing.assert_allclose(camera_gains(brightness), truth, rtol=1e-3)


def test_a_camera_that_shares_no_place_has_no_gain() -> None:
    brightness = np.array([[0.1, 0.2, np.nan], [0.2, 0.4, np.nan], [np.nan, np.nan, 0.3]])
    gains = camera_gains(brightness)
    assert gains[1] / gains[0] == pytest.approx(2.0)
    assert np.isnan(gains[2])


def shifted(view: HandView, across: int, down: int) -> HandView:
    """The same projection over a picture that shows the hand so many pixels beside it."""
    return replace(view, image=np.roll(view.image, (down, across), axis=(0, 1)))


def test_the_outline_of_a_image_is_found_without_any_mask() -> None:
    found = measure_view(disc_view(None), 2).outline
    radii = np.hypot(*(found.seen.points - 120).T)
    assert np.abs(radii - 60).mean() < 0.7 and len(radii) > 300
    assert found.quality.matched == 1.0 and found.quality.fault is None
    assert found.quality.meters == pytest.approx(found.quality.distance / 1000)


@pytest.mark.parametrize("shift", [(10, 0), (0, -10), (7, 7)])
@pytest.mark.parametrize("mask", [None, disc(60.0)])
def test_a_hand_ten_pixels_beside_its_image_is_not_good_whatever_its_mask_says(shift, mask) -> None:
    quality = measure_view(shifted(disc_view(mask), *shift), 2).outline.quality
    # Of a shift the distance along the normal, whose mean over all directions is two thirds.
    assert quality.distance == pytest.approx(10 * 2 / np.pi, rel=0.2)
    assert "beside its picture" in quality.fault


def test_a_hand_twice_as_thick_as_its_image_is_not_good() -> None:
    view = disc_view(None)
    thinner = replace(view, image=disc_view(None, radius=50.0).image)
    assert measure_view(thinner, 2).outline.quality.distance == pytest.approx(10, rel=0.1)


def test_coarse_images_are_measured_at_the_size_of_the_hand() -> None:
    """Large pictures are reduced, and distances said at full resolution."""
    view = disc_view(None, radius=250.0, size=800)
    quality = measure_view(
        replace(shifted(view, 10, 0), meters_per_pixel=np.array([0.0002, np.nan])), 2
    ).outline.quality
    assert quality.distance == pytest.approx(10 * 2 / np.pi, rel=0.2) and quality.fault is not None


def test_a_image_without_edges_tells_nothing() -> None:
    view = disc_view(None)
    assert measure_view(replace(view, image=np.full_like(view.image, 20)), 2).outline is None


def test_edges_of_something_else_do_not_confirm_the_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros_like(disc_view(None).image)
    image[50:75, 100:140] = (160, 90, 40)
    view = replace(disc_view(None), image=image)
    assert measure_view(view, 2).outline.quality.shown < 0.4
    nowhere = ContourDistance(np.nan, np.nan, np.nan, matched=0.0)
    monkeypatch.setattr("nerfstudio_hands.inspection.image_outline.contour_distance", lambda *a, **k: nowhere)
    assert measure_view(view, 2).outline is None


def test_a_image_that_shows_the_hand_elsewhere_says_so() -> None:
    assert OutlineQuality(6.0, 0.001, matched=0.2, shown=0.9).fault == "outline elsewhere (found 20%)"
    # A little of the outline alone may lack light.
    assert OutlineQuality(1.0, 0.001, matched=0.2, shown=0.2).fault is None


@pytest.mark.parametrize(
    ("distance", "meters", "good"),
    [(1.0, 0.001, True), (1.2, 0.006, True), (3.0, 0.003, False), (9.0, 0.0015, False), (4.0, 0.0015, True)],
)
def test_distances_are_judged_at_the_hand_and_in_the_image(distance, meters, good) -> None:
    assert (OutlineQuality(distance, meters, matched=1.0, shown=1.0).fault is None) == good


@pytest.mark.parametrize(
    ("millimetres", "grade"),
    [(1.5, "good"), (6.0, "good"), (9.5, "good"), (11.0, "doubtful"), (16.0, "wrong"), (np.nan, "unknown")],
)
def test_distances_of_joints_are_judged(millimetres, grade) -> None:
    assert JointVerdict(millimetres).grade == grade
