"""How fast and how exact are hand poses from 3D joints, beside other ways to get them?

Without data: hands of random shape, every joint angle drawn evenly between its limits, turned any way round, with and
without noise in the joints; the truth is known. With data: a capture with 3D joints (InterHand2.6M, or `ns-hands
synthesize interhand`, which leaves the truth in `truth/`). The constants of the fit were chosen on other draws.

Beside it, on the first frames of the same, two ways that go through all vertices of the hand model by automatic
derivatives, all poses at once. "torch.optim.LBFGS" is the peer: torch's optimiser with a strong-Wolfe line search, as
SMPLify-X uses it, on the squared distances and a prior, through smplx's functions of skinning, from a resting hand laid
on the palm. "our other fit" is ours too: that of joints that cameras see (`fitting.joints.pose_fit`), given four.

All of it runs on one thread. Beside hands per second stands what a processor that does nothing else would reach.

    python benchmarks/fit_poses.py
    python benchmarks/fit_poses.py --data synthetic-interhand
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from captures import SYNTHETIC, is_synthetic, title_of
from recording import Recorded, record, short_path
from rich.table import Table
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.fitting import FitOptions
from nerfstudio_hands.fitting.capture_joints import fit_capture_joints
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, PALM, JointTerms, fit_joints
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand, load_surface
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.program.threads import one_thread

PERSONS = 4
PLACE_UNIT = 0.1
"""Metres that a step of one moves a hand by in the peer's variables, so that it reaches as far as a radian turns."""
PEER_JOINT_METERS = 0.005
"""Scatter of joints against which the peer's prior is weighed: that of the joints with most noise."""
DRAWN = (
    "Synthetic: joints are those of hands drawn from the same template, shape space and joint limits that are then "
    "fitted."
)


@dataclass
class FitPoses(Recorded):
    """Fits poses to joints."""

    data: Path | None = None
    """Folder of a capture with 3D joints; by default poses are drawn at random."""
    hand_model: str = "default"
    """Hand model, "default" or a path; with a folder of MANO files, annotations are used where there are some."""
    hands: int = 2000
    """Random hands, of four persons."""
    noise_mm: tuple[float, ...] = (0.0, 2.0, 5.0)
    """Standard deviation of the noise in every coordinate of random hands' joints."""
    peer_hands: int = 32
    """Hands that the slower ways are given."""
    peer_iterations: int = 200
    """Iterations of torch's L-BFGS at most; it ends earlier where the error no longer falls."""


@dataclass
class Track:
    """A capture and, where it is known, the truth: [T, 2, V, 3], NaN where absent."""

    capture: Capture
    vertices: torch.Tensor | None
    keypoints: torch.Tensor | None

    def first(self, hands: int) -> Track:
        """The first frames, as many as have so many hands."""
        there = np.isfinite(self.capture.stored_keypoints).all(-1).sum(-1) >= MIN_JOINTS
        count = int(np.searchsorted(np.cumsum(there.sum(1)), hands)) + 1
        capture = replace(
            self.capture,
            frames=self.capture.frames[:count],
            stored_keypoints=self.capture.stored_keypoints[:count],
            mano_annotations=None,
        )
        truths = (None if truth is None else truth[:count] for truth in (self.vertices, self.keypoints))
        return Track(capture, *truths)


@dataclass
class Result:
    """One way's fit; errors in millimetres."""

    hands: int
    seconds: float
    cpu_seconds: float
    joint_error: torch.Tensor
    vertex_error: torch.Tensor | None


