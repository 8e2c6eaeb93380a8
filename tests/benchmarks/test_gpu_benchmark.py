"""What `benchmarks/gpu.py` compares, and the part of the tests that a GPU is needed for; that part has never run."""

from __future__ import annotations

import warnings

import gpu
import numpy as np
import pytest
import torch
from helpers import pretend_cuda

from nerfstudio_hands.program.option_range import check_ranges


def stored() -> dict[str, np.ndarray]:
    with np.load(gpu.STORED) as file:
        return dict(file)


def of_kernels(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in values.items() if name.startswith("kernel")}


def test_kernels_of_a_processor_are_as_stored():
    assert gpu.STORED.stat().st_size < 1e6
    found = gpu.kernel_values("cpu")
    assert found.keys() == of_kernels(stored()).keys() and all(value.size for value in found.values())
    assert gpu.compared(found, stored())[1]


@pytest.mark.skipif(not pretend_cuda.AVAILABLE, reason="this torch has no backends in Python")
def test_the_ways_of_a_gpu_find_the_same():
    """Rays are cast instead of faces drawn, and tiles of splats are smaller: only rounding differs."""
    with pretend_cuda.PretendCuda():
        found = gpu.kernel_values("cuda")
    table, sound = gpu.compared(found, stored())
    assert sound, [row for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_what_is_off_is_noticed():
    values = of_kernels(stored())
    spoiled = {**values, "kernel, cast: depth": values["kernel, cast: depth"] * 1.01}
    fewer = {**values, "kernel, march: depth": values["kernel, march: depth"][1:]}
    assert gpu.compared(values, values)[1]
    assert not gpu.compared(spoiled, values)[1] and not gpu.compared(fewer, values)[1]


@pytest.mark.parametrize("method", gpu.METHODS)
def test_what_is_compared_is_what_a_training_takes(method):
    config = gpu.small(method, "cpu")
    check_ranges(config)
    assert any(name.startswith(f"loss, {method}: ") for name in stored())


def test_one_number_is_drawn_the_same_everywhere():
    torch.manual_seed(0)
    expected = torch.rand(3), torch.randint(5, (4,)), torch.randn_like(torch.zeros(2))
    torch.manual_seed(0)
    with gpu.SameRandomNumbers():
        found = torch.rand(3, device="cpu"), torch.randint(5, (4,), device="cpu"), torch.randn_like(torch.zeros(2))
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


@pytest.mark.gpu
def test_kernels_of_a_gpu_are_as_stored():
    table, sound = gpu.compared(gpu.kernel_values("cuda"), stored())
    assert sound, [row for row in zip(*(column.cells for column in table.columns), strict=True)]


@pytest.mark.gpu
@pytest.mark.parametrize("method", gpu.METHODS)
def test_losses_of_a_gpu_are_as_stored(method, tmp_path):
    fit = tmp_path / "fit.npz"
    fit.write_bytes(stored()["fit"].tobytes())
    with gpu.fits_kept(fit):
        assert gpu.compared(gpu.first_losses(method, "cuda"), stored())[1]


@pytest.mark.gpu
def test_a_gpu_is_waited_for_as_seldom_as_in_the_rehearsal(tmp_path):
    fit = tmp_path / "fit.npz"
    fit.write_bytes(stored()["fit"].tobytes())
    with gpu.fits_kept(fit), gpu.trainer_of(gpu.small("hand-uvnerf", "cuda")) as trainer:
        gpu.step(trainer, 0)
        rays, batch = trainer.pipeline.datamanager.next_train(1)
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            outputs = trainer.pipeline.model(rays)
            sum(trainer.pipeline.model.get_loss_dict(outputs, batch).values()).backward()
        torch.cuda.set_sync_debug_mode("default")
    found = [str(warning.message) for warning in waits if "synchroniz" in str(warning.message)]
    assert len(found) <= 5, found
