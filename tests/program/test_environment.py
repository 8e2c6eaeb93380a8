"""Missing homes and working folders, and what is said before anything heavy is loaded."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from helpers.in_process import ns_hands
from nerfstudio.configs import external_methods
from nerfstudio.utils import misc

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.cache import cache_folder
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh
from nerfstudio_hands.program.environment import (
    announce_training,
    look_at_run,
    quicken_start,
    quieten_imports,
    require_working_folder,
    user_cache,
)


def test_without_home_and_user_name_the_cache_is_a_temporary_folder(monkeypatch, tmp_path: Path):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NERFSTUDIO_HANDS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "nerfstudio_hands"
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() == user_cache() / "nerfstudio_hands"
    assert str(os.getuid()) in user_cache().name


def test_a_deleted_working_folder_is_one_sentence(monkeypatch, tmp_path: Path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    require_working_folder()
    (tmp_path / "gone").rmdir()
    with pytest.raises(HandsError, match="^working folder: expected .* deleted"):
        require_working_folder()


@pytest.mark.parametrize(
    "command",
    [
        ["turntable", "--load-config", "nowhere.yml"],
        ["fit", "nowhere.yml"],
        ["export", "--load-config", __file__, "--output-dir", "out", "--track", "nowhere.yml"],
    ],
)
def test_files_that_are_not_there_are_named_before_anything_is_loaded(command: list[str]):
    code = (
        "import sys\n"
        "from nerfstudio_hands.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    print(stop, 'torch' in sys.modules, 'nerfstudio' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert run.stdout.startswith("error: nowhere.yml: expected ") and run.stdout.endswith("False False\n"), run
    assert not run.stderr


@pytest.mark.parametrize(
    ("path", "found"), [("x" * 300, "File name too long"), ("loop", "symbolic links"), ("~nobody-here/x", "home")]
)
def test_a_path_that_cannot_be_looked_up_is_one_sentence(path: str, found: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    training = deepcopy(hand_mesh.config)
    training.pipeline.datamanager.data, training.output_dir = tmp_path, Path(path)
    attempts = [
        lambda: ns_hands("check", path),
        lambda: ns_hands("compare-mesh", "a.ply", "--truth", path),
        lambda: ns_hands("synthesize", "motion", "--output", path),
        lambda: ns_hands("prepare", "--images", path, "--output", "new"),
        lambda: ns_hands("batch", tmp_path, "--results", path),
        lambda: announce_training(["ns-train", "hand-mesh", "--data", path]),
        training.print_to_terminal,
    ]
    for attempt in attempts:
        with pytest.raises(SystemExit, match=f"^error: .*: expected a path that can be looked up, found '.*{found}"):
            attempt()


def test_what_the_system_refuses_later_is_one_sentence(tmp_path: Path, monkeypatch):
    def full(*words):
        raise OSError(errno.EIO, "Input/output error", "made.bin")

    monkeypatch.setattr("nerfstudio_hands.cli.main._run", full)
    with pytest.raises(SystemExit, match="^error: made.bin: expected a file .* found 'Input/output error'"):
        ns_hands("check", tmp_path)


def test_a_command_says_at_once_what_it_does(tmp_path: Path, capsys):
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}: expected a capture"):
        ns_hands("fit", tmp_path)
    assert capsys.readouterr().err.startswith("ns-hands fit: loading PyTorch and nerfstudio ..\n")


def test_a_training_of_ours_is_announced_and_no_other(capsys, tmp_path: Path):
    for arguments in (["ns-train", "nerfacto"], ["ns-train", "hand-sdf", "--help"], ["ns-eval", "hand-sdf"], ["-c"]):
        announce_training(arguments)
    assert capsys.readouterr().err == ""
    announce_training(["/bin/ns-train", "hand-sdf", "--data", str(tmp_path), "hands-data"])
    assert capsys.readouterr().err == "ns-train hand-sdf: loading PyTorch and nerfstudio's methods ..\n"
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/no: expected a folder with a capture, found nothing"):
        announce_training(["/bin/ns-train", "hand-sdf", "--data", str(tmp_path / "no")])


def test_methods_that_could_be_installed_are_offered_to_who_asks_for_one_and_to_nobody_else(monkeypatch):
    quicken_start()
    asked: list[str] = []
    monkeypatch.setattr(external_methods.Confirm, "ask", lambda question, **_: bool(asked.append(question)))
    methods, _ = external_methods.get_external_methods()
    assert len(methods) > 10 and not asked
    with pytest.raises(SystemExit):
        external_methods.ExternalMethodDummyTrainerConfig("kplanes", external_methods.external_methods[0])
    assert len(asked) == 1


def test_what_nerfstudio_compiles_is_compiled_when_it_is_called(monkeypatch):
    quicken_start()
    asked: list[dict] = []
    monkeypatch.setattr(torch, "compile", lambda **options: lambda function: asked.append(options) or function)
    double = misc.torch_compile(dynamic=True)(lambda number: 2 * number)
    assert not asked
    assert double(3) == 6 and double(4) == 8 and asked == [{"dynamic": True}]


def test_only_warnings_that_concern_no_user_are_left_out():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        quieten_imports()
        warnings.warn("`torch.jit.script` is deprecated.", FutureWarning, stacklevel=1)
        warnings.warn("Using a non-tuple sequence for multidimensional indexing is deprecated", stacklevel=1)
        warnings.warn("`torch.cuda.amp.custom_fwd(args...)` is deprecated.", FutureWarning, stacklevel=1)
        warnings.warn("This option goes with the next version.", FutureWarning, stacklevel=1)
        warnings.warn("The disk is nearly full.", stacklevel=1)
    assert [str(warning.message) for warning in heard] == [
        "This option goes with the next version.",
        "The disk is nearly full.",
    ]


@pytest.mark.parametrize("words", [["ns-train", "hand-uvnerf", "--help"], ["ns-eval", "--help"], ["ns-viewer", "-h"]])
def test_nerfstudios_commands_are_quiet_too(words: list[str]) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        announce_training(words)
        look_at_run(words)
        warnings.warn("`torch.cuda.amp.custom_fwd(args...)` is deprecated.", FutureWarning, stacklevel=1)
    assert not heard


def test_a_run_that_is_not_there_is_named_before_nerfstudio_opens_it(tmp_path: Path):
    for words, found in (
        (["--load-config", str(tmp_path / "no.yml")], "no.yml: expected the config.yml of a run, found no file"),
        (["--load_config", ""], "--load-config: expected the config.yml of a run, found an empty text"),
        (["--load-config="], "found an empty text"),
        (["--load-config", str(tmp_path)], "found no file"),
    ):
        with pytest.raises(SystemExit, match=found):
            look_at_run(["/bin/ns-eval", *words])
        look_at_run(["/bin/ns-train", *words])
    (tmp_path / "config.yml").touch()
    look_at_run(["ns-export", "cameras", "--load-config", str(tmp_path / "config.yml")])
