"""Textured meshes as the bytes of PLY, OBJ and GLB files."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from nerfstudio_hands.files.glb import GlbBuilder


@dataclass
class TexturedMesh:
    """Triangles with a texture; metres.

    Attributes:
        vertices: Positions.
        faces: Triangles, counter-clockwise seen from outside.
        normals: Unit normals of the vertices.
        uv: Texture coordinates per corner, v upwards as in OBJ.
        texture: Colours, first row at v = 1.
        vertex_colors: Colours for formats without a texture.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "V 3"]
    uv: Float[np.ndarray, "F 3 2"]
    texture: UInt8[np.ndarray, "S S 3"]
    vertex_colors: UInt8[np.ndarray, "V 3"]


@dataclass
class SplitVertices:
    """Vertices as GPUs want them: one a pair of position and texture coordinates.

    Attributes:
        source: Which vertex of the mesh each split vertex is.
        uv: Its texture coordinates.
        faces: Triangles over the split vertices.
    """

    source: Int[np.ndarray, " W"]
    uv: Float[np.ndarray, "W 2"]
    faces: Int[np.ndarray, "F 3"]


def split_at_seams(faces: Int[np.ndarray, "F 3"], uv: Float[np.ndarray, "F 3 2"]) -> SplitVertices:
    """Doubles the vertices along the seams of the texture, where one position has several texture coordinates.

    Where the texture is mirrored across an edge they are doubled as well, because its two sides have no common tangent
    frame.
    """
    mirrored = np.repeat(is_mirrored(uv), 3)
    corners = np.column_stack([faces.reshape(-1), mirrored, uv.reshape(-1, 2)])
    unique, inverse = np.unique(corners, axis=0, return_inverse=True)
    return SplitVertices(
        source=unique[:, 0].astype(np.int64),
        uv=unique[:, 2:].astype(np.float32),
        faces=inverse.reshape(-1, 3).astype(np.int64),
    )


def is_mirrored(uv: Float[np.ndarray, "F 3 2"]) -> Bool[np.ndarray, " F"]:
    """Whether the texture runs clockwise around each face that runs counter-clockwise."""
    first, second = (uv[:, corner].astype(np.float64) - uv[:, 0] for corner in (1, 2))
    return first[:, 0] * second[:, 1] < first[:, 1] * second[:, 0]


def ply_bytes(mesh: TexturedMesh) -> bytes:
    """Binary PLY with normals and colours per vertex."""
    vertex_type = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    vertex_type += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(mesh.vertices), dtype=vertex_type)
    columns = (*mesh.vertices.T, *mesh.normals.T, *mesh.vertex_colors.T)
    for name, column in zip(vertices.dtype.names, columns, strict=True):  # pyright: ignore[reportArgumentType]
        vertices[name] = column
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {'uchar' if kind == 'u1' else 'float'} {name}" for name, kind in vertex_type]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def obj_files(mesh: TexturedMesh, name: str, *, lit: bool = False) -> dict[str, bytes]:
    """OBJ with its material and texture, by file name; `lit` says that the texture is an albedo, to be lit."""
    return {f"{name}.obj": obj_bytes(mesh, name)} | material_files(mesh.texture, name, lit=lit)


def obj_bytes(mesh: TexturedMesh, material: str) -> bytes:
    """OBJ that looks for its material in the file `material`.mtl beside it."""
    lines = [f"mtllib {material}.mtl", f"o {material}", "usemtl skin"]
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"vn {x:.5g} {y:.5g} {z:.5g}" for x, y, z in mesh.normals.tolist()]
    unique, index = np.unique(mesh.uv.reshape(-1, 2), axis=0, return_inverse=True)
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in unique.tolist()]
    corners = np.stack([mesh.faces, index.reshape(-1, 3), mesh.faces], axis=-1) + 1
    lines += ["f " + " ".join(f"{v}/{t}/{n}" for v, t, n in face) for face in corners.tolist()]
    return ("\n".join(lines) + "\n").encode()


def material_files(texture: UInt8[np.ndarray, "S S 3"], name: str, *, lit: bool = False) -> dict[str, bytes]:
    """The material that an OBJ refers to, and its texture, by file name."""
    # What is not lit holds the light of the capture already: illumination model 0 is colour alone. Otherwise model 2,
    # Phong's, with the reflectance 0.028 of skin and a highlight as wide as glTF's roughness of 0.55 gives.
    light = "Ks 0.028 0.028 0.028\nNs 20\nillum 2\n" if lit else "Ks 0 0 0\nillum 0\n"
    material = f"newmtl skin\nKa 1 1 1\nKd 1 1 1\n{light}map_Kd {name}.png\n"
    return {f"{name}.mtl": material.encode(), f"{name}.png": png_bytes(texture)}


def glb_bytes(mesh: TexturedMesh, name: str, *, lit: bool = False) -> bytes:
    """Binary glTF 2.0 with the texture inside; `lit` says that it is an albedo, to be lit."""
    glb = GlbBuilder()
    split = split_at_seams(mesh.faces, mesh.uv)
    primitive = glb.add_primitive(
        positions=mesh.vertices[split.source],
        normals=mesh.normals[split.source],
        uv=split.uv,
        faces=split.faces,
        material=glb.add_skin_material(png_bytes(mesh.texture), lit=lit),
    )
    glb.add_root(glb.add("nodes", {"name": name, "mesh": glb.add("meshes", {"name": name, "primitives": [primitive]})}))
    return glb.to_bytes()


def png_bytes(texture: UInt8[np.ndarray, "S S 3"]) -> bytes:
    """A picture as PNG."""
    file = io.BytesIO()
    Image.fromarray(texture).save(file, "PNG")
    return file.getvalue()
