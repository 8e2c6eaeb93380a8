"""Environments from files written here, and made-up ones."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.light.environment import (
    BUILT_IN,
    Environment,
    built_in_environment,
    load_environment,
    match_brightness,
)
from nerfstudio_hands.transforms.spherical_harmonics import (
    equirectangular_directions,
    irradiance,
    project_environment,
    sphere_directions,
)


def write_hdr(path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image[..., ::-1].astype(np.float32))


@pytest.fixture
def panorama() -> np.ndarray:
    """Bright and red towards +x, dim and blue elsewhere."""
    directions = equirectangular_directions(32, 64).numpy()
    near = np.exp(4 * directions[..., :1] - 4)
    return (20 * near * [1, 0.2, 0.1] + [0.1, 0.1, 0.3]).astype(np.float32)


def test_hdr(tmp_path, panorama):
    write_hdr(tmp_path / "room.hdr", panorama)
    found = load_environment(tmp_path / "room.hdr")
    assert found.name == "room"
    # Radiance's format shares one exponent among three mantissas of eight bits.
    np.testing.assert_allclose(found.image.numpy(), panorama, atol=20 / 128)
    expected = project_environment(torch.from_numpy(panorama))
    assert torch.allclose(found.coefficients, expected, atol=0.02 * float(expected.abs().max()))
    forward, backward = irradiance(found.coefficients, torch.tensor([[1.0, 0, 0], [-1, 0, 0]]))
    assert forward[0] > 5 * backward[0]


def test_png_is_decoded_to_linear(tmp_path):
    Image.new("RGB", (64, 32), (188, 255, 0)).save(tmp_path / "grey.png")
    found = irradiance(load_environment(tmp_path / "grey.png").coefficients, torch.tensor([0.0, 0.6, 0.8]))
    # 188 is the sRGB code of half the light.
    assert torch.allclose(found, torch.tensor([0.503, 1.0, 0.0]), atol=2e-3)


def test_sixteen_bits(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((32, 64, 3), 65535, np.uint16))
    assert torch.allclose(load_environment(tmp_path / "grey.png").image, torch.ones(32, 64, 3))


def test_a_wide_panorama_is_reduced(tmp_path):
    image = np.zeros((1040, 2080, 3), np.uint8)
    image[:520] = 255
    cv2.imwrite(str(tmp_path / "sky.png"), image)
    found = load_environment(tmp_path / "sky.png")
    assert found.image.shape == (1024, 2048, 3)
    up, side = irradiance(found.coefficients, torch.tensor([[0.0, 0, 1], [1, 0, 0]]))[:, 0].tolist()
    assert up == pytest.approx(1, abs=0.01) and side == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_coefficients(tmp_path, suffix):
    values = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    values[0] = 1
    path = tmp_path / f"light{suffix}"
    if suffix == ".npz":
        np.savez(path, coefficients=values)
    else:
        path.write_text(json.dumps({"coefficients": values.tolist()}))
    found = load_environment(path)
    np.testing.assert_allclose(found.coefficients.numpy(), values)
    assert found.image is None


def bad_files(folder):
    nan, negative = np.ones((32, 64, 3), np.float32), np.ones((32, 64, 3), np.float32)
    nan[3, 4] = np.nan
    negative[3, 4] = -1
    # Radiance's own format holds neither, so a format of plain floats does, which OpenCV takes by content.
    cv2.imwrite(str(folder / "nan.pfm"), nan)
    cv2.imwrite(str(folder / "negative.pfm"), negative)
    (folder / "nan.pfm").rename(folder / "nan.hdr")
    (folder / "negative.pfm").rename(folder / "negative.hdr")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(folder / "square.png")
    Image.new("RGB", (64, 32)).save(folder / "dark.png")
    (folder / "text.hdr").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "room.exr").write_bytes(b"v/1\x01")
    np.savez(folder / "few.npz", coefficients=np.ones((4, 3)))
    np.savez(folder / "other.npz", light=np.ones((9, 3)))
    np.savez(folder / "pickled.npz", coefficients=np.array([{"a": 1}], dtype=object))
    np.savez(folder / "nan.npz", coefficients=np.full((9, 3), np.nan))
    (folder / "list.json").write_text("[1, 2]")
    (folder / "half.json").write_text('{"coefficients": [[1')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan.hdr", "finite and not negative"),
        ("negative.hdr", "finite and not negative"),
        ("dark.png", "some of them above zero"),
        ("square.png", "twice as wide as high, found 64 x 64 pixels"),
        ("text.hdr", "expected a picture"),
        ("empty.png", "expected a picture"),
        ("room.exr", r"found \.exr; convert it to \.hdr"),
        ("few.npz", r"shape \(9, 3\).*found shape \(4, 3\)"),
        ("other.npz", "expected 'coefficients'"),
        ("pickled.npz", "expected 'coefficients'"),
        ("nan.npz", "finite coefficients"),
        ("list.json", "expected 'coefficients'"),
        ("half.json", "expected 'coefficients'"),
        ("missing.hdr", "expected one of studio, window, sunset, overcast or .* no such file"),
    ],
)
def test_bad_files(tmp_path, name, message):
    bad_files(tmp_path)
    with pytest.raises(HandsError, match=message) as raised:
        load_environment(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name)) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_environments_light_a_ball_without_overexposing_it(name):
    environment = load_environment(name)
    assert environment.image.min() > 0
    shown = irradiance(environment.coefficients, sphere_directions(500))
    assert 0.99 < float(shown.max()) < 1.01
    assert shown.min() > -0.03, "nine coefficients ring where a light is too small and strong"
    assert torch.allclose(project_environment(environment.image), environment.coefficients, atol=1e-5)


def test_built_in_environments_are_what_their_names_say():
    up, down = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 0, -1])
    overcast = built_in_environment("overcast").coefficients
    assert irradiance(overcast, up).min() > 2 * irradiance(overcast, down).max()
    sun = math.radians(-35)
    sunset = irradiance(built_in_environment("sunset").coefficients, torch.tensor([math.cos(sun), math.sin(sun), 0.0]))
    assert sunset[0] > 1.5 * sunset[2]


def test_background_shows_the_panorama(panorama):
    environment = Environment("room", torch.zeros(9, 3), torch.from_numpy(panorama))
    centers = equirectangular_directions(32, 64)
    assert torch.allclose(environment.background(centers), environment.image, atol=1e-3)
    # Across the seam, towards -x, the picture goes on without a jump.
    azimuth = math.pi + torch.linspace(-0.1, 0.1, 101)
    seen = environment.background(torch.stack([azimuth.cos(), azimuth.sin(), 0 * azimuth], dim=-1))
    assert seen.diff(dim=0).abs().max() < 0.01


def test_background_of_coefficients_alone():
    coefficients = torch.zeros(9, 3)
    coefficients[0] = math.sqrt(4 * math.pi)
    seen = Environment("even", coefficients).background(sphere_directions(20))
    assert torch.allclose(seen, torch.ones(20, 3))


def test_match_brightness():
    reference = built_in_environment("studio").coefficients * 7
    matched = match_brightness(built_in_environment("sunset"), reference)
    directions = sphere_directions(20_000)
    luminance = torch.tensor([0.2126, 0.7152, 0.0722])
    from_all_sides = (matched.background(directions) @ luminance).mean()
    assert float(from_all_sides * math.sqrt(4 * math.pi)) == pytest.approx(float(reference[0] @ luminance), rel=0.01)
