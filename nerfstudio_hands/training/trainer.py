"""What nerfstudio's trainer does not do: checkpoints that no kill and no fault can spoil."""

from __future__ import annotations

import shutil
import sys
import tempfile
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import TRAIN_INTERATION_OUTPUT, Trainer, TrainerConfig
from nerfstudio.utils import writer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.utils.writer import EventName

from nerfstudio_hands.dataparsers.run_record import run_folder
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import disk_fault, write_whole
from nerfstudio_hands.files.checkpoints import checkpoint_path, read_checkpoint
from nerfstudio_hands.files.run_yaml import portable_yaml
from nerfstudio_hands.program.faults import sentence_of
from nerfstudio_hands.program.gpu import unused_gpu
from nerfstudio_hands.program.interruption import exit_status, resume_command, sigterm_interrupts, undisturbed
from nerfstudio_hands.program.memory import explain_out_of_memory
from nerfstudio_hands.program.option_range import Interval, bounded
from nerfstudio_hands.training.schedules import OPEN_SCHEDULES
from nerfstudio_hands.training.sound_pipeline import SoundPipeline, SoundPipelineConfig
from nerfstudio_hands.training.soundness import require_sound


@dataclass
class HandMachineConfig(MachineConfig):
    """nerfstudio's, with ranges and the devices that our kernels run on."""

    seed: bounded(int, 0, 2**32 - 1) = 42
    """Seed of whatever is drawn at random."""
    num_devices: bounded(int, 1, 64) = 1
    """Devices of this machine to train on."""
    num_machines: bounded(int, 1, 1024) = 1
    """Machines that train together."""
    machine_rank: bounded(int, 0, 1023) = 0
    """Which of them this one is."""
    device_type: typing.Literal["cpu", "cuda"] = "cuda"
    """Kind of device to train on."""


@dataclass
class HandTrainerConfig(TrainerConfig):
    """nerfstudio's trainer with checkpoints that are whole or absent."""

    _target: typing.Type = field(default_factory=lambda: HandTrainer)
    """target class to instantiate"""
    pipeline: SoundPipelineConfig = field(default_factory=SoundPipelineConfig)
    """Data manager and model."""
    max_num_iterations: bounded(int, 1, 10**9) = 1000
    """Steps of the training, those before --load-dir among them."""
    steps_per_save: Interval = 500
    """Steps between checkpoints; the last step has one anyway."""
    steps_per_eval_batch: Interval = 500
    """Steps between evaluations on some held-out rays."""
    steps_per_eval_image: Interval = 500
    """Steps between evaluations on a held-out picture."""
    steps_per_eval_all_images: Interval = 25000
    """Steps between evaluations on all held-out pictures."""
    load_step: bounded(typing.Optional[int], 0, 10**9) = None
    """Step of the checkpoint in --load-dir to go on from; by default the last one."""

    def print_to_terminal(self) -> None:
        """One line instead of nerfstudio's two hundred, which stand in config.yml.

        nerfstudio calls this first with the whole configuration, so what is wrong with that is said here, before
        anything is read or written.
        """
        try:
            data = require_sound(self)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        say(
            f"{self.method_name}: {self.max_num_iterations:,} steps on {self.machine.device_type}, {data}, "
            f"run {self.get_base_dir()} (all options: config.yml there)"
        )
        if self.machine.device_type == "cpu" and (sentence := unused_gpu()):
            say(sentence)

    def get_base_dir(self) -> Path:
        """nerfstudio's folder of the run, or where it was moved to, see `run_folder`."""
        return run_folder(super().get_base_dir())

    def save_config(self) -> None:
        """Writes config.yml, which every system can read whatever system wrote it, and which means the same from every
        folder."""
        self._settle_paths()
        try:
            folder = self.get_base_dir()
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "config.yml", portable_yaml(self).encode())
        except OSError as error:
            forget_run(self.get_base_dir())
            raise SystemExit(
                f"error: {self.output_dir}: expected a folder to write the run to, found '{error.strerror or error}'; "
                "choose another --output-dir."
            ) from error

    def _settle_paths(self) -> None:
        """Makes paths absolute, and says where the run lies and which one it goes on from."""
        data, source = self.pipeline.datamanager, self.pipeline.source
        self.output_dir, self.data = _absolute(self.output_dir), _absolute(self.data)  # pyright: ignore[reportAttributeAccessIssue]
        self.load_dir, self.load_checkpoint = _absolute(self.load_dir), _absolute(self.load_checkpoint)
        data.data, source.data = _absolute(data.data), _absolute(source.data)
        checkpoints = self.load_dir or (self.load_checkpoint and self.load_checkpoint.parent)
        source.keep_with(self.get_base_dir(), checkpoints.parent if checkpoints else None)


def _absolute(path: Path | None) -> Path | None:
    # An empty path is nerfstudio's other way to say that there is none.
    return path if path is None or path == Path() else path.expanduser().absolute()


def say(sentence: str) -> None:
    """Prints a sentence as it is, in one line that can be copied."""
    CONSOLE.print(sentence, markup=False, highlight=False, soft_wrap=True)


