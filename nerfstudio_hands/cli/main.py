"""`ns-hands`: the commands that nerfstudio has no place for."""

from __future__ import annotations

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
from nerfstudio_hands.cli.train_pose_network import train_pose_network
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.cli.view import view
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.interruption import exit_status, sigterm_interrupts

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
    "train-pose-network": train_pose_network,
    "train-forecaster": train_forecaster,
    "forecast": forecast,
}


def main() -> None:
    """Runs a command; a fault of the user's is one sentence on the error stream and exit status 1. Ctrl-C and SIGTERM
    leave no file half written."""
    try:
        with sigterm_interrupts():
            tyro.extras.subcommand_cli_from_dict(
                {name: announced(name, command) for name, command in COMMANDS.items()},
                prog="ns-hands",
                description="Hand avatars from calibrated pictures: what surrounds `ns-train hand-uvnerf`.",
            )
    except HandsError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as stop:
        print("Stopped before the end.", file=sys.stderr)
        sys.exit(exit_status(stop))


if __name__ == "__main__":
    main()
