from __future__ import annotations

import math

import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.option_range import require_range


@pytest.mark.parametrize("value", [-1, 0, 0.0999, 100.001, 10**400, math.inf, -math.inf, math.nan])
def test_what_lies_outside_is_refused_with_the_range(value: float) -> None:
    with pytest.raises(HandsError, match=r"--fps: expected a number from 0.1 to 100, found "):
        require_range("--fps", value, 0.1, 100)


@pytest.mark.parametrize("value", [0.1, 1, 24.0, 100])
def test_both_ends_belong_to_the_range(value: float) -> None:
    require_range("--fps", value, 0.1, 100)
