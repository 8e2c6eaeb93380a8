"""Training of the network on hands drawn as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hierarchy import build_hierarchy
from nerfstudio_hands.estimators.joint_frame import PALM, frame_of, reference_joints
from nerfstudio_hands.estimators.network import HandParameters, PoseNetwork
from nerfstudio_hands.estimators.pose_samples import Corruption, corrupted, training_angles
from nerfstudio_hands.fitting.joints.keypoint_chain import keypoints_only
from nerfstudio_hands.geometry.mesh import face_normals
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model import HandModel, pose_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.hand_model.joints import TIP_JOINTS
from nerfstudio_hands.training.pose_network_options import TrainingOptions
from nerfstudio_hands.training.schedules import warmed_up_cosine

# Batches that the first part keeps at hand, and how often it sees each on average.
POOL, REUSE = 200, 4


@dataclass
class _Hands:
    """A batch of N hands, of which the vertices of the first D are known; in the frame of their corrupted joints."""

    given: Float[Tensor, "N 21 3"]
    """NaN where absent."""
    scale: Float[Tensor, " N"]
    angles: Float[Tensor, "N 15 3"]
    rotation: Float[Tensor, "N 3 3"]
    shape: Float[Tensor, "N K"]
    joints: Float[Tensor, "N 21 3"]
    vertices: Float[Tensor, "D V 3"]


def new_network(model: HandModel) -> PoseNetwork:
    """An untrained network for a right hand."""
    joints = rest_keypoints(model)
    middle = joints[list(PALM)].mean(0)
    hierarchy = build_hierarchy(model.template, model.faces)
    return PoseNetwork(hierarchy, reference_joints(joints), (model.template - middle) / 0.1, model.num_shape)


def rest_keypoints(model: HandModel) -> Float[Tensor, "21 3"]:
    """The 21 joints of the mean hand at rest, metres."""
    zero = torch.zeros(1, 3)
    return pose_hand(model, zero, torch.zeros(1, 15, 3), zero, torch.zeros(1)).keypoints[0]


def train_network(
    model: HandModel,
    options: TrainingOptions,
    *,
    known_angles: Float[Tensor, "P 15 3"] | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> PoseNetwork:
    """Trains a network for a right hand.

    Args:
        model: The hand; its side must be right.
        options: Numbers.
        known_angles: Flexion, spread and twist of real hands, radians, drawn from as often as from each other source.
        progress: Receives the step and the loss.

    Raises:
        HandsError: A term of the loss is not finite.
    """
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = new_network(model).train()
    generator = torch.Generator().manual_seed(options.seed)
    hand = _RightHand(model)
    seen: list[_Hands] = []

    def first_terms() -> dict[str, Tensor]:
        # Hands are drawn for every few batches only, and seen again later: drawing costs more than learning.
        if len(seen) < POOL or torch.rand(1, generator=generator) < 1 / REUSE:
            new = _draw(hand, network.reference, replace(options, detailed=0), known_angles, generator)
            seen[:] = [*seen[-POOL + 1 :], new]
        hands = seen[int(torch.randint(len(seen), (1,), generator=generator))]
        found, _ = network(hands.given, hands.given.isfinite().all(-1), hands.scale)
        return {"parameters": _parameters_loss(hand, hands, found)}

    def all_terms() -> dict[str, Tensor]:
        hands = _draw(hand, network.reference, options, known_angles, generator)
        found, features = network(hands.given, hands.given.isfinite().all(-1), hands.scale)
        return _losses(hand, hands, found, network.vertices_of(features[: options.detailed]), options)

    whole = options.first_steps + options.steps
    for terms, first, last in ((first_terms, 0, options.first_steps), (all_terms, options.first_steps, whole)):
        optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmed_up_cosine, steps=last - first))
        for step in range(first, last):
            loss = _finite_sum(terms(), step)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress(step + 1, float(loss.detach()))
    return network.eval()


def _finite_sum(terms: dict[str, Tensor], step: int) -> Tensor:
    bad = ", ".join(name for name, term in terms.items() if not torch.isfinite(term))
    if bad:
        raise HandsError(
            f"pose network: expected finite losses, found NaN or infinity in {bad} at step {step}: lower "
            "--learning-rate."
        )
    return sum(terms.values(), start=torch.zeros(()))


class _RightHand:
    """The hand model, and what of it is computed once."""

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self.keypoints = keypoints_only(model)
        self.axes = joint_axes(model)
        self.low, self.high = joint_limits(model).unbind(-1)
        self.edges, self.face_edges = edges(model.faces)

    def posed(
        self, angles: Float[Tensor, "N 15 3"], shape: Float[Tensor, "N K"], detailed: int
    ) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "D V 3"]]:
        """Joints of unturned hands, and vertices of the first of them; metres from the wrist."""
        local = angles_to_rotations(self.axes, angles)
        zero = torch.zeros(len(angles), 3)
        joints = pose_hand(self.keypoints, zero, local, zero, shape).keypoints
        few = slice(detailed)
        vertices = pose_hand(self.model, zero[few], local[few], zero[few], shape[few]).vertices
        return joints - joints[:, :1], vertices - joints[few, :1]


def _draw(
    hand: _RightHand,
    reference: Float[Tensor, "21 3"],
    options: TrainingOptions,
    known_angles: Float[Tensor, "P 15 3"] | None,
    generator: torch.Generator,
) -> _Hands:
    """Hands of random pose and shape; no turns are drawn, because the frame takes any out."""
    angles = training_angles(hand.model, options.batch, generator, known_angles)
    shape = torch.randn(options.batch, hand.model.num_shape, generator=generator)
    joints, vertices = hand.posed(angles, shape, options.detailed)
    given = corrupted(joints, Corruption(), generator)
    frame = frame_of(reference, given, given.isfinite().all(-1))
    return _Hands(
        frame.to_frame(given),
        frame.scale,
        angles,
        frame.rotation.mT,
        shape,
        frame.to_frame(joints),
        frame.at(slice(options.detailed)).to_frame(vertices),
    )


def _parameters_loss(hand: _RightHand, hands: _Hands, found: HandParameters) -> Tensor:
    """L1 errors of angles, the wrist's turn and place, and a tenth of the shape's."""
    return (
        ((hand.high - hand.low) * found.fractions + hand.low - hands.angles).abs().mean()
        + (found.rotation - hands.rotation).abs().mean()
        + (found.wrist - hands.joints[:, 0]).abs().mean()
        + 0.1 * (found.shape - hands.shape).abs().mean()
    )


def _losses(
    hand: _RightHand,
    hands: _Hands,
    found: HandParameters,
    vertices: Float[Tensor, "D V 3"],
    options: TrainingOptions,
) -> dict[str, Tensor]:
    """The terms of the loss, weighted."""
    few = len(vertices)
    angles = hand.low + found.fractions * (hand.high - hand.low)
    joints, model_vertices = (
        points / hands.scale[: len(points), None, None] @ found.rotation[: len(points)].mT
        + found.wrist[: len(points), None]
        for points in hand.posed(angles, found.shape, few)
    )
    tips = hand.model.keypoint_regressor[list(TIP_JOINTS)] @ vertices
    normals = face_normals(hands.vertices, hand.model.faces)
    along, true_along = (
        points[:, hand.edges[:, 1]] - points[:, hand.edges[:, 0]] for points in (vertices, hands.vertices)
    )
    lengths, true_lengths = along.norm(dim=-1), true_along.norm(dim=-1)
    directions = (along / lengths.clamp_min(1e-6)[..., None])[:, hand.face_edges]
    errors = {
        "vertices": (vertices - hands.vertices).abs().mean(),
        "joints": (joints - hands.joints).abs().mean() + (tips - hands.joints[:few, list(TIP_JOINTS)]).abs().mean(),
        "normals": (directions * normals[:, :, None]).sum(-1).abs().mean(),
        "edges": ((lengths - true_lengths) ** 2).mean() / true_lengths.mean() ** 2,
        "parameters": _parameters_loss(hand, hands, found),
        "model_vertices": (model_vertices - hands.vertices).abs().mean(),
    }
    return {name: getattr(options, name) * error for name, error in errors.items()}