class Clock:
    """Seconds of the clock on the wall and of the processor since it was made."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def stopped(self) -> tuple[float, float]:
        return time.perf_counter() - self.start[0], time.process_time() - self.start[1]


def random_track(args: FitPoses, seed: int, noise_mm: float) -> Track:
    """Two hands of one person in random poses."""
    generator = torch.Generator().manual_seed(seed)
    surface = HandSurface(tuple(default_hand(side) for side in SIDES))
    frames = args.hands // PERSONS // 2
    local = []
    for hand in surface.hands:
        low, high = joint_limits(hand).unbind(-1)
        angles = low + (high - low) * torch.rand(frames, 15, 3, generator=generator)
        local.append(angles_to_rotations(joint_axes(hand), angles))
    turns = Rotation.random(2 * frames, random_state=seed).as_rotvec()
    pose = HandPose(
        torch.from_numpy(turns).float().reshape(frames, 2, 3),
        torch.stack(local, 1),
        0.3 * torch.randn(frames, 2, 3, generator=generator),
        torch.ones(frames, 2, dtype=torch.bool),
    )
    posed = surface.pose(pose, torch.randn(surface.hands[0].num_shape, generator=generator))
    joints = posed.keypoints + noise_mm / 1000 * torch.randn(posed.keypoints.shape, generator=generator)
    capture = Capture(
        Path("random"), [], [str(t) for t in range(frames)], {}, {}, None, [], stored_keypoints=joints.double().numpy()
    )
    return Track(capture, torch.stack([posed.vertices[:, part] for part in surface.vertex_slices], 1), posed.keypoints)


def track_of(data: Path) -> Track:
    """A capture, with the truth where it lies beside it."""
    capture = read_interhand(data)
    if not (data / "truth").is_dir():
        return Track(capture, None, None)
    rows = []
    for frame, sequence in zip(capture.frames, capture.sequences, strict=True):
        with np.load(data / "truth" / f"{sequence}.npz") as truth:
            row = truth["frames"].tolist().index(int(frame.rsplit("/", 1)[1]))
            rows.append((truth["vertices"][row], truth["keypoints"][row]))
    vertices, keypoints = (torch.from_numpy(np.stack(values)) for values in zip(*rows, strict=True))
    return Track(capture, vertices, keypoints)


def judged(track: Track, surface: HandSurface, pose: HandPose, shape: torch.Tensor, clock: Clock) -> Result:
    """Errors of fitted hands: joints of the model against the true ones, or those given where truth is unknown."""
    seconds = clock.stopped()
    places = [SIDES.index(side) for side in surface.sides]
    posed = surface.pose(pose, shape)
    joints = torch.from_numpy(track.capture.stored_keypoints) if track.keypoints is None else track.keypoints
    joint_error = (posed.keypoints - joints[:, places]).norm(dim=-1).nanmean(-1)
    vertex_error = None
    if track.vertices is not None and track.vertices.shape[2] == surface.hands[0].num_vertices:
        found = torch.stack([posed.vertices[:, part] for part in surface.vertex_slices], 1)
        vertex_error = (found - track.vertices[:, places]).norm(dim=-1).mean(-1)[pose.valid] * 1000
    return Result(int(pose.valid.sum()), *seconds, joint_error[pose.valid] * 1000, vertex_error)


def ours(track: Track, hand_model: str) -> Result:
    """`fit_capture_joints` as training calls it, before it looks at the pictures: shape, poses, report."""
    clock = Clock()
    fit = fit_capture_joints(track.capture, FitOptions(hand=hand_model, refine_masks=False, start=NetworkStart()))
    surface = load_surface(fit.sides, hand_model)
    return judged(track, surface, fit.pose, fit.shape, clock)


def torch_lbfgs(track: Track, hand_model: str, iterations: int) -> Result:
    """`torch.optim.LBFGS` on turns, places, rotations and shape at once."""
    surface, points, known = _given_joints(track, hand_model)
    valid = known.sum(-1) >= MIN_JOINTS
    clock = Clock()
    orient, place = _laid_on_palms(surface, points, known, valid)
    local = torch.zeros(*valid.shape, 15, 3)
    shape = torch.zeros(surface.hands[0].num_shape)
    parts = [part.requires_grad_() for part in (orient, local, place, shape)]
    optimizer = torch.optim.LBFGS(parts, max_iter=iterations, line_search_fn="strong_wolfe")

    def pose() -> HandPose:
        return HandPose(orient, local, PLACE_UNIT * place, valid)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        off = (surface.pose(pose(), shape).keypoints - points).square().sum(-1) * known * valid[..., None]
        loss = off.sum() / PEER_JOINT_METERS**2 + local.square().sum() + shape.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return judged(track, surface, pose(), shape, clock)


def _laid_on_palms(
    surface: HandSurface, points: torch.Tensor, known: torch.Tensor, valid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn and place (in `PLACE_UNIT`) [T, H, 3] that bring the palms of resting hands onto their joints."""
    orient, place = torch.zeros(*valid.shape, 3), torch.zeros(*valid.shape, 3)
    rest = surface.pose(HandPose.rest(valid.shape[1], (1,)), torch.zeros(surface.hands[0].num_shape)).keypoints[0]
    for frame, hand in valid.nonzero().tolist():
        palm = [joint for joint in PALM if known[frame, hand, joint]]
        if len(palm) < 3:
            continue
        own, given = (joints[hand, palm].double().numpy() for joints in (rest, points[frame]))
        turn, _ = Rotation.align_vectors(given - given.mean(0), own - own.mean(0))
        # The first joint is the wrist, about which a hand turns.
        wrist = rest[hand, 0].double().numpy()
        shift = given.mean(0) - turn.apply(own.mean(0) - wrist) - wrist
        orient[frame, hand] = torch.from_numpy(turn.as_rotvec())
        place[frame, hand] = torch.from_numpy(shift / PLACE_UNIT)
    return orient, place


