"""nerfstudio's pipeline with figures a protocol: new views, new poses, and both are never mixed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, Optional, Type, cast

import numpy as np
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.utils.rich_utils import CONSOLE, get_progress

from nerfstudio_hands.captures.layouts import find_layout
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager, HandDataManagerConfig
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.model_components.image_figures import registered_figures
from nerfstudio_hands.model_components.registered_cameras import register_cameras
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.program.gpu import finished
from nerfstudio_hands.program.memory import explain_out_of_memory
from nerfstudio_hands.training.evaluation_files import evaluation_folder, write_account, write_png
from nerfstudio_hands.training.sound_pipeline import SoundPipeline, SoundPipelineConfig
from nerfstudio_hands.video.render_paths import patch_render_paths

ACCOUNT = "figures.json"
"""Name of the file beside evaluated pictures that holds the figures of each."""
COLORS = ("truth", "prediction", "calibrated", "registered")
FLAGS = ("region", "counted", "drawn", "registered_drawn")
"""Images that figures are taken of."""

NEXT_COMMANDS = (
    "ns-hands view --load-config {config}",
    "ns-eval --load-config {config} --output-path eval.json",
    "ns-hands turntable --load-config {config}",
    "ns-hands export --load-config {config} --output-dir exports",
)
"""What to do with a run."""


@dataclass
class HandPipelineConfig(SoundPipelineConfig):
    """Data manager and model of a hand avatar."""

    _target: Type = field(default_factory=lambda: HandPipeline)
    """target class to instantiate"""
    datamanager: HandDataManagerConfig = field(default_factory=HandDataManagerConfig)
    """Which pixels of the capture a step sees."""
    model: PosedHandModelConfig = field(default_factory=PosedHandModelConfig)
    """What is learned of the hands."""

    def check_data(self) -> str:
        data = self.datamanager
        require_hands(data.dataparser)
        capture = Path(data.data or data.dataparser.data).expanduser()
        find_layout(capture, data.dataparser.layout)  # pyright: ignore[reportAttributeAccessIssue]
        return f"capture {data.data or data.dataparser.data}"

    def next_commands(self) -> tuple[str, ...]:
        return NEXT_COMMANDS


class HandPipeline(SoundPipeline):
    """Averages the figures of held-out pictures, over all of them and a protocol each.

    With held-out frames every key comes four times: as it is, and with the prefixes `view/` (held-out camera, frame of
    the training), `pose/` (camera of the training, held-out frame) and `both/`. A picture in which a figure has no
    pixels to be taken over does not count for it.
    """

    config: HandPipelineConfig
    datamanager: HandDataManager

    @property
    def model(self) -> PosedHandModel:
        return cast(PosedHandModel, super().model)

    def __init__(self, config: HandPipelineConfig, device: str, **kwargs) -> None:
        super().__init__(with_patches(config), device, **kwargs)
        patch_render_paths(self)  # before `ns-render` asks for a way of the camera

    def exports(self) -> tuple[str, ...]:
        # What nerfstudio asks of methods of a signed distance.
        has_distance = hasattr(self.model.config, "sdf_field")
        return ("pointcloud", "tsdf", "poisson", "cameras", *["marching-cubes"] * has_distance)

    def export_remedy(self) -> str:
        return "take one of them, or `ns-hands export`, which has --format splat for the Gaussians of hand-splat."

    def held_out_psnr(self, step: int) -> Optional[float]:
        _, _, metrics = self.get_eval_loss_dict(step)
        return float(metrics["psnr"].detach())

    def get_average_image_metrics(
        self,
        data_loader,
        image_prefix: str,
        step: Optional[int] = None,
        output_path: Optional[Path] = None,
        get_std: bool = False,
    ) -> Dict[str, float]:
        """Evaluates every picture of a loader, and once more after its camera, where it is held out, has been turned
        onto its own pictures (`registered_cameras`); neither the model nor the loader's cameras change.

        Args:
            data_loader: yields (camera, batch).
            image_prefix: first part of the names of written pictures.
            step: not used.
            output_path: folder for pictures; none are written without it. Beside them stand `figures.json` with the
                figures of each, and of each an .npz with the pixels that they were taken of (`write_images`).
            get_std: whether each mean comes with the standard deviation over pictures, as `<key>_std`.
        """
        self.eval()
        protocols = data_loader.dataset.metadata.get("protocols")
        found, account = defaultdict(list), []
        faults = explain_out_of_memory("evaluation", self.config.model.rendering_remedy())
        with get_progress("Evaluating held-out pictures") as progress, faults:
            cameras = register_cameras(data_loader, self.model.get_outputs_for_camera)
            for number, (camera, batch) in enumerate(progress.track(data_loader, total=len(data_loader))):
                start = finished(self.device)
                outputs = self.model.get_outputs_for_camera(camera=camera)
                fps = 1 / (finished(self.device) - start)
                figures, images = self.model.get_image_metrics_and_images(outputs, batch)
                turned = cameras.turned(camera)
                again = None if turned is None else self.model.get_outputs_for_camera(camera=turned)
                registered = registered_figures(again, batch, (figures, images))
                figures, images = figures | registered[0], images | registered[1]
                protocol = protocols[int(batch["image_idx"])] if protocols else None
                for key, value in {**figures, "fps": fps}.items():
                    found[key].append(value)
                    if protocol:
                        found[f"{protocol}/{key}"].append(value)
                if output_path is not None:
                    name = f"{image_prefix}_{protocol}" if protocol else image_prefix
                    with evaluation_folder(output_path):
                        pixels = write_images(output_path, name, number, images)
                    source = Path(data_loader.dataset.image_filenames[int(batch["image_idx"])])
                    turn = {"camera": cameras.name(camera), "turn_degrees": cameras.degrees(camera)}
                    account.append({"picture": source.name, "pixels": pixels, **turn, "figures": figures})
        if output_path is not None:
            with evaluation_folder(output_path):
                write_account(output_path / ACCOUNT, account)
        self.train()
        means = {}
        for key, values in found.items():
            known = torch.tensor(values, dtype=torch.float64)
            known = known[~known.isnan()]
            means[key] = float(known.mean())
            if get_std:
                means[f"{key}_std"] = float(known.std(correction=0))
        CONSOLE.print(cameras.sentence(), markup=False, highlight=False, soft_wrap=True)
        return means | {f"turn_degrees/{name}": degrees for name, degrees in cameras.angles().items()}


def with_patches(config: HandPipelineConfig) -> HandPipelineConfig:
    """The configuration whose data manager draws patches where the model's perceptual loss looks at some."""
    sampler = config.datamanager.pixel_sampler
    sampler = replace(sampler, draws_patches=sampler.draws_patches or config.model.perceptual_loss_weight > 0)
    return replace(config, datamanager=replace(config.datamanager, pixel_sampler=sampler))


