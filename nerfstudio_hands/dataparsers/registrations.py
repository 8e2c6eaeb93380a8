"""Registrations of our data parsers with nerfstudio: see the note on imports in `hands_dataparser`."""

import sys
import typing
from dataclasses import dataclass
from pathlib import Path

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.dataparsers.interhand_dataparser import InterHandDataParserConfig
from nerfstudio_hands.program.environment import announce_training, look_at_run, quicken_start

announce_training(sys.argv)
look_at_run(sys.argv)
quicken_start()


@dataclass
class CaptureRoomDataParserConfig(HandsDataParserConfig):
    """A calibrated rig round a pair of hands, in FMHR's layout: img/, mask/, pose/, camera/param.npz in each scan."""

    layout: str = "capture-room"
    """Layout of the folder: "auto" recognises it, "capture-room" or "interhand" insists on that one."""


@dataclass
class PicturesDataParserConfig(HandsDataParserConfig):
    """Own pictures, as `ns-hands prepare` or nerfstudio's ns-process-data write them: transforms.json and images."""

    layout: str = "pictures"
    """Layout of the folder: "auto" recognises it, "pictures" insists on this one."""


@dataclass
class FreiHandDataParserConfig(HandImagesDataParserConfig):
    """FreiHAND: pictures of 224 x 224 with MANO's hand."""

    layout: str = "freihand"
    """Layout of the folder: "auto" recognises it, "freihand" insists on this one."""


@dataclass
class HO3DDataParserConfig(HandImagesDataParserConfig):
    """HO-3D: video of hands that hold objects."""

    layout: str = "ho3d"
    """Layout of the folder: "auto" recognises it, "ho3d" insists on this one."""


@dataclass
class ListedDataParserConfig(HandObjectDataParserConfig):
    """Data sets of which gSDF publishes lists of samples."""

    train_ids: typing.Optional[Path] = None
    """JSON list of the samples of `train` to learn from, as gSDF publishes them; by default all."""
    test_ids: typing.Optional[Path] = None
    """The same of `test`."""

    def keep_with(self, run: Path, goes_on_from: typing.Optional[Path]) -> None:
        """Makes paths absolute."""
        super().keep_with(run, goes_on_from)
        self.train_ids = self.train_ids and self.train_ids.expanduser().absolute()
        self.test_ids = self.test_ids and self.test_ids.expanduser().absolute()


@dataclass
class ObManDataParserConfig(ListedDataParserConfig):
    """ObMan: rendered hands that hold things of ShapeNet."""

    layout: str = "obman"
    """Layout of the folder: "auto" recognises it, "obman" insists on this one."""
    shapenet: typing.Optional[Path] = None
    """Folder of ShapeNetCore.v2; by default that in the data set's folder or beside it."""

    def choices(self, split: str) -> typing.Dict[str, typing.Any]:
        """See `HandImagesDataParserConfig`."""
        return {"shapenet": self.shapenet, "ids": {"train": self.train_ids, "test": self.test_ids}.get(split)}

    def keep_with(self, run: Path, goes_on_from: typing.Optional[Path]) -> None:
        """Makes paths absolute."""
        super().keep_with(run, goes_on_from)
        self.shapenet = self.shapenet and self.shapenet.expanduser().absolute()


@dataclass
class GsdfDataParserConfig(ListedDataParserConfig):
    """gSDF's JSON of ObMan or DexYCB, with the meshes that it prepares."""

    layout: str = "gsdf"
    """Layout of the folder: "auto" recognises it, "gsdf" insists on this one."""

    def choices(self, split: str) -> typing.Dict[str, typing.Any]:
        """See `HandImagesDataParserConfig`."""
        # What is held out while training is the end of what is listed to learn from.
        return {"ids": self.test_ids if split == "test" else self.train_ids}


@dataclass
class DexYCBDataParserConfig(HandObjectDataParserConfig):
    """DexYCB: video of hands that pick up things of the YCB set."""

    layout: str = "dexycb"
    """Layout of the folder: "auto" recognises it, "dexycb" insists on this one."""
    protocol: typing.Literal["s0", "s1", "s2", "s3"] = "s0"
    """How the data set is split: by sequence, by person, by camera, or by thing."""
    all_frames: bool = False
    """Whether all pictures with a hand are taken; else gSDF's: every fifth frame, and tests on hands that touch."""
    left_hands: bool = False
    """Whether left hands are taken, too; they are seen in a mirror."""

    def choices(self, split: str) -> typing.Dict[str, typing.Any]:
        """See `HandImagesDataParserConfig`."""
        return {"setup": self.protocol, "all_frames": self.all_frames, "left_hands": self.left_hands}


hands_data = DataParserSpecification(
    config=HandsDataParserConfig(), description="Calibrated pictures of hands; the layout is recognised."
)
capture_room_data = DataParserSpecification(
    config=CaptureRoomDataParserConfig(), description="A calibrated rig round a pair of hands (layout of FMHR)."
)
pictures_data = DataParserSpecification(
    config=PicturesDataParserConfig(), description="Own pictures of hands (transforms.json of `ns-hands prepare`)."
)
interhand_data = DataParserSpecification(
    config=InterHandDataParserConfig(), description="InterHand2.6M: hands in motion before many cameras."
)
hand_images_data = DataParserSpecification(
    config=HandImagesDataParserConfig(),
    description="Labelled pictures of a hand each; without a folder they are drawn.",
)
hand_object_data = DataParserSpecification(
    config=HandObjectDataParserConfig(),
    description="Labelled pictures of a hand and the thing in it; without a folder they are drawn.",
)
freihand_data = DataParserSpecification(
    config=FreiHandDataParserConfig(), description="FreiHAND: single pictures of hands."
)
ho3d_data = DataParserSpecification(config=HO3DDataParserConfig(), description="HO-3D: hands that hold objects.")
obman_data = DataParserSpecification(
    config=ObManDataParserConfig(), description="ObMan: rendered hands that hold things of ShapeNet."
)
gsdf_data = DataParserSpecification(
    config=GsdfDataParserConfig(), description="gSDF's JSON of ObMan or DexYCB, with the meshes that it prepares."
)
dexycb_data = DataParserSpecification(
    config=DexYCBDataParserConfig(), description="DexYCB: video of hands that pick up things of YCB."
)
