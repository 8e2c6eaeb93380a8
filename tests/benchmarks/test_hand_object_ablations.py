"""The table says what is aligned, what is missing and where wrists are from."""

from __future__ import annotations

import hand_object_ablations
import recording


def test_each_row_has_a_line_as_it_is_and_one_aligned():
    known = {"chamfer_hand_cm2": 0.2, "chamfer_hand_cm2_icp": 0.1, "chamfer_hand_cm2_floor": 0.01}
    known |= {"e_h_cm": 1.5, "missing_hand": 0.0, "missing_object": 3.0, "mesh_seconds": 1.25}
    rows = {("gsdf", "given"): known, ("grasping field", "given"): {"chamfer_hand_cm2": 0.4}}
    table = recording.as_record(hand_object_ablations.table_of(rows, 7))
    assert table["title"].startswith("SYNTHETIC: 7 held-out")
    lines = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert list(lines) == [
        "gsdf", "gsdf, ICP", "grasping field", "grasping field, ICP", "truth, sampled twice"
    ]  # fmt: skip
    assert lines["gsdf"]["CD_h"] == "0.200" and lines["gsdf, ICP"]["CD_h"] == "0.100"
    assert lines["gsdf"]["E_h"] == "1.500" and lines["gsdf"]["no object"] == "3" and lines["gsdf"]["s a mesh"] == "1.25"
    assert lines["gsdf, ICP"]["E_h"] == "" == lines["grasping field"]["E_h"] and lines["gsdf"]["wrist"] == "given"
    assert lines["truth, sampled twice"]["CD_h"] == "0.010"
