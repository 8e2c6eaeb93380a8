"""Reads pickled dictionaries of arrays, MANO's files and tracks of other tools, without running what a file names.

A pickle can name any function to be called. Here the globals with which numpy, scipy, chumpy and torch store arrays are
stood in for by inert records, and every other is refused. The official MANO file was pickled by Python 2 with chumpy
and an old scipy.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from nerfstudio_hands.files.guarded_files import UnreadableFile, read_bytes

_DTYPE = re.compile(r"[fiu][1248]|b1")

_MAX_NUMBERS = 3 * 10**7
"""Numbers of a file; a MANO file has 0.4 million, an hour of rotation matrices 15 million. A file may claim more than
it holds: by sparse matrices, and by lists of one array many times over."""

_COMPRESSIONS = (
    *(b"\x78" + level for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    b"\x1f\x8b",
    b"BZh",
    b"\x5d\x00\x00",
    b"\xfd7zXZ",
    b"\x04\x22M\x18",
)
"""First bytes of what joblib compresses by zlib (four levels), gzip, bz2, lzma, xz and lz4."""


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


class _Tensor(_Record):
    """A tensor of torch's: storage, offset, sizes, strides and what else is not needed."""


class _Storage(_Record):
    """Bytes of a file in a file: torch's older form, of the numbers of a tensor."""


class _ArrayType:
    """Stands for the class ``numpy.ndarray``, which the file passes as an argument and never calls."""


class _Scalar(_Record):
    """A single number of numpy's."""


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
    ("collections", "OrderedDict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
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


_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
"""Kinds of numbers of torch's storages."""


# The unpickler in Python keeps its memo in a dictionary; the one in C sets aside whatever a file claims to need.
class _RestrictedUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            # The names come from a file that nobody vouches for; their representation keeps control characters out.
            raise UnreadableFile(f"{f'{module!r}.{name!r}'[:120]}, which could run code; nothing was run")
        return _STAND_INS[module, name]

    def load_bytearray8(self) -> None:
        """Bytes that are there, where Python would set aside as many as the file claims."""
        unpickler: Any = self  # Its `read` and `append` are set while it loads.
        unpickler.append(bytearray(unpickler.read(int.from_bytes(unpickler.read(8), "little"))))

    dispatch: ClassVar[dict[int, Any]] = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}


class _StorageUnpickler(_RestrictedUnpickler):
    """Reads what torch writes before the numbers of a storage, whose kind is its code and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        return _STORAGES[name] if module == "torch" and name in _STORAGES else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_array_pickle(path: Path) -> dict[str, np.ndarray]:
    """What of a pickled dictionary is numbers, by name; what is none is left out.

    Sparse matrices come dense and chumpy expressions evaluated, as float64, torch tensors as arrays; lists of numbers
    or of arrays of one shape are stacked; dictionaries within the dictionary are opened, the outer one's names come
    first.

    Raises:
        UnreadableFile: It cannot be read, is no pickle of a dictionary, or names anything beyond the globals with which
            numpy, scipy, chumpy and torch store arrays.
    """
    return read_numbers_and_words(path)[0]


def read_numbers_and_words(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What of a pickled dictionary is numbers, see `read_array_pickle`, and what in it is text, by name."""
    with _broken_pickles():
        content = _dictionary(path)
        return _numbers(content), {str(key): value for key, value in content.items() if isinstance(value, str)}


