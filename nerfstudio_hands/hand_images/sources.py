"""Opens pictures of hands in any layout that is known, each of which is one file of `formats`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.formats.dexycb import DexYCB, is_dexycb
from nerfstudio_hands.hand_images.formats.freihand import FreiHand, is_freihand
from nerfstudio_hands.hand_images.formats.gsdf_json import GsdfJson, is_gsdf
from nerfstudio_hands.hand_images.formats.ho3d import HO3D, is_ho3d
from nerfstudio_hands.hand_images.formats.obman import ObMan, is_obman
from nerfstudio_hands.hand_images.hand_image import HandImages
from nerfstudio_hands.hand_model.mano_file import mano_file_in

SPLITS = ("train", "val", "test")

FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[..., HandImages], str]] = {
    "freihand": (is_freihand, FreiHand, "training_K.json or evaluation_K.json (FreiHAND)"),
    "ho3d": (is_ho3d, HO3D, "train.txt or evaluation.txt beside a folder train or evaluation (HO-3D)"),
    "gsdf": (is_gsdf, GsdfJson, "obman_train.json, dexycb_train_s0.json or the like (gSDF's annotations)"),
    "obman": (is_obman, ObMan, "train or test with rgb and meta in it (ObMan)"),
    "dexycb": (is_dexycb, DexYCB, "20200709-subject-01 or another subject beside calibration (DexYCB)"),
}
"""By name: whether a folder has the layout, its reader, and what lies in such a folder."""


def open_hand_images(path: Path, split: str, *, mano: Path | None = None, **choices: Any) -> HandImages:
    """The pictures of a folder.

    Args:
        path: Folder of a data set.
        split: `train`, `val` or `test`.
        mano: MANO's file or folder, for poses and vertices that a data set gives only with it; by default `mano` in
            the data set's folder, if that is there.
        choices: What else the layout's reader is told, as the data parsers of layouts do.

    Raises:
        HandsError: There is no such folder, its layout is none of these, or the files in it are not as they should be.
    """
    if split not in SPLITS:
        raise HandsError(f"split: expected {', '.join(SPLITS)}, found {split!r}; give one of the three.")
    _, opened, _ = FORMATS[recognized_format(path)]
    if mano is None and mano_file_in(path / "mano", "right").is_file():
        mano = path / "mano"
    return opened(path, split, mano=mano, **choices)


def recognized_format(path: Path) -> str:
    """Which of `FORMATS` a folder has; nothing in it is read.

    Raises:
        HandsError: There is no such folder, or its layout is none of these.
    """
    if not path.is_dir():
        raise HandsError(f"{path}: expected the folder of a data set, found none; give another path.")
    for name, (recognized, _, _) in FORMATS.items():
        if recognized(path):
            return name
    signs = "; or ".join(sign for _, _, sign in FORMATS.values())
    raise HandsError(f"{path}: expected a data set of hands, a folder with {signs}, found neither; give that folder.")
