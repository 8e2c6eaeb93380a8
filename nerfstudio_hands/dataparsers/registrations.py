"""Registrations of our data parsers with nerfstudio: see the note on imports in `hands_dataparser`."""

import sys
from dataclasses import dataclass

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.dataparsers.interhand_dataparser import InterHandDataParserConfig
from nerfstudio_hands.program.environment import announce_training

announce_training(sys.argv)


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
