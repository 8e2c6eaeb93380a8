"""What a pixel shows, in one vocabulary for samplers, models, metrics and synthesis."""

from __future__ import annotations

from enum import IntEnum


class PixelLabel(IntEnum):
    """Value of a label image."""

    BACKGROUND = 0
    """Empty space."""
    HAND = 1
    """The modelled hand."""
    IGNORE = 2
    """Takes no part in any loss."""
    OBJECT = 3
    """What the hand holds, behind which nothing is known of the hand."""
