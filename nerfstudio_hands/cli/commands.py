"""All commands of `ns-hands`, and the parser that finds the one that is meant."""

from __future__ import annotations

import re
import sys

import tyro

from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.announced import announced
from nerfstudio_hands.cli.bake import bake
from nerfstudio_hands.cli.batch import batch
from nerfstudio_hands.cli.calibrate import calibrate
from nerfstudio_hands.cli.check import check
from nerfstudio_hands.cli.compare_mesh import compare_mesh
from nerfstudio_hands.cli.detect import detect
from nerfstudio_hands.cli.export import export
from nerfstudio_hands.cli.fetch_weights import fetch_weights
from nerfstudio_hands.cli.fit import fit
from nerfstudio_hands.cli.forecast import forecast
from nerfstudio_hands.cli.predict import predict
from nerfstudio_hands.cli.prepare import prepare
from nerfstudio_hands.cli.synthesize import synthesize
from nerfstudio_hands.cli.train_forecaster import train_forecaster
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.cli.view import view

COMMANDS = {
    "prepare": prepare,
    "calibrate": calibrate,
    "check": check,
    "fit": fit,
    "export": export,
    "bake": bake,
    "batch": batch,
    "turntable": turntable,
    "animate": animate,
    "view": view,
    "compare-mesh": compare_mesh,
    "detect": detect,
    "predict": predict,
    "synthesize": synthesize,
    "fetch-weights": fetch_weights,
    "train-forecaster": train_forecaster,
    "forecast": forecast,
}


OF_A_CAPTURE = ("check", "fit")
"""Commands whose first word is the folder of a capture."""

FOLDER_WRITTEN = dict.fromkeys(("check", "prepare", "detect", "synthesize"), "--output") | dict.fromkeys(
    ("export", "bake", "predict"), "--output-dir"
)
"""What commands call the folder that they write; the other word is understood, too."""


def run_command() -> None:
    """Parses the words of this process and runs the command that they name."""
    tyro.extras.subcommand_cli_from_dict(
        {name: announced(name, command) for name, command in COMMANDS.items()},
        prog="ns-hands",
        description="Hand avatars from calibrated pictures: what surrounds `ns-train hand-uvnerf`.",
        args=_understood(sys.argv[1:]),
    )


def _understood(words: list[str]) -> list[str]:
    """The words as the command has them: without `--data`, which nerfstudio's commands have before a capture's folder,
    and with its own name of the folder that it writes."""
    command = words[0] if words else ""
    if command in OF_A_CAPTURE:
        words = [word.removeprefix("--data=") for word in words if word != "--data"]
    if command in FOLDER_WRITTEN:
        words = [re.sub(r"^--output([-_]dir)?(?==|$)", FOLDER_WRITTEN[command], word) for word in words]
    return words
