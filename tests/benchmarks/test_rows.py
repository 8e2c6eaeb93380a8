"""What the rows of tables train is what `ns-train` takes."""

from __future__ import annotations

import ablation_lpips
import mesh_and_field
import pytest
import tyro
from nerfstudio.plugins.registry import discover_methods

from nerfstudio_hands.program.option_range import check_ranges

CONFIGS = discover_methods()[0]
ROWS = (
    mesh_and_field.ROWS
    | ablation_lpips.METHODS
    | {loss: ["hand-uvnerf", *o] for loss, o in ablation_lpips.LOSSES.items()}
)


@pytest.mark.parametrize("row", ROWS)
def test_options_of_a_row_are_within_their_ranges(row: str):
    method, *options = ROWS[row]
    check_ranges(tyro.cli(tyro.conf.FlagConversionOff[type(CONFIGS[method])], default=CONFIGS[method], args=options))
