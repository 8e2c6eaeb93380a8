"""Calibrations from videos and folders of pictures: by a board, or by the hands that move before the cameras."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image

from nerfstudio_hands.calibration.board import (
    Board,
    BoardCalibration,
    Corners,
    calibrate_moving_camera,
    calibrate_rig,
    find_corners,
)
from nerfstudio_hands.calibration.conventions import find_convention
from nerfstudio_hands.calibration.from_hands import HandCalibration, calibrate_by_hands
from nerfstudio_hands.calibration.intrinsics import camera_of_view, exif_view_degrees
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.calibration.structure_from_motion import reconstruct
from nerfstudio_hands.captures.landmark_files import read_landmark_files
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size, is_upright, read_image
from nerfstudio_hands.preparation.sources import Source
from nerfstudio_hands.program.progress import track

BEYOND_JOINTS = 0.4
"""Lengths of the palm by which a mask reaches beyond the joints of a hand."""


def known_cameras(
    sources: Sequence[Source], sizes: Sequence[tuple[int, int]], intrinsics: Path | None, fov: float | None
) -> dict[str, CalibratedCamera]:
    """Intrinsics of each camera, from a calibration, an angle of view in degrees along the longer side, or the EXIF of
    its pictures; cameras of which none tells are left out.

    Raises:
        HandsError: The calibration cannot be read, or lacks a camera.
    """
    if intrinsics is not None:
        calibration = read_calibration(intrinsics)
        return {source.name: calibration.camera(source.name) for source in sources}
    known = {}
    for source, size in zip(sources, sizes, strict=True):
        degrees = exif_view_degrees(source.files[0]) if fov is None and not source.is_video else fov
        if degrees is not None:
            known[source.name] = camera_of_view(source.name, size, degrees)
    return known


def first_sizes(sources: Sequence[Source]) -> list[tuple[int, int]]:
    """Width and height of the first picture of each source."""
    images = [next(source.pictures()).image for source in sources]
    return [(image.shape[1], image.shape[0]) for image in images]


def by_board(
    sources: Sequence[Source], board: Board, known: dict[str, CalibratedCamera], *, every: int, fisheye: bool
) -> BoardCalibration:
    """A single camera is taken to move round the board that lies still; several stand still and see it moved.

    Args:
        sources: A camera each; pictures of the same number, or name, are of one instant.
        board: As printed.
        known: Cameras whose intrinsics are known.
        every: Of so many pictures one is looked at.
        fisheye: Whether lenses are of wide angle.

    Raises:
        HandsError: The board is seen too seldom.
    """
    seen: dict[str, dict[str, Corners]] = {}
    for source in sources:
        pictures = islice(source.pictures(), 0, None, every)
        found = {
            p.name: find_corners(board, p.image) for p in track(pictures, f"Looking for the board: {source.name}", 0)
        }
        seen[source.name] = {name: corners for name, corners in found.items() if corners is not None}
    sizes = dict(zip(seen, first_sizes(sources), strict=True))
    if len(sources) == 1:
        ((name, corners),) = seen.items()
        return calibrate_moving_camera(name, corners, sizes[name], known=known.get(name), fisheye=fisheye)
    return calibrate_rig(seen, sizes, known=known, fisheye=fisheye)


def by_hands(
    sources: Sequence[Source], folder: Path, known: dict[str, CalibratedCamera], hand_length_mm: float
) -> HandCalibration:
    """Cameras placed by the landmarks that `ns-hands detect` wrote, of the same instants.

    Raises:
        HandsError: Landmarks or intrinsics of a camera are missing, or tell no places.
    """
    for source in sources:
        if source.name not in known:
            raise HandsError(
                f"--method hands: expected intrinsics of camera {source.name}, found none: give --intrinsics FILE, or "
                "--fov DEGREES along the longer side."
            )
    sizes = first_sizes(sources)
    cameras = [known[source.name] for source in sources]
    landmarks = _landmarks(sources, folder, sizes)
    return calibrate_by_hands(cameras, landmarks, hand_length_mm=hand_length_mm)


def by_motion(
    sources: Sequence[Source],
    known: dict[str, CalibratedCamera],
    landmarks: Path | None,
    *,
    every: int,
    hand_length_mm: float,
) -> tuple[Calibration, str]:
    """A camera that moves round a still hand, by structure from motion; the scale is the hand's where there are
    landmarks of it, otherwise arbitrary.

    Raises:
        HandsError: There are several cameras, pycolmap is not installed, or pictures find no places.
    """
    if len(sources) > 1:
        raise HandsError(
            f"--method motion: expected one camera that moves, found {len(sources)}: cameras that stand still are "
            "calibrated with --method board or hands."
        )
    source = sources[0]
    with _images_of(source, every) as folder, TemporaryDirectory(prefix="nerfstudio-hands-") as masks:
        seen = {} if landmarks is None else _landmarks_by_image(folder, landmarks / source.name)
        if seen:
            write_hand_masks(folder, seen, Path(masks))
        placed, sentence = reconstruct(
            folder,
            masks=Path(masks) if seen else None,
            known=known.get(source.name),
            sequential=source.is_video,
            origin=source.files[0] if source.is_video else source.files[0].parent,
        )
    if landmarks is None:
        return placed, sentence
    names = [name for name in placed.images if name in seen]
    pixels = np.stack([seen[name] for name in names])[None] if names else np.empty((1, 0, 2, 21, 2))
    # The hand is still: its landmarks in all pictures are of one instant.
    convention = find_convention(placed, names, pixels, hand_length_mm=hand_length_mm)
    return convention.calibration, f"{sentence} {convention.sentence}"


def write_hand_masks(images: Path, landmarks: Mapping[str, Float[np.ndarray, "2 21 2"]], masks: Path) -> None:
    """Write for each picture NAME of a folder NAME.png: white, and black where its hands are, as COLMAP takes masks.

    Args:
        images: Folder of pictures.
        landmarks: Pixels of the hands' landmarks by a picture's name, NaN where absent.
        masks: Folder for the masks.
    """
    for image in sorted(images.iterdir()):
        width, height = image_size(image)
        mask = np.full((height, width), 255, np.uint8)
        for hand in landmarks.get(image.name, ()):
            if np.isfinite(hand).all():
                hull = cv2.convexHull(hand.astype(np.float32)).round().astype(np.int32)
                cv2.fillConvexPoly(mask, hull, (0,))
                # The skin reaches beyond the joints, and an arm beyond the wrist.
                around = max(1, round(BEYOND_JOINTS * float(np.linalg.norm(hand[9] - hand[0]))))
                cv2.polylines(mask, [hull], True, (0,), 2 * around)
        Image.fromarray(mask).save(masks / f"{image.name}.png")


def _landmarks_by_image(images: Path, folder: Path) -> dict[str, Float[np.ndarray, "2 21 2"]]:
    """Pixels of the landmarks by a picture's name, of those that have a file."""
    files = {path.name: folder / f"{path.stem}.json" for path in sorted(images.iterdir())}
    names = [name for name, file in files.items() if file.is_file()]
    found = read_landmark_files([files[name] for name in names], [image_size(images / name) for name in names])
    return {name: one.pixels for name, one in zip(names, found, strict=True)}


