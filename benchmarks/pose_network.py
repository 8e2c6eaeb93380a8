"""Does the pose network help a fit of hand poses to joints, and where?

Held-out hands: half with every angle drawn evenly between its limits (another seed than the training's), half between
gestures that the training never saw; turned any way round, of a random shape that the fit is given. What is caught is
counted: a hand whose joints lie more than 8 mm further from the truth, on average, than where the same fit ends when
it starts from the truth. "rest + fit" asks whether any second start would do: in place of what the network says it
takes a resting hand, laid on the joints as the network's input is (`joint_frame`).

    python benchmarks/pose_network.py
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import tyro
from recording import Recorded, record
from rich.table import Table
from scipy.spatial.transform import Rotation

from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.estimators.joint_frame import frame_of
from nerfstudio_hands.estimators.pose_samples import HELD_OUT_GESTURES, gesture_angles, random_angles
from nerfstudio_hands.estimators.prediction import predict_vertices
from nerfstudio_hands.estimators.weights_file import shipped_network
from nerfstudio_hands.fitting.joints import joint_track
from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.fitting.joints.keypoint_chain import ChainPose, KeypointChain
from nerfstudio_hands.fitting.joints.pose_start import PoseStart
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.program.threads import one_thread

CAUGHT_MM = 8.0


@dataclass
class PoseNetworkBenchmark(Recorded):
    """Fits held-out poses with and without the network."""

    hands: int = 1000
    """Right hands, of one person."""
    seed: int = 1234
    """Of poses, shape and noise."""


@dataclass
class Case:
    """What is done to the joints."""

    name: str
    noise_mm: float
    absent: int = 0
    """Joints that are missing."""
    absent_palm: int = 0
    """Joints of wrist and knuckles that are missing besides."""
    outliers: int = 0
    """Joints that are `outlier_mm` away from where they belong."""
    outlier_mm: float = 0.0


CASES = (
    Case("noise 0 mm", 0.0),
    Case("noise 2 mm", 2.0),
    Case("noise 5 mm", 5.0),
    Case("2 mm, 6 absent", 2.0, absent=6),
    Case("5 mm, 9 absent", 5.0, absent=9),
    Case("2 mm, 2 of the palm absent", 2.0, absent_palm=2),
    Case("2 mm, 3 outliers of 50 mm", 2.0, outliers=3, outlier_mm=50.0),
    Case("2 mm, 1 outlier of 150 mm", 2.0, outliers=1, outlier_mm=150.0),
    Case("2 mm, 3 outliers of 150 mm", 2.0, outliers=3, outlier_mm=150.0),
    Case("2 mm, 5 outliers of 150 mm", 2.0, outliers=5, outlier_mm=150.0),
    Case("5 mm, 3 outliers of 80 mm, 6 absent", 5.0, absent=6, outliers=3, outlier_mm=80.0),
)


@dataclass
class Truth:
    """Hands that are known."""

    surface: HandSurface
    pose: HandPose
    shape: torch.Tensor
    joints: torch.Tensor
    vertices: torch.Tensor


def held_out_hands(args: PoseNetworkBenchmark) -> Truth:
    """Poses that the training did not see."""
    generator = torch.Generator().manual_seed(args.seed)
    hand = default_hand("right")
    half = args.hands // 2
    angles = torch.cat(
        [random_angles(hand, half, generator), gesture_angles(hand, HELD_OUT_GESTURES, args.hands - half, generator)]
    )
    turns = torch.from_numpy(Rotation.random(args.hands, random_state=args.seed).as_rotvec()).float()
    pose = HandPose(
        turns[:, None],
        angles_to_rotations(joint_axes(hand), angles)[:, None],
        0.3 * torch.randn(args.hands, 1, 3, generator=generator),
        torch.ones(args.hands, 1, dtype=torch.bool),
    )
    surface = HandSurface((hand,))
    shape = torch.randn(hand.num_shape, generator=generator)
    posed = surface.pose(pose, shape)
    return Truth(surface, pose, shape, posed.keypoints[:, 0], posed.vertices)


def given_joints(truth: Truth, case: Case, seed: int) -> torch.Tensor:
    """Joints [N, 21, 3] of a case, NaN where absent."""
    generator = torch.Generator().manual_seed(seed)
    joints = truth.joints + case.noise_mm / 1000 * torch.randn(truth.joints.shape, generator=generator)

    def some(count: int, among: int) -> torch.Tensor:
        return torch.rand(len(joints), among, generator=generator).argsort(-1)[:, :count]

    moved = some(case.outliers, 21)
    way = torch.nn.functional.normalize(torch.randn(*moved.shape, 3, generator=generator), dim=-1)
    rows = torch.arange(len(joints))[:, None]
    joints[rows, moved] += case.outlier_mm / 1000 * way
    joints[rows, some(case.absent, 21)] = torch.nan
    palm = torch.tensor(joint_track.PALM)
    joints[rows, palm[some(case.absent_palm, len(palm))]] = torch.nan
    return joints


@dataclass
class Fitted:
    """One way's hands: mean errors of each in millimetres."""

    joint_error: torch.Tensor
    vertex_error: torch.Tensor
    ms_per_hand: float


