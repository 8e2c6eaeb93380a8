"""A data parser whose outputs are there already, for tests of data managers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Type

import torch
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs


@dataclass
class PreparedConfig(InstantiateConfig):
    """Gives the outputs of `splits`, by the names "train" and "held-out"."""

    _target: Type = field(default_factory=lambda: lambda config: config)
    data: Path = Path()
    splits: Any = None
    includes_time: bool = False

    def begin_run(self) -> None:
        """Nothing is fitted."""

    def check_held_out(self) -> None:
        """Nothing was kept."""

    def get_dataparser_outputs(self, split: str, **kwargs) -> DataparserOutputs:
        return self.splits["train" if split == "train" else "held-out"]


def rows_of(outputs: DataparserOutputs, rows: Sequence[int]) -> DataparserOutputs:
    """Some rows of a capture."""
    return replace(
        outputs,
        image_filenames=[outputs.image_filenames[row] for row in rows],
        cameras=outputs.cameras[torch.tensor(rows, dtype=torch.long)],
        metadata={**outputs.metadata, "masks": [outputs.metadata["masks"][row] for row in rows]},
    )
