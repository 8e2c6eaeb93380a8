"""`ns-hands prepare`: from pictures or films as people have them to a capture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import tee
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.calibration.conventions import AS_WRITTEN, find_convention
from nerfstudio_hands.calibration.hand_scale import sized
from nerfstudio_hands.calibration.lens import undistort, undistort_points, undistorted_camera
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.misread import as_calibrated
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.files.image_reading import read_mask
from nerfstudio_hands.files.whole_folder import whole_folder
from nerfstudio_hands.hand_model import SIDES
from nerfstudio_hands.preparation.frames import Film, choose_frames, find_offsets, sharpness
from nerfstudio_hands.preparation.kept_hands import found_hands
from nerfstudio_hands.preparation.layout_writing import CaptureWriter
from nerfstudio_hands.preparation.options import PrepareOptions
from nerfstudio_hands.preparation.seen_forms import SeenForms
from nerfstudio_hands.preparation.sides import SidedHands, decide_sides, no_hand
from nerfstudio_hands.preparation.sources import Source, folder_sources, single_images, video_sources
from nerfstudio_hands.program.progress import show_progress

DEFAULT_FOV = 55.0
"""Degrees along the longer side of a picture: that of usual phones and webcams, where nothing says more."""


@dataclass
class Preparation:
    """What was made of pictures.

    Attributes:
        output: The capture.
        frames: How many.
        cameras: Names.
        found: Of each side, in how many pictures it was found, by side.
        pictures: How many pictures there are.
        sentences: What was found out, assumed, or odd.
    """

    output: Path
    frames: int
    cameras: list[str]
    found: dict[str, int]
    pictures: int
    sentences: list[str] = field(default_factory=list)


@dataclass
class _Watched:
    """A source that was looked through once."""

    film: Film
    hands: list[list[DetectedHand]]
    size: tuple[int, int]


def prepare(options: PrepareOptions, output: Path) -> Preparation:
    """Makes a capture of own pictures: finds hands, decides sides, places cameras, chooses frames, undistorts.

    Args:
        options: What there is.
        output: Folder to make; it appears whole or not at all.

    Raises:
        HandsError: No hand is found, pictures and calibration do not go together, or a file is at fault.
    """
    calibration = None if options.calibration is None else read_calibration(options.calibration)
    sources, is_film = _sources(options, calibration)
    lenses = [_lens(options, calibration, source) for source in sources] if calibration is not None else None
    _require_rig(options, sources, lenses)
    watched = _watch(sources, options)
    sentences: list[str] = []
    rows = _rows(watched, options, sentences) if is_film else [[0] * len(sources)]
    if lenses is None:
        lenses = [_assumed(source, one.size, options, sentences) for source, one in zip(sources, watched, strict=True)]
    lenses = _sized(lenses, watched, options)
    names = [lens.name for lens in lenses]
    flat = [_without_distortion(one.hands, lens, options) for one, lens in zip(watched, lenses, strict=True)]
    hands = [[[] if i is None else of[i] for of, i in zip(flat, row, strict=True)] for row in rows]
    sides = decide_sides(hands, names)
    if len(lenses) > 1:
        unit = None if calibration is None else calibration.unit
        lenses = _as_rays_say(options, unit, lenses, sides, sentences)
        sides = decide_sides(hands, names, _pinholes(lenses))
    sentences += sides.problems
    with whole_folder(output) as partial:
        writer = CaptureWriter(
            partial,
            {camera.name: camera for camera in _pinholes(lenses)},
            is_film,
            {"hand_length_mm": options.hand_length, "notes": sentences},
        )
        # Where one camera is all there is, a pose is no better than the form that is known of the hand.
        alone = len(lenses) == 1 and options.forms == "both"
        metric = _seen_forms(sources[0], lenses[0], rows, sides) if alone else sides.metric
        own = replace(sides, metric=sized(metric, options.hand_length))
        _write(writer, sources, lenses, watched, rows, own, options)
    found = {
        side: int(np.isfinite(sides.pixels[:, :, index]).all((-1, -2)).sum()) for index, side in enumerate(SIDES)
    }
    return Preparation(output, len(rows), names, found, sum(i is not None for row in rows for i in row), sentences)


def _require_rig(
    options: PrepareOptions, sources: Sequence[Source], lenses: Sequence[CalibratedCamera] | None
) -> None:
    """What several cameras have to come with, before anybody waits for their pictures.

    Raises:
        HandsError: It is not there.
    """
    if len(sources) < 2:
        return
    if options.offset is not None and len(options.offset) != len(sources) - 1:
        raise HandsError(
            f"--offset: expected seconds for each camera but the first ({len(sources) - 1}), found "
            f"{len(options.offset)}: give as many."
        )
    if lenses is None or any(lens.world_to_camera is None for lens in lenses):
        raise HandsError(
            f"{options.calibration or '--calibration'}: expected the places of {len(sources)} cameras, found none: "
            "calibrate the rig with `ns-hands calibrate`, from a board or from the hands themselves, and give its file "
            "as --calibration."
        )


def _without_distortion(
    hands: Sequence[Sequence[DetectedHand]], lens: CalibratedCamera, options: PrepareOptions
) -> list[list[DetectedHand]]:
    """The hands of each picture where the undistorted one shows them, without those that the lens has no rays for.

    Raises:
        HandsError: These are all.
    """
    new = _pinhole(lens).intrinsics

    def moved(hand: DetectedHand) -> DetectedHand:
        return replace(hand, pixels=undistort_points(hand.pixels, lens.intrinsics, lens.lens, new))

    found = [[one for one in map(moved, seen) if np.isfinite(one.pixels).all()] for seen in hands]
    if any(hands) and not any(found):
        raise HandsError(
            f"{options.calibration}: expected a lens of camera {lens.name} that sees its hands, found one whose "
            "distortion has no ray where they are: it is of another camera or picture size; give the right one."
        )
    return found


def _sources(options: PrepareOptions, calibration: Calibration | None) -> tuple[list[Source], bool]:
    """Cameras and their pictures, and whether these are films: of one folder it is, unless its pictures are those of
    several cameras."""
    if bool(options.videos) == bool(options.images):
        found = "both" if options.videos else "neither"
        raise HandsError(f"--videos, --images: expected one of them, found {found}: say where the pictures are.")
    if options.videos:
        return video_sources(options.videos), True
    if len(options.images) == 1 and calibration is not None and len(calibration.images or calibration.cameras) > 1:
        return single_images(options.images[0]), False
    return folder_sources(options.images), True


def _lens(options: PrepareOptions, calibration: Calibration, source: Source) -> CalibratedCamera:
    """The camera of a source, under the source's name."""
    name = source.files[0].name if calibration.images else source.name
    return replace(calibration.camera(name), name=source.name)


