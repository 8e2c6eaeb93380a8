"""A run's config.yml is read as nerfstudio reads it, and nothing that it names is run."""

from __future__ import annotations

import random
import re
from pathlib import Path, PureWindowsPath

import pytest
import yaml
from nerfstudio.configs.base_config import PrintableConfig
from nerfstudio.utils.writer import EventName

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.method_configs.hand_canonical import hand_canonical
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh, hand_mesh_neural
from nerfstudio_hands.method_configs.hand_sdf import hand_sdf
from nerfstudio_hands.method_configs.hand_splat import hand_splat
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.training.run_config import load_config

METHODS = {
    method.config.method_name: method.config
    for method in (hand_uvnerf, hand_canonical, hand_mesh, hand_mesh_neural, hand_sdf, hand_splat)
}


@pytest.fixture(scope="module")
def text() -> str:
    """The config.yml of a run of hand-uvnerf."""
    return yaml.dump(METHODS["hand-uvnerf"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


def refusal(file: Path, content: str | bytes) -> str:
    """What a reader says of a file that is no run's configuration: one sentence with the file's name."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HandsError) as caught:
        load_config(file)
    sentence = str(caught.value)
    assert sentence.startswith(f"{file}: expected") and "found" in sentence and "\n" not in sentence
    return sentence.removeprefix(f"{file}: ")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_reads_as_nerfstudio_reads_it(name: str, file: Path):
    file.write_text(yaml.dump(METHODS[name]))
    assert load_config(file) == yaml.load(file.read_text(), Loader=yaml.Loader) == METHODS[name]


def test_an_option_younger_than_the_file_has_its_default(text: str, file: Path):
    file.write_text(text.replace("    march_steps: 96\n", ""))
    assert file.read_text() != text
    assert load_config(file) == METHODS["hand-uvnerf"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("pathlib.PosixPath\n- /\n- home\n- me", Path("/home/me")),
        ("pathlib.WindowsPath\n- C:\\\n- Users\n- me", Path(PureWindowsPath("C:/Users/me").as_posix())),
        ("pathlib.WindowsPath\n- outputs\n- hand", Path("outputs/hand")),
        ("pathlib._local.PosixPath\n- outputs", Path("outputs")),
    ],
)
def test_paths_of_another_system_become_this_ones(text: str, file: Path, written: str, read: Path):
    mine = "output_dir: !!python/object/apply:pathlib.PosixPath\n- outputs\n"
    assert mine in text
    file.write_text(text.replace(mine, f"output_dir: !!python/object/apply:{written}\n"))
    assert load_config(file).output_dir == read


EVENT = "nerfstudio.utils.writer.EventName"
BY_VALUE = f"    - !!python/object/apply:{EVENT}\n      - {{}}\n"
BY_NAME = f"    - !!python/object/apply:builtins.getattr\n      - !!python/name:{EVENT} ''\n      - {{}}\n"


def with_event(text: str, written: str) -> str:
    """The configuration with one value of an enumeration, written so."""
    found, count = re.subn(r"(stats_to_track: !!python/tuple\n)( +- .*\n)+", lambda match: match[1] + written, text)
    assert count == 1
    return found


@pytest.mark.parametrize("written", [BY_VALUE.format("Test PSNR"), BY_NAME.format("CURR_TEST_PSNR")])
def test_values_of_enumerations_as_any_python_writes_them(text: str, file: Path, written: str):
    file.write_text(with_event(text, written))
    assert load_config(file).logging.local_writer.stats_to_track == (EventName.CURR_TEST_PSNR,)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (BY_VALUE.format("Taste"), "a value of EventName"),
        (BY_NAME.format("TASTE"), "a value of EventName"),
        (BY_NAME.format("__class__"), "a value of EventName"),
        (BY_NAME.replace(EVENT, "os").format("system"), "found 'os'; nothing of it was run"),
        ("    - !!python/object/apply:builtins.getattr\n      - a\n      - b\n", "a value of an enumeration"),
    ],
)
def test_values_that_are_in_no_enumeration(text: str, file: Path, written: str, said: str):
    assert said in refusal(file, with_event(text, written))


HOSTILE = {
    "call": '!!python/object/apply:os.system ["touch {trap}"]',
    "call with state": '!!python/object/apply:subprocess.run {{args: ["touch {trap}"], kwds: {{shell: true}}}}',
    "new object": '!!python/object/new:subprocess.Popen ["touch {trap}"]',
    "object": "!!python/object:subprocess.Popen {{}}",
    "module": "!!python/module:os ''",
    "name": "!!python/name:os.system ''",
    "function of nerfstudio": '!!python/object/apply:nerfstudio.utils.scripts.run_command ["touch {trap}"]',
    "function of ours": '!!python/object/apply:nerfstudio_hands.video.writer.write_video ["{trap}", [], 1]',
    "another class of ours": "!!python/object:nerfstudio_hands.training.pipeline.HandPipeline {{}}",
    "a name through ours": '!!python/object/apply:nerfstudio_hands.training.trainer.Path.touch ["{trap}"]',
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("option", [None, "_target", "data", "cameras", "near_plane"])
def test_nothing_that_a_config_names_is_run(text: str, file: Path, tmp_path: Path, kind: str, option: str | None):
    """In place of an option's value, or of the whole file."""
    trap = tmp_path / "trap"
    code = HOSTILE[kind].format(trap=trap)
    hostile = (
        code if option is None else re.sub(rf"^( *{option}):.*", rf"\1: {code}", text, count=1, flags=re.MULTILINE)
    )
    assert code in hostile
    refusal(file, hostile)
    assert not trap.exists()


def test_our_commands_read_it_so(file: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    file.write_text(HOSTILE["call"].format(trap=trap))
    with pytest.raises(HandsError, match="YAML of something else"):
        load_run(file)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "an empty file"),
        (" \n\n", "an empty file"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "a binary file"),
        ("name: me\nsteps: 3\n", "YAML of something else"),
        ("- a\n- b\n", "YAML of something else"),
        ("just words", "YAML of something else"),
        ("a: [b\n", "YAML that cannot be read"),
        ("a: b\n---\nc: d\n", "YAML that cannot be read"),
        ("[" * 1200, "YAML that cannot be read"),
        ("#" * 2_000_000, "a file of over 1 MB"),
    ],
)
def test_a_file_that_is_no_configuration(file: Path, content: str | bytes, found: str):
    assert f"found {found}" in refusal(file, content)


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        ("max_num_iterations: ", "num_iterations: ", "'num_iterations'"),
        ("seed: 42", "seed: many", "MachineConfig's seed to be int"),
        ("seed: 42", "seed: " + "9" * 9999, "cannot be read"),
        ("vis: viewer+tensorboard", "vis: television", "HandTrainerConfig's vis to be Literal["),
        ("hand_uvnerf.HandUVNeRFModelConfig", "hand_nerf.HandModelConfig", "hand_nerf.HandModelConfig"),
        ("trainer.HandTrainerConfig", "trainer.TrainerConfig", "'hand-uvnerf'"),
        ("trainer.HandTrainer ''", "pipeline.HandPipeline ''", "HandTrainerConfig's _target to be its own"),
        ("near_plane: 2.0", "near_plane: 2.0\n      <<: {a: 1}", "tags of a run's configuration"),
        ("near_plane: 2.0", "? [near, far]\n      : 2.0", "options by their names"),
    ],
)
def test_a_configuration_with_something_wrong(text: str, file: Path, mine: str, other: str, said: str):
    assert mine in text
    assert said in refusal(file, text.replace(mine, other, 1))


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [("seed: 42", "seed: -5", "--machine.seed: expected"), ("near_plane: 2.0", "near_plane: .nan", ".*near-plane: ")],
)
def test_a_number_out_of_its_range(text: str, file: Path, mine: str, other: str, said: str):
    file.write_text(text.replace(mine, other, 1))
    with pytest.raises(HandsError, match=f"^{file}: {said}"):
        load_config(file)


