"""What all sources of pictures share that are drawn when they are asked for."""

from __future__ import annotations

from functools import cached_property

from nerfstudio_hands.hand_images.opened_late import OpenedLate
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.synthesis.quick.drawing import ImageOptions, chosen_backgrounds
from nerfstudio_hands.synthesis.quick.people import BodyPlan, body_plan


class DrawnImages(OpenedLate):
    """A source of pictures; see `hand_image.HandImages`."""

    kind: str
    """What is drawn, for messages."""
    options: ImageOptions

    def __init__(self, options: ImageOptions) -> None:
        """Raises HandsError where an option is out of its range or the hand model or the folder cannot be read."""
        check_ranges(options)
        self.options = options
        self.name = f"synthetic {self.kind} ({options.split}, seed {options.seed})"
        self.hand_model = "default" if options.hand_model == "default" else "mano"
        self._is_test = options.split == "test"
        self._files = chosen_backgrounds(options)

    def __len__(self) -> int:
        return self.options.count

    @cached_property
    def _plan(self) -> BodyPlan:
        return body_plan(self.options.hand_model)