def _watch(sources: Sequence[Source], options: PrepareOptions) -> list[_Watched]:
    """Looks through all pictures once: where hands are, how sharp they are, when it was."""
    with show_progress("Finding hands", len(sources)) as report:
        watched: list[_Watched] = []
        for done, source in enumerate(sources):
            watched.append(_watched(source, options, lambda part, done=done: report(done + part)))
        report(len(sources))
    if not any(hands for one in watched for hands in one.hands):
        raise no_hand(sources[0].files[0].parent, sum(len(one.hands) for one in watched))
    return watched


def _watched(source: Source, options: PrepareOptions, report: Callable[[float], None]) -> _Watched:
    """Looks through the pictures of a camera, one at a time."""
    times, sharp, hands = [], [], []
    pictures, again = tee(source.pictures())
    images = (picture.image for picture in again)
    found = found_hands(source, images, options.detector_weights)
    size, count = None, source.count or options.max_frames
    for index, (picture, seen) in enumerate(zip(pictures, found, strict=False)):
        height, width = picture.image.shape[:2]
        size = size or (width, height)
        if (width, height) != size:
            raise HandsError(
                f"{source.files[min(index, len(source.files) - 1)]}: expected {size[0]}x{size[1]} pixels as in the "
                f"first picture of camera {source.name}, found {width}x{height}: give each camera a folder of its own."
            )
        pixels = np.concatenate([hand.pixels for hand in seen]) if seen else np.zeros((0, 2))
        times.append(picture.seconds if np.isfinite(picture.seconds) else float(index))
        sharp.append(sharpness(picture.image, pixels))
        hands.append(seen)
        report(min((index + 1) / count, 1.0))
    return _Watched(Film(np.array(times), np.array(sharp), _two_hands(hands)), hands, size or (0, 0))


