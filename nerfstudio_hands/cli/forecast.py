"""`ns-hands forecast`: a pose track that goes on where it stops, or whose gaps are filled."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

from nerfstudio_hands.cli.input_paths import check_hand_model
from nerfstudio_hands.cli.output_folder import check_new_npz
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.track_convention import TrackConvention
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

Hand = Literal["left", "right", "each"]

MOST_FRAMES = 100_000


def forecast(
    track: Path,
    output: Path,
    *,
    frames: int = 25,
    fill_gaps: bool = False,
    hand: Optional[Hand] = None,
    checkpoint: Optional[Path] = None,
    seed: int = 0,
    hand_model: str = "default",
    track_capture: Optional[str] = None,
    track_frames: Optional[tuple[int, int]] = None,
    track_convention: Optional[TrackConvention] = None,
) -> None:
    """Write a pose track that goes on where another one stops, for `ns-hands animate` and the viewer.

    The first 25 frames (0.8 s) are the most probable ones. What a hand does later nobody can know: it is drawn from
    what hands do, and another --seed draws something else.

    Args:
        track: The track: an .npz of ours or of another tool, MANO parameters in InterHand2.6M's JSON form, or a folder
            with a file a frame (DexYCB, HO-3D).
        output: Track (.npz) to write; it must not exist.
        frames: How many frames to add, 30 a second with the forecaster that comes along; 0 to 100000.
        fill_gaps: Fill what is missing in the track, from both ends of each gap, before going on.
        hand: Which hand of a track of two goes on; `each` takes both, each by itself and without regard to the other.
        checkpoint: A forecaster of `ns-hands train-forecaster`; by default the one that comes along.
        seed: Draws what comes after the most probable frames; 0 to 4294967295.
        hand_model: "default" for the built-in hand, or what the poses refer to: MANO's file or folder.
        track_capture: Which capture of a JSON file that holds several.
        track_frames: First and last frame number to read of a JSON file.
        track_convention: How the poses of another tool are to be read, as for `ns-hands animate`.
    """
    require_range("--frames", frames, 0, MOST_FRAMES)
    require_range("--seed", seed, 0, 2**32 - 1)
    check_hand_model(hand_model)
    if not (frames or fill_gaps):
        raise HandsError("--frames: expected at least one frame or --fill-gaps, found neither: give one of them.")
    if not track.exists():
        raise HandsError(f"{track}: expected a pose track, found nothing; check --track.")
    output = check_new_npz(output)
    if checkpoint is not None and not checkpoint.is_file():
        raise HandsError(f"{checkpoint}: expected a forecaster, found no such file; check --checkpoint.")
    say(f"Forecasting {track} ...")

    import torch

    from nerfstudio_hands.hand_model import SIDES, load_hand
    from nerfstudio_hands.motion.forecasting import continuation
    from nerfstudio_hands.motion.forecasting.weights_file import load_forecaster, shipped_forecaster
    from nerfstudio_hands.motion.track_file import read_any_track, save_track

    forecaster = shipped_forecaster() if checkpoint is None else load_forecaster(checkpoint)
    sides = (hand,) if hand in SIDES else SIDES
    models = [load_hand(hand_model, side) for side in sides]
    read = read_any_track(track, models, convention=track_convention, capture=track_capture, frames=track_frames)
    if len(read.sides) == 2 and hand is None:
        raise HandsError(
            f"{track}: expected one hand, as the forecaster has learned, found two: give --hand left or --hand right, "
            "or --hand each to take each by itself."
        )
    chosen = read if hand in (None, "each") else continuation.only(read, hand)
    if not read.placed:
        say("The track does not say where wrists are: play what comes of it with --in-place.")
    if fill_gaps:
        chosen, filled, left = continuation.fill_gaps(forecaster, chosen, models)
        say(f"Gaps: {filled} filled, {left} left, whose ends are shorter than what is read.")
    if frames:
        draw = torch.Generator().manual_seed(seed) if forecaster.config.futures else None
        chosen = continuation.continue_track(forecaster, chosen, models, frames, generator=draw)
    save_track(output, chosen)
    say(f"Pose track: {output} ({chosen.num_keys} poses, {chosen.duration:.1f} s)")
