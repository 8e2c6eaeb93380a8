"""`ns-hands synthesize`: renders a capture or pictures whose truth is known, or makes tracks of hands that move."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.files.whole_folder import check_new_folder
from nerfstudio_hands.program.option_range import bounded, check_ranges
from nerfstudio_hands.program.progress import say, show_progress
from nerfstudio_hands.synthesis.options import (
    MOST_PROCESSES,
    CaptureRoomOptions,
    DexYcbOptions,
    FreiHandOptions,
    Ho3dOptions,
    InterHandOptions,
    MotionOptions,
    ObManOptions,
    PhoneOptions,
)

Options = TypeVar(
    "Options",
    CaptureRoomOptions,
    InterHandOptions,
    PhoneOptions,
    MotionOptions,
    FreiHandOptions,
    Ho3dOptions,
    ObManOptions,
    DexYcbOptions,
)


@dataclass(frozen=True, kw_only=True)
class CaptureRoom(CaptureRoomOptions):
    """Render one or a few moments in the layout `capture-room`, finely: about ten seconds a picture.

    Writes <output>/1/{img,mask,pose,camera} and, for further frames, <output>/2 and so on; the true mesh, pose, shape
    and color gains in <output>/truth. The same options give the same files.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.capture_room import synthesize_capture_room

        with show_progress("Rendering capture-room", self.frames * self.num_cameras) as report:
            synthesize_capture_room(self.output, _options(self, CaptureRoomOptions), progress=report)
        say(f"Capture: {self.output}/1; truth: {self.output}/truth")


@dataclass(frozen=True, kw_only=True)
class InterHand(InterHandOptions):
    """Render range-of-motion takes in the layout of InterHand2.6M: about one second a picture.

    Writes <output>/{images,annotations} as InterHand2.6M has them, the built-in hand in MANO's own files in
    <output>/mano, and true meshes, poses, masks and color responses in <output>/truth.
    """

    output: Path
    """Folder to make; it must not exist."""
    processes: bounded(int, 1, MOST_PROCESSES) = 2
    """Frames are rendered by so many processes side by side; the files do not depend on it."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.interhand import synthesize_interhand

        options = _options(self, InterHandOptions)
        total = self.frames * len(self.sequences) * (self.num_cameras + self.gray_cameras)
        with show_progress("Rendering interhand", total) as report:
            synthesize_interhand(self.output, options, processes=self.processes, progress=report)
        say(f"Capture: {self.output}; truth: {self.output}/truth")


@dataclass(frozen=True, kw_only=True)
class Phone(PhoneOptions):
    """Film a hand as people do with a phone: about five seconds a picture.

    Writes <output>/orbit.mp4, once round a still hand on a table with a printed board, <output>/film.mp4, a moving hand
    before a phone that stands still, and in <output>/truth the true hands, skin and cameras.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.phone import synthesize_phone, true_hand_length

        with show_progress("Filming", 2 * self.frames) as report:
            synthesize_phone(self.output, _options(self, PhoneOptions), progress=report)
        say(
            f"Videos: {self.output}/orbit.mp4 and {self.output}/film.mp4; truth: {self.output}/truth. The hand is "
            f"{1000 * true_hand_length(self.output):.0f} mm long (--hand-length)."
        )


@dataclass(frozen=True, kw_only=True)
class Motion(MotionOptions):
    """Make pose tracks of hands that move in natural time, without pictures: ranges of motion, reaching, grasping,
    counting, chains of signs.

    Writes <output>/train and <output>/test, whose people have nothing in common, and the options beside them. The same
    options give the same tracks.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.motion_tracks import count_tracks, synthesize_motion

        options = _options(self, MotionOptions)
        with show_progress("Making tracks", count_tracks(options)) as report:
            synthesize_motion(self.output, options, progress=report)
        say(f"Tracks: {self.output}/train and {self.output}/test")


@dataclass(frozen=True, kw_only=True)
class FreiHandImages(FreiHandOptions):
    """Draw pictures of single right hands in the layout of FreiHAND: about 20 a second.

    Writes <output>/{training,evaluation} and their JSON files as FreiHAND has them, and the built-in hand in MANO's own
    file in <output>/mano. Training pictures need no files: `ns-train hand-monocular` draws them when it wants them.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.freihand_files import synthesize_freihand

        total = self.training * self.copies + self.evaluation
        with show_progress("Drawing hands", total) as report:
            synthesize_freihand(self.output, _options(self, FreiHandOptions), progress=report)
        say(f"Pictures: {self.output}")


