"""From a capture on disk to nerfstudio's cameras, with the hand poses beside them.

Every format shares this parser: a reader makes a :class:`Capture`, the fit gives its hand poses, and what follows is
the same. nerfstudio imports this module while `base_datamanager` is itself half imported, so nothing but the base
data parser and what imports nothing heavy may be imported at the top.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs

from nerfstudio_hands.dataparsers.capture_options import CaptureOptions
from nerfstudio_hands.option_range import bounded

if typing.TYPE_CHECKING:
    from nerfstudio_hands.dataparsers.capture import Capture
    from nerfstudio_hands.dataparsers.splits import Split
    from nerfstudio_hands.fitting.record import HandFit


@dataclass
class HandsDataParserConfig(CaptureOptions, DataParserConfig):
    """Pictures of hands from calibrated cameras, whatever the layout: the reader is chosen by what lies in the
    folder."""

    _target: typing.Type = field(default_factory=lambda: HandsDataParser)
    """target class to instantiate"""
    data: Path = Path()
    """Folder of the capture."""
    hand: typing.Literal["left", "right", "both"] = "both"
    """Which hand becomes the avatar; "both" means every hand that was detected."""
    max_eval_images: bounded(int, 0, 10**6) = 30
    """Held-out pictures that are evaluated, evenly spread over frames and cameras; where frames are held out, so many
    of each kind (novel view, novel pose, both). 0 for all."""
    resolution_scale: bounded(typing.Optional[float], 0.01, 1) = None
    """Scale of the training's pictures in (0, 1]; by default the longer side is brought to at most `max_resolution`
    pixels."""
    max_resolution: bounded(int, 16, 8192) = 640
    """Longest side of a picture of the training in pixels where `resolution_scale` is not given."""
    eval_resolution: bounded(int, 16, 8192) = 1280
    """Longest side of a held-out picture in pixels, whatever the training's; smaller pictures stay as they are. Figures
    at different sizes cannot be compared."""


@dataclass
class HandsDataParser(DataParser):
    """Reads a capture, fits the hands on first use and yields one row a (frame, camera).

    `metadata["hands"]` holds a :class:`nerfstudio_hands.dataparsers.avatar_data.AvatarData`; `Cameras.metadata`
    carries `frame_index` and `camera_index` (index into all cameras of the capture), each [N, 1].
    """

    config: HandsDataParserConfig
    includes_time: bool = True

    def __init__(self, config: HandsDataParserConfig):
        super().__init__(config=config)
        self._loaded: typing.Optional[typing.Tuple[Capture, HandFit, Split]] = None

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs

        if self._loaded is None:
            self._loaded = self._load()
        return capture_to_outputs(
            *self._loaded,
            train=split == "train",
            max_eval_images=self.config.resolved().max_eval_images,
            hand=self.config.hand,
            hand_model=self.config.hand_model,
            resolution_scale=self.config.resolution_scale,
            max_resolution=self.config.max_resolution,
            eval_resolution=self.config.eval_resolution,
        )

    def _load(self):
        from nerfstudio.utils.rich_utils import CONSOLE

        from nerfstudio_hands.dataparsers.chosen_capture import read_and_split
        from nerfstudio_hands.dataparsers.object_poses import with_object_poses
        from nerfstudio_hands.fitting import fit_or_load

        config = self.config
        capture, split = read_and_split(config.data, config)
        for problem in capture.problems:
            CONSOLE.print(f"- {problem}", markup=False, highlight=False)
        fit = fit_or_load(
            capture,
            cameras=split.train_cameras,
            hand=config.hand_model,
            refine_cameras=config.refine_cameras,
            shape_frames=split.shape_frames,
        )
        placed = with_object_poses(capture, fit, split.train_cameras, config.hand_model, split.train_frames)
        return placed, fit, split
