"""`ns-hands train-pose-network`: train the network that fits start from."""

from __future__ import annotations

from pathlib import Path

import tyro

from nerfstudio_hands.pose_network.training_options import TrainingOptions


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
    from nerfstudio.utils.rich_utils import CONSOLE, get_progress

    from nerfstudio_hands.errors import HandsError
    from nerfstudio_hands.hand_model import load_hand
    from nerfstudio_hands.pose_network.captured_poses import captured_angles
    from nerfstudio_hands.pose_network.training import train_network
    from nerfstudio_hands.pose_network.weights_file import save_network

    output = output.expanduser()
    if output.exists():
        raise HandsError(f"{output}: expected a new file, found one that is there already: give another --output.")
    model = load_hand(hand_model, "right")
    known = captured_angles(data, hand_model) if data else None
    with get_progress("Training the pose network") as bar:
        task = bar.add_task("", total=options.first_steps + options.steps)
        network = train_network(
            model, options, known_angles=known, progress=lambda step, _: bar.update(task, completed=step)
        )
    save_network(output, network, faces=model.faces, seed=options.seed)
    CONSOLE.print(f"Pose network: {output}", soft_wrap=True)
