"""`ns-hands calibrate`: cameras from pictures of a board, of the hands themselves, or of the room."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional, Tuple

from nerfstudio_hands.cli.output_folder import check_can_be_made, write_bytes, write_image
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

if TYPE_CHECKING:
    from nerfstudio_hands.calibration.record import CalibratedCamera


def calibrate(
    *,
    output: Path = Path("calibration.toml"),
    method: Literal["board", "hands", "motion"] = "board",
    videos: Tuple[Path, ...] = (),
    images: Tuple[Path, ...] = (),
    landmarks: Optional[Path] = None,
    intrinsics: Optional[Path] = None,
    fov: Optional[float] = None,
    hand_length: float = 185.0,
    board: Literal["charuco", "april"] = "charuco",
    board_size: Tuple[int, int] = (7, 10),
    square: float = 25.0,
    every: int = 5,
    fisheye: bool = False,
    print_board: Optional[Path] = None,
) -> None:
    """Calibrate cameras: by a printed board, by the hands that move before them, or by structure from motion.

    Several cameras stand still and see the board, or a hand, at the same instants: calibration.toml, as anipose writes
    it, is the result. A single camera moves round a board or a hand that lie still: the result is transforms.json, a
    camera a picture.

    Args:
        output: File to write: calibration.toml for several cameras, transforms.json for a single one; the frames of its
            video are written beside it, to <name>_frames.
        method: "board" tells lenses and places; "hands" places, of cameras whose intrinsics are known; "motion" those
            of a single camera by what stands still, with pycolmap (`pip install nerfstudio-hands[calibrate]`).
        videos: Videos, one a camera.
        images: Folders of pictures, one a camera.
        landmarks: Folder that `ns-hands detect` wrote, for "hands", and for the scale of "motion".
        intrinsics: Calibration with the intrinsics of these cameras, in any format that is read.
        fov: Angle of view along the longer side, degrees, 1 to 170, where nothing else tells; EXIF does by itself.
        hand_length: From the crease of the wrist to the tip of the middle finger, mm, 20 to 500: the scale of "hands"
            and "motion".
        board: A chessboard with markers, or a grid of AprilTags 36h11.
        board_size: Squares or tags across and down, 2 to 40.
        square: Side of a square or tag as it was printed, mm, 1 to 1000.
        every: Of so many pictures one is looked at by "board" and "motion", 1 to 1000.
        fisheye: Whether lenses are of wide angle (OpenCV's fisheye model).
        print_board: Write the board as a PNG to print at 100 %, and nothing else.
    """
    require_range("--hand-length", hand_length, 20, 500)
    require_range("--square", square, 1, 1000)
    require_range("--every", every, 1, 1000)
    for side in board_size:
        require_range("--board-size", side, 2, 40)
    if fov is not None:
        require_range("--fov", fov, 1, 170)
    target = output if print_board is None else print_board
    _check_new(target, "--output" if print_board is None else "--print-board")

    from nerfstudio_hands.calibration.board import Board, board_image

    printed = Board(board, board_size[0], board_size[1], square / 1000)
    if print_board is not None:
        import numpy as np

        write_image(print_board, np.repeat(board_image(printed)[..., None], 3, axis=2))
        say(f"Print {print_board} at 100 % (300 dots an inch); a square should measure {square:g} mm.")
        return
    if not videos and not images:
        raise HandsError("--images, --videos: expected folders of pictures or videos, found neither: name some.")
    if method == "hands" and landmarks is None:
        raise HandsError(
            "--method hands: expected --landmarks with the landmarks of these pictures, found none: run "
            "`ns-hands detect` first."
        )
    # Frames of a moving camera's video become pictures beside the result.
    frames = output.with_name(f"{output.stem}_frames")
    if len(videos) == 1 and not images:
        _check_new(frames, "--output")
    say("Reading the pictures ...")

    from nerfstudio_hands.calibration.formats.anipose import anipose_text
    from nerfstudio_hands.calibration.formats.transforms_json import transforms_text
    from nerfstudio_hands.preparation.calibrate import (
        by_board,
        by_hands,
        by_motion,
        first_sizes,
        known_cameras,
        write_frames,
    )
    from nerfstudio_hands.preparation.sources import folder_sources, video_sources

    sources = [*folder_sources(images), *video_sources(videos)]
    known = known_cameras(sources, first_sizes(sources), intrinsics, fov)
    moved: dict[str, CalibratedCamera] = {}
    if method == "hands":
        placed = by_hands(sources, landmarks, known, hand_length)  # pyright: ignore[reportArgumentType]
        rig, sentence = placed.cameras, placed.sentence
    elif method == "motion":
        sure = known if intrinsics is not None or fov is not None else {}
        found, sentence = by_motion(sources, sure, landmarks, every=every, hand_length_mm=hand_length)
        rig, moved = [], found.images
    else:
        seen = by_board(sources, printed, known if intrinsics is not None else {}, every=every, fisheye=fisheye)
        rig, moved, sentence = list(seen.cameras.values()), seen.images, seen.sentence
    given = f"--videos {' '.join(map(str, videos))}" if videos else f"--images {' '.join(map(str, images))}"
    if moved and sources[0].is_video:
        write_frames(sources[0], moved, frames)
        given = f"--images {frames}"
    write_bytes(output, (transforms_text(moved) if moved else anipose_text(rig, unit=1.0)).encode())
    say(sentence)
    say(f"Written: {output}. Next: ns-hands prepare {given} --calibration {output} --output CAPTURE")


def _check_new(path: Path, option: str) -> None:
    check_can_be_made(path.expanduser().absolute().parent, option)
    if path.expanduser().exists():
        raise HandsError(f"{path}: expected a new file, found one there: give another {option}, or remove it.")
