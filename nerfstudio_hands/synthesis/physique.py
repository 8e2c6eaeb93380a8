"""What sets a person's hands apart from every hand of the shape space: thickness, lengths, nails, skin.

Computed on the right hand at rest; the left one is its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.hand_model.joints import FINGERS, MANO_FINGERS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import HandModel, PosedHand, mirror_hand, pose_hand, rest_joints, shaped_template
from nerfstudio_hands.synthesis.anatomy import Anatomy, dorsality, finger_membership, read_anatomy
from nerfstudio_hands.synthesis.body import mesh_normals
from nerfstudio_hands.synthesis.noise import fractal_noise
from nerfstudio_hands.synthesis.options import OF_THE_SHAPE_SPACE, SubjectOptions
from nerfstudio_hands.synthesis.profiles import smoothstep

WRIST_REACH = 0.04
"""Meters from the wrist's boundary towards the fingers over which another width of the wrist fades out."""

BUMP_SIZE = 25.0
"""Millimeters between the bumps of displaced skin: a shape of its own, not a relief."""

BLENDING_STEPS = 6
"""Steps by which weights are averaged over neighbors before they blend factors: skinning weights may be steep."""

MOST_DEVIATIONS = 2.0
"""Standard deviations within which a finger's own factors stay."""


@dataclass(frozen=True)
class PersonalHand:
    """A hand model of one side that has become a person's; V vertices."""

    model: HandModel
    """The default hand or another; in its template are the lengths of the person's fingers."""
    shape: Float[Tensor, "K"]
    displacement: Float[Tensor, "V 3"] | None = None
    """Offsets of rest vertices that leave the joints where they are, meters; None for a hand of the shape space."""

    @property
    def rest(self) -> Float[Tensor, "V 3"]:
        """Rest vertices, meters."""
        return shaped_template(self.model, self.shape[None], self.displacement)[0]

    def pose(
        self,
        global_orient: Float[Tensor, "B 3"],
        local_rotations: Float[Tensor, "B 15 3"],
        translation: Float[Tensor, "B 3"],
    ) -> PosedHand:
        """See `pose_hand`."""
        return pose_hand(self.model, global_orient, local_rotations, translation, self.shape, self.displacement)


def personal_hand(side: str, shape: Float[Tensor, "K"], options: SubjectOptions, seed: int) -> PersonalHand:
    """A person's hand of one side; the other side's is its mirror image.

    Args:
        side: `left` or `right`.
        shape: Coefficients of the shape space.
        options: What that lacks; where they are the default, the hand is one of the shape space, bit by bit.
        seed: Another seed is another person.
    """
    return personal_hand_of(default_hand(side), shape, options, seed)


def personal_hand_of(model: HandModel, shape: Float[Tensor, "K"], options: SubjectOptions, seed: int) -> PersonalHand:
    """The same of any hand model that lies at rest as the default one does; see `personal_hand`."""
    if options == OF_THE_SHAPE_SPACE:
        return PersonalHand(model, shape)
    right = model if model.side == "right" else mirror_hand(model)
    lengthening, displacement = (torch.from_numpy(part).float() for part in _offsets(right, shape, options, seed))
    flip = model.template.new_tensor([1.0 if model.side == "right" else -1.0, 1.0, 1.0])
    return PersonalHand(replace(model, template=model.template + flip * lengthening), shape, flip * displacement)


def person_arrays(hands: list[PersonalHand]) -> dict[str, np.ndarray]:
    """What `truth` says of hands that the shape space does not hold, one a side; nothing of other hands.

    `template` and `displacement` [S, V, 3] give the true vertices by `pose_hand` with the true shape and poses;
    `rest_vertices` [S, V, 3] and `rest_joints` [S, 16, 3] are the hands at rest. Meters.
    """
    if hands[0].displacement is None:
        return {}
    return {
        "template": np.stack([hand.model.template.numpy() for hand in hands]),
        "displacement": np.stack([hand.displacement.numpy() for hand in hands]),  # pyright: ignore[reportOptionalMemberAccess]
        "rest_vertices": np.stack([hand.rest.numpy() for hand in hands]),
        "rest_joints": np.stack([rest_joints(hand.model, hand.shape[None])[0].numpy() for hand in hands]),
    }


