"""`make demo`: the main job, from pictures to an avatar, on the capture that ships with the project.

Trains `hand-uvnerf`, evaluates it on cameras that it has not seen, and writes a turntable video, a comparison picture
and a textured mesh. Every step is a command that works the same on your own capture, and is printed before it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CAPTURE = Path("data/synthetic-hand/1")
OUTPUT = Path("outputs/demo")
STEPS = "640"
PICTURES = "20"
"""Of the video; each takes a second or two."""
TEXTURE_SIZE = "512"
"""Half of what `ns-hands export` writes, in a quarter of the time."""


def run(*command: str) -> None:
    """Prints a command, runs it and stops with its status if it fails."""
    print(f"\n$ {' '.join(command)}", flush=True)
    # nerfstudio and torch warn of each other at length; that is nothing a visitor can act on.
    finished = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if finished.returncode:
        sys.exit(finished.returncode)


def main() -> None:
    start = time.monotonic()
    config = OUTPUT / "capture" / "hand-uvnerf" / "run" / "config.yml"
    run(
        "ns-train", "hand-uvnerf", "--data", str(CAPTURE), "--output-dir", str(OUTPUT), "--experiment-name", "capture",
        "--timestamp", "run", "--max-num-iterations", STEPS, "--vis", "tensorboard",
    )  # fmt: skip
    metrics, pictures = OUTPUT / "metrics.json", OUTPUT / "pictures"
    run("ns-eval", "--load-config", str(config), "--output-path", str(metrics), "--render-output-path", str(pictures))
    run(
        "ns-hands", "turntable", "--load-config", str(config), "--output", str(OUTPUT / "turntable.mp4"), "--overwrite",
        "--num-frames", PICTURES,
    )  # fmt: skip
    run(
        "ns-hands", "export", "--load-config", str(config), "--output-dir", str(OUTPUT / "mesh"), "--rigged",
        "--texture-size", TEXTURE_SIZE,
    )  # fmt: skip

    results = json.loads((REPOSITORY / metrics).read_text())["results"]
    print("\nSynthetic capture, cameras that took no part in fit and training:")
    for key in ("hand_psnr", "hand_psnr_calibrated", "hand_psnr_registered", "hand_ssim", "hand_lpips", "mask_iou"):
        if key in results:
            print(f"  {key:22s} {results[key]:.3f}")
    print(f"\nDone in {(time.monotonic() - start) / 60:.1f} minutes. Look at:")
    for label, path in (
        ("truth | avatar, its colour fitted | as it is", pictures / "eval_img_0000.png"),
        ("video", OUTPUT / "turntable.mp4"),
        ("mesh, and rigged.glb for Blender or three.js", OUTPUT / "mesh"),
    ):
        print(f"  {label:44s} {path}")
    print("\nWhat to do next:")
    for label, command in next_commands(config):
        print(f"  {label:44s} {command}")


def next_commands(config: Path) -> list[tuple[str, str]]:
    """What a visitor may want after the demo, and the command for it."""
    run, spiral = f"--load-config {config}", OUTPUT / "spiral.mp4"
    return [
        ("bend its fingers in the browser", f"ns-hands view {run}"),
        ("circle round it and rise", f"ns-hands animate {run} --spiral --seconds 3 --output {spiral}"),
        ("a finer mesh and rig", f"ns-hands export {run} --output-dir {OUTPUT / 'fine'} --rigged --texture-size 2048"),
        ("is a capture of yours good?", "ns-hands check CAPTURE"),
        ("an avatar of it", "ns-train hand-uvnerf --data CAPTURE"),
    ]


if __name__ == "__main__":
    main()
