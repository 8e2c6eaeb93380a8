"""A trained avatar from its run's config.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nerfstudio_hands.errors import HandsError

if TYPE_CHECKING:
    from nerfstudio_hands.training.pipeline import HandPipeline
    from nerfstudio_hands.training.trainer import HandTrainerConfig


def load_run(
    load_config: Path, data: Path | None = None, *, quick: bool = False
) -> tuple[HandTrainerConfig, HandPipeline]:
    """Configuration and pipeline of a run, with the weights of its last checkpoint, wherever the run lies now.

    Nothing that the configuration names is run, see :mod:`nerfstudio_hands.training.run_config`. The hands are those
    that the run keeps, so that neither the capture nor the folder in which training ran is needed.

    Args:
        load_config: The run's config.yml.
        data: Where the capture lies now; by default where it lay.
        quick: Have whole pictures drawn in layers, as methods can that are fields in a shell.

    Raises:
        HandsError: There is no such file, it is no configuration of a run of ours, or the run has no checkpoint that
            can be read.
    """
    import torch

    from nerfstudio_hands.files.checkpoints import checkpoint_path, read_checkpoint
    from nerfstudio_hands.models.shell_field_config import ShellFieldModelConfig
    from nerfstudio_hands.training.pipeline import HandPipelineConfig
    from nerfstudio_hands.training.run_config import load_config as read_config
    from nerfstudio_hands.training.trainer import default_device

    config = read_config(load_config)
    if not isinstance(config.pipeline, HandPipelineConfig):
        raise HandsError(
            f"{load_config}: expected the run of an avatar, found one of {config.method_name}, which looks at "
            "pictures: use `ns-hands predict`, ns-eval or ns-viewer."
        )
    if quick and isinstance(config.pipeline.model, ShellFieldModelConfig):
        config.pipeline.model.layered_images = True
    folder = load_config.absolute().parent
    manager = config.pipeline.datamanager
    manager.dataparser.run = folder  # pyright: ignore[reportAttributeAccessIssue]
    if data is not None:
        if not data.expanduser().is_dir():
            raise HandsError(f"--data: expected the folder of the capture, found none at {data}; correct the path.")
        manager.data = manager.dataparser.data = data
    config.load_dir = folder / config.relative_model_dir
    state = read_checkpoint(checkpoint_path(config.load_dir, config.load_step))
    pipeline = config.pipeline.setup(device=torch.device(default_device()), test_mode="inference")
    pipeline.eval()
    pipeline.load_pipeline(state["pipeline"], state["step"])
    return config, pipeline
