"""Numbers that options may have."""

from __future__ import annotations

from nerfstudio_hands.errors import HandsError


def require_range(option: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside of [low, high]; NaN lies nowhere.

    Args:
        option: As the user types it, `--fps`.
        value: What was given.
        low: The smallest number allowed.
        high: The largest one.

    Raises:
        HandsError: The number lies outside.
    """
    # A comparison with NaN is false, so that it fails here, too.
    if not low <= value <= high:
        raise HandsError(f"{option}: expected a number from {low} to {high}, found {value}: give one in this range.")
