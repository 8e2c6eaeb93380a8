"""How the hands of a chosen capture are fitted, so that each of training, `ns-hands check` and `ns-hands fit` finds the
fit of the others in the cache."""

from __future__ import annotations

from nerfstudio_hands.captures.capture_options import CaptureOptions
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.fitting import FitOptions


def fit_options(options: CaptureOptions, split: Split) -> FitOptions:
    """The fit of a capture of which nothing that is held out may be learnt from.

    Args:
        options: What is read of the capture.
        split: What trains.
    """
    return FitOptions(
        cameras=split.train_cameras,
        hand=options.hand_model,
        refine_masks=options.refine_masks,
        register_held_out=options.held_out_poses == "pictures",
        refine_cameras=options.refine_cameras,
        shape_frames=split.shape_frames,
        start=NetworkStart(),
    )
