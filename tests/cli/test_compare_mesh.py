"""`ns-hands compare-mesh`: surfaces whose distance is known, as tables and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
import tyro

from nerfstudio_hands.cli.compare_mesh import compare_mesh
from nerfstudio_hands.errors import HandsError


@pytest.fixture
def spheres(tmp_path: Path) -> tuple[Path, Path]:
    """Concentric, of 50 mm in metres and of 52 mm in centimetres."""
    small, large = tmp_path / "small.glb", tmp_path / "large.stl"
    trimesh.creation.icosphere(subdivisions=4, radius=0.050).export(small)
    trimesh.creation.icosphere(subdivisions=4, radius=5.2).export(large)
    return small, large


def compared(capsys, *words: object) -> dict:
    tyro.cli(compare_mesh, args=[*map(str, words), "--json", "--samples", "4000"])
    return json.loads(capsys.readouterr().out)


def test_two_spheres_are_two_millimeters_apart(spheres, capsys):
    found = compared(capsys, spheres[0], "--truth", spheres[1], "--truth-unit", "cm", "--thresholds", "1", "2.5")
    for way in ("mesh_to_truth", "truth_to_mesh"):
        assert found[f"{way}_mm"] == {key: pytest.approx(2, abs=0.05) for key in ("mean", "median", "percentile_95")}
        assert found["normals_degrees"][way] < 0.3
    assert found["chamfer_mm"] == pytest.approx(2, abs=0.05)
    assert found["f_scores"] == {"1 mm": 0.0, "2.5 mm": 1.0} and found["alignment"] is None


def test_a_plane_that_was_moved_is_brought_back_where_asked(tmp_path: Path, capsys):
    # A plate of 100 x 60 mm with a corner cut, so that it lies on itself in one way only.
    outline = [[0, 0], [0.1, 0], [0.1, 0.03], [0.07, 0.06], [0, 0.06]]
    plate = trimesh.Trimesh(np.pad(outline, ((0, 0), (0, 1))), [[0, 1, 2], [0, 2, 3], [0, 3, 4]], process=False)
    plate.export(tmp_path / "truth.ply")
    plate.apply_translation([0, 0, 0.004])
    plate.export(tmp_path / "shifted.ply")
    files = (tmp_path / "shifted.ply", "--truth", tmp_path / "truth.ply")
    found = compared(capsys, *files)
    assert found["chamfer_mm"] == pytest.approx(4, abs=1e-3)
    assert found["f_scores"] == {"1 mm": 0.0, "5 mm": 1.0} and found["normals_degrees"]["mesh_to_truth"] < 1e-2
    plate.apply_transform(trimesh.transformations.rotation_matrix(1.0, [1, 2, 3]))
    plate.export(tmp_path / "shifted.ply")
    assert compared(capsys, *files)["chamfer_mm"] > 5
    aligned = compared(capsys, *files, "--align", "rigid")
    assert aligned["chamfer_mm"] < 0.05 and aligned["f_scores"]["1 mm"] > 0.99
    matrix = np.array(aligned["alignment"])
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


def test_the_table_says_figures_and_units(spheres, capsys):
    compare_mesh(spheres[0], truth=spheres[1], truth_unit="cm", align="rigid", samples=1000)
    printed = " ".join(capsys.readouterr().out.split())
    assert "small.glb against large.stl (millimetres, degrees)" in printed
    distance = float(re.search(r"Chamfer distance ([\d.]+) mm", printed).group(1))
    assert distance == pytest.approx(2, abs=0.05) and "0.0000 at 1 mm, 1.0000 at 5 mm" in printed
    assert "moved by 0.0" in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": 10}, "--samples: expected a number from 100"),
        ({"thresholds": (1.0, float("nan"))}, "--thresholds: expected a number from"),
        ({"truth": Path("gone.obj")}, "gone.obj: expected a mesh, found no such file"),
    ],
)
def test_bad_options_are_one_sentence(spheres, options: dict, sentence: str):
    with pytest.raises(HandsError, match=sentence):
        compare_mesh(spheres[0], **{"truth": spheres[1], **options})


def test_a_surface_without_area_is_named(spheres, tmp_path: Path):
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(HandsError, match="line.obj or .*large.stl: .* finite area"):
        compare_mesh(tmp_path / "line.obj", truth=spheres[1])
