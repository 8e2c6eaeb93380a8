"""Checkpoints of a run: found and judged before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from nerfstudio_hands.errors import HandsError

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import Pipeline

NAME = re.compile(r"step-(\d+)\.ckpt")

HAND = "hand_name"
"""Where a model's state spells the hand model that it was trained for."""

LONGEST_NAME = 64
"""Of a hand model, bytes."""


def checkpoint_path(folder: Path, step: int | None = None) -> Path:
    """A checkpoint in a run's folder of them.

    Args:
        folder: The run's nerfstudio_models; what is not named as a checkpoint is not looked at.
        step: Which one; by default the last.

    Raises:
        HandsError: It holds none, or none of that step.
    """
    steps = {int(found[1]): path for path in folder.glob("step-*.ckpt") if (found := NAME.fullmatch(path.name))}
    if not steps:
        raise HandsError(
            f"{folder}: expected checkpoints named step-*.ckpt, found none; give the run's nerfstudio_models folder."
        )
    if step is not None and step not in steps:
        raise HandsError(
            f"{folder}: expected a checkpoint of step {step}, found those of {', '.join(map(str, sorted(steps)))}; "
            "correct --load-step."
        )
    return steps[max(steps) if step is None else step]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a training wrote: its step and the state of pipeline, optimizers, schedules and scaler.

    Raises:
        HandsError: There is no such file, or it is cut, damaged, none of nerfstudio's, or more than numbers.
    """
    if not path.is_file():
        raise HandsError(f"{path}: expected a checkpoint, found no file; check --load-checkpoint.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # Bytes that are no checkpoint make torch's decoders raise nearly anything.
        raise HandsError(
            f"{path}: expected a checkpoint, found a file that is cut or damaged or holds more than numbers "
            f"({type(error).__name__}); load an earlier one with --load-step, or train again."
        ) from error
    if not isinstance(state, dict) or not isinstance(state.get("step"), int) or not _is_weights(state.get("pipeline")):
        raise HandsError(f"{path}: expected a checkpoint of nerfstudio's, found other data; check the file.")
    return state


def _is_weights(pipeline: Any) -> bool:
    """Whether this is numbers by name, all of them there."""
    return isinstance(pipeline, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
        for name, value in pipeline.items()
    )


def model_weights(pipeline: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's part of a pipeline's state, by the names that the model has for it."""
    # Training by several processes wraps the model.
    return {
        name.removeprefix("_model.").removeprefix("module."): value
        for name, value in pipeline.items()
        if name.startswith("_model.")
    }


def require_same_weights(own: Mapping[str, Tensor], loaded: Mapping[str, Any]) -> None:
    """See that a checkpoint is of this model, before its weights are taken.

    Args:
        own: State of the model.
        loaded: What the checkpoint has in its place.

    Raises:
        HandsError: A weight is missing, has another shape, or belongs to no part of the model.
    """
    for name in sorted({*own, *loaded}):
        mine, other = (tuple(state[name].shape) if name in state else None for state in (own, loaded))
        if mine == other and own[name].is_floating_point() != loaded[name].is_floating_point():
            raise HandsError(
                f"checkpoint: expected numbers of type {own[name].dtype} in {name}, found {loaded[name].dtype}; give "
                "the file as the training wrote it."
            )
        if mine != other:
            raise HandsError(
                "checkpoint: expected the weights of this method with these options and cameras, found others "
                f"({name} is {'not there' if other is None else f'{list(other)}'} instead of "
                f"{'nothing' if mine is None else list(mine)}); give the options and the capture of the run that wrote "
                "it."
            )


def spelled(name: str) -> UInt8[Tensor, "64"]:
    """The name of a hand model as numbers, which a checkpoint can hold."""
    letters = name.encode()[:LONGEST_NAME]
    return torch.tensor(list(letters.ljust(LONGEST_NAME, b"\0")), dtype=torch.uint8)


def require_same_hand(own: UInt8[Tensor, "64"], loaded: Mapping[str, Any]) -> None:
    """See that a checkpoint was trained for a hand model, where it names one; older ones do not.

    Args:
        own: Name of the hand model, as `spelled` has it.
        loaded: What the checkpoint has in place of the model's state.

    Raises:
        HandsError: It names another.
    """
    found = loaded.get(HAND, own)
    if not torch.equal(found.cpu(), own.cpu()):
        wanted, other = (bytes(name.tolist()).rstrip(b"\0").decode(errors="replace") for name in (own, found))
        raise HandsError(
            f"checkpoint: expected weights for the hand model {wanted!r}, found those for {other!r}; give the "
            "--pipeline.model.hand-model that it was trained with."
        )


def require_finite_weights(learned: Iterable[str], loaded: Mapping[str, Any]) -> None:
    """See that what was learned can be drawn, before it is taken: a picture of weights that are not numbers is black,
    or has holes, and says nothing.

    Args:
        learned: Names of the model's parameters; what else a checkpoint holds may be undefined, as poses of hands that
            are not there.
        loaded: What the checkpoint has in place of the model's state.

    Raises:
        HandsError: A number in one of them is NaN or infinite.
    """
    for name in learned:
        broken = int((~loaded[name].isfinite()).sum())
        if broken:
            raise HandsError(
                f"checkpoint: expected finite numbers in {name}, found {broken} of {loaded[name].numel()} that are NaN "
                "or infinite; load an earlier one with --load-step, or train again with lower learning rates."
            )


def patch_loading(pipeline_class: type) -> None:
    """Lets nerfstudio's commands load the checkpoint of a pipeline of this class as ours do: they would end in a
    traceback on one that is cut, and on a file of another name beside it."""
    # Imports all methods, ours too, which import this module.
    from nerfstudio.utils import eval_utils

    load = eval_utils.eval_load_checkpoint
    if getattr(load, "patched", False):
        return

    def load_soundly(config: TrainerConfig, pipeline: Pipeline) -> tuple[Path, int]:
        if not isinstance(pipeline, pipeline_class):
            return load(config, pipeline)
        try:
            path = checkpoint_path(config.load_dir, config.load_step)  # pyright: ignore[reportArgumentType]
            state = read_checkpoint(path)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        pipeline.load_pipeline(state["pipeline"], state["step"])
        return path, state["step"]

    load_soundly.patched = True
    eval_utils.eval_load_checkpoint = load_soundly
