"""`ns-hands synthesize`: renders a capture whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nerfstudio_hands.cli.output_folder import check_can_be_made
from nerfstudio_hands.program.progress import say, show_progress
from nerfstudio_hands.synthesis.interhand_options import InterHandOptions
from nerfstudio_hands.synthesis.option_ranges import CAPTURE_ROOM, INTERHAND, check_numbers
from nerfstudio_hands.synthesis.whole_folder import check_new_folder


@dataclass(frozen=True, kw_only=True)
class CaptureRoom:
    """Render one or a few moments in the layout `capture-room`, finely: about ten seconds a picture.

    Writes <output>/1/{img,mask,pose,camera} and, for further frames, <output>/2 and so on; the true mesh, pose, shape
    and colour gains in <output>/truth. The same options give the same files.
    """

    output: Path
    """Folder to make; it must not exist."""
    num_cameras: int = 12
    """Cameras around the hands, 2 to 1000."""
    resolution: int = 256
    """Width and height of the pictures in pixels, 16 to 8192."""
    seed: int = 0
    """Another seed is another person, another skin and another rig; 0 to 4294967295."""
    hand: Literal["right", "left", "both"] = "right"
    """Which hands are in the pictures."""
    frames: int = 1
    """Moments of a slow movement, each a scan of its own, 1 to 10000."""
    supersampling: int = 3
    """Samples a pixel along each axis, 1 to 16."""
    object: Literal["box", "cylinder", "mug", "superquadric"] | None = None
    """What the hand holds; its masks go to <output>/1/obj_mask, its true mesh and pose to <output>/truth."""

    def run(self) -> None:
        check_numbers(self, CAPTURE_ROOM)
        _check_output(self.output)
        say(f"Making the capture {self.output} ...")

        from nerfstudio_hands.synthesis.capture_room import CaptureRoomOptions, synthesize_capture_room

        options = CaptureRoomOptions(
            num_cameras=self.num_cameras,
            resolution=self.resolution,
            seed=self.seed,
            hand=self.hand,
            frames=self.frames,
            supersampling=self.supersampling,
            object=self.object,
        )
        with show_progress("Rendering capture-room", self.frames * self.num_cameras) as report:
            synthesize_capture_room(self.output, options, progress=report)
        say(f"Capture: {self.output}/1; truth: {self.output}/truth")


@dataclass(frozen=True, kw_only=True)
class InterHand(InterHandOptions):
    """Render range-of-motion takes in the layout of InterHand2.6M: about one second a picture.

    Writes <output>/{images,annotations} as InterHand2.6M has them, the built-in hand in MANO's own files in
    <output>/mano, and true meshes, poses, masks and colour responses in <output>/truth.
    """

    output: Path
    """Folder to make; it must not exist."""
    processes: int = 2
    """Frames are rendered by so many processes side by side, 1 to 256; the files do not depend on it."""

    def run(self) -> None:
        check_numbers(self, INTERHAND)
        _check_output(self.output)
        say(f"Making the capture {self.output} ...")

        from nerfstudio_hands.synthesis.interhand import synthesize_interhand

        options = InterHandOptions(**{field.name: getattr(self, field.name) for field in fields(InterHandOptions)})
        with show_progress("Rendering interhand") as report:
            synthesize_interhand(self.output, options, processes=self.processes, progress=report)
        say(f"Capture: {self.output}; truth: {self.output}/truth")


def _check_output(output: Path) -> None:
    check_new_folder(output.expanduser())
    check_can_be_made(output.parent, "--output")


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def synthesize(
    layout: Annotated[CaptureRoom, tyro.conf.subcommand("capture-room")]
    | Annotated[InterHand, tyro.conf.subcommand("interhand")],
) -> None:
    """Render a capture of the built-in hand with made-up skin, in the layout of real captures, and its truth beside it.

    The pictures are synthetic: good for trying things out and for tests, no substitute for a real capture in a
    comparison.
    """
    layout.run()