def write_frames(source: Source, names: Iterable[str], folder: Path) -> None:
    """Write the frames of a video that have found their place, because a picture is what has a place.

    Args:
        source: The video.
        names: Of frames, with or without a suffix.
        folder: New folder for them.

    Raises:
        HandsError: It cannot be written.
    """
    wanted = {Path(name).stem for name in names}
    try:
        folder.mkdir(parents=True)
        for picture in track(source.pictures(), f"Writing {folder}", 0):
            if picture.name in wanted:
                Image.fromarray(picture.image).save(folder / f"{picture.name}.png")
    except OSError as error:
        raise HandsError(
            f"{folder}: expected a new folder for frames, found '{error.strerror or error}': give another --output."
        ) from error


@contextmanager
def _images_of(source: Source, every: int) -> Iterator[Path]:
    """A folder with pictures of a source, upright, while they are needed: under their own names, or frames of a video
    under their numbers."""
    with TemporaryDirectory(prefix="nerfstudio-hands-") as name:
        folder = Path(name)
        if source.is_video:
            for picture in track(islice(source.pictures(), 0, None, every), f"Reading {source.name}", 0):
                Image.fromarray(picture.image).save(folder / f"{picture.name}.png")
        for file in () if source.is_video else source.files[::every]:
            if is_upright(file):
                shutil.copyfile(file, folder / file.name)
            else:
                Image.fromarray(read_image(file)).save(folder / file.name, quality=95)
        yield folder


def _landmarks(
    sources: Sequence[Source], folder: Path, sizes: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "T C 2 21 2"]:
    """Pixels of the landmarks of all cameras in the instants that at least two of them have."""
    files = [{path.stem: path for path in sorted((folder / source.name).glob("*.json"))} for source in sources]
    for source, own in zip(sources, files, strict=True):
        if not own:
            raise HandsError(
                f"{folder / source.name}: expected landmarks of camera {source.name}, found none: run "
                f"`ns-hands detect` with --output {folder}."
            )
    instants = sorted(name for name in set().union(*files) if sum(name in own for own in files) > 1)
    found = np.full((len(instants), len(sources), 2, 21, 2), np.nan)
    for c, (own, size) in enumerate(zip(files, sizes, strict=True)):
        rows = [t for t, name in enumerate(instants) if name in own]
        for t, landmarks in zip(
            rows, read_landmark_files([own[instants[t]] for t in rows], [size] * len(rows)), strict=True
        ):
            found[t, c] = landmarks.pixels
    return found
