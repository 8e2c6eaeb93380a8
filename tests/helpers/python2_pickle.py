"""Writes pickles as Python 2 wrote MANO's: protocol 2 opcodes and any global, whether it exists here or not.

Opcodes after the list in the standard library's ``pickletools``; independent of the reader under test.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Global:
    """A reference to a module's attribute by name."""

    module: str
    name: str


@dataclass
class Call:
    """``function(*arguments)``, then the state that the result is given; ``new`` creates as ``cls.__new__`` does."""

    function: Global
    arguments: tuple = ()
    state: Any = None
    new: bool = False


@dataclass
class Sparse:
    """A matrix that is stored as ``scipy.sparse.csc.csc_matrix``."""

    dense: np.ndarray


@dataclass
class Select:
    """A ``chumpy.reordering.Select`` of flat indices into an array."""

    source: np.ndarray
    indices: np.ndarray
    shape: tuple[int, ...] = field(default=())


def dumps(value: Any) -> bytes:
    """The pickle of dicts, tuples, strings, numbers, arrays and the records above."""
    return b"\x80\x02" + _write(value) + b"."


def _write(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        raw = value.to_bytes(8, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw
    if isinstance(value, (str, bytes)):
        raw = value.encode("latin1") if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(raw)) + raw
    if isinstance(value, tuple):
        return b"(" + b"".join(_write(item) for item in value) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_write(key) + _write(item) for key, item in value.items()) + b"u"
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        made = _write(value.function) + _write(value.arguments) + (b"\x81" if value.new else b"R")
        return made if value.state is None else made + _write(value.state) + b"b"
    if isinstance(value, np.ndarray):
        return _write(_array_call(value))
    if isinstance(value, Sparse):
        return _write(_sparse_call(value.dense))
    if isinstance(value, Select):
        source = Call(Global("chumpy.ch", "Ch"), state={"x": value.source, "terms": ("x",)}, new=True)
        state = {"a": source, "idxs": value.indices, "preferred_shape": value.shape}
        return _write(Call(Global("chumpy.reordering", "Select"), state=state, new=True))
    raise TypeError(type(value))


def _array_call(array: np.ndarray) -> Call:
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    dtype = Call(Global("numpy", "dtype"), (code, 0, 1), state=(3, "<", None, None, None, -1, -1, 0))
    fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    state = (1, array.shape, dtype, fortran, array.tobytes(order="F" if fortran else "C"))
    return Call(Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), "b"), state=state)


def _sparse_call(dense: np.ndarray) -> Call:
    rows, columns = np.nonzero(dense)
    order = np.lexsort((rows, columns))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(columns, np.arange(dense.shape[1] + 1))
    state = {
        "_shape": dense.shape,
        "maxprint": 50,
        "indices": rows.astype(np.int32),
        "indptr": starts.astype(np.int32),
        "data": dense[rows, columns],
    }
    return Call(Global("scipy.sparse.csc", "csc_matrix"), state=state, new=True)
