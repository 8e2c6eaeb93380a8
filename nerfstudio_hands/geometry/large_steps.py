"""Vertex positions in a parameter in which gradient steps are smooth (Nicolet, Jacobson and Jakob, "Large steps in
inverse rendering of geometry", SIGGRAPH Asia 2021)."""

from __future__ import annotations

import atexit
import math
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Type

import torch
from cholespy import CholeskySolverD, CholeskySolverF, MatrixType
from jaxtyping import Float
from nerfstudio.engine.optimizers import OptimizerConfig
from torch import Tensor
from torch.optim import Optimizer

from nerfstudio_hands.geometry.laplacian import Laplacian

PAPER_SMOOTHNESS = 19.0
"""The authors' usual weight, in their notation alpha = 0.95."""

TOLERANCE = 1e-5
"""Error of a solve on CUDA, relative to that of a solution of zeros."""


_alive: weakref.WeakSet[LargeSteps] = weakref.WeakSet()


@atexit.register
def _drop_solvers() -> None:
    """Before nanobind looks for what is left of its own, and complains."""
    for steps in _alive:
        steps._solver = None


class LargeSteps:
    """Positions ``x`` as a function of a parameter ``u = (I + smoothness L) x``.

    A step along the gradient in ``u`` is the gradient in ``x`` smoothed twice by ``(I + smoothness L)^-1``, hence a
    bi-Laplacian preconditioner: noise and silhouette gradients, which sit on few vertices, move their neighborhood
    instead of pulling out spikes, yet nothing is penalized and every shape can be reached. The neighborhood is of
    about ``sqrt(1.5 smoothness)`` edges (uniform weights, six neighbors). Use with :class:`AdamUniform`.

    Args:
        laplacian: Of the mesh; its device and dtype are those of positions and parameter.
        smoothness: Not negative; with zero the parameter is the position.
    """

    def __init__(self, laplacian: Laplacian, smoothness: float = PAPER_SMOOTHNESS) -> None:
        if not smoothness >= 0:
            raise ValueError(f"expected a smoothness of at least 0, found {smoothness}")
        self._laplacian = laplacian
        self._smoothness = smoothness
        self._solver: CholeskySolverD | CholeskySolverF | None = None
        if laplacian.diagonal.is_cuda:
            # cholespy calls functions of a driver that it may not have found, on the first GPU, and waits for it.
            self._num_iterations = conjugate_gradient_steps(smoothness * float(laplacian.diagonal.max()))
            return
        matrix = laplacian.matrix.to_sparse_coo().coalesce()
        vertex = torch.arange(len(matrix), device=matrix.device)
        row, column = torch.cat([matrix.indices(), vertex.expand(2, -1)], dim=1).int().contiguous()
        values = torch.cat([smoothness * matrix.values(), torch.ones_like(laplacian.diagonal)]).double()
        solver = CholeskySolverD if laplacian.diagonal.dtype == torch.float64 else CholeskySolverF
        self._solver = solver(len(matrix), row, column, values, MatrixType.COO)
        _alive.add(self)

    def parameter(self, positions: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """The parameter that gives these positions."""
        return positions + self._smoothness * self._laplacian.times(positions)

    def positions(self, parameter: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """Positions, or displacements, of a parameter; differentiable."""
        return _Solve.apply(self, parameter)

    def solve(self, right: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """``(I + smoothness L)^-1 right``, without gradients."""
        right = right.detach().contiguous()
        if self._solver is None:
            scale = 1 + self._smoothness * self._laplacian.diagonal[:, None].to(right.dtype)
            return conjugate_gradients(self.parameter, right, scale, self._num_iterations)
        solution = torch.zeros_like(right)
        self._solver.solve(right, solution)
        return solution


def conjugate_gradient_steps(stiffness: float) -> int:
    """Steps after which :func:`conjugate_gradients` is within `TOLERANCE` for ``I + smoothness L``.

    Scaled by its diagonal the matrix has eigenvalues from ``1 / (1 + stiffness)`` to 2, and each step lowers the bound
    of the error, twice ``((sqrt(k) - 1) / (sqrt(k) + 1))^n``, where k is their ratio.

    Args:
        stiffness: The smoothness times the largest entry of the Laplacian's diagonal.
    """
    return math.ceil(math.sqrt(2 * (1 + stiffness)) / 2 * math.log(2 / TOLERANCE))


def conjugate_gradients(
    times: Callable[[Float[Tensor, "V C"]], Float[Tensor, "V C"]],
    right: Float[Tensor, "V C"],
    scale: Float[Tensor, "V 1"],
    num_steps: int,
) -> Float[Tensor, "V C"]:
    """Solves ``A x = right`` for a symmetric, positive definite A, each column for itself; a GPU is not waited for.

    Args:
        times: The product with A.
        right: The right sides.
        scale: The diagonal of A, by which it is preconditioned.
        num_steps: How often A is asked.
    """
    found, left = torch.zeros_like(right), right
    toward = scaled = left / scale
    power = (left * scaled).sum(dim=0)
    least = torch.finfo(right.dtype).tiny
    for _ in range(num_steps):
        product = times(toward)
        length = power / (toward * product).sum(dim=0).clamp_min(least)
        found, left = found + length * toward, left - length * product
        scaled = left / scale
        before, power = power, (left * scaled).sum(dim=0)
        toward = scaled + power / before.clamp_min(least) * toward
    return found


class _Solve(torch.autograd.Function):
    """The matrix is symmetric, so that the backward pass is the same solve."""

    @staticmethod
    def forward(ctx, steps: LargeSteps, right: Tensor) -> Tensor:
        ctx.steps = steps
        return steps.solve(right)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        return None, _Solve.apply(ctx.steps, gradient)


class AdamUniform(Optimizer):
    """Adam that divides by the largest second moment of a tensor instead of by each entry's own.

    Adam scales every entry's step to the same size, which turns the smooth steps of :class:`LargeSteps` rough again
    (section 4 of the paper). The learning rate is still about the largest step of any entry.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate.
        betas: Decay of the means of gradient and squared gradient.
        eps: Added to the root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; `closure` recomputes the loss, as in any torch optimizer."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
                state["step"] += 1
                state["mean"].lerp_(parameter.grad, 1 - first)
                state["square"].lerp_(parameter.grad.square(), 1 - second)
                scale = (state["square"].max() / (1 - second ** state["step"])).sqrt() + group["eps"]
                parameter.sub_(group["lr"] / (1 - first ** state["step"]) * state["mean"] / scale)
        return loss


@dataclass
class AdamUniformOptimizerConfig(OptimizerConfig):
    """Optimiser for parameters of :class:`LargeSteps`."""

    _target: Type = AdamUniform
    """The optimizer class to use."""
