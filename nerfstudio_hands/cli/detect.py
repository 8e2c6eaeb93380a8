"""`ns-hands detect`: landmarks of the hands in pictures and videos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Tuple

from nerfstudio_hands.cli.output_folder import check_can_be_made, prepare_output_folder, write_image
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import require_range

MAX_THREADS = 4
"""A network as small as these gains nothing from more."""


def detect(
    *,
    output: Path,
    images: Tuple[Path, ...] = (),
    videos: Tuple[Path, ...] = (),
    max_hands: int = 2,
    detector_weights: Optional[Path] = None,
) -> None:
    """Find the hands in pictures or videos: 21 landmarks each in pixels and in metres, and which hand it is.

    Writes OUTPUT/<folder or video>/<picture>.json for every picture, and OUTPUT/landmarks.png with some pictures and
    what was found in them. Which hand is the left one is decided over all pictures of a folder or video. Pictures that
    an interrupted search has seen are not looked at again.

    Args:
        output: Folder for the landmarks.
        images: Folders of pictures, one a camera.
        videos: Videos, one a camera.
        max_hands: Hands that a picture may show, 1 to 8.
        detector_weights: Folder with the detector's two files instead of those of `ns-hands fetch-weights`.
    """
    require_range("--max-hands", max_hands, 1, 8)
    if not images and not videos:
        raise HandsError("--images, --videos: expected folders of pictures or videos, found neither: name some.")
    check_can_be_made(output, "--output")
    from nerfstudio_hands.preparation.sources import folder_sources, video_sources

    sources = [*folder_sources(images), *video_sources(videos)]
    for source in sources:
        prepare_output_folder(output / source.name, keep_out_of=source.files[0].parent)

    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.estimators.hand_detector import HandDetector
    from nerfstudio_hands.preparation.detect import detect_landmarks, landmark_tiles, summary
    from nerfstudio_hands.preparation.landmark_sheet import landmark_sheet

    threads = min(MAX_THREADS, os.cpu_count() or 1)
    detector = HandDetector(detector_weights, max_hands=max_hands, threads=threads)
    found = [detect_landmarks(source, output / source.name, detector) for source in sources]
    tiles = [tile for source, one in zip(sources, found, strict=True) for tile in landmark_tiles(source, one)]
    write_image(output / "landmarks.png", landmark_sheet(tiles))
    for sentence in summary(sources, found):
        CONSOLE.print(f"- {sentence}", markup=False, highlight=False, soft_wrap=True)
    if not any(one.counts[0] for one in found):
        raise HandsError(
            f"{sources[0].files[0].parent}: expected a hand in some picture, found none: hands should be lit, and "
            f"their palms fill a tenth of the picture's longer side; look at {output / 'landmarks.png'}."
        )
    CONSOLE.print(f"Landmarks: {output}/<name>/<picture>.json; look at {output / 'landmarks.png'}.", soft_wrap=True)
