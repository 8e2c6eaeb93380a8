"""Pictures of one hand each as nerfstudio wants them: a camera a picture, some in the viewer, all in evaluations.

See the note on imports in `hands_dataparser`.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.hand_images.crops import MARGIN
from nerfstudio_hands.program.option_range import bounded

if typing.TYPE_CHECKING:
    from nerfstudio_hands.hand_images.hand_image import HandImages

SPACING = 0.7
"""Meters between the places at which the hands of two pictures stand in the viewer."""

DRAWN_HELD_OUT = 1000
"""Pictures that are drawn to be evaluated."""

CROP = 224
"""Side in pixels of the crops that the viewer and renders show; what a network sees is the model's choice."""

CAMERA_AXES = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""nerfstudio's camera axes (x right, y up, z back) in a world whose z is up and in which a hand is ahead in y."""


@dataclass
class HandImagesDataParserConfig(DataParserConfig):
    """Pictures with labels of a hand: FreiHAND, HO-3D, ObMan, DexYCB, captures; without a folder, pictures that are
    drawn while training goes on."""

    _target: typing.Type = field(default_factory=lambda: HandImagesDataParser)
    """target class to instantiate"""
    data: Path = Path()
    """Folder of the data set; none for drawn pictures."""
    layout: str = "auto"
    """Layout of the folder: "auto" recognises it, "freihand", "ho3d", "gsdf", "obman", "dexycb" or "capture" insists
    on one."""
    hand_model: str = "default"
    """Hand model of drawn pictures and of captures: "default" is the built-in CC0 hand; or a folder with MANO_LEFT.pkl
    and MANO_RIGHT.pkl."""
    drawn: bounded(int, 1, 10**8) = 60_000
    """How many different pictures are drawn, where no folder is given; so many are an epoch."""
    drawn_size: bounded(int, 48, 1024) = 160
    """Side of a drawn picture, pixels."""
    drawn_people: bounded(int, 1, 256) = 96
    """How many people's hands are drawn."""
    drawn_seed: bounded(int, 0, 2**31 - 1) = 0
    """Another seed draws other hands."""
    backgrounds: typing.Optional[Path] = None
    """Folder of pictures to draw hands before; by default backgrounds are drawn, too."""
    shown: bounded(int, 1, 256) = 12
    """Pictures of the training that the viewer shows."""
    max_eval_images: bounded(int, 0, 10**8) = 0
    """Held-out pictures that are evaluated, evenly spread over all; 0 for all (of drawn ones, 1,000)."""
    margin: tyro.conf.Suppress[bounded(float, 1, 5)] = MARGIN
    """Side of crops over the longer side of the box of the hand's joints; the data manager's."""
    affine: tyro.conf.Suppress[bool] = False
    """Whether crops are cut out of pictures as they are; the data manager's."""

    def source(self, split: str) -> HandImages:
        """The pictures of a split: train, val or test.

        Raises:
            HandsError: The folder is not there, or no layout fits.
        """
        layout = self.chosen_layout()
        if layout == "capture":
            return self._of_capture(split)
        if layout != "drawn":
            from nerfstudio_hands.hand_images.sources import open_hand_images

            mano = None if self.hand_model == "default" else Path(self.hand_model)
            return open_hand_images(self.data, split, mano=mano, **self.choices(split))
        return self.drawn_source(split)

    def drawn_source(self, split: str) -> HandImages:
        """Pictures that are drawn."""
        from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions

        return SyntheticHands(SyntheticHandsOptions(**self.drawn_options(split)))

    def drawn_options(self, split: str) -> typing.Dict[str, typing.Any]:
        """What drawn pictures of any kind are asked for with."""
        is_training = split == "train"
        return {
            # People of another seed are others.
            "seed": self.drawn_seed + (split == "val"),
            "count": self.drawn if is_training else DRAWN_HELD_OUT,
            "split": "train" if is_training else "test",
            "size": self.drawn_size,
            "people": self.drawn_people,
            "hand_model": self.hand_model,
            "backgrounds": self.backgrounds,
        }

    def choices(self, split: str) -> typing.Dict[str, typing.Any]:
        """What the reader of a layout is told beside the folder, the split and MANO."""
        return {}

    def recognized(self) -> str:
        """What lies in the folder, in words, found without reading it.

        Raises:
            HandsError: The folder is not there, or no layout fits.
        """
        layout = self.chosen_layout()
        return f"{self.drawn:,} drawn ones" if layout == "drawn" else f"{layout}, {self.data}"

    def chosen_layout(self) -> str:
        """Layout of the folder: drawn, capture, or one of `sources.FORMATS`.

        Raises:
            HandsError: The folder is not there, or no layout fits.
        """
        from nerfstudio_hands.captures.layouts import LAYOUTS
        from nerfstudio_hands.errors import HandsError
        from nerfstudio_hands.hand_images.sources import FORMATS, recognized_format

        if self.data == Path() and self.layout == "auto":
            return "drawn"
        if self.layout not in ("auto", "capture", *FORMATS):
            raise HandsError(
                f"--layout: expected one of auto, capture, {', '.join(FORMATS)}, found {self.layout}; correct it."
            )
        if self.layout in FORMATS and not FORMATS[self.layout][0](self.data):
            raise HandsError(f"{self.data}: expected {FORMATS[self.layout][2]}, found no such files; give that folder.")
        if self.layout != "auto":
            return self.layout
        is_data_set = any(recognized(self.data) for recognized, _, _ in FORMATS.values())
        is_capture = not is_data_set and any(one.recognized(self.data) for one in LAYOUTS.values())
        return "capture" if is_capture else recognized_format(self.data)

    def _of_capture(self, split: str) -> HandImages:
        """Hands of a capture as they are fitted; what it holds out is held out here, too."""
        from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
        from nerfstudio_hands.fitting.known_hands import corrected_cameras, known_hands
        from nerfstudio_hands.hand_images.formats.capture_hands import CaptureHands
        from nerfstudio_hands.hand_model.load import load_surface

        parser = HandsDataParserConfig(data=self.data, hand_model=self.hand_model).setup()
        parser.begin_run()
        fit, capture = parser.record.fit, parser.record.capture
        hands = known_hands(fit, load_surface(fit.sides, self.hand_model), self.hand_model)
        part = "train" if split == "train" else "test"
        return CaptureHands(corrected_cameras(capture, fit), parser.record.split, part, hands)

    def keep_with(self, run: Path, goes_on_from: typing.Optional[Path]) -> None:
        """Makes paths absolute; a run keeps nothing of its pictures."""
        if self.hand_model != "default":
            self.hand_model = str(Path(self.hand_model).expanduser().absolute())
        self.backgrounds = self.backgrounds and self.backgrounds.expanduser().absolute()


