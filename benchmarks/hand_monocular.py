"""How near to the truth are hands that `hand-monocular` says from one picture, and how near is what knows less?

On drawn pictures of people, objects and backgrounds that no training has seen (synthetic): the network; the mean pose
of the training's hands, turned and placed as the truth is; and the form that MediaPipe's detector gives hands, where
its networks are there and find one. Aligned errors are comparable between all; those relative to a joint are not for
the mean pose, which is given its turn. Crops are cut round the true joints.

    python benchmarks/hand_monocular.py
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import tyro
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED, load_predictor
from nerfstudio_hands.evaluation.hand_pose_metrics import hand_pose_metrics
from nerfstudio_hands.evaluation.mean_pose import mean_pose, turned_onto
from nerfstudio_hands.hand_images.crops import hand_box
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions
from nerfstudio_hands.training.trained_network import predictor_of_run

FIGURES = ("wrist_mpjpe_mm", "middle_mpjpe_mm", "pa_mpjpe_mm", "pa_mpvpe_mm", "pa_auc", "pa_f_5mm", "pa_f_15mm")


@dataclass
class Monocular(Recorded):
    """Which network, on how many pictures."""

    load_config: Optional[Path] = None
    """A run's config.yml of `ns-train hand-monocular`, instead of the network that comes along."""
    network: Optional[Path] = None
    """A file of `ns-hands predict --save-network`."""
    count: int = 500
    """Held-out pictures."""
    mean_of: int = 2000
    """Hands of the training of which the mean pose is taken."""


def predicted(predictor: HandPredictor, source: SyntheticHands, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Joints and vertices of all pictures, and the milliseconds that a hand took."""
    asked = []
    for index in range(count):
        picture = source.read(index)
        labels = picture.labels
        box = hand_box(labels, picture.rgb.shape[1], picture.rgb.shape[0])
        asked.append((picture.rgb, labels.intrinsics, labels.side, box))
    start = time.perf_counter()
    hands = list(predictor.predict(asked))
    spent = 1000 * (time.perf_counter() - start) / count
    return np.stack([hand.joints for hand in hands]), np.stack([hand.vertices for hand in hands]), spent


def detected(source: SyntheticHands, count: int) -> dict[int, np.ndarray]:
    """The form that MediaPipe's detector gives the hand nearest to each picture's, meters; of those that it finds."""
    from nerfstudio_hands.estimators.hand_detector import HandDetector

    detector, found = HandDetector(max_hands=2), {}
    for index in range(count):
        picture = source.read(index)
        hands = detector.detect(picture.rgb)
        far = [float(np.linalg.norm(hand.pixels - picture.labels.pixels, axis=1).mean()) for hand in hands]
        if far and min(far) < 0.25 * picture.rgb.shape[0]:
            found[index] = hands[int(np.argmin(far))].metric
    return found


def main(args: Monocular) -> None:
    """Prints and records the table."""
    if args.load_config is None:
        predictor = load_predictor(args.network or SHIPPED)
    else:
        predictor = predictor_of_run(args.load_config)
        assert isinstance(predictor, HandPredictor), "a run of hand-monocular"
    training, held_out = (
        SyntheticHands(SyntheticHandsOptions(split=split, count=100_000)) for split in ("train", "test")
    )
    labels = [held_out.labels(index) for index in range(args.count)]
    joints, vertices = (np.stack([getattr(one, name) for one in labels]) for name in ("joints", "vertices"))
    table = Table("what", "hands", *FIGURES, "ms a hand", title="drawn pictures (synthetic)")

    def row(what: str, count: int, figures: dict[str, float], spent: str = "") -> None:
        table.add_row(what, str(count), *(f"{figures[name]:.3g}" if name in figures else "" for name in FIGURES), spent)

    found, surface, spent = predicted(predictor, held_out, args.count)
    row("network", args.count, hand_pose_metrics(found, joints, surface, vertices), f"{spent:.1f}")
    known = np.stack([training.labels(index).joints for index in range(args.mean_of)])
    mean = turned_onto(mean_pose(known), joints)
    row("mean pose, turned as the truth is", args.count, hand_pose_metrics(mean, joints))
    notes = []
    try:
        forms = detected(held_out, args.count)
    except HandsError as error:
        notes.append(f"MediaPipe's detector is left out: {error}")
    else:
        seen = sorted(forms)
        metric = np.stack([forms[index] for index in seen])
        row("MediaPipe's form, where it finds the hand", len(seen), hand_pose_metrics(metric, joints[seen]))
        row("network, there", len(seen), hand_pose_metrics(found[seen], joints[seen], surface[seen], vertices[seen]))
    record("hand_monocular", args, [table], notes=notes)


if __name__ == "__main__":
    main(tyro.cli(Monocular))
