"""Reading of binary glTF written here from the specification: attributes, skinning, animations, normal maps."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from PIL import Image
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.transform import Rotation, Slerp


class Gltf:
    """A file's document and binary part."""

    def __init__(self, content: bytes) -> None:
        length = struct.unpack_from("<I", content, 12)[0]
        self.document: dict[str, Any] = json.loads(content[20 : 20 + length])
        self.binary = content[28 + length :]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        kind = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        start = self.document["bufferViews"][accessor["bufferView"]]["byteOffset"]
        values = np.frombuffer(self.binary, kind, accessor["count"] * width, start).reshape(-1, width)
        return values.reshape(-1, 4, 4).transpose(0, 2, 1) if width == 16 else values

    def attributes(self, mesh: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Vertex attributes by name, and triangles."""
        primitive = self.document["meshes"][mesh]["primitives"][0]
        read = {name: self.accessor(index) for name, index in primitive["attributes"].items()}
        return read, self.accessor(primitive["indices"]).reshape(-1, 3).astype(int)

    def picture(self, texture: int) -> np.ndarray:
        image = self.document["images"][self.document["textures"][texture]["source"]]
        view = self.document["bufferViews"][image["bufferView"]]
        content = self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        return np.asarray(Image.open(io.BytesIO(content)))

    def skinned(self, changes: dict[str, dict[str, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Vertices and triangles of each skinned mesh by node name.

        Args:
            changes: By node name what replaces its "rotation" (quaternion x, y, z, w), "translation" or "scale".
        """
        nodes, world = self.document["nodes"], {}

        def place(node: int, above: np.ndarray) -> None:
            local, own = np.eye(4), nodes[node] | changes.get(nodes[node]["name"], {})
            turn = Rotation.from_quat(own.get("rotation", [0, 0, 0, 1])).as_matrix()
            local[:3, :3] = turn * np.asarray(own.get("scale", [1, 1, 1]))
            local[:3, 3] = own.get("translation", [0, 0, 0])
            world[node] = above @ local
            for child in nodes[node].get("children", []):
                place(child, world[node])

        for root in self.document["scenes"][0]["nodes"]:
            place(root, np.eye(4))
        result = {}
        for node in (node for node in nodes if "skin" in node):
            skin = self.document["skins"][node["skin"]]
            read, faces = self.attributes(node["mesh"])
            matrices = np.stack([world[j] for j in skin["joints"]]) @ self.accessor(skin["inverseBindMatrices"])
            blended = (read["WEIGHTS_0"][..., None, None] * matrices[read["JOINTS_0"]]).sum(axis=1)
            homogeneous = np.column_stack([read["POSITION"], np.ones(len(read["POSITION"]))])
            result[node["name"]] = np.einsum("vij,vj->vi", blended, homogeneous)[:, :3], faces
        return result

    def animated(self, time: float) -> dict[str, dict[str, np.ndarray]]:
        """The changes of `skinned` that the first animation makes at a time."""
        animation, changes = self.document["animations"][0], {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self.accessor(sampler["input"])[:, 0], self.accessor(sampler["output"])
            now = np.clip(time, times[0], times[-1])
            if sampler["interpolation"] == "STEP":
                value = values[np.searchsorted(times, now, side="right") - 1]
            elif len(times) == 1:
                value = values[0]
            elif channel["target"]["path"] == "rotation":
                value = Slerp(times, Rotation.from_quat(values))(now).as_quat()
            else:
                value = np.array([np.interp(now, times, column) for column in values.T])
            name = self.document["nodes"][channel["target"]["node"]]["name"]
            changes.setdefault(name, {})[channel["target"]["path"]] = value
        return changes

    def shading_normals(self, mesh: int, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Normals at surface points as a shader takes them from the normal map."""
        read, faces = self.attributes(mesh)
        material = self.document["materials"][self.document["meshes"][mesh]["primitives"][0]["material"]]
        picture = self.picture(material["normalTexture"]["index"]) / 255 * 2 - 1
        corners = faces[face]

        def at_points(values):
            return (barycentric[..., None] * values[corners]).sum(axis=1)

        size = len(picture)
        centers = (np.arange(size) + 0.5) / size
        lookup = RegularGridInterpolator((centers, centers), picture, bounds_error=False, fill_value=None)
        x, y, z = lookup(at_points(read["TEXCOORD_0"])[:, ::-1]).T[..., None]
        normal, tangent = unit(at_points(read["NORMAL"])), unit(at_points(read["TANGENT"][:, :3]))
        bitangent = np.cross(normal, tangent) * read["TANGENT"][corners[:, 0], 3:]
        return unit(x * tangent + y * bitangent + z * normal)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def degrees_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles of unit vectors."""
    return np.degrees(np.arccos(np.clip((first * second).sum(axis=-1), -1, 1)))
