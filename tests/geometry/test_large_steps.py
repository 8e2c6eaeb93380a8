"""Large steps against dense algebra, and against plain Adam on a problem that makes spikes."""

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.large_steps import (
    TOLERANCE,
    AdamUniform,
    AdamUniformOptimizerConfig,
    LargeSteps,
    conjugate_gradient_steps,
    conjugate_gradients,
)
from nerfstudio_hands.geometry.mesh import cotangent_laplacian, face_normals


def _sphere(subdivisions: int = 2) -> tuple[Tensor, Tensor]:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return torch.tensor(ball.vertices.copy()), torch.tensor(ball.faces.copy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_solution_and_gradient_equal_those_of_a_dense_solve(dtype: torch.dtype) -> None:
    vertices, faces = _sphere()
    stretched = vertices * torch.tensor([1.0, 2.0, 0.5])
    laplacian = Laplacian(-cotangent_laplacian(stretched.to(dtype), faces))
    dense = torch.eye(len(vertices), dtype=torch.float64) + 7 * laplacian.matrix.to_dense().double()
    steps = LargeSteps(laplacian, 7)
    generator = torch.Generator().manual_seed(0)
    parameter = torch.randn(len(vertices), 3, generator=generator, dtype=dtype).requires_grad_()
    positions = steps.positions(parameter)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    expected = torch.linalg.solve(dense, parameter.detach().double())
    torch.testing.assert_close(positions.detach().double(), expected, rtol=0, atol=tolerance)

    weights = torch.randn(len(vertices), 3, generator=generator, dtype=dtype)
    (positions * weights).sum().backward()
    expected = torch.linalg.solve(dense.T, weights.double())
    torch.testing.assert_close(parameter.grad.double(), expected, rtol=0, atol=tolerance)


def test_parameter_and_positions_are_inverse() -> None:
    vertices, faces = _sphere()
    steps = LargeSteps(Laplacian.uniform(faces, len(vertices)))
    positions = vertices.float().requires_grad_()
    parameter = steps.parameter(positions)
    assert (parameter - positions).abs().max() > 0.1
    torch.testing.assert_close(steps.positions(parameter), positions, rtol=0, atol=1e-5)
    gradient = torch.autograd.grad(steps.positions(parameter)[:, 0].sum(), positions)[0]
    torch.testing.assert_close(gradient, torch.tensor([1.0, 0, 0]).expand(len(vertices), 3), rtol=0, atol=1e-5)


def test_parts_of_a_mesh_do_not_move_each_other() -> None:
    vertices, faces = _sphere()
    count = len(vertices)
    steps = LargeSteps(Laplacian.uniform(torch.cat([faces, faces + count]), 2 * count), 50)
    impulse = torch.zeros(2 * count, 3)
    impulse[3] = 1
    moved = steps.positions(impulse)
    assert (moved[:count, 0] > 0).all()
    assert (moved[count:] == 0).all()


def test_noisy_samples_of_a_shape_leave_fewer_artefacts_than_plain_adam() -> None:
    vertices, faces = _sphere(3)
    truth = (vertices * torch.tensor([1.0, 1.3, 0.8])).float()
    start = vertices.float()
    generator = torch.Generator().manual_seed(0)
    seen = torch.randperm(len(vertices), generator=generator)[: len(vertices) // 5]
    target = truth[seen] + 0.01 * torch.randn(len(seen), 3, generator=generator)
    steps = LargeSteps(Laplacian.uniform(faces, len(vertices)))

    def fit(parameter: Tensor, optimiser: torch.optim.Optimizer, positions) -> tuple[float, Tensor]:
        for _ in range(150):
            optimiser.zero_grad()
            loss = (positions(parameter)[seen] - target).abs().mean()
            loss.backward()
            optimiser.step()
        return float(loss.detach()), positions(parameter).detach()

    plain = start.clone().requires_grad_()
    plain_loss, plain_shape = fit(plain, torch.optim.Adam([plain], lr=0.01), lambda u: u)
    smooth = steps.parameter(start).requires_grad_()
    smooth_loss, smooth_shape = fit(smooth, AdamUniform([smooth], lr=0.05), steps.positions)

    # Both reach the samples, but only one of them reaches the shape between them.
    assert plain_loss < 0.02
    assert smooth_loss < 0.02
    error = [(shape - truth).norm(dim=1).mean() for shape in (smooth_shape, plain_shape)]
    assert error[0] < 0.25 * error[1]
    true_normals = face_normals(truth, faces)
    tilt = [(1 - (face_normals(shape, faces) * true_normals).sum(-1)).mean() for shape in (smooth_shape, plain_shape)]
    assert tilt[0] < 0.25 * tilt[1]


def test_first_step_has_the_learning_rate_where_the_gradient_is_largest() -> None:
    parameter = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
    optimiser = AdamUniformOptimizerConfig(lr=0.1).setup([parameter])
    parameter.grad = torch.tensor([4.0, -2.0, 0.0])
    optimiser.step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([0.9, 1.05, 1.0]))
    # Where all gradients are alike it is Adam.
    ours, theirs = torch.ones(4, requires_grad=True), torch.ones(4, requires_grad=True)
    optimisers = AdamUniform([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for step in range(5):
        ours.grad = theirs.grad = torch.full((4,), 1.0 - 0.4 * step)
        for one in optimisers:
            one.step()
    torch.testing.assert_close(ours, theirs)


def test_state_survives_a_checkpoint() -> None:
    def run(interrupted: bool) -> Tensor:
        parameter = torch.ones(3, requires_grad=True)
        optimiser = AdamUniform([parameter], lr=0.1)
        for step in range(6):
            if interrupted and step == 3:
                saved = optimiser.state_dict()
                optimiser = AdamUniform([parameter], lr=0.1)
                optimiser.load_state_dict(saved)
            parameter.grad = (parameter.detach() - torch.tensor([0.0, 1.0, 3.0])) * (step + 1)
            optimiser.step()
        return parameter.detach()

    assert torch.equal(run(True), run(False))


def test_negative_smoothness_is_refused() -> None:
    _, faces = _sphere(0)
    with pytest.raises(ValueError, match="found -1"):
        LargeSteps(Laplacian.uniform(faces, 12), -1)


@pytest.mark.parametrize("smoothness", [0.0, 12.0, 500.0])
def test_conjugate_gradients_of_a_gpu_give_what_the_factorization_does(smoothness: float) -> None:
    vertices, faces = _sphere(3)
    laplacian = Laplacian.uniform(faces, len(vertices))
    steps = LargeSteps(laplacian, smoothness)
    right = torch.randn(len(vertices), 3, generator=torch.Generator().manual_seed(0))
    right[:, 1] = 0
    count = conjugate_gradient_steps(smoothness * float(laplacian.diagonal.max()))
    scale = 1 + smoothness * laplacian.diagonal[:, None]
    found, expected = conjugate_gradients(steps.parameter, right, scale, count), steps.solve(right)
    assert (found - expected).norm() <= 2 * TOLERANCE * expected.norm()
    assert (found[:, 1] == 0).all()
    if smoothness:
        few = conjugate_gradients(steps.parameter, right, scale, 2)
        assert (few - expected).norm() > 10 * TOLERANCE * expected.norm()
