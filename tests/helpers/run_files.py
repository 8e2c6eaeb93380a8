"""What lies in folders: digests of their files, weights of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from nerfstudio_hands.files.checkpoints import checkpoint_path, read_checkpoint


def digests(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def weights(config: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint_path(config.parent / "nerfstudio_models"))["pipeline"]
