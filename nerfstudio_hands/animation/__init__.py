"""Hands that move: pose tracks, what lies between their keys, and their files."""

from nerfstudio_hands.animation.pose_track import PoseTrack, first_seen, interpolate_poses, join_poses
from nerfstudio_hands.animation.track_file import read_any_track, read_mano_json, read_track, save_track

__all__ = [
    "PoseTrack",
    "first_seen",
    "interpolate_poses",
    "join_poses",
    "read_any_track",
    "read_mano_json",
    "read_track",
    "save_track",
]
