"""Reads a run's config.yml without running any code that the file names.

nerfstudio writes its configuration with PyYAML's object tags and reads it with a loader that calls whatever function a
tag names. Here a tag makes one of four things: a configuration class of nerfstudio or of this package, a path, a value
of one of their enumerations, or a tuple. Classes and functions that a configuration holds as values, such as `_target`,
are those of its class: the file may repeat their names, and nothing is looked up by them.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import reprlib
import sys
import typing
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, cast

import yaml
from nerfstudio.configs.base_config import PrintableConfig
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import check_ranges

if TYPE_CHECKING:
    from nerfstudio_hands.training.trainer import HandTrainerConfig

MAX_FILE_BYTES = 1_000_000
"""Bytes; a configuration has some seven thousand."""

PATH_NAMES = {
    f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in ("Path", "PosixPath", "WindowsPath")
}
"""What paths are called, by the system and the version of Python that wrote the file."""

MEMBER_BY_NAME = "builtins.getattr"
"""How Python 3.11.0 to 3.11.3 (Debian 12 has 3.11.2) write the value of an enumeration: by its class and its name."""

_UNREADABLE = (
    yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
)  # fmt: skip
"""What PyYAML raises for text that is no YAML, or whose scalars are not what they look like."""

_TAG = "tag:yaml.org,2002:python/"
_AGAIN = "give the file as ns-train wrote it."
_UNTRUSTED = f"nothing of it was run; {_AGAIN}"


def load_config(path: Path) -> HandTrainerConfig:
    """The configuration of a run of one of this project's methods; nothing that the file names is run.

    Paths of another operating system become this one's. An option of this project that the file lacks, because the file
    is older, has its default.

    Args:
        path: The run's config.yml.

    Raises:
        HandsError: There is no such file, or it is no configuration of such a run.
    """
    text = _read_text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_root(node)
        config = loader.construct_document(node)
        _check_parts(config)
        check_ranges(config)
    except HandsError as error:
        raise HandsError(f"{path}: {error}") from error
    except _UNREADABLE as error:
        raise HandsError(
            f"{path}: expected the config.yml of a run, found YAML that cannot be read ({_one_line(error)}); {_AGAIN}"
        ) from error
    return config


def _read_text(path: Path) -> str:
    """The file's text; only a regular file of sensible size is read."""
    expected = f"{path}: expected the config.yml of a run, found"
    if path.is_dir():
        raise HandsError(f"{expected} a folder; give the file config.yml in it.")
    if not path.is_file():
        raise HandsError(f"{expected} no file; check --load-config.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise HandsError(f"{expected} one that cannot be read ('{error.strerror}'); check its permissions.") from error
    if len(content) > MAX_FILE_BYTES:
        raise HandsError(f"{expected} a file of over 1 MB; check --load-config.")
    if not content.strip():
        raise HandsError(f"{expected} an empty file; check --load-config.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise HandsError(f"{expected} a binary file; check --load-config.") from error


def _check_root(node: yaml.Node | None) -> None:
    """Raises a HandsError unless the document is the configuration of a training of ours."""
    from nerfstudio_hands.training.trainer import HandTrainerConfig

    prefix = f"{_TAG}object:"
    if not isinstance(node, yaml.MappingNode) or not node.tag.startswith(prefix):
        raise HandsError(f"expected the config.yml of a run, found YAML of something else; {_AGAIN}")
    cls = _class_of(node.tag.removeprefix(prefix), PrintableConfig)
    if not issubclass(cls, HandTrainerConfig):
        method = next((value.value for key, value in node.value if key.value == "method_name"), cls.__name__)
        raise HandsError(
            f"expected a run of one of this project's methods, found one of {_short(method)}; "
            "nerfstudio's own commands open it."
        )


def _check_parts(config: HandTrainerConfig) -> None:
    """Raises a HandsError if parts that nerfstudio types loosely are not those of a hand's training."""
    from nerfstudio.engine.optimizers import OptimizerConfig
    from nerfstudio.engine.schedulers import SchedulerConfig

    from nerfstudio_hands.training.sound_pipeline import SoundPipelineConfig

    _check_type(config.pipeline, SoundPipelineConfig, "the pipeline")
    for name, group in config.optimizers.items():
        _check_type(group, typing.Dict[str, Any], f"optimizers.{name}")
        _check_type(group.get("optimizer"), OptimizerConfig, f"optimizers.{name}.optimizer")
        _check_type(group.get("scheduler"), typing.Optional[SchedulerConfig], f"optimizers.{name}.scheduler")


class _Loader(yaml.SafeLoader):
    """Plain YAML and the tags of a configuration."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leaves merge keys alone: nerfstudio writes none, and a few lines of them can fill the memory."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        # A nested tuple that holds itself many times over takes for ever to hash.
        if isinstance(node, yaml.MappingNode) and not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise HandsError(f"expected options by their names, found a list in place of a name; {_AGAIN}")
        return super().construct_mapping(cast(yaml.MappingNode, node), deep=deep)

    def construct_config(self, name: str, node: yaml.Node) -> PrintableConfig:
        """A configuration class by its full name, with the fields of a mapping."""
        cls = _class_of(name, PrintableConfig)
        values = self.construct_mapping(node, deep=True)
        _check_names(cls, values)
        fields = [field for field in dataclasses.fields(cls) if field.name in values]
        return cls(**{field.name: _checked(cls, field, values[field.name]) for field in fields})

    def construct_call(self, name: str, node: yaml.Node) -> Path | enum.Enum:
        """A path or the value of an enumeration, which YAML writes as a call with arguments."""
        if not isinstance(node, yaml.SequenceNode):
            raise HandsError(f"expected a list of arguments for {_short(name)}, found something else; {_UNTRUSTED}")
        arguments = self.construct_sequence(node, deep=True)
        if name in PATH_NAMES:
            return _path_of(arguments, windows=name.endswith("WindowsPath"))
        if name == MEMBER_BY_NAME:
            return _member_of(arguments)
        cls = cast("type[enum.Enum]", _class_of(name, enum.Enum))
        if len(arguments) != 1 or arguments[0] not in [member.value for member in cls]:
            raise HandsError(f"expected a value of {cls.__name__}, found {_short(arguments)}; {_AGAIN}")
        return cls(arguments[0])

    def construct_name(self, name: str, node: yaml.Node) -> _Name:
        return _Name(name)

    def construct_tuple(self, node: yaml.Node) -> tuple:
        return tuple(self.construct_sequence(cast(yaml.SequenceNode, node), deep=True))

    def refuse(self, node: yaml.Node) -> None:
        raise HandsError(f"expected the tags of a run's configuration, found {_short(node.tag)}; {_UNTRUSTED}")


_Loader.add_multi_constructor(f"{_TAG}object:", _Loader.construct_config)
_Loader.add_multi_constructor(f"{_TAG}object/apply:", _Loader.construct_call)
_Loader.add_multi_constructor(f"{_TAG}name:", _Loader.construct_name)
_Loader.add_constructor(f"{_TAG}tuple", _Loader.construct_tuple)
_Loader.add_constructor(cast(str, None), _Loader.refuse)  # None stands for all others.


@dataclasses.dataclass(frozen=True)
class _Name:
    """A class or function that the file names, which is looked up nowhere."""

    name: str

    def is_of(self, value: Any) -> bool:
        """Whether PyYAML writes this name for a class or function."""
        return self.name == f"{getattr(value, '__module__', None)}.{getattr(value, '__name__', None)}"


def _member_of(arguments: list) -> enum.Enum:
    """The value of an enumeration, by its class and its name."""
    if len(arguments) != 2 or not isinstance(arguments[0], _Name):
        raise HandsError(f"expected a value of an enumeration, found {_short(arguments)}; {_UNTRUSTED}")
    cls = cast("type[enum.Enum]", _class_of(arguments[0].name, enum.Enum))
    if not isinstance(arguments[1], str) or arguments[1] not in cls.__members__:
        raise HandsError(f"expected a value of {cls.__name__}, found {_short(arguments[1])}; {_AGAIN}")
    return cls[arguments[1]]


def _class_of(name: str, base: type) -> type:
    """A class by its full name: of any module of this package, or of what it has imported of nerfstudio."""
    module_name, _, class_name = name.rpartition(".")
    if module_name.startswith("nerfstudio_hands."):
        try:
            importlib.import_module(module_name)
        except ImportError:
            pass  # It is in no table then, and refused as any other name.
    module = sys.modules.get(module_name) if module_name.startswith(("nerfstudio.", "nerfstudio_hands.")) else None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise HandsError(
            f"expected classes of this project's and of nerfstudio's configurations, found {_short(name)}; {_UNTRUSTED}"
        )
    return found


def _check_names(cls: type, values: dict) -> None:
    """Raises a HandsError if an option is none of the class's, or if nerfstudio's own are not all there."""
    from nerfstudio.engine.trainer import TrainerConfig

    known = {field.name for field in dataclasses.fields(cls)}
    unknown = [key for key in values if key not in known]
    if unknown:
        raise HandsError(
            f"expected options of {cls.__name__}, found {_short(unknown[0])}, which this version does not have; "
            "open the run with the version that wrote it, or train again."
        )
    # A file that was cut lacks the last ones.
    missing = [field.name for field in dataclasses.fields(TrainerConfig) if field.name not in values]
    if issubclass(cls, TrainerConfig) and missing:
        raise HandsError(f"expected a whole configuration, found none of {_short(missing)}; {_AGAIN}")


def _checked(cls: type, field: dataclasses.Field, value: Any) -> Any:
    """The value of an option, which must be of its type; of a name, what the class itself has there."""
    called = f"{cls.__name__}'s {field.name}"
    if isinstance(value, _Name):
        own = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if not value.is_of(own):
            raise HandsError(f"expected {called} to be its own, found {_short(value.name)}; {_UNTRUSTED}")
        return own
    return _check_type(value, typing.get_type_hints(cls)[field.name], called)


def _check_type(value: Any, hint: Any, called: str) -> Any:
    """The value, if it is of the type."""
    try:
        return check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError as error:
        expected = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        raise HandsError(f"expected {called} to be {expected}, found {_short(value)}; {_AGAIN}") from error


def _path_of(parts: list, *, windows: bool) -> Path:
    """A path of this system from the parts of one of another."""
    if not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise HandsError(f"expected a path's parts, found {_short(parts)}; {_AGAIN}")
    return Path(PureWindowsPath(*parts).as_posix()) if windows else Path(*parts)


def _short(value: Any) -> str:
    """A value as a sentence can hold it."""
    return f"a {type(value).__name__}" if isinstance(value, PrintableConfig) else _REPR.repr(value)


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


def _one_line(error: Exception) -> str:
    """The first words of an error whose text may have many lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."
