"""An avatar of Gaussians as a web page in one file: it poses and draws the hands itself, without a network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from nerfstudio_hands.geometry.face_frames import FaceFrames
from nerfstudio_hands.geometry.light.transfer import NUM_DIRECTIONS
from nerfstudio_hands.hand_model import FINGERS, HandModel, HandPose, mirror_rotations
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits
from nerfstudio_hands.hand_model.joints import MANO_FINGERS
from nerfstudio_hands.hand_model.model import rest_joints, shaped_template
from nerfstudio_hands.model_components.export_source import HeldSplatRig, SplatRig
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.transforms.rigid import apply_rigid
from nerfstudio_hands.transforms.rotations import rotation_vector
from nerfstudio_hands.transforms.spherical_harmonics import sphere_directions, spherical_harmonics
from nerfstudio_hands.viewer.finger_angles import WRIST_AXES, angle_ranges, hand_angles

SCRIPTS = ("arrays", "rotations", "poses", "rig", "light", "splats", "held", "splat_picture", "orbit", "panel", "start")
"""Files of `export/page/`, each before those that use it."""

ROOM = 1.15
"""Width of the picture over that of what it shows as the page opens, along the shorter side."""

FIELD_OF_VIEW = 35.0
"""Degrees along the shorter side of the picture, see `page/orbit.js`."""


@torch.no_grad()
def splat_page(
    rig: SplatRig,
    hands: PosedHands,
    pose: HandPose,
    tracks: Sequence[PoseTrack],
    *,
    eye: Float[Tensor, "3"],
    frame: int | None = None,
) -> bytes:
    """A page that shows the avatar, bends its fingers and plays the frames of the capture and tracks.

    Args:
        rig: The Gaussians.
        hands: Their hands.
        pose: What the page shows first [1, H, ...], capture's world.
        tracks: What else it can play, of the same hands in the same world.
        eye: From where it looks at them first, nerfstudio's world; how far away follows from their size.
        frame: That of the pose, at which the slider of the frames stands before somebody moves it; None for none.
    """
    of_capture, frames = hands.frames_track(), [] if frame is None else [frame]
    tracks = [of_capture, *tracks]
    poses = [pose, *(track.pose for track in tracks)]
    own_faces = hands.surface.faces
    data = {
        "rig": {
            "hands": [_hand(hands, number, poses) for number in range(hands.surface.num_hands)],
            "faces": _array(own_faces, "uint32"),
            "world": _array(hands.world_transform, "float32"),
        },
        "vertexHand": _array(hands.surface.vertex_side - hands.surface.vertex_side.min(), "uint32"),
        "closedFaces": _array(torch.cat([own_faces, hands.surface.closing_faces]), "uint32"),
        "faceLengths": _array(_face_lengths(hands), "float32"),
        "splats": _splats(rig),
        "look": _look(rig, hands),
        "light": _light(rig),
        "gain": _array(rig.gain, "float32"),
        "bias": _array(rig.bias, "float32"),
        "tracks": [
            _track(track) | (_held_poses(rig, range(hands.num_frames)) if track is of_capture else {})
            for track in tracks
            if track.num_keys > 1
        ],
        "start": _poses(pose) | _held_poses(rig, frames),
        "startTime": 0.0 if frame is None else float(of_capture.times[frame]),
        "view": _view(_shown_points(rig, hands, pose, frames), eye),
    }
    if rig.held is not None:
        data["held"] = _held(rig.held)
    return _page(data).encode()


def _page(data: dict[str, Any]) -> str:
    folder = files("nerfstudio_hands.export") / "page"
    script = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    # A name of the user's must not end the element that it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = (folder / "page.html").read_text(encoding="utf-8")
    return page.replace("SCRIPT\n", script, 1).replace("DATA", text, 1)


def _array(values: Shaped[Tensor, "..."], kind: str) -> dict[str, str]:
    """An array for `page/arrays.js`."""
    content = np.ascontiguousarray(values.detach().cpu().numpy().astype(np.dtype(kind).newbyteorder("<")))
    return {"type": kind, "base64": base64.b64encode(content.tobytes()).decode()}


def _hand(hands: PosedHands, number: int, poses: Sequence[HandPose]) -> dict[str, Any]:
    """One hand's skin, bones and sliders."""
    model, part = hands.surface.hands[number], hands.surface.vertex_slices[number]
    shape = hands.shape[None]
    offsets = model.pose_dirs if model.pose_dirs.any() else model.pose_dirs[..., :0]
    return {
        "side": model.side,
        "vertices": _array(shaped_template(model, shape)[0] + hands.rest_offset[part], "float32"),
        "weights": _array(model.weights, "float32"),
        "joints": _array(rest_joints(model, shape)[0], "float32"),
        "poseOffsets": _array(offsets.permute(2, 0, 1), "float16"),
        "parents": list(model.parents),
        "jointAxes": _array(joint_axes(model), "float32"),
        "jointLimits": _array(joint_limits(model), "float32"),
        "sliders": _sliders(model, torch.cat([pose.local_rotations[:, number].cpu() for pose in poses])),
    }


def _sliders(model: HandModel, rotations: Float[Tensor, "T 15 3"]) -> list[dict[str, Any]]:
    """Sliders in the viewer's order, wide enough for all that is shown."""
    found, seen = [], hand_angles(model, rotations.nan_to_num())
    for name, (low, high) in angle_ranges(model).items():
        low, high = math.floor(min(low, float(seen[name].min()))), math.ceil(max(high, float(seen[name].max())))
        entry: dict[str, Any] = {"name": name, "low": low, "high": high, "kind": name.split()[1]}
        if name in WRIST_AXES:
            axis = torch.tensor(WRIST_AXES[name])
            entry |= {"kind": "wrist", "axis": (mirror_rotations(axis) if model.side == "left" else axis).tolist()}
        else:
            finger = next(finger for finger in FINGERS if name.startswith(finger.capitalize()))
            entry["joint"] = 3 * MANO_FINGERS.index(finger)
        found.append(entry)
    return found


