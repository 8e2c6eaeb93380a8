"""Our own file format: a round trip, and every way to break it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_hands import small_random_hand

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand, load_hand, mirror_hand
from nerfstudio_hands.hand_model.npz_file import read_npz_hand, write_npz_hand


@pytest.mark.parametrize("hand", [default_hand("left"), small_random_hand(dtype=torch.float32)])
def test_round_trip(hand, tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    write_npz_hand(path, hand)
    read = load_hand(path, hand.side)
    for field in dataclasses.fields(hand):
        value = getattr(hand, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(read, field.name), value), field.name
        else:
            assert getattr(read, field.name) == value
    assert list(tmp_path.iterdir()) == [path]
    other = load_hand(path, mirror_hand(hand).side)
    assert torch.equal(other.template, mirror_hand(hand).template)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", np.array("nerfstudio-hands hand model 999"), "model 999"),
        ("weights", None, "weights"),
        ("uv", np.zeros((3, 3, 2)), r"uv of a hand model.*\(3, 3, 2\)"),
        ("template", np.full((24, 3), np.nan), "finite"),
        ("faces", np.full((8, 3), 24), "faces"),
        ("side", np.array("up"), "'up'"),
        ("weights", np.zeros((24, 16)), "sum to 1"),
    ],
)
def test_wrong_contents_are_one_sentence(tmp_path: Path, key: str, value, message: str) -> None:
    path = tmp_path / "hand.npz"
    write_npz_hand(path, small_random_hand())
    with np.load(path) as file:
        arrays = {**file, key: value}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(HandsError, match=message) as error:
        read_npz_hand(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_objects_truncation_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    write_npz_hand(path, small_random_hand())
    whole = path.read_bytes()
    np.savez(tmp_path / "objects.npz", format=np.array([{"a": 1}], dtype=object))
    for content in (whole[: len(whole) // 2], b"", b"text", (tmp_path / "objects.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(HandsError, match=r"hand\.npz"):
            read_npz_hand(path)


def test_the_embedded_asset_is_small_and_states_its_source() -> None:
    from nerfstudio_hands.hand_model import model

    asset = Path(model.__file__).parent / "assets" / "default_hand.npz"
    assert asset.stat().st_size < 1_000_000
    with np.load(asset, allow_pickle=False) as file:
        explained = file["explained_variance"]
        assert "CC0" in str(file["source"])
        # The variance that a direction explains is the energy of the direction, for directions of unit deviation.
        energy = (file["shape_dirs"].astype(np.float64) ** 2).sum(axis=(0, 1))
    np.testing.assert_allclose(explained / explained[0], energy / energy[0], atol=1e-4)
    assert 0.99 < explained.sum() <= 1.0001
