"""A rehearsal of CUDA without a GPU: the real program on real values, with tensors that say that they are on `cuda:0`.

A `PretendTensor` wraps a CPU tensor. While `PretendCuda` is on, each operation runs on the CPU's values, after a look
at what CUDA would refuse: tensors on two devices (but for numbers in pointwise operations and CPU indices), `numpy()`
without `cpu()`, generators of the CPU. Warp's kernels run on the CPU's values too, after the same look at their arrays.
So control flow that hangs on data is followed as it is, which torch's fake tensors cannot do. On the way it counts, by
lines of the source, where a CPU has to wait for the GPU: `item`, `tolist`, `nonzero`, boolean indices, copies.

It does not see how fast anything is, the order of streams, faults of kernels, dtypes that CUDA lacks, autocast, NCCL.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, return_and_correct_aliasing

from nerfstudio_hands.geometry import laplacian, launch

AVAILABLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether this torch has backends in Python, which the backward pass needs: from about 2.10 on."""

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
BACKEND = "rehearsal"
"""What torch's core believes: of CUDA its backward pass would ask the driver for streams."""

POINTWISE = {"where", "masked_fill", "fill", "clamp", "lerp", "index_fill", "masked_scatter", "isin"}
"""Operations that take numbers of the CPU beside those that torch calls pointwise."""
WAITING = {
    "nonzero": "nonzero",
    "argwhere": "nonzero",
    "masked_select": "masked_select",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "bincount": "bincount",
    "_linalg_check_errors": "check of linalg",
    "equal": "equal",
    "is_nonzero": "bool",
    "_local_scalar_dense": "item",
    "item": "item",
}
INDEXING = {"index", "index_put", "_index_put_impl", "_unsafe_index"}
HIDDEN = {"prod", "cumprod"}
"""Operations whose backward pass asks whether there is a zero; a subclass is led another way there."""

waits: Counter[str] = Counter()
"""Where the CPU had to wait, since somebody cleared it."""


class DeviceMismatch(RuntimeError):
    """What CUDA would refuse."""


class PretendTensor(torch.Tensor):
    """Values on the CPU under the name of a CUDA tensor."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> PretendTensor:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(f"{BACKEND}:0"),
            requires_grad=False,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self, **_: Any) -> str:
        return f"PretendTensor({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    def get_device(self) -> int:
        return 0

    # What C++ would read memory for.
    def tolist(self):
        _wait("tolist")
        return self.detach().inner.tolist()

    def numpy(self, *, force: bool = False):
        raise DeviceMismatch(f"{_place()}: numpy() of a CUDA tensor without cpu()")

    __array__ = __dlpack__ = data_ptr = numpy

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            with torch.no_grad():
                copied = self.detach().clone().requires_grad_(self.requires_grad)
            is_parameter = getattr(self, "_is_param", False)
            memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if is_parameter else copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        # As `torch.save` and a `map_location` would have it.
        return self.detach().inner.clone().requires_grad_(self.requires_grad).__reduce_ex__(protocol)


class PretendSparse:
    """A sparse matrix, of which only products are asked for."""

    device, layout = CUDA, torch.sparse_csr

    def __init__(self, inner: Tensor) -> None:
        self.inner, self.dtype = inner, inner.dtype

    def to(self, dtype: torch.dtype) -> PretendSparse:
        return self if dtype == self.dtype else PretendSparse(self.inner.to(dtype))

    def __len__(self) -> int:
        return len(self.inner)

    def __matmul__(self, values: Tensor) -> Tensor:
        if not isinstance(values, PretendTensor):
            _refuse("sparse matrix on CUDA times a CPU tensor")
        with _disable_current_modes():
            return PretendTensor(self.inner @ values.inner)


class PretendCuda(TorchDispatchMode):
    """While it is on, `cuda` means values on the CPU that behave as if they were on a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    def __enter__(self):
        self._undo = contextlib.ExitStack()
        _register_backend()
        torch._C._ensureCUDADeviceGuardSet()
        # torch.tensor(..., device="cuda") is seen only so.
        lifting = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        self._undo.callback(torch._C._set_only_lift_cpu_tensors, lifting)
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        self._undo.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        self._undo.enter_context(torch.autograd.set_multithreading_enabled(False))
        self._replace(torch.cuda, "_lazy_init", lambda: None)
        self._replace(torch.cuda, "current_device", lambda: 0)
        self._replace_libraries()
        return super().__enter__()

    def __exit__(self, *error):
        result = super().__exit__(*error)
        self._undo.close()
        return result

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        old = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
        setattr(owner, name, value)
        self._undo.callback(setattr, owner, name, old)

    def _replace_libraries(self) -> None:
        """Warp sees the CPU's values, after a look at their devices; torch's sparse matrices are not wrapped."""
        ours = [module for name, module in list(sys.modules.items()) if name.startswith("nerfstudio_hands.")]
        for name, value in (("as_array", _as_array), ("launch", _launch), ("torch_stream", _torch_stream)):
            for module in ours:
                if getattr(module, name, None) is _REAL[name]:
                    self._replace(module, name, value)
        self._replace(wp, "Mesh", _Mesh)
        self._replace(laplacian.Laplacian, "graph", staticmethod(_graph))


