"""What a run of `hand-mesh` has learned: truth, picture, albedo, shading, normals, and the hand in two other lights.

python scripts/mesh_sheet.py --load-config CONFIG --output docs/images/hand_mesh.jpg
"""

from __future__ import annotations

from pathlib import Path

import torch
import tyro
from PIL import Image

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.geometry.light.environment import load_environment

OUTPUTS = ("rgb", "albedo", "shading", "normals")
LIGHTS = ("studio", "sunset")


@torch.no_grad()
def main(load_config: Path, output: Path, *, max_width: int = 1800) -> None:
    """Draws a row for every held-out camera.

    Args:
        load_config: The run's config.yml.
        output: Picture to write.
        max_width: Pixels at most from left to right.
    """
    _, pipeline = load_run(load_config)
    model, data = pipeline.model.eval(), pipeline.datamanager.eval_dataset
    rows = []
    for index in range(len(data)):
        camera = data.cameras[index : index + 1].to(model.device)
        model.relight(None)
        shown = model.get_outputs_for_camera(camera)
        tiles = [torch.from_numpy(data.get_numpy_image(index)).float() / 255, *(shown[name] for name in OUTPUTS)]
        for light in LIGHTS:
            model.relight(load_environment(light))
            tiles.append(model.get_outputs_for_camera(camera)["rgb"])
        hand = shown["accumulation"][..., 0].cpu() > 0
        y, x = hand.nonzero().T
        part = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
        rows.append(torch.cat([tile.cpu()[part] for tile in tiles], dim=1))
    width = min(row.shape[1] for row in rows)
    pictures = [Image.fromarray((row.clamp(0, 1) * 255).byte().numpy()) for row in rows]
    width = min(width, max_width)
    pictures = [picture.resize((width, round(picture.height * width / picture.width))) for picture in pictures]
    sheet = Image.new("RGB", (width, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    sheet.save(output, quality=88)


if __name__ == "__main__":
    tyro.cli(main)