def _offsets(
    right: HandModel, shape: Float[Tensor, "K"], options: SubjectOptions, seed: int
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"]]:
    """Offsets of the right hand's rest vertices that move its joints, and those that do not, meters."""
    weights = right.weights.double().numpy()
    lengths, girths = _finger_factors(options, seed)
    shaped = shaped_template(right, shape[None])[0].double().numpy()
    lengthening = _lengthening(shaped, weights, _anatomy_of(right, shaped), lengths)
    own = shaped + lengthening
    anatomy = _anatomy_of(right, own)
    wrist = _at_wrist(own)
    displacement = (1 - wrist) * _thickening(own, _softened(right), anatomy, girths, options.palm_thickness)
    displacement += wrist * (options.wrist_width - 1) * _off_arm(own)
    surface = own + displacement
    normals = mesh_normals(surface, right.faces.numpy())
    displacement += 1e-3 * options.nail_length * _nails(surface, normals, weights, anatomy)
    # The skin of two persons of one seed is the same, whatever their sizes: bumps lie on the mean hand.
    bumps = fractal_noise(right.template.numpy() * 1e3 / BUMP_SIZE, seed + 50, octaves=2).astype(float)
    displacement += 1e-3 * options.skin_displacement * (bumps / bumps.std())[:, None] * normals
    return lengthening, displacement


def _anatomy_of(right: HandModel, rest: Float[np.ndarray, "V 3"]) -> Anatomy:
    return read_anatomy(replace(right, template=torch.from_numpy(rest).float()))


def _finger_factors(options: SubjectOptions, seed: int) -> tuple[Float[np.ndarray, "5"], Float[np.ndarray, "5"]]:
    """Factors on length and girth of each finger, in the order of `FINGERS`."""
    own = np.random.default_rng([seed, 9]).standard_normal((2, 5)).clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    lengths, girths = 1 + options.finger_variation * own
    return options.finger_length * lengths, options.finger_thickness * girths


def _softened(right: HandModel) -> Float[np.ndarray, "V 16"]:
    """Skinning weights that change less from vertex to vertex, rows still sum to one."""
    laplacian = Laplacian.uniform(right.faces, right.num_vertices)
    weights = right.weights.double()
    for _ in range(BLENDING_STEPS):
        weights = weights - 0.5 * laplacian.times(weights) / laplacian.diagonal[:, None]
    return weights.numpy()


def _bones(finger: int) -> list[tuple[int, int]]:
    """Each bone of a finger from the palm outwards: its place among MANO's joints and the one of the 21 joints that it
    begins at."""
    first = 1 + 3 * MANO_FINGERS.index(FINGERS[finger])
    return [(first + k, 1 + 4 * finger + k) for k in range(3)]


def _is_in_palm(joint: int) -> bool:
    """Whether the bone that begins at one of the 21 joints is the thumb's first: it lies in the palm."""
    return joint == 1


def _lengthening(
    rest: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "V 16"],
    anatomy: Anatomy,
    factors: Float[np.ndarray, "5"],
) -> Float[np.ndarray, "V 3"]:
    """Stretches each bone along itself about its joint and shifts those behind it, blended as skinning does."""
    total = np.zeros_like(rest)
    for finger, factor in enumerate(factors):
        shift = np.zeros(3)
        for bone, joint in _bones(finger):
            if _is_in_palm(joint):
                continue
            vector = anatomy.joints[joint + 1] - anatomy.joints[joint]
            share = (rest - anatomy.joints[joint]) @ vector / (vector @ vector)
            total += weights[:, bone, None] * (shift + (factor - 1) * share[:, None] * vector)
            shift = shift + (factor - 1) * vector
    return total


def _thickening(
    rest: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "V 16"],
    anatomy: Anatomy,
    girths: Float[np.ndarray, "5"],
    palm: float,
) -> Float[np.ndarray, "V 3"]:
    """Scales each finger about the lines through its bones and the palm about the plane of its joints, blended by
    the weights: what lies between fingers and palm takes some of both."""
    back = anatomy.back[0]
    total = weights[:, :1] * (palm - 1) * ((rest - anatomy.joints[0]) @ back)[:, None] * back
    for finger, girth in enumerate(girths):
        for bone, joint in _bones(finger):
            start, vector = anatomy.joints[joint], anatomy.joints[joint + 1] - anatomy.joints[joint]
            along = ((rest - start) @ vector / (vector @ vector))[:, None] * vector
            factor = palm if _is_in_palm(joint) else girth
            total += weights[:, bone, None] * (factor - 1) * (rest - start - along)
    return total


def _at_wrist(rest: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 1"]:
    """1 at the wrist's boundary, 0 from `WRIST_REACH` on; the x axis runs from the fingers to the wrist."""
    end = rest[:, 0].max()
    return smoothstep(end - WRIST_REACH, end, rest[:, 0])[:, None]


def _off_arm(rest: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """From the middle line of the arm to each vertex."""
    near = rest[:, 0] > rest[:, 0].max() - 0.5 * WRIST_REACH
    middle = 0.5 * (rest[near].min(0) + rest[near].max(0))
    return (rest - middle) * [0.0, 1.0, 1.0]


def _nails(
    rest: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "V 16"],
    anatomy: Anatomy,
) -> Float[np.ndarray, "V 3"]:
    """Directions in which nails grow, of length 1 at their edge, fading out towards their root and their sides."""
    finger = finger_membership(weights)
    dorsal = dorsality(anatomy, normals, finger)
    total = np.zeros_like(rest)
    for index in range(5):
        tip = 4 + 4 * index
        length = anatomy.bone_length(tip)
        along, across, back = anatomy.local(rest, tip).T / length
        strength = (
            smoothstep(-0.3, -0.03, along) * smoothstep(0.28, 0.12, np.abs(across)) * smoothstep(0.01, 0.08, back)
        )
        total += (finger[:, index] * (dorsal > -0.2) * strength)[:, None] * anatomy.along[tip]
    return total
