"""`ns-hands train-pose-network`: train the network that fits start from."""

from __future__ import annotations

from pathlib import Path

import tyro

from nerfstudio_hands.cli.input_paths import check_capture_folder, check_hand_model
from nerfstudio_hands.cli.output_folder import check_new_npz
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say, show_progress
from nerfstudio_hands.training.pose_network_options import RANGES, TrainingOptions


def train_pose_network(
    output: Path,
    *,
    hand_model: str = "default",
    data: tuple[Path, ...] = (),
    options: tyro.conf.OmitArgPrefixes[TrainingOptions] = TrainingOptions(),  # noqa: B008
) -> None:
    """Train the graph network that gives a hand's pose, shape and vertices from its 21 joints.

    The package brings one for the built-in hand, with which fits of any hand model start where they would otherwise be
    caught. Poses are drawn at random within the joint limits and between gestures; with --data also from captures.

    Args:
        output: File (.npz) to write; it must not exist.
        hand_model: "default" for the built-in CC0 hand, or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl.
        data: Captures with joints in space (InterHand2.6M's layout) whose fitted poses are learnt from, too.
        options: Numbers of the training.
    """
    for name, (low, high) in RANGES.items():
        require_range(f"--{name.replace('_', '-')}", getattr(options, name), low, high)
    output = check_new_npz(output)
    check_hand_model(hand_model)
    for folder in data:
        check_capture_folder(folder)
    say("Making ready to train the pose network ...")

    from nerfstudio_hands.estimators.weights_file import save_network
    from nerfstudio_hands.hand_model import load_hand
    from nerfstudio_hands.training.captured_poses import captured_angles
    from nerfstudio_hands.training.pose_network import train_network

    model = load_hand(hand_model, "right")
    known = captured_angles(data, hand_model) if data else None
    with show_progress("Training the pose network", options.first_steps + options.steps) as report:
        network = train_network(model, options, known_angles=known, progress=lambda step, _: report(step))
    save_network(output, network, faces=model.faces, seed=options.seed)
    say(f"Pose network: {output}")
