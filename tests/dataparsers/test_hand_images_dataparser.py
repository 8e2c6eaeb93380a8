"""Data sets and captures as nerfstudio's data parsers give them to methods that look at pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.made_up_grasps import MadeUpGrasps

from nerfstudio_hands.dataparsers.hand_images_dataparser import CROP, HandImagesDataParserConfig
from nerfstudio_hands.dataparsers.registrations import (
    DexYCBDataParserConfig,
    FreiHandDataParserConfig,
    HO3DDataParserConfig,
    ObManDataParserConfig,
)
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.crops import hand_box, view_of
from nerfstudio_hands.synthesis.dexycb_files import write_dexycb
from nerfstudio_hands.synthesis.obman_files import write_obman


def test_a_capture_is_images_of_hands_and_what_it_holds_out_stays_so(demo_capture: Path, fit_cache: Path):
    config = HandImagesDataParserConfig(data=demo_capture, shown=3, max_eval_images=2)
    training, held_out = config.source("train"), config.source("test")
    cameras = {torch.from_numpy(source.labels(0).intrinsics) for source in (training, held_out)}
    assert len(training) > len(held_out) > 0 and len(cameras) == 2
    outputs = config.setup().get_dataparser_outputs("train")
    assert len(outputs.cameras) == len(outputs.image_filenames) == 3
    # A camera of the viewer is that of the picture's crop.
    row = outputs.metadata["rows"][1]
    labels = training.labels(row)
    picture = training.read(row).rgb
    view = view_of(labels.intrinsics, hand_box(labels, picture.shape[1], picture.shape[0]), CROP)
    assert float(outputs.cameras.fx[1]) == pytest.approx(view.intrinsics[0, 0], rel=1e-5)
    assert float((outputs.cameras.camera_to_worlds[0, :, 3] - outputs.cameras.camera_to_worlds[1, :, 3]).norm()) > 0.5


def test_a_folder_of_another_layout_is_named(tmp_path: Path, demo_capture: Path):
    for config in (FreiHandDataParserConfig(data=demo_capture), HO3DDataParserConfig(data=demo_capture)):
        with pytest.raises(HandsError, match="expected .*_K.json.*FreiHAND|expected train.txt.*HO-3D"):
            config.source("train")
    names = "auto, capture, freihand, ho3d, gsdf, obman, dexycb"
    with pytest.raises(HandsError, match=f"--layout: expected one of {names}, found rhd"):
        HandImagesDataParserConfig(data=demo_capture, layout="rhd").source("train")
    with pytest.raises(HandsError, match="expected a data set of hands"):
        HandImagesDataParserConfig(data=tmp_path).source("train")


def test_switches_of_a_layout_reach_its_reader(tmp_path: Path):
    obman = write_obman(tmp_path / "obman", [("train", MadeUpGrasps(3), range(3)), ("test", MadeUpGrasps(2), range(2))])
    (tmp_path / "ids.json").write_text('["00000001"]')
    assert len(HandImagesDataParserConfig(data=obman).source("train")) == 3
    config = ObManDataParserConfig(data=obman, train_ids=tmp_path / "ids.json")
    assert (len(config.source("train")), len(config.source("test"))) == (1, 2)
    dexycb = write_dexycb(tmp_path / "dexycb", [("train", MadeUpGrasps(4, left=True), [[0], [1], [2], [3]])])
    assert len(HandImagesDataParserConfig(data=dexycb).source("train")) == 2
    assert len(DexYCBDataParserConfig(data=dexycb, left_hands=True).source("train")) == 4
    with pytest.raises(HandsError, match="expected sequences of this split, found none"):
        DexYCBDataParserConfig(data=dexycb, protocol="s1").source("test")
    outputs = ObManDataParserConfig(data=obman).setup().get_dataparser_outputs("train")
    assert len(outputs.cameras) == 3
