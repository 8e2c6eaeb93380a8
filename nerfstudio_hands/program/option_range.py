"""Numbers that options may have: said once, in the annotation, from where help and refusals take them."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from numbers import Real

import tyro

from nerfstudio_hands.errors import HandsError


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The smallest and the largest number that an option may have."""

    low: float
    high: float


def bounded(kind: typing.Any, low: float, high: float) -> typing.Any:
    """Annotation of an option with its range, which then stands in the command's help.

    Args:
        kind: `int` or `float`, an `Optional` or a `Tuple` of one.
        low: The smallest number allowed.
        high: The largest one.
    """
    metavar = f"{_spelling(kind)} from {low:.10g} to {high:.10g}"
    return typing.Annotated[kind, Bounds(low, high), tyro.conf.arg(metavar=metavar)]


def _spelling(kind: typing.Any) -> str:
    """How tyro spells a type in the help."""
    if kind in (int, float):
        return kind.__name__.upper()
    inner = typing.get_args(kind)
    if type(None) in inner:
        return f"None|{_spelling(inner[0])}"
    return f"{_spelling(inner[0])}.."


def require_range(option: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside of [low, high]; NaN lies nowhere.

    Args:
        option: As the user types it, `--fps`.
        value: What was given.
        low: The smallest number allowed.
        high: The largest one.

    Raises:
        HandsError: The number lies outside.
    """
    # A comparison with NaN is false, so that it fails here, too.
    if not low <= value <= high:
        raise HandsError(f"{option}: expected a number from {low} to {high}, found {value}: give one in this range.")


Weight = bounded(float, 0, 1e6)
"""Weight of a term of the loss."""
Fraction = bounded(float, 0, 1)
"""Part of a whole."""
Interval = bounded(int, 0, 10**9)
"""Steps between two events; 0 for never."""
RayCount = bounded(int, 1, 2**22)
"""Rays at once; more do not fit into any memory."""
FROM_NERFSTUDIO = {
    "TrainerConfig": {"gradient_accumulation_steps": Bounds(1, 10**6)},
    "LoggingConfig": {"steps_per_log": Bounds(1, 10**9), "max_buffer_size": Bounds(1, 10**6)},
    "LocalWriterConfig": {"max_log_size": Bounds(0, 1000)},
    "ViewerConfig": {
        "websocket_port": Bounds(1, 65535),
        "websocket_port_default": Bounds(1, 65535),
        "num_rays_per_chunk": Bounds(1, 2**22),
        "max_num_display_images": Bounds(-1, 10**6),
        "jpeg_quality": Bounds(1, 100),
        "camera_frustum_scale": Bounds(0, 100),
    },
    "VanillaDataManagerConfig": {
        "train_num_images_to_sample_from": Bounds(-1, 10**6),
        "train_num_times_to_repeat_images": Bounds(-1, 10**9),
        "eval_num_images_to_sample_from": Bounds(-1, 10**6),
        "eval_num_times_to_repeat_images": Bounds(-1, 10**9),
        "eval_image_indices": Bounds(0, 10**9),
        "camera_res_scale_factor": Bounds(0.01, 1),
        "patch_size": Bounds(1, 1024),
    },
    "PixelSamplerConfig": {
        "num_rays_per_batch": Bounds(1, 2**22),
        "fisheye_crop_radius": Bounds(1, 10**5),
        "max_num_iterations": Bounds(1, 10**6),
    },
    "ModelConfig": {"eval_num_rays_per_chunk": Bounds(1, 2**22)},
    "OptimizerConfig": {
        "lr": Bounds(0, 10),
        "eps": Bounds(0, 1),
        "max_norm": Bounds(0, 1e6),
        "weight_decay": Bounds(0, 1e3),
    },
}
"""Ranges of options that nerfstudio declares, by class and field; they hold for subclasses too."""


def check_ranges(config: typing.Any) -> None:
    """Refuse a configuration with a number outside of its range, or with one that is not finite.

    Args:
        config: What `ns-train` made of its options: dataclasses and dictionaries in each other.

    Raises:
        HandsError: There is one; its option is named as the user types it.
    """
    for path, value, bounds in _numbers(config, ()):
        name = ".".join(path).removeprefix("pipeline.datamanager.dataparser.").replace("_", "-")
        if bounds is not None:
            require_range(f"--{name}", value, bounds.low, bounds.high)  # pyright: ignore[reportArgumentType]
        elif not math.isfinite(value):
            raise HandsError(f"--{name}: expected a finite number, found {value}: give one.")


def _numbers(
    value: typing.Any, path: tuple[str, ...], bounds: Bounds | None = None
) -> Iterator[tuple[tuple[str, ...], Real, Bounds | None]]:
    """Every number of a configuration with where it stands and its range, if it has one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, (*path, str(key)), bounds)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _numbers(item, path, bounds)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        declared = declared_bounds(type(value))
        for field in dataclasses.fields(value):
            yield from _numbers(getattr(value, field.name), (*path, field.name), declared.get(field.name))
    elif isinstance(value, Real) and not isinstance(value, bool):
        yield path, value, bounds


def declared_bounds(config: type) -> dict[str, Bounds]:
    """Range of each field of a configuration that declares one."""
    found = {}
    for base in reversed(config.__mro__):
        found |= FROM_NERFSTUDIO.get(base.__name__, {})
    for name, annotation in typing.get_type_hints(config, include_extras=True).items():
        for note in getattr(annotation, "__metadata__", ()):
            if isinstance(note, Bounds):
                found[name] = note
    return found
