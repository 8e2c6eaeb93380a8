"""Reads the official MANO pickle without running any code that the file names.

The file was pickled by Python 2 with chumpy and an old scipy, and a pickle can name any function to be called.  Here
the seven globals that an official file uses are stood in for by inert records, and every other is refused.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.errors import HandsError

_DTYPE = re.compile(r"[fiu][1248]|b1")


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


class _SparseColumns(_Record):
    pass


class _ChumpyArray(_Record):
    pass


class _ChumpySelect(_Record):
    pass


class _ArrayType:
    """Stands for the class ``numpy.ndarray``, which the file passes as an argument and never calls."""


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("scipy.sparse.csc", "csc_matrix"): _SparseColumns,
    ("__builtin__", "set"): set,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    ("chumpy.reordering", "Select"): _ChumpySelect,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            # The names come from a file that nobody vouches for; their representation keeps control characters out.
            raise _ForeignGlobal(f"{module!r}.{name!r}"[:120])
        return _STAND_INS[module, name]


class _ForeignGlobal(pickle.UnpicklingError):
    pass


def read_mano_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an official MANO file; sparse matrices dense, chumpy expressions evaluated.

    Args:
        path: ``MANO_RIGHT.pkl`` or ``MANO_LEFT.pkl``.

    Returns:
        Every entry of the file that is an array, as it is stored there.

    Raises:
        HandsError: If the file cannot be read, is no pickle of a dictionary, or names anything beyond the seven
            globals of official files.
    """
    try:
        with path.open("rb") as file:
            content = _RestrictedUnpickler(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise HandsError(f"{path} should be a pickled dictionary, found a {type(content).__name__}; get it again.")
        return {str(key): _evaluate(value) for key, value in content.items() if isinstance(value, _Record)}
    except _ForeignGlobal as error:
        raise HandsError(
            f"{path}: an official MANO file names numpy, scipy and chumpy arrays only, found {error}, which could run "
            "code; nothing was run, get the file again from https://mano.is.tue.mpg.de."
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
    if isinstance(value, _SparseColumns):
        return _dense(value.state)
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
    code = str(dtype.arguments[0])
    if not _DTYPE.fullmatch(code):
        raise ValueError(f"an array of numbers was expected, found the type {code!r}")
    order = dtype.state[1] if dtype.state[1] in "<>" else "="
    raw = data.encode("latin1") if isinstance(data, str) else data
    values = np.frombuffer(raw, dtype=np.dtype(code).newbyteorder(order))
    return values.reshape(tuple(int(size) for size in shape), order="F" if fortran else "C").copy()


def _dense(state: dict[str, Any]) -> np.ndarray:
    """A dense matrix from the state of a ``scipy.sparse.csc_matrix``."""
    rows, starts, data = (_evaluate(state[key]) for key in ("indices", "indptr", "data"))
    num_rows, num_columns = (int(size) for size in state["_shape" if "_shape" in state else "shape"])
    dense = np.zeros((num_rows, num_columns), dtype=np.float64)
    columns = np.repeat(np.arange(num_columns), np.diff(starts))
    np.add.at(dense, (rows, columns), data)
    return dense
