"""What `ns-eval` writes of held-out pictures, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torchvision.utils import save_image

from nerfstudio_hands.files.atomic import write_whole, written_whole


@contextmanager
def evaluation_folder(folder: Path) -> Iterator[Path]:
    """The folder, made, for as long as it is written to.

    Raises:
        SystemExit: The system refuses to write there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise SystemExit(
            f"error: {folder}: expected a folder for held-out pictures and their figures, found "
            f"'{error.strerror or error}': free some space, or give another --render-output-path."
        ) from error


def write_png(path: Path, image: Float[Tensor, "H W channels"]) -> None:
    """Write an image in [0, 1], of one or three channels."""
    with written_whole(path, suffix=".png") as part:
        save_image(image.permute(2, 0, 1).cpu(), part)


def write_account(path: Path, account: Any) -> None:
    """Write figures as JSON."""
    write_whole(path, json.dumps(account, indent=1).encode())