def _two_hands(hands: Sequence[Sequence[DetectedHand]]) -> Float[np.ndarray, "N 42 2"]:
    """Pixels of the two surest hands of each picture, from left to right in it."""
    result = np.full((len(hands), 42, 2), np.nan)
    for index, seen in enumerate(hands):
        surest = sorted(seen, key=lambda hand: -hand.score)[:2]
        for place, hand in enumerate(sorted(surest, key=lambda hand: hand.pixels[:, 0].mean())):
            result[index, 21 * place : 21 * (place + 1)] = hand.pixels
    return result


def _rows(watched: Sequence[_Watched], options: PrepareOptions, sentences: list[str]) -> list[list[int | None]]:
    """Pictures of each camera at the chosen instants."""
    films = [one.film for one in watched]
    if len(films) == 1:
        return choose_frames(films, [0.0], options.max_frames)
    if options.offset is None:
        offsets = find_offsets(films)
        said = ", ".join(f"{offset:+.2f}" for offset in offsets[1:])
        sentences.append(f"Clocks, told by when the hand moves: {said} s against the first camera (--offset sets it).")
    else:
        offsets = [0.0, *options.offset]
    return choose_frames(films, offsets, options.max_frames)


def _assumed(
    source: Source, size: tuple[int, int], options: PrepareOptions, sentences: list[str]
) -> CalibratedCamera:
    """A camera of which nothing is known but its angle of view."""
    fov = options.fov or DEFAULT_FOV
    focal = max(size) / 2 / np.tan(np.radians(fov) / 2)
    if options.fov is None:
        sentences.append(
            f"Nothing says how wide camera {source.name} sees: {fov:.0f} degrees along the longer side are taken for "
            "granted (--fov or --calibration says more)."
        )
    matrix = np.array([[focal, 0.0, size[0] / 2], [0.0, focal, size[1] / 2], [0.0, 0.0, 1.0]])
    return CalibratedCamera(source.name, matrix, None, None, size)


def _sized(
    lenses: Sequence[CalibratedCamera], watched: Sequence[_Watched], options: PrepareOptions
) -> list[CalibratedCamera]:
    """The cameras with the size of their pictures.

    Raises:
        HandsError: A calibration is of another size.
    """
    for lens, one in zip(lenses, watched, strict=True):
        if lens.size is not None and lens.size != one.size:
            raise HandsError(
                f"{options.calibration}: expected camera {lens.name} calibrated at the size of its pictures "
                f"{one.size[0]}x{one.size[1]}, found {lens.size[0]}x{lens.size[1]}: give the pictures that were "
                "calibrated, or a calibration of these."
            )
    return [replace(lens, size=one.size) for lens, one in zip(lenses, watched, strict=True)]


def _pinhole(lens: CalibratedCamera) -> CaptureCamera:
    """Camera of the undistorted pictures; one that nobody placed stands at the origin."""
    return CaptureCamera(
        lens.name,
        undistorted_camera(lens.intrinsics, lens.lens, lens.size),  # pyright: ignore[reportArgumentType]
        np.eye(4) if lens.world_to_camera is None else lens.world_to_camera,
        *lens.size,  # pyright: ignore[reportOptionalIterable]
    )


def _pinholes(lenses: Sequence[CalibratedCamera]) -> list[CaptureCamera]:
    return [_pinhole(lens) for lens in lenses]


