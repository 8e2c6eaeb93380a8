"""Hands as rigged glTF: 16 joints a hand in MANO's order, skin weights, rest pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerfstudio_hands.export.joint_animation import Wrist, add_animation
from nerfstudio_hands.export.tangent_frames import vertex_tangents
from nerfstudio_hands.export.textured_mesh import png_bytes, split_at_seams
from nerfstudio_hands.files.glb import GlbBuilder
from nerfstudio_hands.motion.pose_track import PoseTrack

INFLUENCES = 4
"""Joints that may move a vertex: one attribute of glTF, and what every viewer supports."""


@dataclass
class Rig:
    """One hand in its rest pose; metres.

    Attributes:
        name: "left" or "right", the prefix of the names of its nodes.
        vertices: Rest positions.
        faces: Triangles.
        normals: Unit normals of the vertices.
        uv: Texture coordinates per corner, v upwards.
        weights: Skin weights, rows sum to one.
        joints: Rest positions of the joints.
        joint_names: Names of the joints.
        parents: Parent of each joint, before it in order; -1 for the root.
        offset: Where the whole hand is put in the scene.
    """

    name: str
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "V 3"]
    uv: Float[np.ndarray, "F 3 2"]
    weights: Float[np.ndarray, "V J"]
    joints: Float[np.ndarray, "J 3"]
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offset: Float[np.ndarray, 3]


def rigged_glb_bytes(
    rigs: list[Rig],
    texture: UInt8[np.ndarray, "S S 3"],
    *,
    lit: bool = False,
    normal_map: UInt8[np.ndarray, "N N 3"] | None = None,
    track: PoseTrack | None = None,
    world: Float[np.ndarray, "3 4"] | None = None,
) -> bytes:
    """Binary glTF 2.0 with a skinned mesh and a skeleton per hand, sharing one texture.

    At rest no joint is turned, so a node's rotation is the local rotation of MANO's convention, as a quaternion.
    Offsets that depend on the pose (MANO's `posedirs`) have no counterpart in glTF and are left out; a vertex keeps
    its `INFLUENCES` largest weights.

    Args:
        rigs: The hands.
        texture: Colours, first row at v = 1.
        lit: They are an albedo, to be lit by the viewer; otherwise they are shown as they are.
        normal_map: Normals in the tangent frames of the rigs' vertices, see `normal_map.bake_normal_map`.
        track: Poses that the file plays; the hands then are where the track has them. Hands are told by their names,
            and those that the track lacks stand still.
        world: Rigid transform from the world of the track to that of the file; by default they are the same.
    """
    glb = GlbBuilder()
    detail = None if normal_map is None else png_bytes(normal_map)
    material = glb.add_skin_material(png_bytes(texture), lit=lit, normal_map_png=detail)
    skeletons = {}
    for rig in rigs:
        nodes = skeletons[rig.name] = _add_skeleton(glb, rig)
        inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(nodes), 1, 1))
        inverse_bind[:, :3, 3] = -rig.joints
        skin = {"name": rig.name, "joints": nodes, "inverseBindMatrices": glb.add_array(inverse_bind)}
        split = split_at_seams(rig.faces, rig.uv)
        joints, weights = strongest_influences(rig.weights)
        primitive = glb.add_primitive(
            positions=rig.vertices[split.source],
            normals=rig.normals[split.source],
            uv=split.uv,
            faces=split.faces,
            material=material,
            tangents=None if normal_map is None else vertex_tangents(rig.vertices, rig.normals, split),
            joints=joints[split.source],
            weights=weights[split.source],
        )
        mesh = glb.add("meshes", {"name": f"{rig.name}_hand", "primitives": [primitive]})
        # A skinned mesh must be a root of the scene: its own place in the tree of nodes has no effect.
        glb.add_root(glb.add("nodes", {"name": f"{rig.name}_hand", "mesh": mesh, "skin": glb.add("skins", skin)}))
    if track is not None:
        wrists = {rig.name: Wrist(rig.joints[0], rig.offset) for rig in rigs}
        add_animation(glb, track, skeletons, wrists, np.eye(3, 4) if world is None else world)
    return glb.to_bytes()


def strongest_influences(
    weights: Float[np.ndarray, "V J"],
) -> tuple[Int[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]]:
    """The joints with the largest weights at each vertex, largest first, and their weights, scaled to sum to one.

    A joint of weight zero is named 0, as glTF demands.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, joints, axis=1)
    kept = (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(kept > 0, joints, 0), kept


def _add_skeleton(glb: GlbBuilder, rig: Rig) -> list[int]:
    """Nodes of the joints under one that places the hand; children are filled in once their indices are known."""
    place = glb.add("nodes", {"name": f"{rig.name}_place", "translation": rig.offset.tolist()})
    glb.add_root(place)
    nodes: list[int] = []
    for joint, (name, parent) in enumerate(zip(rig.joint_names, rig.parents, strict=True)):
        origin = rig.joints[parent] if parent >= 0 else np.zeros(3)
        translation = (rig.joints[joint] - origin).tolist()
        nodes.append(glb.add("nodes", {"name": f"{rig.name}_{name}", "translation": translation}))
        above = glb.document["nodes"][nodes[parent] if parent >= 0 else place]
        above.setdefault("children", []).append(nodes[joint])
    return nodes