def test_a_run_of_another_method(file: Path):
    sentence = refusal(file, "!!python/object:nerfstudio.engine.trainer.TrainerConfig\nmethod_name: nerfacto\n")
    assert "found one of 'nerfacto'" in sentence


def test_a_folder_and_nothing(tmp_path: Path):
    with pytest.raises(HandsError, match="found a folder; give the file config.yml in it"):
        load_config(tmp_path)
    with pytest.raises(HandsError, match="found no file; check --load-config"):
        load_config(tmp_path / "config.yml")


def test_a_cut_configuration(text: str, file: Path):
    for end in range(1, len(text) - len("+tensorboard\n"), 311):
        refusal(file, text[:end])


def test_lists_that_hold_themselves_many_times_over(text: str, file: Path):
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    refusal(file, f"{text}a0: &a0 [x]\n{bomb}")
    refusal(file, text.replace("data: null", "data: &a [*a]"))


def test_what_chance_makes_of_a_configuration_is_read_or_refused(text: str, file: Path):
    """Bytes changed, and lines moved, doubled, dropped or indented: no other exception, and no other type."""
    chance = random.Random(0)
    lines = text.splitlines(keepends=True)
    pieces = ["!!python/name:os.system ''", "!!python/tuple", "&id001", "*id001", "{", "- ", ": ", ".nan", "\t", "?"]
    for _ in range(40):
        mutated = [*lines]
        for _ in range(chance.randint(1, 3)):
            at, other = chance.randrange(len(mutated)), chance.randrange(len(mutated))
            kind = chance.randrange(5)
            if kind == 0:
                mutated[at] = mutated[other]
            elif kind == 1:
                del mutated[at]
            elif kind == 2:
                mutated[at] = "  " + mutated[at]
            else:
                line = mutated[at]
                place = chance.randrange(len(line))
                piece = chance.choice(pieces) if kind == 3 else chr(chance.randrange(1, 300))
                mutated[at] = line[:place] + piece + line[place + chance.randrange(3) :]
        file.write_text("".join(mutated))
        try:
            found = load_config(file)
        except HandsError as error:
            assert str(error).startswith(f"{file}: expected") and "\n" not in str(error)
        else:
            assert isinstance(found, PrintableConfig)
