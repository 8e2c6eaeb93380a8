"""The 21 keypoints of a hand as a chain of rigid bones: no vertices, and exact derivatives.

A pose is the wrist's rotation and translation and, for each finger joint, angles of flexion, spread and twist
(`hand_model.joint_limits`). The five fingers have the same form, so all are computed at once with an axis of fingers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fitting.joints.pose_fit import JOINT_BONES, PosePrior, landmark_shift
from nerfstudio_hands.hand_model import HandModel, HandPose, HandSurface, pose_hand
from nerfstudio_hands.hand_model.joints import FINGERS, JOINTS_TO_MANO_WITH_TIPS, MANO_FINGERS, TIP_JOINTS
from nerfstudio_hands.transforms.rotations import right_jacobian, rotation_matrix, rotation_vector, skew

POSE_SIZE = 51
"""Unknowns of a posed hand: turn of the wrist (world axes), translation, 5 fingers x 3 joints x 3 angles."""

# For finger f in the order of `FINGERS`, joint j: its place among MANO's joints 1-15.
MANO_ROWS = [[3 * MANO_FINGERS.index(finger) + joint for joint in range(3)] for finger in FINGERS]
# The bone, of the three of a finger, that carries each of its four keypoints.
_CARRIERS = [0, 1, 2, 2]


@dataclass
class ChainPose:
    """Poses of N hands.

    Attributes:
        hand: Which hand of the surface each one is.
        orientation: Rotation of the wrist, world.
        translation: Metres, as in `HandPose`.
        angles: Flexion, spread and twist, by finger (`FINGERS`) and joint from the palm outwards; radians.
    """

    hand: Int[Tensor, " N"]
    orientation: Float[Tensor, "N 3 3"]
    translation: Float[Tensor, "N 3"]
    angles: Float[Tensor, "N 5 3 3"]

    def __len__(self) -> int:
        return len(self.hand)

    def at(self, chosen: Tensor) -> ChainPose:
        """Some of the hands, by indices or flags."""
        return ChainPose(self.hand[chosen], self.orientation[chosen], self.translation[chosen], self.angles[chosen])

    def put(self, chosen: Tensor, part: ChainPose) -> ChainPose:
        """These poses with some of them replaced."""
        result = replace(
            self, orientation=self.orientation.clone(), translation=self.translation.clone(), angles=self.angles.clone()
        )
        result.orientation[chosen] = part.orientation
        result.translation[chosen] = part.translation
        result.angles[chosen] = part.angles
        return result

    def moved(self, step: Float[Tensor, "N 51"]) -> ChainPose:
        """Poses after a step of the unknowns (`POSE_SIZE`)."""
        return ChainPose(
            self.hand,
            rotation_matrix(step[:, :3]) @ self.orientation,
            self.translation + step[:, 3:6],
            self.angles + step[:, 6:].reshape(-1, 5, 3, 3),
        )


@dataclass
class PosedChain:
    """Posed chains; world frame, metres.

    Attributes:
        wrist: Wrist joint.
        fingers: The four keypoints of each finger.
        bones: Rotation of the bone that carries each of these.
        landmarks: All 21 keypoints, moved by the offsets that were asked for.
    """

    wrist: Float[Tensor, "N 3"]
    fingers: Float[Tensor, "N 5 4 3"]
    bones: Float[Tensor, "N 5 4 3 3"]
    landmarks: Float[Tensor, "N 21 3"]


class KeypointChain:
    """Keypoints of the hands of a surface.

    Args:
        surface: One or two hands.
        lifted: As `PosePrior.of` takes it.

    Attributes:
        rest: Keypoints of the mean shape in the zero pose.
        shape_dirs: What a unit of each shape coefficient moves them by.
        axes, limits, usual: Of the angles, as in `PosePrior`, by finger and joint.
        mirror: Signs that turn vectors in the axes of the right hand's rest pose into those of each hand.
        is_rigid: Whether the fingertips go with the last bones exactly. Those of a model with pose directions move by
            up to some millimetres against them; `tip_shift` says by how much.
    """

    def __init__(self, surface: HandSurface, dtype: torch.dtype = torch.float64, *, lifted: bool = False) -> None:
        self.hands = [keypoints_only(hand.to("cpu", dtype)) for hand in surface.hands]
        order = list(JOINTS_TO_MANO_WITH_TIPS)
        corners = [_joints_and_tips(hand)[order] for hand in self.hands]
        self.rest: Float[Tensor, "H 21 3"] = torch.stack(
            [corner @ hand.template for corner, hand in zip(corners, self.hands, strict=True)]
        )
        self.shape_dirs: Float[Tensor, "H 21 3 K"] = torch.stack(
            [
                torch.einsum("kv,vcs->kcs", corner, hand.shape_dirs)
                for corner, hand in zip(corners, self.hands, strict=True)
            ]
        )
        prior = PosePrior.of(surface.to("cpu", dtype), lifted=lifted)
        self.axes: Float[Tensor, "H 5 3 3 3"] = prior.axes[:, MANO_ROWS]
        self.limits: Float[Tensor, "H 5 3 3 2"] = prior.limits[:, MANO_ROWS]
        self.usual: Float[Tensor, "H 5 3 3"] = prior.usual[:, MANO_ROWS]
        signs = [[1.0 if side == "right" else -1.0, 1.0, 1.0] for side in surface.sides]
        self.mirror: Float[Tensor, "H 3"] = self.rest.new_tensor(signs)
        self.is_rigid: bool = all(_tips_are_rigid(hand) for hand in self.hands)

    def rest_of(self, hand: Int[Tensor, " N"], shape: Float[Tensor, " K"]) -> Float[Tensor, "N 21 3"]:
        """Rest keypoints of some hands in a shape."""
        return (self.rest + self.shape_dirs @ shape)[hand]

    def offsets_of(self, hand: Int[Tensor, " N"], offset: Float[Tensor, "21 3"]) -> Float[Tensor, "N 21 3"]:
        """Landmark offsets, given for a right hand, in the rest axes of some hands."""
        return (self.mirror[:, None] * offset)[hand]

    def rotations(self, pose: ChainPose) -> Float[Tensor, "N 5 3 3"]:
        """Axis-angle of the finger joints."""
        return torch.einsum("nfja,nfjac->nfjc", pose.angles, self.axes[pose.hand])

    def pose(
        self, pose: ChainPose, rest: Float[Tensor, "N 21 3"], offsets: Float[Tensor, "N 21 3"] | float = 0.0
    ) -> PosedChain:
        """Poses keypoints.

        Args:
            pose: The poses.
            rest: Keypoints in the zero pose.
            offsets: From keypoints to landmarks in the rest axes of each hand, carried by the bone of the keypoint.
        """
        local = rotation_matrix(self.rotations(pose))
        rest_fingers = rest[:, 1:].unflatten(1, (5, 4))
        wrist = rest[:, 0] + pose.translation
        bone = pose.orientation[:, None]
        joint = wrist[:, None] + _turn(bone, rest_fingers[:, :, 0] - rest[:, :1])
        fingers, bones = [joint], []
        for k in range(3):
            bone = bone @ local[:, :, k]
            joint = joint + _turn(bone, rest_fingers[:, :, k + 1] - rest_fingers[:, :, k])
            bones.append(bone)
            fingers.append(joint)
        positions = torch.stack(fingers, 2)
        carriers = torch.stack([bones[k] for k in _CARRIERS], 2)
        posed = PosedChain(wrist, positions, carriers, torch.cat([wrist[:, None], positions.flatten(1, 2)], 1))
        if isinstance(offsets, Tensor):
            posed.landmarks = posed.landmarks + _turn(carried_by(pose, posed), offsets)
        return posed

    def pose_jacobian(self, pose: ChainPose, posed: PosedChain) -> Float[Tensor, "N 21 3 51"]:
        """Derivatives of the landmarks by the unknowns of the pose."""
        jacobian = posed.landmarks.new_zeros(len(pose), 21, 3, POSE_SIZE)
        # A turn w of the wrist moves a landmark by w x arm.
        jacobian[..., :3] = -skew(posed.landmarks - posed.wrist[:, None])
        jacobian[..., 3:6] = torch.eye(3, dtype=jacobian.dtype)
        # An angle turns all beyond its joint about an axis: rows of the right Jacobian of the rotation, in the world.
        axes = self.axes[pose.hand].mT
        spins = posed.bones[:, :, :3] @ right_jacobian(self.rotations(pose)) @ axes
        tips = posed.landmarks[:, 1:].unflatten(1, (5, 4))
        arms = tips[:, :, :, None] - posed.fingers[:, :, None, :3]
        moved = -skew(arms) @ spins[:, :, None]
        moved = moved * torch.ones(4, 3, dtype=moved.dtype).tril()[:, :, None, None]
        blocks = jacobian[:, 1:, :, 6:].unflatten(1, (5, 4)).unflatten(-1, (5, 3, 3))
        for finger in range(5):
            blocks[:, finger, :, :, finger] = moved[:, finger].transpose(2, 3)
        return jacobian

    def shape_jacobian(self, pose: ChainPose, posed: PosedChain) -> Float[Tensor, "N 21 3 K"]:
        """Derivatives of the landmarks by the shape: each bone carries the change of its own length."""
        directions = self.shape_dirs[pose.hand]
        fingers = directions[:, 1:].unflatten(1, (5, 4))
        change = directions[:, None, 0] + pose.orientation[:, None] @ (fingers[:, :, 0] - directions[:, None, 0])
        changes = [change]
        for k in range(3):
            change = change + posed.bones[:, :, k] @ (fingers[:, :, k + 1] - fingers[:, :, k])
            changes.append(change)
        return torch.cat([directions[:, :1], torch.stack(changes, 2).flatten(1, 2)], 1)

    def tip_shift(
        self, pose: ChainPose, shape: Float[Tensor, " K"], posed: PosedChain
    ) -> Float[Tensor, "N 21 3"] | float:
        """What takes the rigid keypoints of `posed` to those of the hand model, as offsets for `pose`."""
        if self.is_rigid:
            return 0.0
        exact = torch.empty_like(posed.landmarks)
        record = self.to_hand_pose(pose)
        for index, hand in enumerate(self.hands):
            mine = pose.hand == index
            exact[mine] = pose_hand(
                hand, record.global_orient[mine], record.local_rotations[mine], record.translation[mine], shape
            ).keypoints
        rigid = torch.cat([posed.wrist[:, None], posed.fingers.flatten(1, 2)], 1)
        return _turn(carried_by(pose, posed).mT, exact - rigid)

    def to_hand_pose(self, pose: ChainPose) -> HandPose:
        """N single hands as the hand model takes them (no axis of hands)."""
        local = torch.empty(len(pose), 15, 3, dtype=pose.angles.dtype)
        local[:, torch.tensor(MANO_ROWS)] = self.rotations(pose)
        valid = torch.ones(len(pose), dtype=torch.bool)
        return HandPose(rotation_vector(pose.orientation), local, pose.translation, valid)

    def from_hand_pose(self, record: HandPose, hand: Int[Tensor, " N"]) -> ChainPose:
        """Inverse of `to_hand_pose` for N single hands."""
        local = record.local_rotations.to(self.axes)[:, torch.tensor(MANO_ROWS)]
        angles = torch.einsum("nfjc,nfjac->nfja", local, self.axes[hand])
        return ChainPose(
            hand, rotation_matrix(record.global_orient.to(self.axes)), record.translation.to(self.axes), angles
        )


def carried_by(pose: ChainPose, posed: PosedChain) -> Float[Tensor, "N 21 3 3"]:
    """Rotation of the bone that carries each of the 21 keypoints."""
    return torch.cat([pose.orientation[:, None], posed.bones.flatten(1, 2)], 1)


def _turn(rotation: Float[Tensor, "*B 3 3"], vectors: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    return (rotation @ vectors[..., None])[..., 0]


def keypoints_only(hand: HandModel) -> HandModel:
    """The same hand with 16 vertices in place of the joints and those vertices that make the fingertips."""
    tips = hand.keypoint_regressor[list(TIP_JOINTS)]
    used = (tips != 0).any(0).nonzero()[:, 0]
    eye = torch.eye(16, dtype=tips.dtype)
    count = len(used)
    keypoints = tips.new_zeros(21, 16 + count)
    keypoints[list(TIP_JOINTS), 16:] = tips[:, used]
    return replace(
        hand,
        template=torch.cat([hand.joint_regressor @ hand.template, hand.template[used]]),
        faces=hand.faces[:0],
        weights=torch.cat([eye, hand.weights[used]]),
        shape_dirs=torch.cat(
            [torch.einsum("jv,vcs->jcs", hand.joint_regressor, hand.shape_dirs), hand.shape_dirs[used]]
        ),
        pose_dirs=torch.cat([hand.pose_dirs.new_zeros(16, 3, hand.pose_dirs.shape[-1]), hand.pose_dirs[used]]),
        joint_regressor=torch.cat([eye, eye.new_zeros(16, count)], 1),
        keypoint_regressor=keypoints,
        uv=hand.uv[:0],
    )


def _joints_and_tips(hand: HandModel) -> Float[Tensor, "21 V"]:
    """Regressor of MANO's 16 joints and the five tips from rest vertices."""
    return torch.cat([hand.joint_regressor, hand.keypoint_regressor[list(TIP_JOINTS)]])


def _tips_are_rigid(hand: HandModel) -> bool:
    tips = hand.keypoint_regressor[list(TIP_JOINTS)]
    own = (tips @ hand.weights)[range(5), [JOINT_BONES[joint] for joint in TIP_JOINTS]]
    return bool((own > 1 - 1e-6).all() and (hand.pose_dirs.abs() < 1e-9).all())


def joint_distances(
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    pose: HandPose,
    shape: Float[Tensor, " K"],
    landmark_offset: Float[Tensor, "21 3"] | None = None,
) -> Float[Tensor, "T H 21"]:
    """Distances of joints from those of posed hands, or from their landmarks, metres; NaN where one is absent."""
    result = []
    for h, hand in enumerate(surface.hands):
        mine = pose[:, h]
        posed = pose_hand(keypoints_only(hand), mine.global_orient, mine.local_rotations, mine.translation, shape)
        found = posed.keypoints
        if landmark_offset is not None:
            found = found + landmark_shift(posed.bone_transforms, landmark_offset, hand.side)
        distance = (found - joints[:, h]).norm(dim=-1)
        result.append(torch.where(mine.valid[:, None], distance, torch.nan))
    return torch.stack(result, 1)
