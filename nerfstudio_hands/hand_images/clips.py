"""Clips: pictures of one sequence, for networks that look at several at once."""

from __future__ import annotations

from collections.abc import Sequence


def clip_rows(rows: Sequence[int], place: int, length: int) -> list[int]:
    """So many pictures of a sequence, in the order of time: up to one of them, or its first ones if too few are before.

    Args:
        rows: The sequence's pictures.
        place: In them, of the picture whose clip is wanted.
        length: Of the clip; of a shorter sequence the first picture is repeated.
    """
    last = min(max(place, length - 1), len(rows) - 1)
    return [int(rows[max(k, 0)]) for k in range(last - length + 1, last + 1)]
