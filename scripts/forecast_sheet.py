"""The animated sheet of docs/forecasting.md: hands of made-up people who were not learned from, and how they may go on.

    python scripts/forecast_sheet.py

`docs/images/forecast.webp`: a row a kind of motion; what came (gray), the shipped forecaster's most probable forecast
(blue) and three that it drew (green) over it, from a third of a second of what is seen (black).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from PIL import Image

from nerfstudio_hands.motion.forecasting.weights_file import shipped_forecaster
from nerfstudio_hands.synthesis.motion_takes import KINDS
from nerfstudio_hands.synthesis.motion_tracks import motion_tracks
from nerfstudio_hands.synthesis.options import MotionOptions
from nerfstudio_hands.training.forecaster_data import recordings_of_track
from nerfstudio_hands.video.forecast_image import GROUND, SAID, TEXT, TRUTH, draw_skeleton

SHEET = Path(__file__).resolve().parents[1] / "docs" / "images" / "forecast.webp"
COLUMNS = ("what came", "most probable", "drawn", "drawn", "drawn")
GIVEN, DRAWN, HEADER = (30, 30, 30), (40, 150, 90), 24


def main(output: Path = SHEET, begin: float = 3.0, seconds: float = 2.5, tile: int = 120, seed: int = 4) -> None:
    """Write the sheet.

    Args:
        output: Picture to write.
        begin: Seconds into each track at which the forecast begins.
        seconds: Length of the forecast; drawn ones go on by themselves after the first 25 frames.
        tile: Pixels of a tile.
        seed: Draws.
    """
    forecaster = shipped_forecaster()
    config, representation = forecaster.config, forecaster.representation
    count, first = round(seconds * config.fps), round(begin * config.fps)
    made = [m for m in motion_tracks(MotionOptions(subjects=1, test_subjects=1, seconds=begin + seconds + 1))]
    rows = []
    for track in (m.track for m in made if m.split == "test"):
        (recording,) = recordings_of_track(track, config, "default")
        past = recording.states[None, first - config.frames_in : first]
        future = recording.states[None, first : first + count]
        draws = [
            forecaster.forecast_drawn(past, count, torch.Generator().manual_seed(seed + k))
            for k in range(len(COLUMNS) - 2)
        ]
        said = [forecaster.forecast(past, count), *draws]
        rows.append([torch.cat([past, states], dim=1)[0] for states in (future, *said)])
    joints = [[representation.joints(states).double().numpy() for states in row] for row in rows]
    frames = []
    for frame in range(0, config.frames_in + count, 2):
        height = HEADER + tile * len(rows)
        picture = np.full((height, tile * len(COLUMNS), 3), GROUND, np.uint8)
        for column, name in enumerate(COLUMNS):
            cv2.putText(picture, name, (tile * column + 4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.38, TEXT, 1, cv2.LINE_AA)
        for row, (kind, hands) in enumerate(zip(KINDS, joints, strict=True)):
            for column, hand in enumerate(hands):
                place = picture[HEADER + tile * row :, tile * column :][:tile, :tile]
                seen = frame < config.frames_in
                color = GIVEN if seen else (TRUTH, SAID, *(DRAWN,) * (len(COLUMNS) - 2))[column]
                # Each hand stays in its tile: what is compared is the fingers and the wrist's turn.
                draw_skeleton(place, hand[frame], hand[frame].mean(axis=0), color)
                if column == 0:
                    cv2.putText(place, kind, (4, tile - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, TEXT, 1, cv2.LINE_AA)
        frames.append(Image.fromarray(picture))
    duration = round(2000 / config.fps)
    frames[0].save(output, save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=50, method=6)
    print(
        f"{output}: {len(frames)} pictures of {frames[0].width}x{frames[0].height}, {output.stat().st_size / 1e6:.2f} "
        "MB"
    )


if __name__ == "__main__":
    tyro.cli(main)