_REAL: dict[str, Callable[..., Any]] = {
    name: getattr(launch, name) for name in ("as_array", "launch", "torch_stream")
} | {"graph": laplacian.Laplacian.graph}


def _as_array(tensor: Tensor, dtype: Any) -> wp.array:
    with _disable_current_modes():
        array = _REAL["as_array"](_inner(tensor.detach()), dtype)
    array.pretends = isinstance(tensor, PretendTensor)
    return array


def _launch(kernel: Any, count: int, arguments: Any, **options: Any) -> None:
    flat = []
    for argument in arguments:
        members = getattr(getattr(argument, "_cls", None), "vars", ())
        flat += [getattr(argument, name) for name in members] if members else [argument]
    # A member of a structure that was never set has no memory.
    arrays = [value for value in flat if isinstance(value, wp.array) and hasattr(value, "pretends")]
    if len({array.pretends for array in arrays}) > 1:
        _refuse(f"Warp's kernel {kernel.key}: arrays on two devices")
    with _disable_current_modes():
        _REAL["launch"](kernel, count, arguments, **options)


_in_stream: list[torch.device] = []


@contextlib.contextmanager
def _torch_stream(device: torch.device) -> Iterator[None]:
    _in_stream.append(device)
    yield
    _in_stream.pop()


class _Mesh(wp.Mesh):
    def __init__(self, points: wp.array, indices: wp.array, **options: Any) -> None:
        if getattr(points, "pretends", False) != getattr(indices, "pretends", False):
            _refuse("Warp's mesh: points and indices on two devices")
        self.pretends = getattr(points, "pretends", False)
        self._look("built")
        with _disable_current_modes():
            super().__init__(points, indices, **options)

    def refit(self) -> None:
        self._look("refitted")
        super().refit()

    def _look(self, how: str) -> None:
        if self.pretends and not _in_stream:
            _refuse(f"Warp's mesh: {how} beside torch's stream")


def _graph(pairs: Tensor, size: int) -> laplacian.Laplacian:
    if not isinstance(pairs, PretendTensor):
        return _REAL["graph"](pairs, size)
    _wait("sparse matrix")
    with _disable_current_modes():
        found = _REAL["graph"](pairs.inner, size)
    found.matrix, found.diagonal = PretendSparse(found.matrix), PretendTensor(found.diagonal)  # pyright: ignore
    return found


def _register_backend() -> None:
    if torch._C._get_privateuse1_backend_name() != BACKEND:
        module = backend_registration._DummyBackendModule
        module.get_rng_state = lambda self, *_: torch.zeros(1, dtype=torch.uint8)
        module.set_rng_state = lambda self, *_: None
        backend_registration._setup_privateuseone_for_python_backend(BACKEND)


def _place() -> str:
    """The innermost line of ours, and the line of a library that it asked."""
    frame, library, backward = sys._getframe(1), "", ""
    while frame is not None:
        name = frame.f_code.co_filename
        if "autograd" in name and f"{os.sep}torch{os.sep}" in name:
            backward = "(backward) "
        if f"{os.sep}nerfstudio_hands{os.sep}" in name:
            short = name.split(f"{os.sep}nerfstudio_hands{os.sep}")[-1]
            return f"{backward}{short}:{frame.f_lineno}{library}"
        if not library and "site-packages" in name and f"{os.sep}torch{os.sep}" not in name:
            library = f" <- {name.split('site-packages' + os.sep)[-1]}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{backward}elsewhere{library}"


def _wait(kind: str) -> None:
    waits[f"{_place()} [{kind}]"] += 1


def _refuse(what: str) -> None:
    raise DeviceMismatch(f"{_place()}: {what}")


def _inner(tensor: Any) -> Any:
    return tensor.inner if isinstance(tensor, PretendTensor) else tensor


