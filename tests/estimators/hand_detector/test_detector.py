"""The detector on the shipped capture, whose landmarks are known, and on pictures without hands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand, HandDetector
from nerfstudio_hands.estimators.hand_detector.detector import distinct_hands
from nerfstudio_hands.estimators.hand_detector.weights import LANDMARK_FILE, PALM_FILE, checked_weights, take_out
from nerfstudio_hands.files.image_reading import read_image


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    return HandDetector()


@pytest.fixture(scope="module")
def capture(demo_capture: Path) -> Capture:
    return read_capture(demo_capture)


@pytest.fixture(scope="module")
def pictures(capture: Capture) -> list[np.ndarray]:
    """The first eight, which see the hand from the palm or from the back."""
    return [read_image(capture.images["1", name]) for name in capture.camera_names[:8]]


@pytest.fixture(scope="module")
def hands(detector: HandDetector, pictures: list[np.ndarray]) -> list[DetectedHand]:
    found = [detector.detect(picture) for picture in pictures]
    assert [len(hands) for hands in found] == [1] * 8
    return [hands[0] for hands in found]


def test_landmarks_and_side_of_the_shipped_capture(capture: Capture, hands: list[DetectedHand]) -> None:
    truth = capture.detections[0, :8, 1]
    errors = np.linalg.norm(np.array([hand.pixels for hand in hands]) - truth, axis=-1)
    sizes = np.ptp(truth, axis=1).max(-1)
    assert (np.median(errors, axis=1) < 0.07 * sizes).all()
    # The hand is an anatomical right one, in pictures that are not mirrored.
    assert all(hand.right > 0.6 for hand in hands)
    # Wrist to middle fingertip of the shipped hand is 178 mm long; bent, it is less.
    spans = [np.linalg.norm(hand.metric[12] - hand.metric[0]) for hand in hands]
    assert 0.10 < np.median(spans) < 0.19


def test_metric_landmarks_are_in_camera_axes(capture: Capture, hands: list[DetectedHand]) -> None:
    truth = capture.detections[0, :8, 1]
    for hand, pixels in zip(hands, truth, strict=True):
        assert np.abs(hand.metric.mean(0)).max() < 0.03
        centered = hand.metric[:, :2] - hand.metric[:, :2].mean(0), pixels - pixels.mean(0)
        cosine = (centered[0] * centered[1]).sum() / np.prod([np.linalg.norm(c) for c in centered])
        assert cosine > 0.9


def test_a_image_upside_down_shows_the_same_hand(
    detector: HandDetector, pictures: list[np.ndarray], hands: list[DetectedHand]
) -> None:
    """A half turn exchanges the ends of both axes: were a pixel's centre taken for its corner anywhere on the way,
    landmarks would differ by a pixel, of the picture or of the crop."""
    height, width = pictures[0].shape[:2]
    differences = []
    for picture, hand in zip(pictures, hands, strict=True):
        turned = detector.detect(np.ascontiguousarray(picture[::-1, ::-1]))[0]
        differences.append([width, height] - turned.pixels - hand.pixels)
        assert abs(turned.right - hand.right) < 0.2
    assert np.abs(np.median(differences, axis=(0, 1))).max() < 0.5


def test_a_mirrored_image_shows_the_other_hand(
    detector: HandDetector, pictures: list[np.ndarray], hands: list[DetectedHand]
) -> None:
    mirrored = [detector.detect(np.ascontiguousarray(picture[:, ::-1]))[0] for picture in pictures]
    assert np.mean([hand.right for hand in mirrored]) < 0.4


def test_two_hands_are_told_apart(detector: HandDetector, pictures: list[np.ndarray]) -> None:
    both = np.concatenate([pictures[3], pictures[4][:, ::-1]], axis=1)
    found = sorted(detector.detect(both), key=lambda hand: hand.pixels[:, 0].mean())
    assert len(found) == 2
    assert found[0].right > 0.5 > found[1].right
    assert len(HandDetector(max_hands=1).detect(both)) == 1


def test_a_video_is_followed_and_memory_stays_flat(detector: HandDetector, pictures: list[np.ndarray]) -> None:
    taken = 0

    def stream() -> Iterator[np.ndarray]:
        nonlocal taken
        still = pictures[3]
        for image in (still, np.roll(still, 6, axis=1), np.roll(still, 12, axis=1), np.zeros_like(still), still):
            taken += 1
            yield image

    found = []
    for hands in detector.detect_video(stream()):
        found.append(hands)
        assert taken == len(found)
    assert [len(hands) for hands in found] == [1, 1, 1, 0, 1]
    for moved in (1, 2):
        step = found[moved][0].pixels - found[0][0].pixels
        np.testing.assert_allclose(np.median(step, axis=0), [6 * moved, 0], atol=1)


def test_no_hand_in_what_shows_none(detector: HandDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.full((7, 900, 3), 200, np.uint8)) == []


def test_a_hand_found_twice_is_one(hands: list[DetectedHand]) -> None:
    hand = hands[0]
    again = DetectedHand(hand.pixels + 4, hand.depth, hand.score - 0.01, hand.right, hand.metric)
    other = DetectedHand(hand.pixels + 300, hand.depth, 0.6, hand.right, hand.metric)
    assert distinct_hands([again, other, hand]) == [hand, other]


def test_absent_and_altered_networks_are_one_sentence(detector_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match=rf"{PALM_FILE}.*no such file.*ns-hands fetch-weights"):
        checked_weights(tmp_path)
    for name in (PALM_FILE, LANDMARK_FILE):
        (tmp_path / name).write_bytes((detector_weights / name).read_bytes())
    assert checked_weights(tmp_path)[PALM_FILE] == tmp_path / PALM_FILE
    with (tmp_path / LANDMARK_FILE).open("r+b") as file:
        file.write(b"x")
    with pytest.raises(HandsError, match=rf"{LANDMARK_FILE}.*SHA-256.*delete the file.*ns-hands fetch-weights"):
        HandDetector(tmp_path)


def test_a_wheel_without_networks_is_named(tmp_path: Path) -> None:
    (tmp_path / "mediapipe-1.0-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(HandsError, match="mediapipe-1.0.*mediapipe==0.10.21"):
        take_out(tmp_path / "mediapipe-1.0-py3-none-any.whl", tmp_path / "weights")
