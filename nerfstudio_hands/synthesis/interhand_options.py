"""What to render in the layout of InterHand2.6M; imports nothing heavy, as the command's help is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SPLITS = ("train", "val", "test")

FRAME_STEPS = {5: 18, 30: 3}
"""Frame numbers count the 90 pictures a second that the dome takes, of which 5 or 30 are kept."""


@dataclass(frozen=True)
class InterHandOptions:
    """What to render; the same options give the same files, bit by bit, on the same machine."""

    num_cameras: int = 6
    """Colour cameras around the hands, 1 to 1000."""
    frames: int = 20
    """Frames of each sequence, spread over the whole take, 1 to 100000."""
    sequences: tuple[str, ...] = ("ROM03_RT_No_Occlusion",)
    """Names of range-of-motion takes; an unknown name is answered by the list of those there."""
    split: str = "test"
    """`train`, `val` or `test`: only the name under which the capture is filed."""
    capture: int = 0
    """Number of the capture, 0 to 9999."""
    fps: int = 5
    """5 or 30: the step of the frame numbers, 18 or 3, as in the two downloads of InterHand2.6M."""
    seed: int = 0
    """Another seed is another person, another skin, another dome and other errors of annotation; 0 to
    4294967295."""
    grey_cameras: int = 0
    """Grey cameras in addition, 0 to 1000."""
    supersampling: int = 2
    """Samples a pixel along each axis, 1 to 16."""
    subdivisions: int = 3
    """Loop subdivisions of the rendered hand, 2 to 5; 3 leaves edges of 0.7 mm, the size of a pixel."""
    object: Literal["box", "cylinder", "mug", "superquadric"] | None = None
    """What the hand of each take holds: its fingers keep hold of it, its wrist moves as in the take. Masks of the
    object go to `obj_mask`, its true mesh and poses to `truth`."""