def _outer(tensor: Any) -> Any:
    return tensor if isinstance(tensor, PretendTensor) else PretendTensor(tensor)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Those among values of an operation, which hold them alone and in lists; torch's trees take longer to go through
    than the operation takes."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _changed(kind: type, change: Callable[[Any], Any], value: Any) -> Any:
    """A value in which all of a kind are changed, alone and in lists."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_changed(kind, change, each) for each in value)
    return value


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type in ("cuda", BACKEND)


def _dispatch(func: Any, args: tuple, kwargs: dict) -> Any:
    name = func._schema.name.removeprefix("aten::")
    tensors = [*_tensors(args), *_tensors(kwargs.values())]
    pretends = any(isinstance(value, PretendTensor) for value in tensors)
    wanted = kwargs.get("device")
    if not pretends and not _is_gpu(wanted):
        return func(*args, **kwargs)
    if kwargs.get("generator") is not None and (wanted is None or _is_gpu(wanted)):
        _refuse(f"{name} on CUDA with a generator of the CPU")
    inner_args = _changed(PretendTensor, _inner, args)
    inner_kwargs = {key: _changed(PretendTensor, _inner, value) for key, value in kwargs.items()}
    if wanted is not None:
        inner_kwargs["device"] = CPU
    if inner_kwargs.get("pin_memory"):
        inner_kwargs["pin_memory"] = False
    if name == "_to_copy":
        return _copied(func, args[0], inner_args, inner_kwargs, wanted, kwargs)
    if name == "copy_":
        return _written(func, args, inner_args, inner_kwargs, kwargs)
    on_gpu = _is_gpu(wanted) if wanted is not None else _checked(name, func, args, tensors)
    if pretends:
        _note_waits(name, func, args, kwargs, tensors)
    found = func(*inner_args, **inner_kwargs)
    if not on_gpu or not any(True for _ in _tensors([found])):
        return found
    return return_and_correct_aliasing(func, args, kwargs, _changed(Tensor, _outer, found))


def _note_waits(name: str, func: Any, args: tuple, kwargs: dict, tensors: list[Tensor]) -> None:
    if name in WAITING:
        _wait(WAITING[name])
    if name == "repeat_interleave" and "output_size" not in kwargs and "Tensor" in func._overloadname:
        _wait("repeat_interleave")
    if name in HIDDEN and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        waits[f"(backward) {_place()} [{name}]"] += 1
    if name.rstrip("_") in INDEXING:
        for index in args[1]:
            if index is None:
                continue
            if index.dtype in (torch.bool, torch.uint8) and isinstance(index, PretendTensor):
                _wait("boolean index")
            elif not isinstance(index, PretendTensor) and isinstance(args[0], PretendTensor):
                _wait("index that is copied")


def _copied(func: Any, source: Tensor, inner_args: tuple, inner_kwargs: dict, wanted: Any, kwargs: dict) -> Tensor:
    was_gpu = isinstance(source, PretendTensor)
    is_gpu = was_gpu if wanted is None else _is_gpu(wanted)
    if was_gpu != is_gpu and source.numel():
        if not (is_gpu and kwargs.get("non_blocking") and source.is_pinned()):
            _wait("copy to the GPU" if is_gpu else "copy to the CPU")
    inner_kwargs.pop("non_blocking", None)
    found = func(*inner_args, **inner_kwargs)
    if found.numel() and found.data_ptr() == _inner(source).data_ptr():
        found = found.clone()
    return PretendTensor(found) if is_gpu else found


def _written(func: Any, args: tuple, inner_args: tuple, inner_kwargs: dict, kwargs: dict) -> Tensor:
    target, source = args[:2]
    if isinstance(target, PretendTensor) != isinstance(source, PretendTensor) and source.numel():
        if not kwargs.get("non_blocking") and not (len(args) > 2 and args[2]):
            _wait("copy to the GPU" if isinstance(target, PretendTensor) else "copy to the CPU")
    func(*inner_args, **inner_kwargs)
    return target


def _checked(name: str, func: Any, args: tuple, tensors: list[Tensor]) -> bool:
    """Whether the result is on the GPU; raises where CUDA would."""
    if name.rstrip("_") in INDEXING:
        own = args[0]
        on_gpu = isinstance(own, PretendTensor)
        if not on_gpu and any(isinstance(index, PretendTensor) for index in args[1]):
            _refuse(f"{name}: a CPU tensor {tuple(own.shape)} with an index on CUDA")
        for value in args[2:3] if "put" in name else ():
            if isinstance(value, PretendTensor) != on_gpu and (value.dim() or isinstance(value, PretendTensor)):
                _refuse(f"{name}: values on another device")
        return on_gpu
    on_cpu = [tensor for tensor in tensors if not isinstance(tensor, PretendTensor)]
    if on_cpu:
        pointwise = torch.Tag.pointwise in func.tags or name.rstrip("_") in POINTWISE
        written = name.endswith("_") and not isinstance(args[0], PretendTensor)
        if written or not pointwise or any(tensor.dim() for tensor in on_cpu):
            where = ", ".join(f"{tensor.device.type}{tuple(tensor.shape)}" for tensor in tensors)
            _refuse(f"{name}({where}): tensors on two devices")
    return True
