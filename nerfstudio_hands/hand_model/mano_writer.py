"""Writes hand models as MANO's own pickles, so that what reads MANO reads a hand without a licence.

The official files were pickled by Python 2 with chumpy and an old scipy.  No current Python writes such references, so
the opcodes (protocol 2, see the standard library's ``pickletools``) are put together here.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

from nerfstudio_hands.hand_model.model import HandModel, mirror_hand, rest_joints

NO_PARENT = 2**32 - 1
"""The root's parent in `kintree_table`."""


def write_mano_pickle(path: Path, model: HandModel, hands_mean: Float[np.ndarray, "15 3"]) -> None:
    """Write `MANO_RIGHT.pkl` or `MANO_LEFT.pkl`; like the official one, a left file has the right hand's `shapedirs`.

    Args:
        path: File to make.
        model: The hand, of the side that the file is for.
        hands_mean: Mean local rotations, axis-angle, to which poses of MANO are relative unless `flat_hand_mean`.
    """
    shape_dirs = (model if model.side == "right" else mirror_hand(model)).shape_dirs.double().numpy()
    # chumpy's Select picks from the flat array of more directions than are used.
    stored = np.concatenate([shape_dirs, np.zeros_like(shape_dirs)], axis=2)
    indices = np.arange(stored.size).reshape(stored.shape)[:, :, : shape_dirs.shape[2]].ravel()
    content = {
        "hands_components": np.eye(45),
        "f": model.faces.numpy().astype(np.uint32),
        "J_regressor": sparse.csc_matrix(model.joint_regressor.double().numpy()),
        "kintree_table": np.array([[NO_PARENT, *model.parents[1:]], range(len(model.parents))], dtype=np.uint32),
        "J": rest_joints(model, model.template.new_zeros(1, 1))[0].double().numpy(),
        "hands_coeffs": np.zeros((1, 45)),
        "weights": model.weights.double().numpy(),
        "posedirs": model.pose_dirs.double().numpy(),
        "bs_style": "lbs",
        "v_template": model.template.double().numpy(),
        "shapedirs": _Instance(
            "chumpy.reordering",
            "Select",
            {
                "a": _Instance("chumpy.ch", "Ch", {"x": stored}),
                "idxs": indices,
                "preferred_shape": shape_dirs.shape,
            },
        ),
        "bs_type": "lrotmin",
        "hands_mean": hands_mean.ravel().astype(np.float64),
    }
    path.write_bytes(b"\x80\x02" + _opcodes(content) + b".")


class _Instance:
    """An object of a class by name, made without its constructor, and the state that it is given."""

    def __init__(self, module: str, name: str, state: dict[str, Any]) -> None:
        self.reference = f"c{module}\n{name}\n".encode()
        self.state = state


def _opcodes(value: Any) -> bytes:
    """Opcodes that push a value on the stack."""
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, (int, np.integer)):
        return b"J" + struct.pack("<i", int(value))
    if isinstance(value, (str, bytes)):
        raw = value.encode("latin1") if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(raw)) + raw
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items()) + b"u"
    if isinstance(value, np.ndarray):
        return _array_opcodes(np.ascontiguousarray(value))
    if isinstance(value, sparse.csc_matrix):
        parts = {"_shape": value.shape, "indices": value.indices, "indptr": value.indptr, "data": value.data}
        return _opcodes(_Instance("scipy.sparse.csc", "csc_matrix", parts))
    if isinstance(value, _Instance):
        return value.reference + b")\x81" + _opcodes(value.state) + b"b"
    raise TypeError(f"MANO's files hold no {type(value).__name__}")


def _array_opcodes(array: np.ndarray) -> bytes:
    """An array as Python 2 wrote it: an empty one, then what it gets: version, shape, type, order and bytes."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _opcodes((0,)) + _opcodes("b") + b"tR"
    code = array.dtype.newbyteorder("<")
    kind = b"cnumpy\ndtype\n" + _opcodes((code.str[1:], 0, 1)) + b"R"
    kind += b"(" + _opcodes(3) + _opcodes("<") + b"NNN" + _opcodes(-1) + _opcodes(-1) + _opcodes(0) + b"tb"
    raw = array.astype(code).tobytes()
    return empty + b"(" + _opcodes(1) + _opcodes(array.shape) + kind + _opcodes(False) + _opcodes(raw) + b"tb"
