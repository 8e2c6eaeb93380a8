"""Splats against gsplat: what it projects by its own reference in torch, and what it draws by the rules of its kernels.

Where there is a GPU, its kernels draw themselves.
"""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import gsplat
import pytest
import roma
import torch
import torch.nn.functional as F
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci
from helpers.pretend_gsplat import pretend_gsplat
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.kernels.surface_splats import FILTER
from nerfstudio_hands.geometry.splats import gsplat_backend
from nerfstudio_hands.geometry.splats.compositing import Rasterizer
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.gsplat_backend import require_gsplat
from nerfstudio_hands.geometry.splats.projection import Splats, project_splats
from nerfstudio_hands.transforms.projection import pixel_rays

WIDTH, HEIGHT = 44, 31
INTRINSICS = torch.tensor([[150.0, 0, 21.3], [0, 140.0, 16.7], [0, 0, 1]], dtype=torch.float64)
CUDA = torch.device("cuda:0")


def camera() -> Tensor:
    """World to camera, 40 cm away."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64))
    matrix[:3, 3] = torch.tensor([0.01, -0.005, 0.4])
    return matrix


def rays() -> tuple[Tensor, Tensor]:
    return pixel_rays(INTRINSICS, camera(), WIDTH, HEIGHT)


def cloud(count: int, opacity: tuple[float, float], channels: int = 3) -> tuple[list[Tensor], Tensor]:
    """Middles, half axes, turns and opacities of splats of 2 to 12 mm within 6 cm, float64, and features of each."""
    generator = torch.Generator().manual_seed(3)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    turns = roma.random_unitquat(count, dtype=torch.float64, generator=generator)
    means, scales = 0.12 * uniform(count, 3) - 0.06, 0.002 + 0.01 * uniform(count, 3)
    opacities = opacity[0] + (opacity[1] - opacity[0]) * uniform(count)
    return [means, scales, turns, opacities], uniform(count, channels)


def splats_of(means: Tensor, scales: Tensor, turns: Tensor, opacities: Tensor) -> Splats:
    """Of quaternions with the real part last."""
    axes = roma.unitquat_to_rotmat(F.normalize(turns, dim=1)).mT
    return Splats(means, scales[..., None] * axes, opacities)


def test_ellipses_are_those_of_gsplat_antialiased():
    """Middles, inverse covariances, depths and opacities times what the filter takes, and all their gradients."""
    leaves, _ = cloud(200, (0.1, 1.0))
    leaves = [leaf.requires_grad_() for leaf in leaves]
    ours = project_splats(splats_of(*leaves), *rays())
    means, scales, turns, opacities = leaves
    covariances, _ = _quat_scale_to_covar_preci(turns.roll(1, dims=1), scales, compute_preci=False)
    given = means, covariances, camera()[None], INTRINSICS[None], WIDTH, HEIGHT
    radii, *theirs, fainter = _fully_fused_projection(*given, eps2d=float(FILTER), calc_compensations=True)
    inside = (theirs[0][0] > 0).all(dim=1) & (theirs[0][0] < torch.tensor([WIDTH, HEIGHT])).all(dim=1)
    assert inside.sum() > 100 and (radii[0, inside] > 0).all()
    found = [ours.means + 0.5, ours.depths, ours.conics, ours.opacities]
    wanted = [theirs[0][0], theirs[1][0], theirs[2][0], opacities * fainter[0]]
    generator = torch.Generator().manual_seed(1)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one[inside], other[inside], rtol=1e-6, atol=1e-8)
        weights = torch.randn(one[inside].shape, generator=generator, dtype=torch.float64)
        pulls = [
            torch.autograd.grad((values[inside] * weights).sum(), leaves, retain_graph=True, allow_unused=True)
            for values in (one, other)
        ]
        for mine, its in zip(*pulls, strict=True):
            assert (mine is None) == (its is None)
            if mine is not None:
                assert (mine - its).norm() < 1e-5 * its.norm()


@pytest.fixture
def gsplat_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """gsplat's Python with kernels in torch, on any device."""
    pretend_gsplat(monkeypatch)
    monkeypatch.setattr(gsplat_backend, "require_gsplat", lambda device: gsplat)


def drawn(rasterizer: Rasterizer, leaves: list[Tensor], features: Tensor, device: str = "cpu") -> list[Tensor]:
    """Image and coverage, and gradients of a sum of both with respect to splats, features and rays."""
    origins, directions = rays()
    inputs = [values.detach().to(device).requires_grad_() for values in (*leaves, features, origins, directions)]
    image, coverage = draw_splats(splats_of(*inputs[:4]), *inputs[4:], rasterizer=rasterizer)
    assert image.shape == (HEIGHT, WIDTH, features.shape[1]) and coverage.shape == (HEIGHT, WIDTH, 1)
    both = torch.cat([image, coverage], dim=-1)
    weights = torch.rand(both.shape, generator=torch.Generator().manual_seed(2)).to(device)
    return [both.detach(), *torch.autograd.grad((both * weights).sum(), inputs)]


