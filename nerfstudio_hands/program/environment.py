"""What a process finds round it, where that may be missing."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nerfstudio_hands.errors import HandsError


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
        raise HandsError(
            f"{root}: expected a folder with a capture, found {'a file' if root.exists() else 'nothing'}; check --data."
        )


def quieten_imports() -> None:
    """Leaves out what torch and nerfstudio tell their own developers while they are imported and when nerfstudio's
    cameras are indexed."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Using a non-tuple sequence for multidimensional indexing")


def announce_training(arguments: list[str]) -> None:
    """A line for `ns-train` with a method of ours, and a look at its --data.

    nerfstudio imports for ten seconds and more before it reads its options; this package's data parsers are among the
    first that it asks for.

    Args:
        arguments: `sys.argv`.

    Raises:
        SystemExit: --data names no folder.
    """
    program, *given = arguments
    wants_help = "-h" in given or "--help" in given
    trains = Path(program).stem == "ns-train" and given and given[0].startswith("hand-") and not wants_help
    if not trains or multiprocessing.parent_process() is not None:
        return
    data = next((value for option, value in zip(given, given[1:], strict=False) if option == "--data"), None)
    try:
        if data is not None:
            require_capture_folder(Path(data))
    except HandsError as error:
        raise SystemExit(f"error: {error}") from error
    quieten_imports()
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
