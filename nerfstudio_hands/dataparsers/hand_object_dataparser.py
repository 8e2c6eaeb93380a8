"""Pictures of hands that hold something as nerfstudio wants them; see the note on imports in `hands_dataparser`."""

from __future__ import annotations

import typing
from dataclasses import dataclass

from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.program.option_range import bounded

if typing.TYPE_CHECKING:
    from nerfstudio_hands.hand_images.hand_image import HandImages

WITH_OBJECTS = ("obman", "dexycb", "gsdf")
"""Layouts that say what a hand holds."""


@dataclass
class HandObjectDataParserConfig(HandImagesDataParserConfig):
    """Pictures with labels of a hand and the thing in it; without a folder, pictures that are drawn while training
    goes on."""

    max_eval_images: bounded(int, 0, 10**8) = 100
    """Held-out pictures that are evaluated, evenly spread over all; 0 for all (of drawn ones, 1,000)."""
    drawn_frames: bounded(int, 1, 64) = 1
    """Pictures of a drawn clip, in which hand and thing move on."""
    drawn_blur: bounded(float, 0, 1) = 0.0
    """How long the shutter is open for what moves in a drawn clip, relative to the time from picture to picture."""
    drawn_occluders: bounded(float, 0, 1) = 0.12
    """Share of drawn clips in which something is before the hand."""

    def chosen_layout(self) -> str:
        from nerfstudio_hands.errors import HandsError

        layout = super().chosen_layout()
        if layout not in ("drawn", *WITH_OBJECTS):
            raise HandsError(
                f"{self.data}: expected pictures that say what a hand holds ({', '.join(WITH_OBJECTS)}), found the "
                f"layout {layout}, which does not: give such a data set, or none for drawn pictures."
            )
        return layout

    def drawn_source(self, split: str) -> HandImages:
        from nerfstudio_hands.synthesis.grasp_images import SyntheticGrasps, SyntheticGraspsOptions

        how = {"frames": self.drawn_frames, "blur": self.drawn_blur, "occluders": self.drawn_occluders}
        return SyntheticGrasps(SyntheticGraspsOptions(**how, **self.drawn_options(split)))
