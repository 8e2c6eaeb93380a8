"""Places of a moving camera round a still hand, by the pictures themselves: COLMAP's structure from motion."""

from __future__ import annotations

import tempfile
from importlib import import_module
from itertools import count
from pathlib import Path

from nerfstudio_hands.calibration.formats.colmap import is_colmap, read_colmap
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.progress import say, show_progress

NEEDED = 0.5
"""Share of the pictures that must find their place."""

SEED = 0

FEATURES = 2048
"""Of a picture. With four times as many, a minute of video takes five minutes in place of two and comes out alike."""

LONGEST = 1600
"""Pixels of a picture's longer side in which features are looked for."""


def reconstruct(
    images: Path,
    *,
    masks: Path | None = None,
    known: CalibratedCamera | None = None,
    sequential: bool = False,
    origin: Path | None = None,
) -> tuple[Calibration, str]:
    """Lens and places of one camera, by COLMAP (Schönberger and Frahm, "Structure-from-motion revisited", CVPR 2016).

    Where masks are given, the hand is left out, and the background decides: a hand never keeps quite as still as a
    table. Without masks all of the picture counts. The unit is arbitrary; `find_convention` tells it by the hand.

    Args:
        images: Folder of pictures, all of one camera.
        masks: Folder of masks NAME.png of pictures NAME, e.g. `0001.jpg.png`: black where the hand is.
        known: The camera, where its intrinsics are known; they are kept.
        sequential: Whether pictures follow each other, as those of a video.
        origin: Where the pictures are from, for messages; by default the folder.

    Returns:
        A camera a picture, and a sentence for people.

    Raises:
        HandsError: pycolmap is not installed, or too few pictures find a place.
    """
    try:
        pycolmap = import_module("pycolmap")
    except ImportError as error:
        raise HandsError(
            "--method motion: expected the package pycolmap, found it is not installed: type "
            "`pip install nerfstudio-hands[calibrate]`, or calibrate with --method board."
        ) from error
    origin = origin or images
    names = sorted(path.name for path in images.iterdir() if path.is_file())
    pycolmap.logging.minloglevel = 2
    with tempfile.TemporaryDirectory(prefix="nerfstudio-hands-") as folder:
        database, models = Path(folder, "database.db"), Path(folder, "models")
        models.mkdir()
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "OPENCV" if known is None or known.lens is None else _model(known)
        reader.camera_params = "" if known is None else ",".join(map(repr, _parameters(known)))
        if masks is not None:
            reader.mask_path = str(masks)
        features = pycolmap.FeatureExtractionOptions()
        features.max_image_size, features.sift.max_num_features = LONGEST, FEATURES
        cpu = {"device": pycolmap.Device.cpu}
        say(f"Looking for points in {len(names)} pictures ...")
        pycolmap.extract_features(
            *(database, images, names, pycolmap.CameraMode.SINGLE), reader_options=reader, extraction_options=features,
            **cpu,
        )  # fmt: skip
        say("Finding the same points in several pictures ...")
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = SEED
        match = pycolmap.match_sequential if sequential else pycolmap.match_exhaustive
        match(database, verification_options=verification, **cpu)
        options = pycolmap.IncrementalPipelineOptions()
        options.random_seed = SEED
        options.multiple_models = False
        if known is not None:
            options.ba_refine_focal_length = options.ba_refine_extra_params = False
        with show_progress("Placing pictures", len(names)) as report:
            done = count(3)
            pycolmap.incremental_mapping(
                *(database, images, models, options),
                initial_image_pair_callback=lambda: report(2),
                next_image_callback=lambda: report(next(done)),
            )
        found = sorted(path for path in models.iterdir() if is_colmap(path))
        placed = read_colmap(found[0]) if found else Calibration(origin, {})
    if len(placed.images) < max(2, NEEDED * len(names)):
        raise HandsError(
            f"{origin}: expected to place at least half of the {len(names)} pictures, found a place for "
            f"{len(placed.images)}: walk round the hand slowly, with a textured table in sight, or lay a board beside "
            "it (--method board)."
        )
    sentence = f"{len(placed.images)} of {len(names)} pictures placed by structure from motion; the unit is arbitrary."
    return Calibration(origin, placed.cameras, placed.images), sentence


def _model(camera: CalibratedCamera) -> str:
    """COLMAP's model with room for a lens."""
    if camera.lens is not None and camera.lens.model == "fisheye":
        return "OPENCV_FISHEYE"
    return "OPENCV" if camera.lens is None or not any(camera.lens.coefficients[4:]) else "FULL_OPENCV"


def _parameters(camera: CalibratedCamera) -> list[float]:
    """A camera's numbers in the order of that model."""
    k, lengths = camera.intrinsics, {"OPENCV": 4, "OPENCV_FISHEYE": 4, "FULL_OPENCV": 8}
    own = [] if camera.lens is None else list(camera.lens.coefficients)
    padded = [*own, *[0.0] * 8][: lengths[_model(camera)]]
    return [float(value) for value in (k[0, 0], k[1, 1], k[0, 2], k[1, 2], *padded)]
