"""Numbers that a synthetic capture may have; imports nothing heavy, so that a command can look at them at once."""

from __future__ import annotations

from nerfstudio_hands.program.option_range import require_range

SEEDS = (0, 2**32 - 1)

CAPTURE_ROOM = {
    "num_cameras": (2, 1000),
    "resolution": (16, 8192),
    "seed": SEEDS,
    "frames": (1, 10000),
    "supersampling": (1, 16),
    "subdivisions": (1, 5),
}
INTERHAND = {
    "num_cameras": (1, 1000),
    "frames": (1, 100000),
    "capture": (0, 9999),
    "seed": SEEDS,
    "grey_cameras": (0, 1000),
    "supersampling": (1, 16),
    "subdivisions": (2, 5),
    "processes": (1, 256),
}


def check_numbers(options: object, ranges: dict[str, tuple[int, int]]) -> None:
    """Refuse options out of range, of those that there are.

    Raises:
        HandsError: One is.
    """
    for name, (low, high) in ranges.items():
        if hasattr(options, name):
            require_range(f"--{name.replace('_', '-')}", getattr(options, name), low, high)
