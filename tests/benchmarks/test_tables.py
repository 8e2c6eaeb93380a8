"""Tables take whatever figures a list of rows has, and say size, split and what is synthetic."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import ablation_lpips
import mesh_and_field
import numpy as np
import place_on_surface
import pytest
import recording
from PIL import Image

FIGURES = {"hand_psnr": 21.0, "hand_psnr_calibrated": 23.0, "inner_hand_psnr": 25.0, "own_mask_iou": 0.9}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Has results written to a temporary folder; gives what reads them."""
    monkeypatch.setattr("sys.argv", ["benchmark.py"])
    for module in (ablation_lpips, mesh_and_field, place_on_surface):
        monkeypatch.setattr(module, "record", partial(recording.record, folder=tmp_path))
    return lambda name: json.loads((tmp_path / f"{name}.json").read_text())


@pytest.fixture
def synthetic(tmp_path):
    (tmp_path / "ih" / "truth").mkdir(parents=True)
    return tmp_path / "ih"


def pictures(folder, names) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(np.zeros((4, 6), dtype=np.uint8)).save(folder / f"{name}.png")


def test_the_ablation_tells_protocols_size_and_seconds_apart(tmp_path, monkeypatch, recorded, synthetic):
    def fake(folder, name, method, data):
        pictures(folder / f"{name}-pictures", ["eval_view_region_0000", "eval_pose_region_0001"])
        found = {f"{kind}/{key}": value for kind in ("view", "pose") for key, value in FIGURES.items()}
        return {**found, **FIGURES, "train_seconds": 100.0, "eval_seconds": 20.0}

    monkeypatch.setattr(ablation_lpips, "train_and_evaluate", fake)
    options = {"methods": ("hand-uvnerf",), "losses": ("huber",), "eval_cameras": ("4",), "output": tmp_path / "out"}
    ablation_lpips.main(ablation_lpips.Ablation(data=synthetic, **options))
    result = recorded("ablation_lpips")
    (table,) = result["tables"]
    assert table["title"].startswith("SYNTHETIC ih") and "own_mask_iou" in table["title"]
    assert table["rows"] == [
        ["hand-uvnerf", "huber", "21.00 / 23.00 / 0.900", "21.00 / 23.00 / 0.900", "- / - / -", "100", "20"]
    ]
    assert "2 of 6x4 pixels; 1 of novel view, 1 of novel pose" in result["notes"][0]
    assert "held-out cameras: 4." in result["notes"][0] and "Synthetic:" in result["notes"][-1]
    assert result["figures"]["hand-uvnerf, huber"]["inner_hand_psnr"] == 25.0


def test_mesh_and_field_shows_what_there_is(tmp_path, monkeypatch, recorded):
    def fake(folder, name, method, data):
        pictures(folder / f"{name}-pictures", ["eval_region_0000"])
        return {**FIGURES, "train_seconds": 100.0, "eval_seconds": 20.0}

    monkeypatch.setattr(mesh_and_field, "train_and_evaluate", fake)
    monkeypatch.setattr(mesh_and_field, "write_sheet", lambda folder, names: None)
    real = tmp_path / "real"
    real.mkdir()
    rows = ("hand-mesh", "hand-uvnerf")
    mesh_and_field.main(mesh_and_field.MeshAndField(data=real, rows=rows, steps=5, output=tmp_path / "out"))
    result = recorded("mesh_and_field")
    (table,) = result["tables"]
    assert table["columns"] == [
        "", "hand_psnr_calibrated", "hand_psnr", "own_mask_iou", "train_seconds", "eval_seconds"
    ]  # fmt: skip
    assert [row[0] for row in table["rows"]] == list(rows) and table["rows"][0][1:] == [
        "23.00", "21.00", "0.900", "100", "20"
    ]  # fmt: skip
    assert "SYNTHETIC" not in table["title"] and not any("Synthetic" in note for note in result["notes"])
    assert "1 of 6x4 pixels" in result["notes"][0] and "every seventh" in result["notes"][0]


def test_places_on_the_surface_are_evaluated_by_the_pipeline(monkeypatch, recorded, synthetic):
    camera = SimpleNamespace(width=6, height=4)
    data = SimpleNamespace(metadata={"protocols": ["view"]})
    loader = type("Loader", (list,), {"input_dataset": data})([(camera, {"image_idx": 0})])
    pipeline = SimpleNamespace(
        get_average_eval_image_metrics=lambda: FIGURES,
        datamanager=SimpleNamespace(fixed_indices_eval_dataloader=loader),
    )
    monkeypatch.setattr(place_on_surface, "train", lambda place, args: (SimpleNamespace(pipeline=pipeline), 100.0))
    monkeypatch.setattr(place_on_surface, "seam_difference", lambda trainer: (1.3, 2.9))
    place_on_surface.main(place_on_surface.Ablation(data=synthetic, steps=5))
    result = recorded("place_on_surface")
    (table,) = result["tables"]
    assert table["rows"][0] == ["uv", "23.00", "21.00", "0.900", "100", "1.3", "2.9"]
    assert "1 of 6x4 pixels; 1 of novel view" in result["notes"][0]
