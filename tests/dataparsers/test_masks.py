"""Masks in the forms that people have: alpha, labels, inverted, white all over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.make_scan import make_scan
from PIL import Image, ImageFilter

from nerfstudio_hands.captures.capture import hand_mask
from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image, read_mask
from nerfstudio_hands.fitting.silhouettes.mask_quality import mask_coverage, mask_spills
from nerfstudio_hands.inspection.view_measures import MaskQuality

SIZE = (64, 48)
TRUTH = np.zeros((48, 64), dtype=bool)
TRUTH[10:30, 20:40] = True
HALVES = np.where(TRUTH, np.where(np.arange(64) < 30, 1, 2), 0).astype(np.uint8)


def alpha(color: tuple[int, int, int]) -> Image.Image:
    """A cut-out picture."""
    picture = Image.new("RGBA", SIZE, color)
    picture.putalpha(Image.fromarray(np.where(TRUTH, 255, 0).astype(np.uint8)))
    return picture


def palette() -> Image.Image:
    """Labels that a palette shows in dark colours on a bright ground."""
    picture = Image.fromarray(HALVES, mode="P")
    picture.putpalette([250, 250, 250, 90, 0, 0, 0, 0, 90] + [0, 0, 0] * 253)
    return picture


def opaque() -> Image.Image:
    """A mask whose alpha channel says nothing."""
    picture = Image.fromarray(np.where(TRUTH, 255, 0).astype(np.uint8)).convert("RGBA")
    picture.putalpha(255)
    return picture


FORMS: dict[str, Callable[[], Image.Image]] = {
    "white on black": lambda: Image.fromarray(np.where(TRUTH, 255, 0).astype(np.uint8)),
    "ones": lambda: Image.fromarray(TRUTH.astype(np.uint8)),
    "one bit": lambda: Image.fromarray(TRUTH),
    "labels 1 and 2": lambda: Image.fromarray(HALVES),
    "labels 40 and 80": lambda: Image.fromarray(40 * HALVES),
    "labels in colours": lambda: Image.fromarray(np.array([[0, 0, 0], [0, 0, 200], [120, 0, 0]], np.uint8)[HALVES]),
    "labels of a palette": palette,
    "labels of 16 bits": lambda: Image.fromarray(HALVES.astype(np.uint16)),
    "white of 16 bits": lambda: Image.fromarray(np.where(TRUTH, 65535, 0).astype(np.uint16)),
    "alpha over black": lambda: alpha((0, 0, 0)),
    "alpha over white": lambda: alpha((255, 255, 255)),
    "alpha that says nothing": opaque,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_shows_the_same_hand(tmp_path: Path, form: str) -> None:
    FORMS[form]().save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SIZE), TRUTH)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SIZE, inverted=True), ~TRUTH)


def test_soft_edges_and_jpeg_are_cut_halfway(tmp_path: Path) -> None:
    soft = FORMS["white on black"]().resize((640, 480)).filter(ImageFilter.GaussianBlur(6))
    soft.save(tmp_path / "soft.png")
    FORMS["white on black"]().resize((640, 480), Image.Resampling.NEAREST).save(tmp_path / "lossy.jpg", quality=60)
    large = np.kron(TRUTH, np.ones((10, 10))) > 0
    for name in ("soft.png", "lossy.jpg"):
        assert (read_mask(tmp_path / name, (640, 480)) != large).mean() < 0.005, name


def test_inverted_masks_are_recognised_by_the_detected_hands(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    capture = read_capture_room(tmp_path / "1")
    for index, name in enumerate(capture.camera_names):
        mask = np.zeros(TRUTH.shape, dtype=bool)
        for x, y in capture.detections[0, index].reshape(-1, 2).astype(int):
            mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = True
        Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)).save(tmp_path / "1" / "mask" / f"{name}.png")
    inverted = read_capture_room(tmp_path / "1")
    assert not capture.masks_inverted and inverted.masks_inverted == set(inverted.masks)
    assert any("black on white" in problem for problem in inverted.problems)
    np.testing.assert_array_equal(hand_mask(inverted, ("1", "02")), mask)
    # A mask that is white or black all over is what it is.
    for value, name in ((255, "00"), (0, "01")):
        Image.new("L", SIZE, value).save(tmp_path / "1" / "mask" / f"{name}.png")
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(tmp_path / "1" / "mask" / "02.png")
    assert not read_capture_room(tmp_path / "1").masks_inverted


def test_how_a_mask_is_read_hangs_on_no_other_mask(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    # In the middle of the picture; the camera without a detection has a mask of more than a hand.
    detected = json.dumps({"Left": [], "Right": np.linspace(-0.1, 0.1, 63).tolist()})
    for name, shown, landmarks in (("00", ~TRUTH, detected), ("01", ~TRUTH, '{"Left": []}'), ("02", TRUTH, detected)):
        Image.fromarray(np.where(shown, 255, 0).astype(np.uint8)).save(tmp_path / "1" / "mask" / f"{name}.png")
        (tmp_path / "1" / "pose" / f"{name}.json").write_text(landmarks)
    capture = read_capture_room(tmp_path / "1")
    assert capture.masks_inverted == {("1", "00"), ("1", "01")}
    for name in ("00", "01", "02"):
        np.testing.assert_array_equal(hand_mask(capture, ("1", name)), TRUTH)


def test_a_cut_out_image_is_its_own_mask(tmp_path: Path) -> None:
    make_scan(tmp_path / "1")
    for name in ("00", "01"):
        (tmp_path / "1" / "mask" / f"{name}.png").unlink()
    alpha((10, 20, 30)).save(tmp_path / "1" / "img" / "00.png")
    opaque().save(tmp_path / "1" / "img" / "01.png")
    capture = read_capture_room(tmp_path / "1")
    assert capture.masks["1", "00"] == capture.images["1", "00"] and ("1", "01") not in capture.masks
    np.testing.assert_array_equal(hand_mask(capture, ("1", "00")), TRUTH)
    assert read_image(capture.images["1", "00"]).shape == (48, 64, 3)
    assert any("without mask: 01" in problem for problem in capture.problems)


def test_a_mask_that_is_white_all_over_is_useless() -> None:
    white, forearm = np.ones_like(TRUTH), TRUTH.copy()
    forearm[30:, 24:36] = True
    assert mask_coverage(white, TRUTH) == 1 and mask_spills(white, TRUTH)
    assert not mask_spills(TRUTH, TRUTH) and not mask_spills(forearm, TRUTH) and not mask_spills(~white, TRUTH)
    # A hand that fills the picture leaves little beside it, a picture without a hand all.
    close_up = np.ones_like(TRUTH)
    close_up[:4] = False
    assert mask_spills(white, close_up) and not mask_spills(close_up, close_up)
    assert mask_spills(white, ~white) and not mask_spills(~white, ~white)
    assert not mask_spills(white, white)
    assert MaskQuality(1.0, 0.0, 0.0, 1.0).fault == "mask white all over"
    assert MaskQuality(1.0, 0.0, 0.0).fault is None


def test_a_mask_that_was_altered_is_named_or_the_same(tmp_path: Path):
    rng, path = np.random.default_rng(0), tmp_path / "mask.png"
    Image.fromarray(255 * rng.integers(0, 2, (40, 60), dtype=np.uint8)).save(path)
    whole, expected = path.read_bytes(), read_mask(path, (60, 40))
    for place in range(8, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert (read_mask(path, (60, 40)) == expected).all()
        except HandsError as error:
            assert str(error).startswith(f"{path}: expected a complete picture")
