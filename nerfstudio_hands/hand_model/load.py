"""Hand models from their files: the embedded hand, MANO's, or our own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.mano_file import mano_file_in, read_mano_hand
from nerfstudio_hands.hand_model.model import HandModel, mirror_hand
from nerfstudio_hands.hand_model.nimble import NimbleHand
from nerfstudio_hands.hand_model.nimble_file import is_nimble, read_nimble_hand
from nerfstudio_hands.hand_model.npz_file import read_npz_hand
from nerfstudio_hands.hand_model.surface import HandSurface


@cache
def default_hand(side: str) -> HandModel:
    """The embedded hand (CC0, baked from MakeHuman assets by ``scripts/bake_default_hand.py``), read once: nobody may
    write into its tensors.

    The rest pose is the relaxed, nearly flat hand that the assets were modelled in.

    Args:
        side: ``left`` or ``right``.
    """
    _require_side(side)
    if side == "left":
        return mirror_hand(default_hand("right"))
    return read_npz_hand(Path(__file__).parent / "assets" / "default_hand.npz")


def load_hand(source: str | Path, side: str) -> HandModel:
    """Load a hand model.

    Args:
        source: ``default`` for the embedded hand; or a MANO ``.pkl`` or our ``.npz``; or a folder that holds
            ``MANO_LEFT.pkl`` and ``MANO_RIGHT.pkl`` or one of them, itself or in a folder below.
        side: The side that is wanted. A file of the other side is mirrored.

    Raises:
        HandsError: If there is no such file or it is no hand model.
    """
    if str(source) == "default":
        return default_hand(side)
    _require_side(side)
    path = Path(source)
    if is_nimble(path) and not mano_file_in(path, side).is_file():
        raise HandsError(
            f"{path}: expected a hand in MANO's layout, found NIMBLE's files, whose 20 bones only hand-monocular "
            "poses: give 'default' or MANO's folder."
        )
    if path.is_dir():
        path = mano_file_in(path, side)
    if not path.is_file():
        raise HandsError(f"There is no hand model at {path}; give 'default', a MANO .pkl, our .npz or their folder.")
    model = read_npz_hand(path) if path.suffix == ".npz" else read_mano_hand(path)
    return model if model.side == side else mirror_hand(model)


def load_right_hand(source: str | Path) -> HandModel | NimbleHand:
    """The right hand of a source of `load_hand`, or of NIMBLE's files: their folder, or the model's.

    A folder that has NIMBLE's files and MANO's is NIMBLE's.

    Raises:
        HandsError: See `load_hand` and `read_nimble_hand`.
    """
    return read_nimble_hand(source) if is_nimble(source) else load_hand(source, "right")


def load_surface(sides: Sequence[str], source: str | Path) -> HandSurface:
    """The hand models of some sides as one surface; `source` and errors are those of `load_hand`."""
    return HandSurface(tuple(load_hand(source, side) for side in sides))


def _require_side(side: str) -> None:
    if side not in SIDES:
        raise HandsError(f"A hand is 'left' or 'right', but {side!r} was asked for; give one of the two.")
