"""What to render in each layout; imports nothing heavy, as the command's help is made from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import bounded

SPLITS = ("train", "val", "test")

FRAME_STEPS = {5: 18, 30: 3}
"""Frame numbers count the 90 pictures a second that the dome takes, of which 5 or 30 are kept."""

MOST_PROCESSES = 256


@dataclass(frozen=True)
class SubjectOptions:
    """How the person's hands differ from every hand of the shape space; as they stand, they do not."""

    finger_thickness: bounded(float, 0.7, 1.4) = 1.0
    """Factor on the girth of the fingers; joints stay where they are."""
    palm_thickness: bounded(float, 0.7, 1.4) = 1.0
    """Factor on the thickness of the palm and of the ball of the thumb; joints stay where they are."""
    finger_length: bounded(float, 0.8, 1.25) = 1.0
    """Factor on the length of the fingers, which moves their joints."""
    finger_variation: bounded(float, 0, 0.1) = 0.0
    """Standard deviation by which the factors of a single finger differ from these two, drawn from the seed."""
    wrist_width: bounded(float, 0.7, 1.4) = 1.0
    """Factor on the width and the depth of the wrist and the forearm."""
    nail_length: bounded(float, 0, 10) = 0.0
    """Millimeters by which nails are longer."""
    skin_displacement: bounded(float, 0, 3) = 0.0
    """Standard deviation in millimeters of a smooth displacement of the skin, drawn from the seed."""


OF_THE_SHAPE_SPACE = SubjectOptions()


@dataclass(frozen=True)
class LandmarkOptions:
    """What detectors do wrong, beyond the small errors that landmarks have in any case."""

    bias: bounded(float, 0, 20) = 0.0
    """Millimeters, a quarter more or less, by which landmarks lie off the joints of the bones, towards the skin of the
    back: one offset a joint and person, which the bone carries."""
    scatter: bounded(float, 0, 50) = 0.0
    """Standard deviation in millimeters, a coordinate, of further errors."""
    outliers: bounded(float, 0, 1) = 0.0
    """Share of landmarks that are 20 to 60 mm off."""


@dataclass(frozen=True)
class CalibrationOptions:
    """How wrong the cameras of the files are; the truth has the right ones."""

    degrees: bounded(float, 0, 15) = 0.0
    """Angle by which wrong cameras are turned at most; it is half of it at least."""
    cameras: bounded(int, 1, 1000) = 2
    """How many are wrong, where --calibration.degrees is not 0."""


@dataclass(frozen=True)
class MaskOptions:
    """What the masks of a capture show; the truth has whole ones."""

    show: Literal["hand", "forearm", "sleeve", "none"] = "forearm"
    """Up to where the arm is in the masks: to the wrist, to the sleeve or with it; or no masks at all."""
    holes: bounded(int, 0, 100) = 0
    """Holes of each mask, from 4 to 12 hundredths of the picture wide, some of them over its edge."""


@dataclass(frozen=True)
class ImageOptions:
    """How the pictures are taken."""

    exposure: bounded(float, 0.05, 50) = 1.0
    """Factor on the light; from about 2 on skin is overexposed in the brighter places, from about 6 on most of it."""
    shutter: bounded(float, 0, 1) = 0.0
    """Share of the time from frame to frame in which the shutter is open, half before the true pose and half after it:
    hands blur as they move. Rendering then takes five times as long."""


AS_IT_IS = ImageOptions()


@dataclass(frozen=True)
class RenderedCaptureOptions:
    """What all rendered captures have; the same options give the same files, bit by bit, on the same machine."""

    object: Literal["box", "cylinder", "mug", "superquadric"] | None = None
    """What a hand holds; fingers keep hold of it, wrists move as they would. Its masks go to `obj_mask`, its true mesh
    and poses to `truth`."""
    subject: SubjectOptions = OF_THE_SHAPE_SPACE
    """What the fit's shape space does not hold."""
    landmarks: LandmarkOptions = LandmarkOptions()
    """How far landmarks are from joints."""
    calibration: CalibrationOptions = CalibrationOptions()
    """How far the cameras of the files are from the true ones."""
    pictures: ImageOptions = AS_IT_IS
    """How the pictures are taken."""


