"""What a table has to say of the capture that it was measured on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nerfstudio.pipelines.base_pipeline import Pipeline
from PIL import Image
from recording import short_path

PROTOCOL_NAMES = {
    "": "training frame, held-out camera",
    "view": "novel view",
    "pose": "novel pose",
    "both": "novel view and pose",
}
SYNTHETIC = (
    "Synthetic: the capture was rendered from the same template, shape space and skinning weights that are then fitted "
    "to it, so figures of the fit flatter; no photograph took part."
)


def is_synthetic(data: Path) -> bool:
    """Whether our generator made a capture: its truth lies in the folder or beside it."""
    data = Path(data).resolve()
    return any((folder / "truth").is_dir() for folder in (data, data.parent))


def title_of(data: Path) -> str:
    """Name of a capture for a table's title."""
    return f"{'SYNTHETIC ' if is_synthetic(data) else ''}{short_path(Path(data))}"


def notes_on(data: Path) -> list[str]:
    """The sentence that belongs to every table of a synthetic capture; none for a real one."""
    return [SYNTHETIC] if is_synthetic(data) else []


@dataclass
class EvaluatedImages:
    """Which held-out pictures figures were taken over.

    Attributes:
        sizes: How many pictures there are of each width and height.
        protocols: How many there are of each kind: "view", "pose", "both", or "" where no frame was held out.
    """

    sizes: Counter[tuple[int, int]]
    protocols: Counter[str]

    @classmethod
    def of_pipeline(cls, pipeline: Pipeline) -> EvaluatedImages:
        """Those that a pipeline evaluates."""
        loader = pipeline.datamanager.fixed_indices_eval_dataloader
        kinds = loader.input_dataset.metadata.get("protocols")
        sizes, protocols = Counter(), Counter()
        for camera, batch in loader:
            sizes[int(camera.width), int(camera.height)] += 1
            protocols[kinds[int(batch["image_idx"])] if kinds else ""] += 1
        return cls(sizes, protocols)

    @classmethod
    def of_folder(cls, folder: Path) -> EvaluatedImages:
        """Those that `ns-eval` wrote into a folder."""
        sizes, protocols = Counter(), Counter()
        for path in sorted(folder.glob("*_region_*.png")):
            named = re.fullmatch(r"[a-z]+?(?:_(view|pose|both))?_region_\d+\.png", path.name)
            if named is None:
                continue
            with Image.open(path) as picture:
                sizes[picture.size] += 1
            protocols[named[1] or ""] += 1
        return cls(sizes, protocols)

    def sentence(self, held_out: Sequence[str] | None) -> str:
        """What was evaluated, at which size, and what of it was held out."""
        sizes = _listed(f"{count} of {width}x{height} pixels" for (width, height), count in self.sizes.items())
        kinds = _listed(
            f"{count} of {PROTOCOL_NAMES[kind]}" for kind in PROTOCOL_NAMES if (count := self.protocols[kind])
        )
        cameras = _listed(held_out) if held_out else "every seventh"
        count = sum(self.sizes.values())
        return f"Evaluated: {count} held-out pictures ({sizes}; {kinds}); held-out cameras: {cameras}."


def present(wanted: Sequence[str], rows: Iterable[dict[str, float]]) -> list[str]:
    """The figures that rows have, in the order in which they are wanted.

    Where a capture has no independent mask its figures bear other names (`own_mask_iou` for `mask_iou`), and so does
    what is taken inside our own outline (`inner_`): these stand in where the plain one is absent.
    """
    found = {key for row in rows for key in row}
    chosen = []
    for key in wanted:
        names = (key, f"own_{key}", f"own_mask_{key}")
        chosen.extend(name for name in names if name in found and name not in chosen)
    return chosen


def cell(key: str, value: float | None) -> str:
    """A figure as tables show it: decibels with two digits, seconds and steps with none, the rest with three."""
    if value is None:
        return "-"
    digits = 2 if "psnr" in key else 0 if key.endswith(("seconds", "_second", "steps")) else 3
    return f"{value:.{digits}f}"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "none"