class HandTrainer(Trainer):
    """Ends where it was asked to end, writes checkpoints under a temporary name first, and one more when the user or a
    fault stops the training."""

    config: HandTrainerConfig
    pipeline: SoundPipeline
    saved_step: int | None = None
    """Step of the last checkpoint that was written."""
    held_out_psnr: float | None = None
    """What the last look at held-out pixels gave, dB."""

    def setup(self, test_mode: typing.Literal["test", "val", "inference"] = "val") -> None:
        try:
            with explain_out_of_memory("model", self._training_remedy()), sigterm_interrupts():
                super().setup(test_mode)
        except KeyboardInterrupt as stop:
            forget_run(self.base_dir)
            say("Stopped before the first step: nothing was learned yet.")
            raise SystemExit(exit_status(stop)) from None
        except (HandsError, SystemExit) as error:
            forget_run(self.base_dir)
            if isinstance(error, HandsError):
                raise SystemExit(f"error: {error}") from error
            raise
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._say_what_next))

    def train_iteration(self, step: int) -> TRAIN_INTERATION_OUTPUT:
        with explain_out_of_memory(f"training step {step}", self._training_remedy()):
            return super().train_iteration(step)

    def _training_remedy(self) -> str:
        pipeline = self.config.pipeline
        return pipeline.model.training_remedy(pipeline.datamanager)  # pyright: ignore[reportAttributeAccessIssue]

    def eval_iteration(self, step: int) -> None:
        """nerfstudio's, and the quality on held-out pixels beside the times that are printed."""
        with explain_out_of_memory(f"evaluation at step {step}", self.config.pipeline.model.rendering_remedy()):  # pyright: ignore[reportAttributeAccessIssue]
            self._look_at_held_out_pixels(step)
            super().eval_iteration(step)

    def _look_at_held_out_pixels(self, step: int) -> None:
        """Measures ten times in a training, on as many rays as a batch has, and repeats the figure in every line that
        is printed."""
        interval = self.config.logging.steps_per_log
        if step % interval:
            return
        looks = max(1, self.config.max_num_iterations // (10 * interval)) * interval
        if step and step % looks == 0:
            self.held_out_psnr = self.pipeline.held_out_psnr(step)
        if self.held_out_psnr is not None:
            writer.put_scalar(name=EventName.CURR_TEST_PSNR, scalar=self.held_out_psnr, step=step)

    def setup_optimizers(self) -> Optimizers:
        """nerfstudio's, with the length of the training in schedules that leave it open; that length is the data's,
        where these are trained on by epochs."""
        steps = self.pipeline.training_steps()
        if steps is not None:
            self.config = replace(self.config, max_num_iterations=steps)
        groups = {}
        for name, group in self.config.optimizers.items():
            scheduler = group["scheduler"]
            if isinstance(scheduler, OPEN_SCHEDULES) and scheduler.max_steps is None:
                scheduler = replace(scheduler, max_steps=self.config.max_num_iterations)
            groups[name] = {**group, "scheduler": scheduler}
        return Optimizers(groups, self.pipeline.get_param_groups())

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Writes the checkpoint of a step and, unless all are kept, removes older ones afterwards.

        Where the disk does not take it, the training goes on with the last good one kept; the checkpoint of the end
        is then tried elsewhere.

        Raises:
            HandsError: A parameter is not finite, and nothing is written; or the run's folder does not take the
                checkpoint of the end.
        """
        if not all_finite(self.pipeline):
            raise HandsError(
                f"training: expected finite parameters, found others at step {step}; no checkpoint of them is written, "
                "and older ones are kept. Lower the learning rates."
            )
        try:
            target = self._write_checkpoint(step, self.checkpoint_dir)
        except (OSError, RuntimeError) as error:
            reason = disk_fault(error)
            if self.training_state == "completed":
                raise HandsError(self._kept_elsewhere(step, reason)) from error
            say(
                f"{self.checkpoint_dir}: expected space for the checkpoint of step {step}, found '{reason}'; older "
                "ones are kept and the training goes on: free some space."
            )
            return
        self.saved_step = step
        if self.config.save_only_latest_checkpoint:
            for checkpoint in self.checkpoint_dir.glob("*.ckpt"):
                if checkpoint != target:
                    checkpoint.unlink()

    def _write_checkpoint(self, step: int, folder: Path) -> Path:
        """The file of a step, whole or not at all."""
        final, self.checkpoint_dir = self.checkpoint_dir, folder.parent / f".{folder.name}.writing"
        try:
            super().save_checkpoint(step)
            folder.mkdir(parents=True, exist_ok=True)
            return (self.checkpoint_dir / f"step-{step:09d}.ckpt").replace(folder / f"step-{step:09d}.ckpt")
        finally:
            shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
            self.checkpoint_dir = final

    def _kept_elsewhere(self, step: int, reason: str) -> str:
        """Tries the last checkpoint in other places, and tells how that went."""
        found = f"{self.checkpoint_dir}: expected space for the last checkpoint, found '{reason}'"
        for place in spare_folders():
            folder = place / "-".join(("nerfstudio_hands", *self.base_dir.parts[-3:]))
            try:
                kept = self._write_checkpoint(step, folder)
            except (OSError, RuntimeError) as error:
                disk_fault(error)
            else:
                return f"{found}; it was written to {kept} instead: free some space and move it there."
        return f"{found}, and no other place took it; older ones are kept: free some space and train again."

    def _load_checkpoint(self) -> None:
        """nerfstudio's; a checkpoint that cannot be gone on from is one sentence.

        Raises:
            HandsError: The checkpoint is missing or damaged, or of another model, or the training ended with it.
        """
        config = self.config
        if config.load_dir is None and config.load_checkpoint is None:
            return
        path = config.load_checkpoint or checkpoint_path(config.load_dir, config.load_step)  # pyright: ignore[reportArgumentType]
        state = read_checkpoint(path)
        try:
            self.pipeline.load_pipeline(state["pipeline"], state["step"])
            self.optimizers.load_optimizers(state["optimizers"])
            if config.load_scheduler:
                self.optimizers.load_schedulers(state["schedulers"])
            self.grad_scaler.load_state_dict(state["scalers"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise HandsError(
                f"{path}: expected the state of a training of {config.method_name} with these options, found another "
                f"({' '.join(str(error).split())[:200]}); give those of the run that wrote it."
            ) from error
        self._start_step = state["step"] + 1
        if self._start_step >= config.max_num_iterations:
            raise HandsError(
                f"--max-num-iterations: expected more than the {self._start_step} steps that {path} has seen, found "
                f"{config.max_num_iterations}: give the step at which the training should end."
            )
        say(f"Going on from step {self._start_step} of {config.max_num_iterations}, {path}")

    def train(self) -> None:
        """nerfstudio's, but it ends at `max_num_iterations` also where it began at a checkpoint."""
        # nerfstudio makes this folder if it is not there, which fails where two processes do so at once.
        self.base_dir.mkdir(parents=True, exist_ok=True)
        whole = self.config
        self.config = replace(whole, max_num_iterations=whole.max_num_iterations - self._start_step)
        try:
            with sigterm_interrupts():
                super().train()
        except KeyboardInterrupt as stop:
            if self.training_state == "completed" and self.saved_step == self.step:
                # Only the viewer was open still.
                raise SystemExit(0) from None
            self._keep_last_step()
            raise SystemExit(exit_status(stop)) from None
        # A disk that is full, of which TensorBoard's file says so; a pipe whose reader is gone.
        except (HandsError, SystemExit, OSError) as error:
            if self.training_state != "completed":
                self._keep_last_step()
            sentence = sentence_of(error)
            if sentence is not None:
                raise SystemExit(f"error: {sentence}") from error
            raise
        finally:
            self.config = whole

    def _keep_last_step(self) -> None:
        """Saves what was learned until a training was stopped, and says how to go on."""
        if self.step == self._start_step:
            say(f"Stopped in step {self.step}, the first one: nothing was learned yet.")
            return
        # The parameters were good before this step, unless it is they that the fault tells of.
        if not all_finite(self.pipeline):
            return
        self.training_state = "completed"
        with undisturbed():
            try:
                self.save_checkpoint(self.step)
            except HandsError as error:
                raise SystemExit(f"error: {error}") from error
        command = resume_command(sys.argv, self.config.method_name, self.checkpoint_dir)  # pyright: ignore[reportArgumentType]
        say(f"Stopped at step {self.step}, which is saved. To go on: {command}")

    def _say_what_next(self, step: int) -> None:
        """The commands that a run is good for."""
        config = self.base_dir / "config.yml"
        quality = "" if self.held_out_psnr is None else f" Held-out pixels of the hand: {self.held_out_psnr:.1f} dB."
        say(f"{self.config.method_name} is trained.{quality} Next:")
        for command in self.config.pipeline.next_commands():
            say(f"  {command.format(config=quote(str(config)))}")


def forget_run(folder: Path) -> None:
    """Takes back the folder of a run that never began, if nothing but its configuration is in it."""
    if {path.name for path in folder.glob("*")} - {"config.yml"}:
        return
    with suppress(OSError):
        (folder / "config.yml").unlink(missing_ok=True)
        # Folders of the data set and the method stay where other runs are in them.
        for empty in (folder, *folder.parents[:3]):
            empty.rmdir()


def spare_folders() -> Iterator[Path]:
    """Where a last checkpoint may be kept if the run's folder is full: the system's temporary folder, then memory."""
    with suppress(OSError):
        yield Path(tempfile.gettempdir())
    yield Path("/dev/shm")


def all_finite(module: torch.nn.Module) -> bool:
    """Whether every parameter is a finite number."""
    return all(bool(parameter.isfinite().all()) for parameter in module.parameters())


def default_device() -> str:
    """The best device of this machine, as nerfstudio names them."""
    return "cuda" if torch.cuda.is_available() else "cpu"