def judged(truth: Truth, joints: torch.Tensor, vertices: torch.Tensor, seconds: float) -> Fitted:
    errors = [(a - b).norm(dim=-1).mean(-1) * 1000 for a, b in ((joints, truth.joints), (vertices, truth.vertices))]
    return Fitted(*errors, 1000 * seconds / len(joints))


def network_alone(truth: Truth, given: torch.Tensor) -> Fitted:
    """The network's own vertices, and the joints of its parameters."""
    network = shipped_network()
    chain = KeypointChain(truth.surface)
    hand = torch.zeros(len(given), dtype=torch.long)
    started = time.process_time()
    vertices = predict_vertices(network, given, "right")
    start = NetworkStart()(chain, given, hand, truth.shape.double())
    seconds = time.process_time() - started
    joints = chain.pose(start, chain.rest_of(hand, truth.shape.double())).landmarks.float()
    return judged(truth, joints, vertices, seconds)


class RestingStart:
    """A `PoseStart`: resting hands in the frames of their joints."""

    name = "rest"

    def __call__(
        self, chain: KeypointChain, joints: torch.Tensor, hand: torch.Tensor, shape: torch.Tensor
    ) -> ChainPose:
        reference = shipped_network().reference
        frame = frame_of(reference, joints.float(), joints.isfinite().all(-1))
        wrist = frame.to_world(reference[:1].expand(len(joints), 1, 3))[:, 0].double()
        translation = wrist - chain.rest_of(hand, shape)[:, 0]
        return ChainPose(hand, frame.rotation.double(), translation, torch.zeros(len(joints), 5, 3, 3).double())


def fitted(truth: Truth, given: torch.Tensor, start: PoseStart | None) -> Fitted:
    """`fit_joint_track`, hands that are caught started again."""
    started = time.process_time()
    fit = fit_joint_track(truth.surface, given[:, None], shape=truth.shape, start=start)
    seconds = time.process_time() - started
    posed = truth.surface.pose(fit.pose, truth.shape)
    return judged(truth, posed.keypoints[:, 0], posed.vertices, seconds)


def fitted_from_truth(truth: Truth, given: torch.Tensor) -> Fitted:
    """The fit that starts where it should end: what noise and absent joints leave possible."""
    chain = KeypointChain(truth.surface)
    hand = torch.zeros(len(given), dtype=torch.long)
    present = given.isfinite().all(-1)
    targets = joint_track._Targets(given.nan_to_num(0.0).double(), present.double())
    start = chain.from_hand_pose(truth.pose[:, 0], hand)
    shape = truth.shape.double()
    started = time.process_time()
    pose, _, _ = joint_track._fit_from(start, chain, targets, shape, torch.zeros(21, 3).double())
    seconds = time.process_time() - started
    record = chain.to_hand_pose(pose).to(dtype=torch.float32)
    every = HandPose(*(value[:, None] for value in vars(record).values()))
    posed = truth.surface.pose(every, truth.shape)
    return judged(truth, posed.keypoints[:, 0], posed.vertices, seconds)


def main(args: PoseNetworkBenchmark) -> None:
    table = Table(title=f"SYNTHETIC: {args.hands} held-out hands, one thread; errors in mm, CPU milliseconds")
    for column in ("joints", "way", "mean joint", "95 %", "worst", "mean vertex", "caught", "ms a hand"):
        table.add_column(column, justify="left" if column in ("joints", "way") else "right")
    truth = held_out_hands(args)
    with one_thread():
        for case in CASES:
            given = given_joints(truth, case, args.seed)
            possible = fitted_from_truth(truth, given)
            ways = {
                "network": network_alone(truth, given),
                "fit": fitted(truth, given, None),
                "rest + fit": fitted(truth, given, RestingStart()),
                "network + fit": fitted(truth, given, NetworkStart()),
                "fit from the truth": possible,
            }
            for way, result in ways.items():
                caught = (result.joint_error > possible.joint_error + CAUGHT_MM).float().mean()
                table.add_row(
                    case.name if way == "network" else "",
                    way,
                    f"{result.joint_error.mean():.2f}",
                    f"{result.joint_error.quantile(0.95):.2f}",
                    f"{result.joint_error.max():.1f}",
                    f"{result.vertex_error.mean():.2f}",
                    "-" if way == "network" else f"{100 * caught:.1f} %",
                    f"{result.ms_per_hand:.2f}",
                    end_section=way == "fit from the truth",
                )
    limits = joint_limits(truth.surface.hands[0])
    middle = angles_to_rotations(joint_axes(truth.surface.hands[0]), limits.mean(-1)).expand(args.hands, 1, 15, 3)
    guess = HandPose(truth.pose.global_orient, middle, truth.pose.translation, truth.pose.valid)
    posed = truth.surface.pose(guess, truth.shape)
    mean = judged(truth, posed.keypoints[:, 0], posed.vertices, 0.0)
    notes = [
        "Hands are drawn from the same template, shape space and joint limits that the fit has, and the fit is given "
        "their shape.",
        f"For scale: all angles in the middle of their limits, wrist and shape as they are: joints "
        f"{mean.joint_error.mean():.1f} mm, vertices {mean.vertex_error.mean():.1f} mm.",
    ]
    record(__file__, args, [table], notes=notes)


if __name__ == "__main__":
    main(tyro.cli(PoseNetworkBenchmark))