@dataclass(frozen=True)
class CaptureRoomOptions(RenderedCaptureOptions):
    """What to render; the same options give the same files, bit by bit, on the same machine."""

    num_cameras: bounded(int, 2, 1000) = 12
    """Cameras around the hands."""
    resolution: bounded(int, 16, 8192) = 256
    """Width and height of the pictures in pixels."""
    seed: bounded(int, 0, 2**32 - 1) = 0
    """Another seed is another person, another skin, another rig and other errors of detection."""
    hand: Literal["right", "left", "both"] = "right"
    """Which hands are in the pictures."""
    frames: bounded(int, 1, 10000) = 1
    """Moments of a slow movement, each a scan of its own; the first is an open hand."""
    supersampling: bounded(int, 1, 16) = 3
    """Samples a pixel along each axis."""
    subdivisions: bounded(int, 1, 5) = 2
    """Loop subdivisions of the rendered hand; 2 leave edges of about 1 mm, finer skin is looked up a sample."""
    masks: MaskOptions = MaskOptions()
    """What masks show."""


@dataclass(frozen=True)
class InterHandOptions(RenderedCaptureOptions):
    """What to render; the same options give the same files, bit by bit, on the same machine."""

    num_cameras: bounded(int, 1, 1000) = 6
    """Color cameras around the hands."""
    frames: bounded(int, 1, 100000) = 20
    """Frames of each sequence, spread over the whole take."""
    sequences: tuple[str, ...] = ("ROM03_RT_No_Occlusion",)
    """Names of range-of-motion takes; an unknown name is answered by the list of those there."""
    split: str = "test"
    """`train`, `val` or `test`: only the name under which the capture is filed."""
    capture: bounded(int, 0, 9999) = 0
    """Number of the capture."""
    fps: int = 5
    """5 or 30: the step of the frame numbers, 18 or 3, as in the two downloads of InterHand2.6M."""
    seed: bounded(int, 0, 2**32 - 1) = 0
    """Another seed is another person, another skin, another dome and other errors of annotation."""
    gray_cameras: bounded(int, 0, 1000) = 0
    """Grey cameras in addition."""
    supersampling: bounded(int, 1, 16) = 2
    """Samples a pixel along each axis."""
    subdivisions: bounded(int, 2, 5) = 3
    """Loop subdivisions of the rendered hand; 3 leave edges of 0.7 mm, the size of a pixel."""


@dataclass(frozen=True)
class PhoneOptions:
    """What to film; the same options give the same videos."""

    frames: bounded(int, 2, 100000) = 60
    """Pictures of each of the two videos."""
    resolution: bounded(int, 64, 4096) = 960
    """Pixels of the longer side; the shorter one has 9/16 of it."""
    orbit_seconds: bounded(float, 1, 600) = 20.0
    """Seconds in which the phone is carried round the still hand."""
    fps: bounded(float, 1, 240) = 15.0
    """Pictures a second of the hand that moves."""
    motion: Literal["range-of-motion", "reaching", "grasping", "counting", "signing"] = "signing"
    """What that hand does."""
    shutter: bounded(float, 0, 0.1) = 0.004
    """Seconds in which the shutter is open: what moves meanwhile is blurred."""
    drift: bounded(float, 0, 0.5) = 0.12
    """Share by which the exposure wanders up and down."""
    hand: Literal["right", "left"] = "right"
    """Which hand."""
    seed: bounded(int, 0, 2**32 - 1) = 0
    """Another seed is another person, skin, table, way of the phone and movement of the hand."""
    subdivisions: bounded(int, 1, 5) = 2
    """Loop subdivisions of the rendered hand; 2 leave edges of about 1 mm."""
    square: bounded(float, 5, 40) = 25.0
    """Millimeters of a square of the printed board."""
    subject: SubjectOptions = OF_THE_SHAPE_SPACE
    """What the fit's shape space does not hold."""


