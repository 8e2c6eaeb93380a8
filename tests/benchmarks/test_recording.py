"""Results say what made them, and nothing of whose machine it was."""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import captures
import numpy as np
import pytest
import recording
from PIL import Image
from rich.table import Table


@dataclass
class Options(recording.Recorded):
    data: Path = Path("/somebody/captures/room/1")
    steps: int = 3


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["/somebody/work/benchmarks/fake.py", "--data", "/somebody/captures/room/1", "--out=../x/here"]
    )
    table = Table(title="1 [pose] | 2")
    table.add_column("there | back")
    table.add_column("dB")
    table.add_row("0.1 | 0.2", "30.0")
    path = recording.record(
        "/somebody/work/benchmarks/fake.py",
        Options(name="room"),
        [table],
        notes=["A note."],
        figures={"row": {"psnr": 30.0}},
        folder=tmp_path,
    )
    return path.read_text(), json.loads((tmp_path / "fake-room.json").read_text())


def test_a_result_says_what_made_it(written):
    text, result = written
    assert result["tables"] == [
        {"title": "1 [pose] | 2", "columns": ["there | back", "dB"], "rows": [["0.1 | 0.2", "30.0"]]}
    ]
    assert result["options"] == {"name": "room", "data": "room/1", "steps": 3}
    assert result["figures"] == {"row": {"psnr": 30.0}} and result["notes"] == ["A note."]
    assert result["source"] == {**recording.source()} and len(result["source"]["code"]) == 16
    assert {"processor", "cores", "threads", "capability", "memory_gb", "system", "python"} <= set(result["machine"])
    assert "| 0.1 \\| 0.2 | 30.0 |" in text and "A note." in text
    assert result["source"]["commit"][:12] in text and result["machine"]["processor"] in text


def test_a_result_names_no_folder_and_no_host(written):
    for text in (written[0], json.dumps(written[1])):
        assert "somebody" not in text and ".." not in text
        assert platform.node() not in text or len(platform.node()) < 4


def test_a_changed_file_changes_the_digest_of_the_code(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.setattr(recording.nerfstudio_hands, "__file__", str(package / "__init__.py"))
    before = recording.code_digest()
    assert recording.code_digest() == before
    (package / "__init__.py").write_text("a = 2\n")
    assert recording.code_digest() != before


def test_synthetic_captures_are_known_by_their_truth(repository, tmp_path):
    assert captures.is_synthetic(repository / "data" / "synthetic-hand" / "1")
    assert captures.title_of(repository / "data" / "synthetic-hand" / "1") == "SYNTHETIC data/synthetic-hand/1"
    (tmp_path / "ih" / "truth").mkdir(parents=True)
    assert captures.is_synthetic(tmp_path / "ih")
    (tmp_path / "real" / "1").mkdir(parents=True)
    assert not captures.is_synthetic(tmp_path / "real" / "1") and not captures.notes_on(tmp_path / "real" / "1")


def test_evaluated_images_are_counted_from_their_files(tmp_path):
    for name, size in (
        ("eval_view_region_0000", (6, 4)),
        ("eval_both_region_0001", (6, 4)),
        ("eval_img_0000", (18, 4)),
    ):
        Image.fromarray(np.zeros(size[::-1], dtype=np.uint8)).save(tmp_path / f"{name}.png")
    found = captures.EvaluatedImages.of_folder(tmp_path)
    assert found.sizes == Counter({(6, 4): 2}) and found.protocols == Counter({"view": 1, "both": 1})
    assert found.sentence(["03"]) == (
        "Evaluated: 2 held-out pictures (2 of 6x4 pixels; 1 of novel view, 1 of novel view and pose); "
        "held-out cameras: 03."
    )


def test_a_figure_of_our_own_mask_keeps_its_name():
    rows = [{"psnr": 1.0, "own_mask_iou": 0.9, "inner_psnr": 2.0}]
    assert captures.present(["hand_psnr", "psnr", "mask_iou"], rows) == ["psnr", "own_mask_iou"]