def require_hands(dataparser: DataParserConfig) -> None:
    """Raises a HandsError unless it is a data parser of captures of hands."""
    if not isinstance(dataparser, HandsDataParserConfig):
        raise HandsError(
            f"{type(dataparser).__name__}: expected a data parser of hands, found one that fits none: train with "
            "hands-data, capture-room-data or interhand-data."
        )


def write_images(folder: Path, name: str, number: int, images: Dict[str, torch.Tensor]) -> str:
    """Writes a held-out picture's images, each [H, W, 1 or 3] in [0, 1], as PNG, and those that figures are taken of
    once more as `<name>_pixels_<number>.npz`, so that anybody recomputes them: bytes as in the PNG, for `region`,
    `counted`, `drawn` and `registered_drawn` 0 or 1. Returns the name of the latter file."""
    for key, image in images.items():
        write_png(folder / f"{name}_{key}_{number:04d}.png", image)
    colors = {key: (images[key] * 255).round().byte().cpu().numpy() for key in COLORS}
    flags = {key: images[key][..., 0].byte().cpu().numpy() for key in FLAGS}
    file = f"{name}_pixels_{number:04d}.npz"
    with written_whole(folder / file, suffix=".npz") as part:
        np.savez_compressed(part, **colors, **flags)  # pyright: ignore[reportArgumentType]
    return file