def _as_rays_say(
    options: PrepareOptions,
    unit: float | None,
    lenses: Sequence[CalibratedCamera],
    sides: SidedHands,
    sentences: list[str],
) -> list[CalibratedCamera]:
    """The cameras in metres, under the convention that makes rays of landmarks meet.

    Raises:
        HandsError: Rays meet under no convention, or under another and nobody said `--fix`.
    """
    path = options.calibration or Path("--calibration")
    pinholes = {camera.name: as_calibrated(camera) for camera in _pinholes(lenses)}
    names = [lens.name for lens in lenses]
    found = find_convention(
        Calibration(path, pinholes, unit=unit),
        names,
        sides.pixels,
        sizes=[lens.size for lens in lenses],  # pyright: ignore[reportArgumentType]
        hand_length_mm=options.hand_length,
    )
    sentences.append(found.sentence)
    if found.variant is None:
        raise HandsError(found.sentence)
    if found.variant != AS_WRITTEN and not options.fix:
        raise HandsError(f"{found.sentence} Give --fix to read it so.")
    read = [found.calibration.cameras[name] for name in names]
    return [
        replace(lens, intrinsics=_rescaled(lens, camera), world_to_camera=camera.world_to_camera)
        for lens, camera in zip(lenses, read, strict=True)
    ]


def _rescaled(lens: CalibratedCamera, read: CalibratedCamera) -> Float[np.ndarray, "3 3"]:
    """K of a lens whose pinhole camera turned out to be of another picture size."""
    factor = read.intrinsics[0, 0] / _pinhole(lens).intrinsics[0, 0]
    return np.diag([factor, factor, 1.0]) @ lens.intrinsics if abs(factor - 1) > 1e-6 else lens.intrinsics


def _seen_forms(
    source: Source, lens: CalibratedCamera, rows: Sequence[Sequence[int | None]], sides: SidedHands
) -> Float[np.ndarray, "T 1 2 21 3"]:
    """Forms of the hands of a film's chosen pictures, see `SeenForms`."""
    frame_of = {index: t for t, (index,) in enumerate(rows)}
    seen_forms, new, metric = SeenForms(), _pinhole(lens).intrinsics, sides.metric.copy()
    with show_progress("Looking at hands", len(rows)) as report:
        for index, picture in enumerate(source.pictures()):
            t = frame_of.get(index)
            if t is not None:
                image = undistort(picture.image, lens.intrinsics, lens.lens, new)
                metric[t, 0] = seen_forms(image, sides.picture(t, 0), new)
                report(t + 1)
    return metric


def _write(
    writer: CaptureWriter,
    sources: Sequence[Source],
    lenses: Sequence[CalibratedCamera],
    watched: Sequence[_Watched],
    rows: Sequence[Sequence[int | None]],
    sides: SidedHands,
    options: PrepareOptions,
) -> None:
    """Writes the chosen pictures, camera by camera, and what ties them together."""
    seconds = [_instant(watched, row) for row in rows]
    with show_progress("Writing pictures", sum(i is not None for row in rows for i in row)) as report:
        for c, (source, lens) in enumerate(zip(sources, lenses, strict=True)):
            frame_of = {row[c]: t for t, row in enumerate(rows) if row[c] is not None}
            new = writer.cameras[lens.name].intrinsics
            for index, picture in enumerate(source.pictures()):
                t = frame_of.get(index)
                if t is not None:
                    image = undistort(picture.image, lens.intrinsics, lens.lens, new)
                    mask = _mask(options, picture.name, lens, new)
                    writer.add(source.name, t, seconds[t] - seconds[0], image, sides.picture(t, c), mask)
                    report(len(writer.entries))
    writer.finish()


def _instant(watched: Sequence[_Watched], row: Sequence[int | None]) -> float:
    """Seconds on the clock of the first camera that has a picture."""
    return next(float(one.film.times[i]) for one, i in zip(watched, row, strict=True) if i is not None)


def _mask(
    options: PrepareOptions, name: str, lens: CalibratedCamera, new: Float[np.ndarray, "3 3"]
) -> Bool[np.ndarray, "H W"] | None:
    """The mask of a picture, undistorted with it."""
    folders = () if options.masks is None else (options.masks / lens.name, options.masks)
    path = next((path for folder in folders for path in sorted(folder.glob(f"{name}.*"))), None)
    if path is None:
        return None
    mask = read_mask(path, lens.size).astype(np.uint8)  # pyright: ignore[reportArgumentType]
    return undistort(mask, lens.intrinsics, lens.lens, new, labels=True) > 0