@dataclass
class HandImagesDataParser(DataParser):
    """A camera a picture: that of its crop, at a place of its own, so that hands do not stand in each other.

    `metadata["rows"]` are the pictures' indices in their source. The cameras' metadata name that `row`, and the `split`
    as an index of `sources.SPLITS`.
    """

    config: HandImagesDataParserConfig

    def __init__(self, config: HandImagesDataParserConfig) -> None:
        super().__init__(config=config)
        self._sources: typing.Dict[str, HandImages] = {}

    def source(self, split: str) -> HandImages:
        """The pictures of a split, opened once."""
        if split not in self._sources:
            self._sources[split] = self.config.source(split)
        return self._sources[split]

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        from nerfstudio_hands.hand_images.crops import hand_box, view_of

        source = self.source(split)
        count = self.config.shown if split == "train" else self.config.max_eval_images or len(source)
        rows = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
        focal = np.empty(len(rows))
        for index, row in enumerate(rows):
            labels = source.labels(int(row))
            # Of a picture without a box the principal point tells how large it is.
            center = labels.intrinsics[:2, 2]
            box = hand_box(labels, *(2 * center))
            view = view_of(labels.intrinsics, box, CROP, scale=self.config.margin, affine=self.config.affine)
            focal[index] = view.intrinsics[0, 0]
        return side_by_side(rows.tolist(), split, torch.from_numpy(focal).float()[:, None], CROP)


def side_by_side(
    rows: typing.List[int], split: str, focal: torch.Tensor, side: int, **metadata: typing.Any
) -> DataparserOutputs:
    """A camera a sample, at a place of its own, so that hands do not stand in each other.

    Args:
        rows: The samples' indices in their source.
        split: Of `sources.SPLITS`.
        focal: Focal lengths [N, 1], pixels.
        side: Width and height of the pictures, pixels.
        metadata: Beside `rows` and `split`.
    """
    from nerfstudio_hands.hand_images.sources import SPLITS

    places = grid_places(len(rows))
    cameras = Cameras(
        camera_to_worlds=torch.cat([torch.tensor(CAMERA_AXES).expand(len(rows), 3, 3), places[..., None]], -1),
        fx=focal,
        fy=focal,
        cx=side / 2,
        cy=side / 2,
        width=side,
        height=side,
        camera_type=CameraType.PERSPECTIVE,
        metadata={"row": torch.tensor(rows)[:, None], "split": torch.full((len(rows), 1), SPLITS.index(split))},
    )
    reach = float(places.abs().max()) + 2.0
    return DataparserOutputs(
        image_filenames=[Path(f"{row:08d}.png") for row in rows],
        cameras=cameras,
        scene_box=SceneBox(aabb=torch.tensor([[-reach] * 3, [reach] * 3])),
        metadata={"rows": rows, "split": split, **metadata},
    )


def grid_places(count: int) -> torch.Tensor:
    """Places [count, 3] of cameras side by side and one above the other, meters."""
    across = max(1, round(count**0.5))
    index = torch.arange(count)
    flat = torch.stack([index % across, torch.zeros_like(index), -(index // across)], -1).float()
    return SPACING * (flat - flat.mean(0))
