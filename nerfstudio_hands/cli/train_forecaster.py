"""`ns-hands train-forecaster`: train what says how hands go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from nerfstudio_hands.cli.input_paths import check_hand_model
from nerfstudio_hands.cli.output_folder import check_new_npz, write_image
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.track_convention import TrackConvention
from nerfstudio_hands.program.option_range import bounded, check_ranges
from nerfstudio_hands.program.progress import say, show_progress
from nerfstudio_hands.training.forecaster_options import ForecasterTraining

Data = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE|FOLDER..")]


def train_forecaster(
    output: Path,
    *,
    data: Data = (),
    numbers: Literal["angles", "relative", "absolute"] = "angles",
    network: Literal["mixer", "simlpe"] = "mixer",
    fps: bounded(float, 1, 240) = 30.0,
    frames_in: bounded(int, 2, 1000) = 10,
    frames_out: bounded(int, 1, 1000) = 25,
    step: bounded(int, 0, 1000) = 0,
    futures: bounded(int, 0, 64) = 0,
    hand_model: str = "default",
    track_convention: TrackConvention | None = None,
    resume: bool = False,
    mixer: MixerConfig = MixerConfig(),  # noqa: B008
    options: tyro.conf.OmitArgPrefixes[ForecasterTraining] = ForecasterTraining(),  # noqa: B008
) -> None:
    """Train a forecaster of hand poses on pose tracks; minutes on two cores.

    While it learns, `<output>.png` shows forecasts of hands that are not learned from beside what came, and
    `<output>.training` keeps the state, from which --resume goes on. A tenth of the recordings is kept for looking at.

    Args:
        output: File (.npz) to write; it must not exist.
        data: Pose tracks, or folders of them (`ns-hands synthesize motion`), to learn from; for joint positions also
            .npz of joints and InterHand2.6M's joint_3d.json. By default made-up people, as that command makes them.
        numbers: `angles` of a hand with its wrist, whose forecasts are pose tracks; or joint positions, `relative` to
            the wrist or `absolute`.
        network: The convolutional mixer, or siMLPe's linear layers.
        fps: Frames a second; tracks of another rate are resampled.
        frames_in: Frames that are read.
        frames_out: Frames that are learned.
        step: Frames that are said at once, to be read in turn (autoregression); 0 says all at once.
        futures: Further continuations besides the most probable one, of which one is drawn where a hand is to go on for
            long; only where all frames are said at once.
        hand_model: What the tracks' poses refer to: "default" for the built-in hand, or MANO's file or folder.
        track_convention: How the poses of other tools are to be read, as for `ns-hands animate`.
        resume: Go on with the training that <output>.training keeps.
        mixer: Layers of the mixer.
        options: Numbers of the training.
    """
    check_ranges(options)
    check_ranges({"mixer": mixer})
    output = check_new_npz(output)
    check_hand_model(hand_model)
    for path in data:
        if not path.expanduser().exists():
            raise HandsError(f"{path}: expected pose tracks, found nothing; check --data.")
    kept = output.with_suffix(".training")
    if resume != kept.exists():
        found, remedy = ("none", "leave --resume out") if resume else ("one", "give --resume, or another --output")
        raise HandsError(f"{kept}: expected {'a' if resume else 'no'} training there, found {found}: {remedy}.")
    say("Making ready to train the forecaster ...")

    from nerfstudio_hands.motion.forecasting.forecaster import ForecasterConfig
    from nerfstudio_hands.motion.forecasting.weights_file import save_forecaster
    from nerfstudio_hands.training.forecaster import Check, ForecasterTrainer
    from nerfstudio_hands.training.forecaster_data import read_recordings, split_recordings
    from nerfstudio_hands.video.forecast_image import forecast_image

    config = ForecasterConfig(
        network=network, numbers=numbers, fps=fps, frames_in=frames_in, frames_out=frames_out,
        step=step or frames_out, futures=futures, mixer=mixer,
    )  # fmt: skip
    recordings = read_recordings(data, config, hand_model, track_convention)
    learned, looked_at = split_recordings(recordings)
    trainer = ForecasterTrainer(config, options, learned, looked_at)
    if resume:
        trainer.resume(kept)
        say(f"Going on from step {trainer.step}")
    output.parent.mkdir(parents=True, exist_ok=True)

    def look(check: Check) -> None:
        trainer.save(kept)
        write_image(output.with_suffix(".png"), forecast_image(config.representation, check.forecast, check.truth, fps))
        say(f"Step {check.step}: {check.error:.1f} mm off on average, of hands that are not learned from")

    with show_progress("Training the forecaster", options.steps) as report:
        forecaster = trainer.train(lambda step, _: report(step), look)
    save_forecaster(output, forecaster, learned_from=", ".join(path.name for path in data) or "made-up people")
    kept.unlink(missing_ok=True)
    say(f"Forecaster: {output}")