@dataclass(frozen=True)
class MotionOptions:
    """What to make; the same options give the same tracks."""

    subjects: bounded(int, 1, 1000) = 12
    """People to learn from."""
    test_subjects: bounded(int, 0, 1000) = 4
    """Other people, to measure on."""
    takes: bounded(int, 1, 1000) = 1
    """Tracks of each kind a person: ranges of motion, reaching, grasping, counting, chains of signs."""
    seconds: bounded(float, 1, 3600) = 30.0
    """Length of a track."""
    fps: bounded(float, 1, 240) = 30.0
    """Poses a second."""
    hand: Literal["right", "left", "both"] = "right"
    """Which hand moves; two hands do the same kind of thing, each in its own way."""
    seed: bounded(int, 0, 2**32 - 1) = 0
    """Another seed is other people who do other things."""


@dataclass(frozen=True)
class DrawnImageOptions:
    """Which pictures of single hands to draw; the same options give the same files."""

    training: bounded(int, 2, 10**6) = 64
    """Hands to learn from."""
    evaluation: bounded(int, 1, 10**6) = 16
    """Hands of other people, with other things and backgrounds, to measure on."""
    size: bounded(int, 32, 1024) = 224
    """Pixels of a picture's side."""
    truth: bool = True
    """Whether the evaluation split has its joints, too; the published ones came without for years."""
    seed: bounded(int, 0, 2**31 - 1) = 0
    """Another seed is other pictures of other people."""


@dataclass(frozen=True)
class FreiHandOptions(DrawnImageOptions):
    """Which pictures to draw in FreiHAND's layout."""

    copies: Literal[1, 4] = 4
    """How often each hand to learn from comes, before other backgrounds."""


@dataclass(frozen=True)
class Ho3dOptions(DrawnImageOptions):
    """Which pictures to draw in HO-3D's layout."""

    frames: bounded(int, 1, 10**4) = 8
    """Pictures of a sequence."""
    version: Literal[2, 3] = 3
    """Of the data set: version 2 has PNG, version 3 JPEG."""


@dataclass(frozen=True)
class ObManOptions:
    """Which pictures of hands that hold something to draw in ObMan's layout; the same options give the same files."""

    training: bounded(int, 1, 10**6) = 64
    """Pictures to learn from."""
    evaluation: bounded(int, 1, 10**6) = 16
    """Pictures of other people who hold other things, to measure on."""
    seed: bounded(int, 0, 2**31 - 1) = 0
    """Another seed is other pictures of other people."""


@dataclass(frozen=True)
class DexYcbOptions:
    """Which clips of hands that hold something to draw in DexYCB's layout; the same options give the same files."""

    training: bounded(int, 1, 800) = 16
    """Clips to learn from; DexYCB has 800."""
    evaluation: bounded(int, 1, 160) = 4
    """Clips of other people who hold other things, to measure on; DexYCB has 160."""
    frames: bounded(int, 1, 1000) = 5
    """Pictures of a clip; they are every fifth frame of a take, which are those that gSDF looks at."""
    left: bounded(float, 0, 1) = 0.25
    """Share of clips of a left hand."""
    seed: bounded(int, 0, 2**31 - 1) = 0
    """Another seed is other clips of other people."""


def check_images(options: ImageOptions, num_frames: int) -> None:
    """Refuse blur where nothing moves.

    Raises:
        HandsError: There is one frame alone.
    """
    if options.shutter > 0 and num_frames < 2:
        raise HandsError(
            "--pictures.shutter: expected at least two frames, between which hands move, found one: give --frames 2."
        )


def write_options(folder: Path, options: CaptureRoomOptions | InterHandOptions) -> None:
    """Write `options.json`, the options that a capture was made with, where one of their groups is not the default.

    Args:
        folder: `truth` of the capture.
        options: What was rendered.
    """
    groups = [group for field in fields(options) if is_dataclass(group := getattr(options, field.name))]
    if any(group != type(group)() for group in groups):
        (folder / "options.json").write_text(json.dumps(asdict(options), indent=1))
