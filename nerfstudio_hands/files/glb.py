"""Binary glTF 2.0 (Khronos specification 2.0.1), as much of it as a textured, skinned mesh needs."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from jaxtyping import Float, Int

_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
_COMPONENT_TYPES = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTEX_DATA, _INDEX_DATA = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071

SKIN_ROUGHNESS = 0.55
"""Of a lit skin: a soft gloss, whose microfacets have slopes of about 0.3, which is its square."""


class GlbBuilder:
    """Collects the objects of one file; each `add` returns the index by which others refer to the object."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "nerfstudio_hands"},
            "scene": 0,
            "scenes": [{"nodes": []}],
        }
        self.binary = bytearray()

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Appends an object to one of the document's lists ("nodes", "meshes", "skins", ...)."""
        entries = self.document.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def add_root(self, node: int) -> None:
        """Puts a node into the scene."""
        self.document["scenes"][0]["nodes"].append(node)

    def add_array(self, values: np.ndarray, *, target: int | None = None, bounds: bool = False) -> int:
        """Appends an array as an accessor; its leading axis counts the elements. Matrices are stored by columns."""
        if values.ndim == 3:
            values = values.transpose(0, 2, 1)
        view = self._add_bytes(np.ascontiguousarray(values).tobytes(), target)
        accessor = {
            "bufferView": view,
            "componentType": _COMPONENT_TYPES[values.dtype.name],
            "count": len(values),
            "type": _SHAPES[values.shape[1:]],
        }
        if bounds:
            columns = values.reshape(len(values), -1)
            accessor |= {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}
        return self.add("accessors", accessor)

    def add_primitive(
        self,
        *,
        positions: Float[np.ndarray, "V 3"],
        normals: Float[np.ndarray, "V 3"],
        faces: Int[np.ndarray, "F 3"],
        material: int,
        uv: Float[np.ndarray, "V 2"] | None = None,
        colors: Float[np.ndarray, "V 3"] | None = None,
        tangents: Float[np.ndarray, "V 4"] | None = None,
        joints: Int[np.ndarray, "V 4"] | None = None,
        weights: Float[np.ndarray, "V 4"] | None = None,
    ) -> dict[str, Any]:
        """Triangles for a mesh's list of primitives.

        Args:
            positions: Metres.
            normals: Unit normals.
            faces: Triangles, counter-clockwise seen from outside.
            material: Index of the material.
            uv: Texture coordinates, v upwards; glTF's v points downwards, which is turned here.
            colors: Of the vertices, linear, instead of a texture.
            tangents: Unit tangents and the sign of the bitangent, see `tangent_frames.vertex_tangents`.
            joints: The joints that move each vertex, by their place in the skin.
            weights: How much they do, rows sum to one.
        """
        attributes = {
            "POSITION": self._vertex_data(positions, bounds=True),
            "NORMAL": self._vertex_data(normals),
        }
        if uv is not None:
            attributes["TEXCOORD_0"] = self._vertex_data(uv * [1, -1] + [0, 1])
        if colors is not None:
            attributes["COLOR_0"] = self._vertex_data(colors)
        if tangents is not None:
            attributes["TANGENT"] = self._vertex_data(tangents)
        if joints is not None:
            attributes["JOINTS_0"] = self.add_array(joints.astype(np.uint8), target=_VERTEX_DATA)
            attributes["WEIGHTS_0"] = self._vertex_data(weights)  # pyright: ignore[reportArgumentType]
        index_type = np.uint16 if len(positions) < 2**16 else np.uint32
        indices = self.add_array(faces.reshape(-1).astype(index_type), target=_INDEX_DATA)
        return {"attributes": attributes, "indices": indices, "material": material}

    def add_skin_material(
        self, texture_png: bytes | None, *, lit: bool = False, normal_map_png: bytes | None = None
    ) -> int:
        """A material for skin.

        Args:
            texture_png: The colours; None where vertices have them.
            lit: They are an albedo, to be lit. Otherwise the light of the capture is in them and they are shown as they
                are; viewers that do not know the unlit extension see a rough material without metal.
            normal_map_png: Normals in the tangent space of the mesh; what is not lit does not show them.
        """
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": SKIN_ROUGHNESS if lit else 0.9}
        if texture_png is not None:
            surface["baseColorTexture"] = {"index": self._add_texture(texture_png)}
        material = {"name": "skin", "pbrMetallicRoughness": surface}
        if normal_map_png is not None:
            material["normalTexture"] = {"index": self._add_texture(normal_map_png)}
        if not lit:
            self.document["extensionsUsed"] = ["KHR_materials_unlit"]
            material["extensions"] = {"KHR_materials_unlit": {}}
        return self.add("materials", material)

    def to_bytes(self) -> bytes:
        """The file."""
        self.document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.document, separators=(",", ":")).encode()
        chunks = _chunk(_JSON_CHUNK, text, b" ") + _chunk(_BINARY_CHUNK, bytes(self.binary), b"\0")
        return struct.pack("<III", _MAGIC, 2, 12 + len(chunks)) + chunks

    def _add_texture(self, png: bytes) -> int:
        image = self.add("images", {"mimeType": "image/png", "bufferView": self._add_bytes(png)})
        if "samplers" not in self.document:
            sampler = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR}
            self.add("samplers", sampler | {"wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE})
        return self.add("textures", {"sampler": 0, "source": image})

    def _vertex_data(self, values: np.ndarray, *, bounds: bool = False) -> int:
        return self.add_array(values.astype(np.float32), target=_VERTEX_DATA, bounds=bounds)

    def _add_bytes(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content)}
        self.binary += content + b"\0" * (-len(content) % 4)
        return self.add("bufferViews", view if target is None else view | {"target": target})


def _chunk(kind: int, content: bytes, padding: bytes) -> bytes:
    content += padding * (-len(content) % 4)
    return struct.pack("<II", len(content), kind) + content