@pytest.mark.usefixtures("gsplat_on_cpu")
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_gsplat_draws_the_same(channels: int):
    """Where light is left in every pixel and no splat is opaque: no rule differs."""
    given = cloud(60, (0.05, 0.5), channels)
    ours, theirs = (drawn(rasterizer, *given) for rasterizer in ("warp", "gsplat"))
    assert 0.2 < ours[0][..., -1].mean() and ours[0][..., -1].max() < 0.999
    assert (ours[0] - theirs[0]).abs().max() < 1e-5
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert one.norm() > 0
        assert (one - other).norm() < 1e-4 * one.norm()


@pytest.mark.usefixtures("gsplat_on_cpu")
@pytest.mark.parametrize("most", [0.8, 0.98, 1.0])
def test_opaque_splats_differ_by_no_more_than_the_two_rules(most: float):
    (means, scales, turns, opacities), features = cloud(300, (0.6, most))
    # As large as hides what the filter makes fainter.
    given = [means, 3 * scales, turns, opacities], features
    (ours, *gradients), (theirs, *others) = (drawn(rasterizer, *given) for rasterizer in ("warp", "gsplat"))
    most = min(most, 0.999)
    assert (ours[..., -1] > 0.9999).float().mean() > 0.5
    difference = (ours - theirs).abs()
    assert difference.max() < 1e-4 / (1 - most) + (0.01 if most > 0.99 else 1e-5)
    assert difference.mean() < 2e-4
    for one, other in zip(gradients, others, strict=True):
        assert (one - other).norm() < 0.02 * one.norm()


@pytest.mark.usefixtures("gsplat_on_cpu")
@pytest.mark.parametrize("count", [0, 5])
def test_gsplat_draws_nothing_where_nothing_is(count: int):
    leaves, features = cloud(count, (0.5, 1.0))
    leaves[0] = leaves[0] - 10 * camera()[2, :3]
    found, *gradients = drawn("gsplat", leaves, features)
    assert not found.any() and not any(gradient.any() for gradient in gradients)


@pytest.mark.gpu
def test_gsplat_draws_the_same_on_a_gpu():
    try:
        require_gsplat(CUDA)
    except HandsError as error:
        pytest.skip(str(error))
    given = cloud(60, (0.05, 0.5), 7)
    ours, theirs = (drawn(rasterizer, *given, "cuda") for rasterizer in ("warp", "gsplat"))
    assert (ours[0] - theirs[0]).abs().max() < 1e-3
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert (one - other).norm() < 1e-2 * one.norm()


def test_gsplat_is_refused_off_a_gpu():
    leaves, features = cloud(3, (0.5, 1.0))
    with pytest.raises(HandsError, match="expected a CUDA device, found cpu: use one, or draw with .*rasterizer warp"):
        drawn("gsplat", leaves, features)


class Uncompilable:
    """A backend of gsplat whose compiler fails."""

    @property
    def _C(self) -> None:
        raise RuntimeError("Error building extension 'gsplat_cuda': [1/20] nvcc ..\nfatal error: a thousand lines")


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [
        ("gsplat", None, "expected gsplat 1.4.0, found 'import of gsplat halted"),
        ("gsplat", SimpleNamespace(__version__="1.5.3"), "expected gsplat 1.4.0, found version 1.5.3: install it by"),
        ("gsplat", SimpleNamespace(), "expected gsplat 1.4.0, found version none: install it by"),
        ("gsplat.cuda._backend", SimpleNamespace(_C=None), "compile its CUDA kernels, found no nvcc: install a CUDA"),
        ("gsplat.cuda._backend", Uncompilable(), "found 'Error building extension 'gsplat_cuda': [1/20] nvcc ..': "),
    ],
)
def test_gsplat_that_cannot_be_used_is_refused(
    name: str, module: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(HandsError, match=re.escape(said)) as refused:
        require_gsplat(CUDA)
    assert str(refused.value).endswith("(a run: `rasterizer: warp` in its config.yml).")


def test_compiled_wheels_of_gsplat_are_taken(monkeypatch: pytest.MonkeyPatch):
    pretend_gsplat(monkeypatch)
    monkeypatch.setattr(gsplat, "__version__", "1.4.0+pt24cu124")
    assert require_gsplat(CUDA) is gsplat
