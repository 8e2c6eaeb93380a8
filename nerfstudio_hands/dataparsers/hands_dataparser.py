"""From a capture on disk to nerfstudio's cameras, with the hand poses beside them.

Every format shares this parser: a reader makes a :class:`Capture`, the fit gives its hand poses, and what follows is
the same. nerfstudio imports this module while `base_datamanager` is itself half imported, so nothing but the base
data parser and what imports nothing heavy may be imported at the top.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs

from nerfstudio_hands.captures.capture_options import CaptureOptions
from nerfstudio_hands.program.option_range import bounded

if typing.TYPE_CHECKING:
    from nerfstudio_hands.captures.capture import Capture
    from nerfstudio_hands.captures.splits import Split
    from nerfstudio_hands.dataparsers.run_record import RunRecord
    from nerfstudio_hands.fitting import FitOptions


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
    run: tyro.conf.Suppress[typing.Optional[Path]] = None
    """Folder of the run, which keeps the hands that it is trained on; training sets it."""
    goes_on_from: tyro.conf.Suppress[typing.Optional[Path]] = None
    """Folder of the run that training goes on from; training sets it."""

    def keep_with(self, run: Path, goes_on_from: typing.Optional[Path]) -> None:
        """Says where the run lies that keeps the hands, and which one it goes on from; paths become absolute."""
        if self.hand_model != "default":
            self.hand_model = str(Path(self.hand_model).expanduser().absolute())
        self.run, self.goes_on_from = run, goes_on_from


@dataclass
class HandsDataParser(DataParser):
    """Reads a capture, fits the hands on first use and yields one image a (frame, camera).

    `metadata["hands"]` holds an :class:`nerfstudio_hands.dataparsers.avatar_data.AvatarData`, `metadata["masks"]` an
    :class:`nerfstudio_hands.dataparsers.image_masks.ImageMasks` an image, and `metadata["protocols"]` what is held out
    of each (`splits.evaluation_rows`), or None; `Cameras.metadata`
    carries `frame_index` and `camera_index` (index into all cameras of the capture), each [N, 1].
    """

    config: HandsDataParserConfig
    includes_time: bool = True

    def __init__(self, config: HandsDataParserConfig):
        super().__init__(config=config)
        self.record: typing.Optional[RunRecord] = None

    def begin_run(self) -> None:
        """Fits the hands for a training and keeps in the folder of the run what it needs of the capture.

        A training that goes on from an earlier run takes the fit of that.

        Raises:
            HandsError: the earlier run held out other cameras or frames, or a fault of the capture.
        """
        from nerfstudio_hands.captures.splits import nothing_held_out
        from nerfstudio_hands.dataparsers.run_record import RUN_FILE, RunRecord

        self.record, earlier = self._from_capture(), self.config.goes_on_from
        if unjudged := nothing_held_out(self.record.capture, self.record.split):
            _say(f"- {unjudged}")
        if earlier is not None and (earlier / RUN_FILE).is_file():
            self.record = _going_on(RunRecord.load(earlier / RUN_FILE), self.record, earlier)
        if self.config.run is not None:
            self.record = self.record.with_held_out(self._held_out())
            self.record.save(self.config.run / RUN_FILE)

    def check_held_out(self) -> None:
        """Raises a HandsError where a held-out picture or a mask of it is not the one that the run began with."""
        if self.record is not None:
            self.record.check_held_out()

    def _held_out(self) -> typing.List[typing.Tuple[str, str]]:
        """(frame, camera) of the held-out pictures that figures are taken of."""
        outputs = self._outputs(self.record, train=False)  # pyright: ignore[reportArgumentType]
        avatar, index = outputs.metadata["hands"], outputs.cameras.metadata
        rows = zip(index["frame_index"][:, 0].tolist(), index["camera_index"][:, 0].tolist(), strict=True)
        return [(avatar.frame_names[frame], avatar.camera_names[camera]) for frame, camera in rows]

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        if self.record is None:
            self.record = self._of_run() or self._from_capture()
        return self._outputs(self.record, train=split == "train")

    def _outputs(self, record: RunRecord, *, train: bool) -> DataparserOutputs:
        from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs

        return capture_to_outputs(
            record.capture,
            record.fit,
            record.split,
            record.world,
            train=train,
            max_eval_images=self.config.resolved().max_eval_images,
            hand=self.config.hand,
            hand_model=self.config.hand_model,
            resolution_scale=self.config.resolution_scale,
            max_resolution=self.config.max_resolution,
            eval_resolution=self.config.eval_resolution,
        )

    def _of_run(self) -> typing.Optional[RunRecord]:
        """What the run keeps of its capture; None where there is no run, or it is older than this file."""
        from nerfstudio_hands.dataparsers.run_record import RUN_FILE, RunRecord, run_folder

        if self.config.run is None:
            return None
        file = run_folder(self.config.run) / RUN_FILE
        if not file.is_file():
            _say(f"{file.parent} keeps no hands ({RUN_FILE}): they are fitted again, and may differ from the run's.")
            return None
        record = RunRecord.load(file)
        data = self.config.data.expanduser().absolute()
        if data != record.capture.root and data.is_dir():
            record = record.at(data)
        self._compare(record)
        return record

    def _compare(self, record: RunRecord) -> None:
        """Says where the capture is no longer the one that the run was trained on."""
        from nerfstudio_hands.dataparsers.run_record import DRAWN_FILE
        from nerfstudio_hands.errors import HandsError
        from nerfstudio_hands.fitting import fit_key

        if (record.capture.root / DRAWN_FILE).is_file():
            return  # What an avatar has drawn is not fitted.
        if not record.capture.root.is_dir():
            _say(f"{record.capture.root} is not there; the hands are those that the run keeps.")
            return
        try:
            capture, split = self._read()
            same = fit_key(capture, self._fit_options(split)) == record.fit_key
        except HandsError as error:
            _say(f"The capture cannot be read as when the run began ({error}); the hands are those that the run keeps.")
            return
        if not same:
            _say(
                f"{record.capture.root} or the version has changed since the run began, and hands fitted now would "
                "differ; the hands are those that the run keeps."
            )

    def _read(self) -> typing.Tuple[Capture, Split]:
        from nerfstudio_hands.preparation.chosen_capture import read_and_split

        return read_and_split(self.config.data, self.config)

    def _fit_options(self, split: Split) -> FitOptions:
        from nerfstudio_hands.dataparsers.fit_options import fit_options

        return fit_options(self.config, split)

    def _from_capture(self) -> RunRecord:
        from nerfstudio_hands.dataparsers.avatar_data import world_transform
        from nerfstudio_hands.dataparsers.run_record import DRAWN_FILE, RunRecord
        from nerfstudio_hands.fitting import fit_key, fit_or_load
        from nerfstudio_hands.fitting.object_poses import with_object_poses

        drawn = self.config.data.expanduser().absolute() / DRAWN_FILE
        if drawn.is_file():
            return RunRecord.load(drawn).at(drawn.parent)
        capture, split = self._read()
        for problem in capture.problems:
            _say(f"- {problem}")
        hand_model = self.config.hand_model
        options = self._fit_options(split)
        key = fit_key(capture, options)
        fit = fit_or_load(capture, options, key=key)
        capture = with_object_poses(capture, fit, split.train_cameras, hand_model, split.train_frames)
        return RunRecord(capture, fit, split, key, world_transform(capture, fit, split, hand_model))


def _going_on(earlier: RunRecord, now: RunRecord, folder: Path) -> RunRecord:
    """The hands of an earlier run, for a training that goes on from it.

    Raises:
        HandsError: it held out other cameras or frames.
    """
    from nerfstudio_hands.errors import HandsError

    if not earlier.split.is_same(now.split) or earlier.capture.frames != now.capture.frames:
        raise HandsError(
            f"--load-dir: expected the cameras and frames that train to be those of {folder}, found others: give the "
            "same options, or what was held out there would be trained on, or the other way round."
        )
    if earlier.fit_key != now.fit_key:
        _say(f"Hands fitted now would differ from those of {folder}; training goes on with that run's.")
    return earlier.at(now.capture.root)


def _say(sentence: str) -> None:
    from nerfstudio.utils.rich_utils import CONSOLE

    CONSOLE.print(sentence, markup=False, highlight=False, soft_wrap=True)
