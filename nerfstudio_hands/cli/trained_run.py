"""A trained avatar from its run's config.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nerfstudio_hands.errors import HandsError

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline


def check_config(load_config: Path) -> None:
    """Raise a HandsError unless there is such a file."""
    if not load_config.is_file():
        raise HandsError(f"{load_config}: expected the config.yml of a run, found no file; check --load-config.")


def load_run(load_config: Path) -> tuple[TrainerConfig, Pipeline]:
    """Configuration and pipeline of a run, with the weights of its last checkpoint.

    Raises:
        HandsError: There is no such file.
    """
    from nerfstudio.utils.eval_utils import eval_setup

    check_config(load_config)
    config, pipeline, _, _ = eval_setup(load_config, test_mode="inference")
    return config, pipeline
