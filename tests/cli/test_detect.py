"""`ns-hands detect` on pictures of the shipped capture."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfstudio_hands.captures.landmark_files import read_landmarks
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.cli.detect import detect
from nerfstudio_hands.cli.predict import predict
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import HandDetector
from nerfstudio_hands.preparation.detect import looks_like_film


@pytest.fixture
def pictures(demo_capture: Path, tmp_path: Path) -> Path:
    """Three pictures of the shipped capture, and one that shows nothing."""
    folder = tmp_path / "cam"
    folder.mkdir()
    for name in ("03", "04", "05"):
        shutil.copy(demo_capture / "img" / f"{name}.png", folder)
    Image.new("RGB", (256, 256), (90, 90, 90)).save(folder / "10.png")
    return folder


def test_landmarks_a_image_a_sheet_and_a_summary(
    pictures: Path, demo_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detect(output=tmp_path / "out", images=(pictures,))
    truth = read_capture(demo_capture).detections[0, 3:6, 1]
    for name, hand in zip(("03", "04", "05"), truth, strict=True):
        found = read_landmarks(tmp_path / "out" / "cam" / f"{name}.json", (256, 256))
        assert found.present == (False, True)
        assert np.median(np.linalg.norm(found.pixels[1] - hand, axis=-1)) < 12
    assert read_landmarks(tmp_path / "out" / "cam" / "10.json", (256, 256)).present == (False, False)
    assert "cam: hands in 3 of 4 pictures (left in 0, right in 3)" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "out" / "landmarks.png"))
    # The right hand is drawn in its colour, on the three pictures that show one.
    drawn = (np.abs(sheet.astype(int) - (0, 200, 255)).max(-1) < 20).reshape(360, 4, 360).sum((0, 2))
    assert (drawn[:3] > 100).all() and drawn[3] == 0


def test_an_interrupted_search_goes_on(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    real = HandDetector.detect

    def counted(self: HandDetector, image: np.ndarray) -> list:
        looked.append(image)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return real(self, image)

    monkeypatch.setattr(HandDetector, "detect", counted)
    with pytest.raises(KeyboardInterrupt):
        detect(output=tmp_path / "out", images=(pictures,))
    kept = tmp_path / "out" / "cam" / "hands.jsonl"
    kept.write_text(kept.read_text() + '["05", [{"sco')
    detect(output=tmp_path / "out", images=(pictures,))
    assert len(looked) == 5
    detect(output=tmp_path / "again", images=(pictures,))
    for name in ("03", "04", "05", "10"):
        first, second = (json.loads((tmp_path / o / "cam" / f"{name}.json").read_text()) for o in ("out", "again"))
        assert first == second
    with pytest.raises(HandsError, match="landmarks of .*03.png.*another --output"):
        (pictures / "03.png").unlink()
        detect(output=tmp_path / "out", images=(pictures,))


def test_views_of_one_moment_are_no_film(pictures: Path) -> None:
    still = HandDetector().detect(np.asarray(Image.open(pictures / "03.png")))
    elsewhere = [replace(hand, pixels=hand.pixels + 90) for hand in still]
    assert looks_like_film([still, still, [], still, still])
    assert not looks_like_film([still, elsewhere, still, elsewhere])
    assert not looks_like_film([still]) and not looks_like_film([])


def test_no_hand_at_all_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wall").mkdir()
    Image.new("RGB", (200, 300), (120, 110, 100)).save(tmp_path / "wall" / "0.jpg")
    with pytest.raises(HandsError, match="wall: expected a hand in some picture, found none"):
        detect(output=tmp_path / "out", images=(tmp_path / "wall",))
    assert (tmp_path / "out" / "landmarks.png").exists()
    with pytest.raises(HandsError, match="wall: expected a hand in some picture, found none: .*--whole-image --side"):
        predict(output_dir=tmp_path / "predicted", images=tmp_path / "wall")


def test_what_is_typed_wrongly_is_said_before_anything_is_read(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="--images, --videos: expected"):
        detect(output=tmp_path / "out")
    with pytest.raises(HandsError, match="--max-hands: expected a number from 1 to 8, found 0"):
        detect(output=tmp_path / "out", images=(pictures,), max_hands=0)
    with pytest.raises(HandsError, match="inside"):
        detect(output=pictures, images=(pictures,))
    with pytest.raises(HandsError, match="fetch-weights"):
        detect(output=tmp_path / "out", images=(pictures,), detector_weights=tmp_path)
