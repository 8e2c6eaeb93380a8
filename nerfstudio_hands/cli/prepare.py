"""`ns-hands prepare`: from own pictures or films to a capture."""

from __future__ import annotations

from pathlib import Path

import tyro

from nerfstudio_hands.cli.output_folder import check_can_be_made, write_image
from nerfstudio_hands.preparation.options import PrepareOptions
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.program.progress import say
from nerfstudio_hands.program.wording import counted


def prepare(
    *,
    output: Path,
    options: tyro.conf.OmitArgPrefixes[PrepareOptions] = PrepareOptions(),  # noqa: B008
) -> None:
    """Make a capture of own pictures: no detections, masks or tools of others are needed.

    Finds hands and their landmarks, decides over all cameras and frames which is the left and which the right one,
    checks the calibration by them, chooses sharp frames at the same instants, undistorts pictures, and writes them as
    nerfstudio's transforms.json with landmarks beside it. `ns-hands check` and `ns-train` read that folder. The contact
    sheet OUTPUT/landmarks.png shows what was found.

    Args:
        output: Folder to make.
        options: Pictures, and what is known of them.
    """
    check_ranges(options)
    from nerfstudio_hands.files.whole_folder import check_new_folder

    check_can_be_made(output.parent, "--output")
    check_new_folder(output)
    say("Looking at the pictures ...")

    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.captures.capture_options import CaptureOptions
    from nerfstudio_hands.captures.splits import nothing_held_out
    from nerfstudio_hands.preparation.chosen_capture import read_and_split
    from nerfstudio_hands.preparation.overview import overview
    from nerfstudio_hands.preparation.prepare import prepare as make

    made = make(options, output)
    unjudged = nothing_held_out(*read_and_split(output, CaptureOptions()))
    for sentence in (*made.sentences, *([unjudged] if unjudged else [])):
        CONSOLE.print(f"- {sentence}", markup=False, highlight=False, soft_wrap=True)
    write_image(output / "landmarks.png", overview(output))
    found = ", ".join(f"{side} hand in {count}" for side, count in made.found.items() if count)
    CONSOLE.print(
        f"{output}: {counted(made.frames, 'frame')}, {counted(len(made.cameras), 'camera')}, "
        f"{counted(made.pictures, 'picture')}; {found}. "
        f"Look at {output / 'landmarks.png'}.",
        soft_wrap=True,
    )
    CONSOLE.print(f"Next: ns-hands check {output}; ns-train hand-uvnerf --data {output}", soft_wrap=True)
