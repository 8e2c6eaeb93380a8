"""`ns-hands bake`: a trained avatar as Gaussians, which are drawn in real time."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_run_config
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say


def bake(
    load_config: Path,
    output_dir: Path,
    *,
    views: int = 24,
    poses: int = 6,
    size: int = 384,
    steps: int = 1000,
    splats_per_hand: int = 20_000,
) -> None:
    """Turn a trained avatar of any method into a run of `hand-splat`, which the viewer draws live.

    The avatar draws itself from all sides in poses of its training, and `hand-splat` is trained on these pictures; no
    picture of the capture is needed or read. Every seventh camera is held out: `ns-eval` of the new run says how near
    the Gaussians come to the avatar. For a mesh there is `ns-hands export`.

    Args:
        load_config: The run's config.yml.
        output_dir: Folder for the pictures, `drawings`, and the new run, `baked/hand-splat/TIME`; there must be no
            `drawings` in it yet.
        views: Cameras round the hands that draw, 7 to 99.
        poses: Frames of the training whose poses are drawn, 1 to 1000.
        size: Pixels along each side of a picture, 32 to 2048.
        steps: Steps of the training, 1 to 1000000.
        splats_per_hand: Gaussians a hand, 16 to 1000000.
    """
    require_range("--views", views, 7, 99)
    require_range("--poses", poses, 1, 1000)
    require_range("--size", size, 32, 2048)
    require_range("--steps", steps, 1, 10**6)
    require_range("--splats-per-hand", splats_per_hand, 16, 10**6)
    require_run_config(load_config)
    drawings = output_dir.expanduser().absolute() / "drawings"
    check_can_be_made(output_dir, "--output-dir")
    if drawings.exists():
        raise HandsError(f"{drawings}: expected no such folder yet, found one: give another --output-dir or remove it.")
    say(f"Loading the avatar of {load_config} ...")

    from nerfstudio_hands.cli.output_folder import prepare_output_folder
    from nerfstudio_hands.cli.trained_run import load_run
    from nerfstudio_hands.training.baking import DrawingOptions, draw_capture

    config, pipeline = load_run(load_config)
    source, parser = pipeline.model.export_source(), pipeline.datamanager.dataparser
    if source.splats is not None:
        raise HandsError(f"{load_config}: expected an avatar that is not of Gaussians yet, found one: use it as it is.")
    prepare_output_folder(output_dir, keep_out_of=Path(config.pipeline.source.data))
    draw_capture(pipeline.model, parser.record, drawings, DrawingOptions(views, poses, size))  # pyright: ignore[reportArgumentType]
    _train_on(drawings, parser.config.hand_model, steps, splats_per_hand)


def _train_on(drawings: Path, hand_model: str, steps: int, splats_per_hand: int) -> None:
    """Goes on as `ns-train hand-splat` on the pictures, in the arguments too: by them a run knows its folder, and a
    training that is stopped says how to go on."""
    from nerfstudio.scripts import train

    sys.argv = [
        "ns-train", "hand-splat", "--data", str(drawings), "--output-dir", str(drawings.parent),
        "--experiment-name", "baked", "--vis", "tensorboard", "--max-num-iterations", str(steps),
        "--pipeline.model.mask-boundary", "True",
        "--pipeline.model.splats-per-hand", str(splats_per_hand),
        # All pictures are of one exposure.
        "--pipeline.model.camera-colors", "False",
        "hands-data", "--hand-model", hand_model,
    ]  # fmt: skip
    say(shlex.join(sys.argv))
    train.entrypoint()
