"""What a process finds round it, where that may be missing."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nerfstudio_hands.errors import HandsError

READING_RUNS = ("ns-eval", "ns-export", "ns-render", "ns-viewer")
"""nerfstudio's commands that read a run."""


def require_working_folder() -> None:
    """See that the folder that relative paths begin at is there.

    Raises:
        HandsError: It was deleted.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise HandsError(
            "working folder: expected the folder that this shell is in, found that it was deleted: change to another "
            "one."
        ) from error


def require_values(words: Sequence[str]) -> None:
    """See that no word of a command is empty: an empty path would be the folder that the shell is in.

    Args:
        words: What the command was given.

    Raises:
        HandsError: One of them, or what an option is set to by `=`, is.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if word and not (equals and not value and word.startswith("-")):
            continue
        place = option if word else before if before.startswith("-") else "command line"
        raise HandsError(
            f"{place}: expected a value, found an empty text, as of a variable of the shell that is not set: give one."
        )


def require_reachable(options: Any) -> None:
    """See that the system can look up every path that options name, in groups and lists too, whether or not something
    is there.

    Args:
        options: A path, or what holds paths.

    Raises:
        HandsError: A name is too long, links lead in a circle, a folder may not be entered, or ~ is nobody's.
    """
    for path in _paths_of(options):
        try:
            path.expanduser().stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise HandsError(f"{path}: expected a path that can be looked up, found '{reason}': correct it.") from error


def _paths_of(options: Any) -> Iterator[Path]:
    if isinstance(options, Path):
        yield options
    elif dataclasses.is_dataclass(options) and not isinstance(options, type):
        yield from _paths_of([getattr(options, field.name) for field in dataclasses.fields(options)])
    elif isinstance(options, (dict, tuple, list)):
        for item in options.values() if isinstance(options, dict) else options:
            yield from _paths_of(item)


def user_cache() -> Path:
    """`~/.cache`, or a folder of the user's among the temporary ones where there is neither a home nor a user name, as
    in some containers."""
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-of-user-{os.getuid()}"


def require_capture_folder(root: Path) -> None:
    """See that there is a folder where a capture is said to be.

    Raises:
        HandsError: There is none.
    """
    require_reachable(root)
    root = root.expanduser()
    if not root.is_dir():
        raise HandsError(f"{root}: expected a folder with a capture, found {no_folder(root, '--data')}")


def no_folder(path: Path, option: str) -> str:
    """What is there instead of the folder of a capture, and what to do; `option` is where it was said."""
    if not path.exists():
        return f"nothing; check {option}."
    return f"a file; check {option}, or make a capture of a video with `ns-hands prepare --videos`."


def require_run_config(load_config: Path) -> None:
    """See that there is the configuration of a run.

    Raises:
        HandsError: There is none.
    """
    if not load_config.is_file():
        raise HandsError(f"{load_config}: expected the config.yml of a run, found no file; check --load-config.")


def quieten_imports() -> None:
    """Leaves out what torch and nerfstudio tell their own developers while they are imported and when nerfstudio's
    cameras are indexed."""
    for message in (r"`torch\.jit\.", r"`torch\.cuda\.amp\.", "Using a non-tuple sequence for multidimensional"):
        warnings.filterwarnings("ignore", message=message)


def option_value(words: Sequence[str], name: str) -> str | None:
    """What an option is set to, by the next word or by `=`, however it is spelled; None where it is not there."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option.replace("_", "-") == name:
            return value if equals else following
    return None


def look_at_run(arguments: list[str]) -> None:
    """See that nerfstudio's commands are given the configuration of a run, before they open it with a traceback.

    Args:
        arguments: `sys.argv`.

    Raises:
        SystemExit: --load-config names no file.
    """
    program, *given = arguments
    if Path(program).stem not in READING_RUNS or multiprocessing.parent_process() is not None:
        return
    quieten_imports()
    named = option_value(given, "--load-config")
    if named is None:
        return
    if not named:
        raise SystemExit(
            "error: --load-config: expected the config.yml of a run, found an empty text; check --load-config."
        )
    try:
        require_run_config(Path(named))
    except HandsError as error:
        raise SystemExit(f"error: {error}") from error


def announce_training(arguments: list[str]) -> None:
    """A line for `ns-train` with a method of ours, and a look at its --data.

    nerfstudio imports for ten seconds and more before it reads its options; this package's data parsers are among the
    first that it asks for.

    Args:
        arguments: `sys.argv`.

    Raises:
        SystemExit: --data names no folder, or a word is empty.
    """
    program, *given = arguments
    wants_help = "-h" in given or "--help" in given
    trains = Path(program).stem == "ns-train" and given and given[0].startswith("hand-")
    if not trains or multiprocessing.parent_process() is not None:
        return
    quieten_imports()
    if wants_help:
        return
    data = option_value(given, "--data")
    try:
        require_values(given)
        if data is not None:
            require_capture_folder(Path(data))
    except HandsError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"ns-train {given[0]}: loading PyTorch and nerfstudio's methods ..", file=sys.stderr, flush=True)


def quicken_start() -> None:
    """Has nerfstudio learn quickly who calls it, and compile nothing that nobody calls.

    Of each method that somebody could install, it asks by `inspect.stack()` whether its own list of them is the caller.
    That finds module, file and lines of all callers, which takes a quarter of a start; their names are all it needs.
    And a function of splatfacto's is compiled as soon as it is defined, which loads torch's compiler, for seconds.
    """
    from nerfstudio.configs import external_methods
    from nerfstudio.utils import misc

    inspect = SimpleNamespace(stack=_callers)
    external_methods.inspect = inspect  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    misc.torch_compile = partial(_compile_when_called, misc.torch_compile)


def _compile_when_called(compile: Callable[..., Any], *module: Any, **options: Any) -> Any:
    """As `torch.compile`: what is given, or a decorator, whose functions are compiled when they are first called."""
    if module:
        return compile(*module, **options)

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = cache(lambda: compile(**options)(function))
        return wraps(function)(lambda *given, **named: compiled()(*given, **named))

    return decorated


def _callers() -> list[SimpleNamespace]:
    """As `inspect.stack()`, of names alone."""
    here, *callers = traceback.walk_stack(sys._getframe())
    return [SimpleNamespace(function=frame.f_code.co_name) for frame, _ in callers]