def our_other_fit(track: Track, hand_model: str) -> Result:
    """The fit of triangulated joints, given the same joints in space and their rays in four cameras."""
    surface, terms = _terms(track, hand_model)
    clock = Clock()
    variables = fit_joints(surface, terms, torch.zeros(len(terms.world_to_camera), 3))
    return judged(track, surface, variables.pose, variables.shape, clock)


def _given_joints(track: Track, hand_model: str) -> tuple[HandSurface, torch.Tensor, torch.Tensor]:
    """The hands that are there, their joints [T, H, 21, 3], zero where absent, and which are not absent."""
    given = torch.from_numpy(track.capture.stored_keypoints).float()
    there = (given.isfinite().all(-1).sum(-1) >= MIN_JOINTS).any(0)
    places = [place for place in range(2) if there[place]]
    surface = load_surface([SIDES[place] for place in places], hand_model)
    points = given[:, places]
    return surface, points.nan_to_num(0.0), points.isfinite().all(-1)


def _terms(track: Track, hand_model: str) -> tuple[HandSurface, JointTerms]:
    """The joints, as they would come from four cameras around the hands."""
    surface, points, known = _given_joints(track, hand_model)
    center = points[known].mean(0)
    cameras = torch.eye(4).repeat(4, 1, 1)
    for index in range(4):
        turn = Rotation.from_euler("y", 90 * index, degrees=True).as_matrix()
        cameras[index, :3, :3] = torch.from_numpy(turn)
        cameras[index, :3, 3] = torch.tensor([0.0, 0.0, 3.0]) - cameras[index, :3, :3] @ center
    seen = torch.einsum("cij,thkj->tchki", cameras[:, :3, :3], points) + cameras[:, None, None, :3, 3]
    weights = known[:, None].float().expand(-1, 4, -1, -1) / 4
    rays = torch.nn.functional.normalize(seen, dim=-1)
    return surface, JointTerms(points, known.float(), rays, weights, torch.zeros_like(points[..., 0]), cameras)


def together(results: list[Result]) -> Result:
    """Several persons' results as one."""
    vertices = [result.vertex_error for result in results]
    return Result(
        sum(result.hands for result in results),
        sum(result.seconds for result in results),
        sum(result.cpu_seconds for result in results),
        torch.cat([result.joint_error for result in results]),
        None if any(error is None for error in vertices) else torch.cat(vertices),
    )


def main(args: FitPoses) -> None:
    of = "SYNTHETIC random poses" if args.data is None else title_of(args.data)
    table = Table(title=f"{of}, hand model {short_path(Path(args.hand_model))}, one thread; errors in mm")
    columns = (
        "joints",
        "way",
        "hands",
        "hands/s",
        "a CPU second",
        "mean joint",
        "95 %",
        "mean vertex",
        "times our CPU time",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("joints", "way") else "right")
    if args.data is None:
        cases = {
            f"noise {noise:g} mm": [random_track(args, 100 + person, noise) for person in range(PERSONS)]
            for noise in args.noise_mm
        }
    else:
        cases = {"as given": [track_of(args.data)]}
    with one_thread():
        for name, tracks in cases.items():
            fitted = together([ours(track, args.hand_model) for track in tracks])
            few = tracks[0].first(args.peer_hands)
            ways = {
                "ours": fitted,
                "ours, few": ours(few, args.hand_model),
                "torch.optim.LBFGS": torch_lbfgs(few, args.hand_model, args.peer_iterations),
                "our other fit": our_other_fit(few, args.hand_model),
            }
            for way, result in ways.items():
                ratio = (fitted.hands / fitted.cpu_seconds) / (result.hands / result.cpu_seconds)
                table.add_row(
                    name,
                    way,
                    str(result.hands),
                    f"{result.hands / result.seconds:.1f}",
                    f"{result.hands / result.cpu_seconds:.1f}",
                    f"{result.joint_error.nanmean():.2f}",
                    f"{result.joint_error.nanquantile(0.95):.2f}",
                    "-" if result.vertex_error is None else f"{result.vertex_error.mean():.2f}",
                    "" if way.startswith("ours") else f"{ratio:.0f}x",
                )
    notes = [DRAWN] if args.data is None else [SYNTHETIC] if is_synthetic(args.data) else []
    record(__file__, args, [table], notes=notes)


if __name__ == "__main__":
    main(tyro.cli(FitPoses))
