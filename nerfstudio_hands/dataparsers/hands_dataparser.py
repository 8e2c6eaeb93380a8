"""From a capture on disk to nerfstudio's cameras, with the hand poses beside them.

Every format shares this parser: a reader makes a :class:`Capture`, the fit gives its hand poses, and what follows is
the same. nerfstudio imports this module while `base_datamanager` is itself half imported, so nothing but the base
data parser may be imported at the top.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs

if typing.TYPE_CHECKING:
    from nerfstudio_hands.dataparsers.capture import Capture
    from nerfstudio_hands.fitting.record import HandFit


@dataclass
class HandsDataParserConfig(DataParserConfig):
    """Pictures of hands from calibrated cameras, whatever the layout: the reader is chosen by what lies in the
    folder."""

    _target: typing.Type = field(default_factory=lambda: HandsDataParser)
    """target class to instantiate"""
    data: Path = Path()
    """Folder of the capture."""
    layout: str = "auto"
    """Layout of the folder: "auto" recognises it, "capture-room" insists on that one."""
    hand: typing.Literal["left", "right", "both"] = "both"
    """Which hand becomes the avatar; "both" means every hand that was detected."""
    hand_model: str = "default"
    """Hand model: "default" is the built-in CC0 hand; or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl."""
    cameras: typing.Optional[typing.Tuple[str, ...]] = None
    """Cameras to use, by their names in the files; by default all that have pictures."""
    exclude_cameras: typing.Tuple[str, ...] = ()
    """Cameras to leave out altogether."""
    eval_cameras: typing.Optional[typing.Tuple[str, ...]] = None
    """Cameras to hold out: they take part neither in the fit nor in training, and `ns-eval` reports on them. By
    default every seventh; give no name after the flag to hold out none."""
    resolution_scale: typing.Optional[float] = None
    """Scale of the pictures in (0, 1]; by default the longer side is brought to at most `max_resolution` pixels."""
    max_resolution: int = 640
    """Longest side of a picture in pixels where `resolution_scale` is not given."""
    refine_cameras: bool = True
    """Let the fit correct camera rotations by up to a few degrees (calibrations are often a degree off)."""


@dataclass
class HandsDataParser(DataParser):
    """Reads a capture, fits the hands on first use and yields one row a (frame, camera).

    `metadata["hands"]` holds a :class:`nerfstudio_hands.dataparsers.avatar_data.AvatarData`; `Cameras.metadata`
    carries `frame_index` and `camera_index` (index into all cameras of the capture), each [N, 1].
    """

    config: HandsDataParserConfig

    def __init__(self, config: HandsDataParserConfig):
        super().__init__(config=config)
        self._loaded: typing.Optional[typing.Tuple[Capture, HandFit, typing.List[str], typing.List[str]]] = None

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs

        if self._loaded is None:
            self._loaded = self._load()
        capture, fit, train_cameras, eval_cameras = self._loaded
        return capture_to_outputs(
            capture,
            fit,
            train_cameras if split == "train" else eval_cameras,
            centre_cameras=train_cameras,
            hand=self.config.hand,
            hand_model=self.config.hand_model,
            resolution_scale=self.config.resolution_scale,
            max_resolution=self.config.max_resolution,
        )

    def _load(self):
        from nerfstudio_hands.dataparsers.layouts import read_capture
        from nerfstudio_hands.dataparsers.splits import choose_cameras
        from nerfstudio_hands.fitting import fit_or_load

        config = self.config
        capture = read_capture(config.data, layout=config.layout)
        train_cameras, eval_cameras = choose_cameras(
            capture, cameras=config.cameras, exclude=config.exclude_cameras, held_out=config.eval_cameras
        )
        fit = fit_or_load(
            capture,
            cameras=train_cameras,
            hand=config.hand_model,
            refine_cameras=config.refine_cameras,
        )
        return capture, fit, train_cameras, eval_cameras
