"""A trained avatar of another method as Gaussians, by the command."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.in_process import ns_hands

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.files.image_reading import read_image, read_mask

SIZE = 64


@pytest.fixture(scope="module")
def baked(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baked")
    before = {path: path.read_bytes() for path in tiny_run.parent.rglob("*") if path.is_file()}
    ns_hands(
        "bake", "--load-config", tiny_run, "--output-dir", folder, "--views", "8", "--poses", "1",
        "--size", SIZE, "--steps", "100", "--splats-per-hand", "6000",
    )  # fmt: skip
    assert before == {path: path.read_bytes() for path in tiny_run.parent.rglob("*") if path.is_file()}
    return folder


def test_a_baked_run_looks_as_the_avatar_does(tiny_run: Path, baked: Path):
    """From a camera that drew a picture, of which the training saw none."""
    (config,) = baked.glob("baked/hand-splat/*/config.yml")
    _, pipeline = load_run(config)
    dataset = pipeline.datamanager.eval_dataset
    assert [Path(file).name for file in dataset.image_filenames] == ["06.png"]
    assert "06.png" not in [Path(file).name for file in pipeline.datamanager.train_dataset.image_filenames]
    drawing = read_image(Path(dataset.image_filenames[0])).astype(np.float32) / 255
    outputs = pipeline.model.get_outputs_for_camera(dataset.cameras[0:1])
    hand = drawing.max(axis=-1) > 0.05
    assert hand.mean() > 0.02
    shown = outputs["accumulation"][..., 0].numpy() > 0.5
    assert (hand & shown).sum() > 0.8 * (hand | shown).sum()
    error = np.square(outputs["rgb"].numpy() - drawing)[hand & shown].mean()
    # Gaussians without a training give 15 dB, these 22.
    assert -10 * math.log10(error) > 20

    source = load_run(tiny_run)[1].model.hands
    assert torch.equal(pipeline.model.hands.world_transform, source.world_transform)
    frame = source.train_frames[:1]
    for name in ("global_orient", "local_rotations", "translation"):
        found = getattr(pipeline.model.hands.pose_of(torch.tensor([0])), name)
        assert torch.allclose(found, getattr(source.pose_of(frame), name))


def test_what_is_there_is_not_drawn_over(tiny_run: Path, baked: Path):
    with pytest.raises(SystemExit, match="drawings: expected no such folder yet"):
        ns_hands("bake", "--load-config", tiny_run, "--output-dir", baked)


def test_gaussians_are_not_baked_again(baked: Path, tmp_path: Path):
    (config,) = baked.glob("baked/hand-splat/*/config.yml")
    with pytest.raises(SystemExit, match="expected an avatar that is not of Gaussians yet"):
        ns_hands("bake", "--load-config", config, "--output-dir", tmp_path)


def test_a_baked_run_becomes_files(tiny_run: Path, baked: Path, tmp_path: Path):
    (config,) = baked.glob("baked/hand-splat/*/config.yml")
    kinds = ("--format", "page", "splat", "splat-glb", "--texture-size", "16")
    ns_hands("export", "--load-config", config, "--output-dir", tmp_path, *kinds)
    assert {path.name for path in tmp_path.iterdir()} == {"hands.html", "hands_splat.ply", "hands_splat.glb"}
    with pytest.raises(SystemExit, match="expected an avatar of Gaussians for `page`, found another"):
        ns_hands(
            "export", "--load-config", tiny_run, "--output-dir", tmp_path, "--format", "page", "--texture-size", "16"
        )


def test_an_open_wrist_is_an_arm_in_the_mask(baked: Path):
    """A field shows nothing in there, which says nothing of the skin around."""
    black = [
        read_mask(path, (SIZE, SIZE)) & (read_image(path.parents[1] / "img" / path.name).max(axis=-1) < 10)
        for path in sorted(baked.glob("drawings/*/mask/*.png"))
    ]
    assert len(black) == 8 and max(pixels.sum() for pixels in black) > 20