@dataclass(frozen=True, kw_only=True)
class Ho3dImages(Ho3dOptions):
    """Draw the same pictures in the layout of HO-3D: what it says of hands, in its order of joints and its axes.

    Writes <output>/{train,evaluation}, the lists of their pictures, and the built-in hand in MANO's own file in
    <output>/mano. Sequences are single pictures, and poses of the things in hands are not written.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.ho3d_files import synthesize_ho3d

        with show_progress("Drawing hands", self.training + self.evaluation) as report:
            synthesize_ho3d(self.output, _options(self, Ho3dOptions), progress=report)
        say(f"Pictures: {self.output}")


@dataclass(frozen=True, kw_only=True)
class ObManImages(ObManOptions):
    """Draw pictures of right hands that hold something in the layout of ObMan, each 256 x 256.

    Writes <output>/{train,test} as ObMan has them, the things in <output>/ShapeNetCore.v2, and the built-in hand in
    MANO's own file in <output>/mano. Training pictures need no files: `ns-train hand-object-sdf` draws them when it
    wants them.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.obman_files import synthesize_obman

        with show_progress("Drawing grasps", self.training + self.evaluation) as report:
            synthesize_obman(self.output, _options(self, ObManOptions), progress=report)
        say(f"Pictures: {self.output}")


@dataclass(frozen=True, kw_only=True)
class DexYcbImages(DexYcbOptions):
    """Draw clips of hands that hold something in the layout of DexYCB, one take by one camera each, 640 x 480.

    Writes <output>/<subject>, <output>/calibration and <output>/models as DexYCB has them, where 21 synthetic things
    have the names of YCB's, and the built-in hands in MANO's own files in <output>/mano.
    """

    output: Path
    """Folder to make; it must not exist."""

    def run(self) -> None:
        _announce(self)

        from nerfstudio_hands.synthesis.dexycb_files import synthesize_dexycb

        with show_progress("Drawing clips", (self.training + self.evaluation) * self.frames) as report:
            synthesize_dexycb(self.output, _options(self, DexYcbOptions), progress=report)
        say(f"Pictures: {self.output}")


Layout = CaptureRoom | InterHand | Phone | Motion | FreiHandImages | Ho3dImages | ObManImages | DexYcbImages


def _announce(layout: Layout) -> None:
    """Refuse what can be refused at once, then say what is made."""
    check_ranges(layout)
    check_new_folder(layout.output.expanduser())
    check_can_be_made(layout.output.parent, "--output")
    say(f"Making {layout.output} ...")


def _options(layout: Options, kind: type[Options]) -> Options:
    """The options that a subcommand adds its own to."""
    return kind(**{field.name: getattr(layout, field.name) for field in fields(kind)})


@tyro.conf.configure(tyro.conf.OmitSubcommandPrefixes)
def synthesize(
    layout: Annotated[CaptureRoom, tyro.conf.subcommand("capture-room")]
    | Annotated[InterHand, tyro.conf.subcommand("interhand")]
    | Annotated[Phone, tyro.conf.subcommand("phone")]
    | Annotated[Motion, tyro.conf.subcommand("motion")]
    | Annotated[FreiHandImages, tyro.conf.subcommand("freihand")]
    | Annotated[Ho3dImages, tyro.conf.subcommand("ho3d")]
    | Annotated[ObManImages, tyro.conf.subcommand("obman")]
    | Annotated[DexYcbImages, tyro.conf.subcommand("dexycb")],
) -> None:
    """Render a capture of the built-in hand with made-up skin, in the layout of real captures or as a phone's videos,
    and its truth beside it; or pictures of hands, alone or with something in them, in the layouts of data sets; or make
    tracks of hands that move, without pictures.

    All of it is synthetic: good for trying things out and for tests, no substitute for a real capture in a comparison.
    """
    layout.run()
