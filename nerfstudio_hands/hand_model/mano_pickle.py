"""Reads the official MANO pickle, or one saved again by Python 3, without running any code that the file names.

The official file was pickled by Python 2 with chumpy and an old scipy, and a pickle can name any function to be called.
Here the globals with which numpy, scipy and chumpy store arrays are stood in for by inert records, and every other is
refused.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.guarded_files import read_bytes

_DTYPE = re.compile(r"[fiu][1248]|b1")
# Numbers of a dense matrix; MANO's regressor has 12,448.
_LARGEST_MATRIX = 10**7


class _Record:
    """Keeps whatever state the pickle hands over, for :func:`_evaluate` to look at."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(_Record):
    pass


class _Array(_Record):
    pass


class _Buffer(_Record):
    pass


class _SparseColumns(_Record):
    pass


class _SparseRows(_Record):
    pass


class _SparseEntries(_Record):
    pass


class _ChumpyArray(_Record):
    pass


class _ChumpySelect(_Record):
    pass


class _ArrayType:
    """Stands for the class ``numpy.ndarray``, which the file passes as an argument and never calls."""


class _Scalar:
    """A single number of numpy's, of which MANO needs none."""

    def __init__(self, *arguments: Any) -> None:
        pass


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Bytes as Python 3 stores them for Python 2: as text in Latin 1."""
    if encoding != "latin1":
        raise ValueError(f"text in Latin 1 was expected, found {encoding!r}")
    return text.encode("latin1")


_STAND_INS = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("_codecs", "encode"): _encode,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    ("chumpy.reordering", "Select"): _ChumpySelect,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _Scalar
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _Buffer
for _form, _record in (("csc", _SparseColumns), ("csr", _SparseRows), ("coo", _SparseEntries)):
    for _module in (f"scipy.sparse.{_form}", f"scipy.sparse._{_form}"):
        for _kind in ("matrix", "array"):
            _STAND_INS[_module, f"{_form}_{_kind}"] = _record


# The unpickler in Python keeps its memo in a dictionary; the one in C sets aside whatever a file claims to need.
class _RestrictedUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            # The names come from a file that nobody vouches for; their representation keeps control characters out.
            raise _ForeignGlobal(f"{module!r}.{name!r}"[:120])
        return _STAND_INS[module, name]


class _ForeignGlobal(pickle.UnpicklingError):
    pass


def read_mano_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MANO file, pickled by Python 2 or 3; sparse matrices dense, chumpy expressions evaluated.

    Args:
        path: ``MANO_RIGHT.pkl`` or ``MANO_LEFT.pkl``.

    Returns:
        Every entry of the file that is an array, as it is stored there.

    Raises:
        HandsError: If the file cannot be read, is no pickle of a dictionary, or names anything beyond the globals with
            which numpy, scipy and chumpy store arrays.
    """
    try:
        content = _RestrictedUnpickler(io.BytesIO(read_bytes(path)), encoding="latin1").load()
        if not isinstance(content, dict):
            raise HandsError(f"{path} should be a pickled dictionary, found a {type(content).__name__}; get it again.")
        return {str(key): _evaluate(value) for key, value in content.items() if isinstance(value, _Record)}
    except _ForeignGlobal as error:
        raise HandsError(
            f"{path}: a MANO file names numpy, scipy and chumpy arrays only, found {error}, which could run code; "
            "nothing was run, get the file again from https://mano.is.tue.mpg.de, or save its arrays alone."
        ) from error
    except HandsError:
        raise
    # Broken pickles fail in every way there is: wrong opcodes, missing stack entries, records without their state.
    except Exception as error:
        raise HandsError(
            f"{path} should be an official MANO pickle but cannot be read ({type(error).__name__}: {error}); get it "
            "again from https://mano.is.tue.mpg.de."
        ) from error


def _evaluate(value: Any) -> np.ndarray:
    """The array that a record stands for."""
    if isinstance(value, _Array):
        return _array(value)
    if isinstance(value, _Buffer):
        return _buffer(*value.arguments[:4])
    if isinstance(value, (_SparseColumns, _SparseRows)):
        return _dense(value.state, by_column=isinstance(value, _SparseColumns))
    if isinstance(value, _SparseEntries):
        return _dense_of_entries(value.state)
    if isinstance(value, _ChumpyArray):
        return _evaluate(value.state["x"])
    if isinstance(value, _ChumpySelect):
        flat = _evaluate(value.state["a"]).ravel()
        shape = tuple(int(size) for size in value.state["preferred_shape"])
        return flat[_evaluate(value.state["idxs"])].reshape(shape)
    raise ValueError(f"an array was expected, found a {type(value).__name__}")


def _array(record: _Array) -> np.ndarray:
    """An array from what ``ndarray.__reduce__`` stores: version, shape, dtype, Fortran order, bytes."""
    _, shape, dtype, fortran, data = record.state
    return _buffer(data, dtype, shape, "F" if fortran else "C")


def _buffer(data: str | bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    """An array from its bytes, in C or Fortran order."""
    code = str(dtype.arguments[0])
    if not _DTYPE.fullmatch(code):
        raise ValueError(f"an array of numbers was expected, found the type {code!r}")
    byte_order = dtype.state[1] if dtype.state[1] in "<>" else "="
    raw = data.encode("latin1") if isinstance(data, str) else data
    values = np.frombuffer(raw, dtype=np.dtype(code).newbyteorder(byte_order))
    return values.reshape(tuple(int(size) for size in shape), order=order).copy()


def _shape_of(state: dict[str, Any]) -> tuple[int, int]:
    rows, columns = (int(size) for size in state["_shape" if "_shape" in state else "shape"])
    if not 0 < rows * columns <= _LARGEST_MATRIX:
        raise ValueError(f"a matrix of a hand was expected, found {rows} x {columns} numbers")
    return rows, columns


def _dense(state: dict[str, Any], *, by_column: bool) -> np.ndarray:
    """A dense matrix from the state of a ``csc_matrix`` or, row by row, of a ``csr_matrix``."""
    inner, starts, data = (_evaluate(state[key]) for key in ("indices", "indptr", "data"))
    dense = np.zeros(_shape_of(state), dtype=np.float64)
    outer = np.repeat(np.arange(dense.shape[1 if by_column else 0]), np.diff(starts))
    np.add.at(dense, (inner, outer) if by_column else (outer, inner), data)
    return dense


def _dense_of_entries(state: dict[str, Any]) -> np.ndarray:
    """A dense matrix from the state of a ``coo_matrix``, which older versions of scipy name otherwise."""
    rows, columns = (_evaluate(index) for index in state.get("coords") or (state["row"], state["col"]))
    dense = np.zeros(_shape_of(state), dtype=np.float64)
    np.add.at(dense, (rows, columns), _evaluate(state["data"]))
    return dense
