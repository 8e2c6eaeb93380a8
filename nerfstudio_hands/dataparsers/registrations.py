"""Registrations of our data parsers with nerfstudio: see the note on imports in `hands_dataparser`."""

import sys
from dataclasses import dataclass

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

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
