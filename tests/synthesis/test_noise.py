"""Noise: independent of order and chunking, continuous, and of the values its definition demands."""

import numpy as np

from nerfstudio_hands.synthesis.noise import cell_borders, fractal_noise, gradient_noise


def _points(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-20, 20, (count, 3))


def test_a_point_has_its_value_whatever_the_other_points():
    points = _points()
    order = np.random.default_rng(1).permutation(len(points))
    for noise in (gradient_noise, cell_borders, lambda p, s: fractal_noise(p, s, octaves=3)):
        whole = noise(points, 5)
        np.testing.assert_array_equal(noise(points[order], 5), whole[order])
        np.testing.assert_array_equal(noise(points[:7], 5), whole[:7])
        assert not np.array_equal(noise(points, 6), whole)


def test_gradient_noise_vanishes_on_its_lattice_and_is_centred_and_smooth():
    lattice = np.random.default_rng(2).integers(-50, 50, (200, 3)).astype(float)
    np.testing.assert_allclose(gradient_noise(lattice, 3), 0, atol=1e-6)
    values = gradient_noise(_points(40_000), 3)
    assert abs(values.mean()) < 0.02
    assert 0.15 < values.std() < 0.5
    # Across a face of the lattice too, a small step makes a small change.
    near = lattice[:, :] + np.array([0.0, 0.37, 0.81])
    jump = np.abs(gradient_noise(near + [1e-3, 0, 0], 3) - gradient_noise(near - [1e-3, 0, 0], 3))
    assert jump.max() < 0.02


def test_cell_borders_are_between_the_cells():
    # Brute force over the points that the function scatters is not possible from outside, but its defining property is:
    # the difference of two distances changes at most twice as fast as the position.
    points = _points(2000)
    step = np.random.default_rng(3).normal(0, 1e-2, points.shape)
    before, after = cell_borders(points, 1), cell_borders(points + step, 1)
    assert (np.abs(after - before) <= 2 * np.linalg.norm(step, axis=1) + 1e-4).all()
    assert before.min() >= 0 and before.min() < 0.01 and 0.3 < before.max() < 1.5