def read_named_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Numbers of a pickled dictionary, however large, that are asked for by name; those that are not there are left
    out, and so is what is none.

    Args:
        path: The file.
        names: Of entries; ``outer/inner`` of those of a dictionary within the dictionary.

    Raises:
        UnreadableFile: See `read_array_pickle`.
    """
    with _broken_pickles():
        content, arrays = _dictionary(path), {}
        for name in names:
            value: Any = content
            for part in name.split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            if (found := _evaluate(value)) is not None:
                arrays[name] = found
        return arrays


def read_pickled_text(path: Path) -> str:
    """A pickled text, or list of lines.

    Raises:
        UnreadableFile: It cannot be read, or is something else.
    """
    with _broken_pickles():
        content = _content(path)
        lines = [content] if isinstance(content, str) else content
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise UnreadableFile(f"a pickled {type(content).__name__} instead of text")
        return "\n".join(lines)


@contextmanager
def _broken_pickles() -> Iterator[None]:
    """Broken pickles fail in every way there is: wrong opcodes, missing stack entries, records without their state."""
    try:
        yield
    except UnreadableFile:
        raise
    except Exception as error:
        raise UnreadableFile(f"a broken pickle ({type(error).__name__}: {error})") from error


def _dictionary(path: Path) -> dict:
    content = _content(path)
    if not isinstance(content, dict):
        raise UnreadableFile(f"a pickled {type(content).__name__} instead of a dictionary")
    return content


def _content(path: Path) -> Any:
    """What a file holds, arrays as inert records."""
    stored = read_bytes(path)
    if stored.startswith(_COMPRESSIONS):
        raise UnreadableFile("a compressed file, as joblib.dump writes it")
    return _RestrictedUnpickler(io.BytesIO(stored), encoding="latin1").load()


def _numbers(content: dict) -> dict[str, np.ndarray]:
    inner = [value for value in content.values() if isinstance(value, dict)]
    arrays: dict[str, np.ndarray] = {}
    for part in (content, *inner):
        for key, value in part.items():
            if str(key) not in arrays and (found := _evaluate(value)) is not None:
                arrays[str(key)] = found
                _check_number(sum(array.size for array in arrays.values()))
    return arrays


def _evaluate(value: Any) -> np.ndarray | None:
    """The numbers that a value of a pickle stands for; None if it is something else."""
    if isinstance(value, _Record):
        return _array_of(value)
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63):
        return np.array(value)
    # Lists may hold one another many times over, so that they are not followed into each other.
    if isinstance(value, (list, tuple)) and value and not any(isinstance(item, (list, tuple)) for item in value):
        items: list[np.ndarray] = []
        for item in value:
            found = _evaluate(item)
            if found is None or (items and found.shape != items[0].shape):
                return None
            items.append(found)
            _check_number(len(items) * found.size)
        return np.stack(items)
    return None


def _check_number(size: int) -> None:
    if size > _MAX_NUMBERS:
        raise UnreadableFile(f"more than {_MAX_NUMBERS} numbers")


def _array_of(record: _Record) -> np.ndarray | None:
    """The array that a record stands for; None for one of text or objects."""
    if isinstance(record, _Array):
        return _array(record)
    if isinstance(record, _Buffer):
        return _buffer(*record.arguments[:4])
    if isinstance(record, _Tensor):
        return _tensor(*record.arguments[:4])
    if isinstance(record, _Scalar):
        dtype, data = record.arguments
        return _buffer(data, dtype, (), "C")
    if isinstance(record, (_SparseColumns, _SparseRows)):
        return _dense(record.state, by_column=isinstance(record, _SparseColumns))
    if isinstance(record, _SparseEntries):
        return _dense_of_entries(record.state)
    if isinstance(record, _ChumpyArray):
        return _evaluate(record.state["x"])
    if isinstance(record, _ChumpySelect):
        flat = _evaluate(record.state["a"]).ravel()
        shape = tuple(int(size) for size in record.state["preferred_shape"])
        return flat[_evaluate(record.state["idxs"])].reshape(shape)
    return None


def _array(record: _Array) -> np.ndarray | None:
    """An array from what ``ndarray.__reduce__`` stores: version, shape, dtype, Fortran order, bytes."""
    _, shape, dtype, fortran, data = record.state
    return _buffer(data, dtype, shape, "F" if fortran else "C")


def _buffer(data: str | bytes, dtype: _Dtype, shape: tuple, order: Literal["C", "F"]) -> np.ndarray | None:
    """An array from its bytes, in C or Fortran order; None if it holds no numbers."""
    code = str(dtype.arguments[0])
    if not _DTYPE.fullmatch(code):
        return None
    byte_order = dtype.state[1] if dtype.state[1] in "<>" else "="
    raw = data.encode("latin1") if isinstance(data, str) else data
    values = np.frombuffer(raw, dtype=np.dtype(code).newbyteorder(byte_order))
    return values.reshape(tuple(int(size) for size in shape), order=order).copy()


def _tensor(storage: _Storage, offset: int, sizes: tuple, strides: tuple) -> np.ndarray:
    """A tensor's numbers, from the five pickles before them: magic number, version, machine, kind, and names."""
    (raw,) = storage.arguments
    stream = io.BytesIO(raw)
    parts = [_StorageUnpickler(stream, encoding="latin1").load() for _ in range(5)]
    stream.seek(8, io.SEEK_CUR)  # Their count once more.
    numbers = np.frombuffer(stream.read(), dtype=np.dtype(parts[3][1]).newbyteorder("<"))
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if min((offset, *sizes, *strides)) < 0 or last >= len(numbers) or np.prod(sizes, dtype=object) > len(numbers):
        raise ValueError(f"a tensor of {sizes} in {len(numbers)} numbers")
    places = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], sizes, places).copy()


def _shape_of(state: dict[str, Any]) -> tuple[int, int]:
    rows, columns = (int(size) for size in state["_shape" if "_shape" in state else "shape"])
    if min(rows, columns) < 1:
        raise ValueError(f"a matrix of {rows} x {columns} numbers")
    _check_number(rows * columns)
    return rows, columns


def _dense(state: dict[str, Any], *, by_column: bool) -> np.ndarray:
    """A dense matrix from the state of a ``csc_matrix`` or, row by row, of a ``csr_matrix``."""
    inner, starts, data = (_evaluate(state[key]) for key in ("indices", "indptr", "data"))
    dense = np.zeros(_shape_of(state), dtype=np.float64)
    outer = np.repeat(np.arange(dense.shape[1 if by_column else 0]), np.diff(starts))  # pyright: ignore[reportArgumentType]
    np.add.at(dense, (inner, outer) if by_column else (outer, inner), data)  # pyright: ignore[reportArgumentType]
    return dense


def _dense_of_entries(state: dict[str, Any]) -> np.ndarray:
    """A dense matrix from the state of a ``coo_matrix``, which older versions of scipy name otherwise."""
    rows, columns = (_evaluate(index) for index in state.get("coords") or (state["row"], state["col"]))
    dense = np.zeros(_shape_of(state), dtype=np.float64)
    np.add.at(dense, (rows, columns), _evaluate(state["data"]))  # pyright: ignore[reportArgumentType]
    return dense
