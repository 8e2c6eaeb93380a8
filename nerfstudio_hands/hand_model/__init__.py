"""Parametric hands in MANO layout: reading, the embedded default, skinning, joint orders, one or two as one surface."""

from nerfstudio_hands.hand_model.joints import FINGERS, JOINT_NAMES, JOINT_PARENTS, MANO_PARENTS, SIDES
from nerfstudio_hands.hand_model.load import default_hand, load_hand, load_surface
from nerfstudio_hands.hand_model.model import HandModel, PosedHand, mirror_hand, mirror_rotations, pose_hand
from nerfstudio_hands.hand_model.surface import HandPose, HandSurface, SurfacePose

__all__ = [
    "FINGERS",
    "JOINT_NAMES",
    "JOINT_PARENTS",
    "MANO_PARENTS",
    "SIDES",
    "HandModel",
    "HandPose",
    "HandSurface",
    "PosedHand",
    "SurfacePose",
    "default_hand",
    "load_hand",
    "load_surface",
    "mirror_hand",
    "mirror_rotations",
    "pose_hand",
]