def _face_lengths(hands: PosedHands) -> Float[Tensor, "F 3"]:
    surface = hands.surface
    rest = surface.pose(HandPose.rest(surface.num_hands, device=hands.shape.device), hands.shape, hands.displacement)
    return FaceFrames(rest.vertices, surface.faces).lengths


def _splats(rig: SplatRig) -> dict[str, Any]:
    splats = rig.splats
    values = {
        "barycentric": splats.barycentric(),
        "height": splats.height,
        "halfAxes": splats.half_axes(),
        "thickness": splats.thickness(),
        "turn": splats.turn.remainder(2 * math.pi),
        "opacity": splats.opacities(),
        "color": splats.color,
        "view": splats.view,
    }
    return {
        "face": _array(splats.face, "uint32"),
        "shell": splats.shell,
        **{name: _array(value, "float16") for name, value in values.items()},
    }


def _held(held: HeldSplatRig) -> dict[str, Any]:
    splats, poses = held.splats, held.poses
    values = {
        "mean": splats.mean,
        "halfAxes": splats.log_half_axes.exp(),
        "quaternion": F.normalize(splats.quaternion, dim=-1),
        "opacity": splats.opacities(),
        "color": splats.color,
        "view": splats.view,
    }
    return {
        "hand": poses.hand,
        "inWrist": _rigid(poses.in_wrist[None]),
        **{name: _array(value, "float16") for name, value in values.items()},
    }


def _held_poses(rig: SplatRig, frames: Sequence[int]) -> dict[str, Any]:
    """Where what is held is in frames, where there are any, and something is."""
    if rig.held is None or not frames:
        return {}
    return {"held": _rigid(rig.held.poses.of_frames(torch.tensor(frames)))}


def _rigid(transforms: Float[Tensor, "T 4 4"]) -> dict[str, Any]:
    return {
        "orient": _array(rotation_vector(transforms[:, :3, :3]), "float32"),
        "translation": _array(transforms[:, :3, 3], "float32"),
    }


def _look(rig: SplatRig, hands: PosedHands) -> dict[str, Any]:
    moving = hands.code_scale > 0
    return {
        "base": _array(rig.look.base, "float32"),
        "correctives": _array(rig.look.correctives, "float16"),
        "codeEntries": _array(torch.nonzero(moving)[:, 0], "uint32"),
        "codeMiddle": _array(hands.code_middle[moving], "float32"),
        "codeScale": _array(hands.code_scale[moving], "float32"),
    }


def _light(rig: SplatRig) -> dict[str, Any]:
    """The learned light in the directions in which the light transfer is cast, times the solid angle of each over
    pi; no directions where there is no light."""
    coefficients = rig.look.light
    count = NUM_DIRECTIONS if len(coefficients) else 0
    directions = sphere_directions(NUM_DIRECTIONS)[:count]
    radiance = torch.zeros(0, 3)
    if count:
        harmonics = spherical_harmonics(math.isqrt(len(coefficients)), directions)
        radiance = harmonics @ coefficients.cpu() * (4 / count)
    return {"directions": _array(directions, "float32"), "radiance": _array(radiance, "float32")}


def _poses(pose: HandPose) -> dict[str, Any]:
    absent = ~pose.valid[..., None]
    return {
        "orient": _array(pose.global_orient.masked_fill(absent, 0), "float32"),
        "local": _array(pose.local_rotations.masked_fill(absent[..., None], 0), "float32"),
        "translation": _array(pose.translation.masked_fill(absent, 0), "float32"),
        "valid": _array(pose.valid, "uint32"),
    }


def _track(track: PoseTrack) -> dict[str, Any]:
    return {"name": track.name or "motion", "times": _array(track.times, "float32"), **_poses(track.pose)}


def _shown_points(rig: SplatRig, hands: PosedHands, pose: HandPose, frames: list[int]) -> Float[Tensor, "P 3"]:
    """Of the hands in a pose, of a frame or none, and the middles of what they hold that hide more than half."""
    seen = hands.vertices(pose)[0][hands.surface.vertex_valid(pose.valid)[0]]
    if rig.held is None or not (frames or pose.valid[0, rig.held.poses.hand]):
        return seen
    splats, place = rig.held.splats, rig.held.poses.poses(hands.at_pose(pose, frames or None))[0]
    return torch.cat([seen, apply_rigid(place[:3], splats.mean[splats.opacities() > 0.5])])


def _view(seen: Float[Tensor, "P 3"], eye: Float[Tensor, "3"]) -> dict[str, Any]:
    """Degrees and meters of a camera that has points in the picture; the side of an eye above them is arbitrary."""
    target = (seen.amin(dim=0) + seen.amax(dim=0)) / 2
    radius = float((seen - target).norm(dim=-1).max())
    x, y, z = F.normalize(eye.to(target) - target, dim=0).tolist()
    return {
        "target": target.tolist(),
        "distance": ROOM * radius / math.sin(math.radians(FIELD_OF_VIEW / 2)),
        "azimuth": math.degrees(math.atan2(y, x)),
        "elevation": math.degrees(math.asin(max(-1.0, min(1.0, z)))),
    }
